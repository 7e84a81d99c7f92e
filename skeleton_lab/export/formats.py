"""The two file formats: writing a model, and opening the file again as a function from clips to logits.

- onnx: for onnxruntime and everything else that reads ONNX; needs `requirements-export.txt` and PyTorch 2.6 or newer.
- torch_export: a graph of PyTorch's own operators (`torch.export`), which loads without the model's code.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from skeleton_lab.errors import UserError

Run = Callable[[np.ndarray], np.ndarray]  # clips (N, C, T, V, M) float32 -> logits (N, classes) float32

ONNX, TORCH_EXPORT = "onnx", "torch_export"
OPSET = 18
ONNX_SINCE = (2, 6)
LEAST_FRAMES = 8  # of an open length: strides leave a single frame of fewer, which exporters take for a case of its own
_MOST = 1 << 16  # clips or frames that a file declares to take
_INSTALL = "pip install -r requirements-export.txt"


@dataclass(frozen=True)
class Example:
    """A batch to trace with: N and T are left open where `open_batch`, `open_frames`; C, V and M are the model's."""

    channels: int
    frames: int
    joints: int
    bodies: int
    open_batch: bool = True
    open_frames: bool = True

    def clips(self, batch: int = 2, frames: int | None = None) -> torch.Tensor:
        """Return random clips (N, C, T, V, M) float32, the same for the same size."""
        frames = frames or self.frames
        generator = torch.Generator().manual_seed(batch * _MOST + frames)
        return torch.randn(batch, self.channels, frames, self.joints, self.bodies, generator=generator)


def trace(model: nn.Module, example: Example) -> Any:
    """Return `model`, of standard operators, as an ExportedProgram with the open axes of `example`."""
    axes: dict[int, Any] = {}
    if example.open_batch:
        axes[0] = torch.export.Dim("batch", min=1, max=_MOST)
    if example.open_frames:
        axes[2] = torch.export.Dim.DYNAMIC
    with _quiet(), torch.no_grad():
        return torch.export.export(model, (example.clips(),), dynamic_shapes=(axes,))


def leaves_lengths_open() -> bool:
    """Whether this PyTorch can leave T open: 2.5 or newer.

    Older ones know named lengths only. For those they demand a proof that strides divide them, and find none.
    """
    return hasattr(torch.export.Dim, "DYNAMIC")


def require(output_format: str) -> None:
    """Raise a UserError unless this machine has what a format needs."""
    if not hasattr(torch, "export"):
        raise UserError(f"PyTorch {torch.__version__} has no torch.export; install a newer one")
    if output_format != ONNX:
        return
    if _torch_version() < ONNX_SINCE:
        raise UserError(f"--format onnx: needs PyTorch {'.'.join(map(str, ONNX_SINCE))} or newer, this is "
                        f"{torch.__version__}; install a newer one, or use --format torch_export")
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(package)
        except ImportError:
            raise UserError(f"--format onnx: needs the package {package}; {_INSTALL}") from None


def _torch_version() -> tuple[int, int]:
    major, minor = torch.__version__.split(".")[:2]
    return int(major), int(minor)


def write(program: Any, output_format: str, path: Path) -> None:
    """Write an ExportedProgram to `path`, whose suffix may be any."""
    if output_format == ONNX:
        with _quiet():
            made = torch.onnx.export(program, (), dynamo=True, input_names=["clips"], output_names=["logits"],
                                     opset_version=OPSET, external_data=False, verbose=False)
        assert made is not None  # it is None where a path is given
        path.write_bytes(made.model_proto.SerializeToString())
    else:
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
        path.write_bytes(buffer.getbuffer())


def open_file(path: Path, output_format: str, threads: int = 0) -> Run:
    """Return the model in a file as a function; `threads`: of onnxruntime, 0 for as many as it likes."""
    return _open_onnx(path, threads) if output_format == ONNX else _open_program(path)


def _open_onnx(path: Path, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda clips: session.run(["logits"], {"clips": clips})[0]


def _open_program(path: Path) -> Run:
    module = torch.export.load(io.BytesIO(path.read_bytes())).module()

    def run(clips: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module(torch.from_numpy(clips)).numpy()

    return run


@contextmanager
def _quiet():
    """Leave out the exporters' remarks to their own developers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
