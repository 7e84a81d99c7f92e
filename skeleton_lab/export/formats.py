"""The two file formats: writing a model, and opening the file again as a function from clips to logits.

- onnx: for onnxruntime and everything else that reads ONNX; needs `requirements-export.txt` and PyTorch 2.6 or newer.
- torch_export: a graph of PyTorch's own operators (`torch.export`), which loads without the model's code.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from skeleton_lab.errors import UserError

Run = Callable[..., np.ndarray]  # clips (N, C, T, V, M) float32, further inputs -> logits (N, classes) float32

ONNX, TORCH_EXPORT = "onnx", "torch_export"
OPSET = 18
ONNX_SINCE = (2, 6)
LEAST_FRAMES = 8  # of an open length: strides leave a single frame of fewer, which exporters take for a case of its own
_MOST = 1 << 16  # clips or frames that a file declares to take
_INSTALL = "pip install -r requirements-export.txt"


@dataclass(frozen=True)
class Example:
    """A batch to trace with: N and T are left open where `open_batch`, `open_frames`; C, V and M are the model's.

    further: what the model takes beside clips, as its `further_inputs` has it.
    """

    channels: int
    frames: int
    joints: int
    bodies: int
    open_batch: bool = True
    open_frames: bool = True
    further: Mapping[str, str] = field(default_factory=dict)

    @property
    def axes(self) -> dict[str, str]:
        """The inputs by name, with the axes of each."""
        return {"clips": "NCTVM", **self.further}

    def inputs(self, batch: int = 2, frames: int | None = None) -> tuple[torch.Tensor, ...]:
        """Return random inputs float32, clips (N, C, T, V, M) first, the same for the same size."""
        sizes = {"N": batch, "C": self.channels, "T": frames or self.frames, "V": self.joints, "M": self.bodies}
        generator = torch.Generator().manual_seed(batch * _MOST + sizes["T"])
        return tuple(torch.randn([sizes[axis] for axis in axes], generator=generator) for axes in self.axes.values())

    def shape(self, name: str) -> str:
        """Return an input's shape for people: letters where a size is open."""
        sizes: dict[str, Any] = {"C": self.channels, "V": self.joints, "M": self.bodies}
        sizes |= {} if self.open_frames else {"T": f"T = {self.frames}"}
        return f"({', '.join(str(sizes.get(axis, axis)) for axis in self.axes[name])})"


def trace(model: nn.Module, example: Example) -> Any:
    """Return `model`, of standard operators, as an ExportedProgram with the open axes of `example`."""
    open_axes: dict[str, Any] = {}
    if example.open_batch:
        open_axes["N"] = torch.export.Dim("batch", min=1, max=_MOST)
    if example.open_frames:
        open_axes["T"] = torch.export.Dim.DYNAMIC
    shapes = tuple({place: open_axes[axis] for place, axis in enumerate(axes) if axis in open_axes}
                   for axes in example.axes.values())
    with _quiet(), torch.no_grad():
        return torch.export.export(model, example.inputs(), dynamic_shapes=shapes)


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


def write(program: Any, output_format: str, path: Path, inputs: Sequence[str]) -> None:
    """Write an ExportedProgram to `path`, whose suffix may be any; `inputs`: their names."""
    if output_format == ONNX:
        with _quiet():
            made = torch.onnx.export(program, (), dynamo=True, input_names=list(inputs), output_names=["logits"],
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
    names = [declared.name for declared in session.get_inputs()]
    return lambda *inputs: session.run(["logits"], dict(zip(names, inputs, strict=True)))[0]


def _open_program(path: Path) -> Run:
    module = torch.export.load(io.BytesIO(path.read_bytes())).module()

    def run(*inputs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module(*map(torch.from_numpy, inputs)).numpy()

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
