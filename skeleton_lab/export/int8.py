"""An ONNX file with 8-bit weights and activations, by onnxruntime's static quantisation."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

CONVOLUTIONS, PRODUCTS = ("Conv",), ("Conv", "MatMul", "Gemm")  # kinds of nodes to quantise


def quantize(source: Path, target: Path, calibration: Iterable[np.ndarray], kinds: tuple[str, ...]) -> None:
    """Write `source` with the nodes of `kinds` in int8 to `target`.

    Args:
        calibration: batches of clips (N, C, T, V, M) float32, whose activations decide the ranges.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._batches = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self._batches, None)
            return None if batch is None else {"clips": batch}

    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)  # its advice to preprocess, which comes even then
    try:
        with tempfile.TemporaryDirectory(prefix="skeleton-lab-") as folder:
            prepared = Path(folder) / "prepared.onnx"
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            quantize_static(str(prepared), str(target), Reader(), quant_format=QuantFormat.QDQ,
                            op_types_to_quantize=list(kinds), per_channel=True, activation_type=QuantType.QUInt8,
                            weight_type=QuantType.QInt8)
    finally:
        logging.getLogger().setLevel(level)
