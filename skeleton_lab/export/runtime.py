"""A trained model computed by another runtime: ONNX Runtime or OpenVINO, from an export kept beside the weights.

For a clip at a time on a CPU these are often faster than PyTorch; by how much depends on the processor, which is why
`auto` times them. The first batch is computed by PyTorch too, every time, and compared.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skeleton_lab.errors import UserError
from skeleton_lab.export.export import example_for, export
from skeleton_lab.export.formats import ONNX, Run, open_file, require
from skeleton_lab.train.flags import AUTO, ONNXRUNTIME, OPENVINO, TORCH
from skeleton_lab.train.loop import logits_of
from skeleton_lab.train.trained import Trained

TOLERANCE = 1e-3  # of the largest logit
_TIMED_PASSES = 3
_MOST_SHAPES = 4  # for which OpenVINO keeps a compiled model: full batches, the last one
_INSTALL = "pip install -r requirements-export.txt"
Say = Callable[[str], None]


class OtherRuntime(nn.Module):
    """`model` for inference on the CPU, computed by the fastest of `runs`; the first batch decides and is checked.

    Args:
        runs: functions from a batch's arrays to logits, by the runtime's name.
        timed: PyTorch is a candidate too, and one that disagrees with it is left out; otherwise that is an error.
        remedy: what to do then, for the message.
    """

    def __init__(self, model: nn.Module, runs: dict[str, Run], timed: bool, remedy: str, say: Say) -> None:
        super().__init__()
        self.model, self._runs, self._timed, self._remedy, self._say = model, runs, timed, remedy, say
        self.chosen: str | None = None

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return logits (N, classes) float32 of clips (N, C, T, V, M) and what else the model takes.

        Raises:
            UserError: on the first batch, logits that are not the model's.
        """
        arrays = tuple(tensor.float().numpy() for tensor in inputs)
        if self.chosen is None:
            return self._choose(inputs, arrays)
        return logits_of(self.model(*inputs)) if self.chosen == TORCH else torch.from_numpy(
            self._runs[self.chosen](*arrays))

    def _choose(self, inputs: Sequence[Tensor], arrays: Sequence[np.ndarray]) -> Tensor:
        expected = logits_of(self.model(*inputs)).float()
        for name, run in list(self._runs.items()):
            if complaint := _disagreement(name, run(*arrays), expected.numpy()):
                if not self._timed:
                    raise UserError(f"{complaint}; {self._remedy}, or use --runtime torch")
                self._say(f"{complaint}: left out.")
                del self._runs[name]
        seconds = {name: _seconds(partial(run, *arrays)) for name, run in self._runs.items()}
        if self._timed:
            seconds[TORCH] = _seconds(partial(self.model, *inputs))
        self.chosen = min(seconds, key=seconds.__getitem__)
        times = ", ".join(f"{name} {1000 * time_s:.1f} ms" for name, time_s in sorted(seconds.items()))
        self._say(f"Computed by {self.chosen} (a batch of {len(expected)}: {times}); its logits are PyTorch's.")
        return expected


def _disagreement(name: str, found: np.ndarray, expected: np.ndarray) -> str:
    """Return what is wrong with logits, "" if they are within `TOLERANCE`."""
    if found.shape != expected.shape:
        return f"--runtime {name}: gives logits {found.shape}, the model {expected.shape}"
    largest, scale = float(np.abs(found - expected).max(initial=0)), float(np.abs(expected).max(initial=0))
    if largest <= TOLERANCE * scale or largest == 0:  # a NaN is not
        return ""
    return f"--runtime {name}: its logits differ from PyTorch's by {largest:.2e} (largest logit {scale:.2e})"


def _seconds(run: Callable[[], Any]) -> float:
    """Return the shortest of a few wall-clock times."""
    times = []
    for _ in range(_TIMED_PASSES):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def network_for(trained: Trained, runtime: str, device: torch.device, say: Say) -> nn.Module:
    """Return what computes `trained`'s logits on `device`, in evaluation mode: its model, or one of another runtime.

    Raises:
        UserError: a runtime that is not installed, or not for this device; a model that cannot be exported.
    """
    if device.type != "cpu" and runtime not in (TORCH, AUTO):
        raise UserError(f"--runtime {runtime}: computes on the CPU here; add --device cpu, or use --runtime torch")
    model = trained.model.to(device).eval()
    if runtime == TORCH or device.type != "cpu":
        return model
    try:
        runs, file = _opened(trained, _wanted(runtime), say)
    except UserError as error:
        if runtime != AUTO:
            raise
        say(f"Computed by PyTorch: {error}.")
        return model
    return OtherRuntime(model, runs, runtime == AUTO, f"delete {file} and try again", say)


def _wanted(runtime: str) -> list[str]:
    """Return the runtimes to open: the one that is asked for, or all that are installed."""
    require(ONNX)
    if runtime != AUTO:
        if importlib.util.find_spec(runtime) is None:
            raise UserError(f"--runtime {runtime}: needs the package {runtime}; {_INSTALL}")
        return [runtime]
    return [name for name in (ONNXRUNTIME, OPENVINO) if importlib.util.find_spec(name) is not None]


def _opened(trained: Trained, names: Sequence[str], say: Say) -> tuple[dict[str, Run], Path]:
    file = exported_beside(trained, say)
    openers: dict[str, Callable[[Path], Run]] = {
        ONNXRUNTIME: lambda path: open_file(path, ONNX, torch.get_num_threads()), OPENVINO: open_openvino}
    return {name: openers[name](file) for name in names}, file


def exported_beside(trained: Trained, say: Say) -> Path:
    """Return the ONNX file of a trained model: the one beside its weights, made and checked if it is not there.

    Its name holds a digest of the weights, the model's arguments and PyTorch's version; those of others are deleted.
    Where the folder cannot be written to, the file lasts as long as the process.
    """
    key = hashlib.sha256(trained.weights.read_bytes())
    key.update(repr((trained.config.model, sorted(trained.config.model_args.items(), key=str),
                     str(torch.__version__))).encode())
    folder, stem = trained.weights.parent, trained.weights.stem
    if not os.access(folder, os.W_OK):
        say(f"{folder}: cannot be written to; the export for --runtime lasts as long as this command.")
        folder = Path(_KEPT.setdefault("folder", tempfile.TemporaryDirectory(prefix="skeleton-lab-")).name)
    file = folder / f"{stem}.{key.hexdigest()[:12]}.onnx"
    if not file.is_file():
        say(f"Exporting to {file}, for this time and the next ones.")
        export(trained, example_for(trained, None), ONNX, file)
        for old in folder.glob(f"{stem}.*.onnx"):
            if old != file and re.fullmatch(re.escape(stem) + r"\.[0-9a-f]{12}\.onnx", old.name):
                old.unlink(missing_ok=True)
    return file


_KEPT: dict[str, tempfile.TemporaryDirectory[str]] = {}


def open_openvino(path: Path) -> Run:
    """Return the model in an ONNX file as a function, computed by OpenVINO in single precision."""
    import openvino

    core = openvino.Core()
    model = core.read_model(str(path))
    # By default it computes in bfloat16 where the processor can, and says nothing of it.
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": str(torch.get_num_threads())}
    compiled: dict[tuple[tuple[int, ...], ...], Any] = {}

    def run(*inputs: np.ndarray) -> np.ndarray:
        shapes = tuple(array.shape for array in inputs)
        if shapes not in compiled:
            while len(compiled) >= _MOST_SHAPES:
                del compiled[next(iter(compiled))]
            fixed = model.clone()  # with open sizes it is far slower
            fixed.reshape({place: list(shape) for place, shape in enumerate(shapes)})
            compiled[shapes] = core.compile_model(fixed, "CPU", options)
        return np.array(compiled[shapes](list(inputs))[0])

    return run
