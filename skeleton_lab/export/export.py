"""From a trained model to a checked file: it computes what the model computes, or there is none."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from skeleton_lab.errors import UserError
from skeleton_lab.export.formats import LEAST_FRAMES, Example, Run, leaves_lengths_open, open_file, trace, write
from skeleton_lab.export.reference import fold_batch_norms, inference_form
from skeleton_lab.files import replacing
from skeleton_lab.imports import load_object
from skeleton_lab.nn.model import further_inputs_of
from skeleton_lab.train.trained import Trained

TOLERANCE = 1e-4  # of a logit, or of the largest where that is above 1
USUAL_FRAMES = 64
_AXES = {"channels": "in_channels", "joints": "num_point", "bodies": "num_person"}
_COORDINATES = 3  # channels of a model that has no say in them


@dataclass(frozen=True)
class Difference:
    """How far a file's logits are from the model's at one size: the largest difference and the largest logit."""

    clips: int
    frames: int
    largest: float
    scale: float

    @property
    def relative(self) -> float:
        """The difference as a share of the largest logit, of 1 if all are smaller."""
        return self.largest / max(1.0, self.scale)


def example_for(trained: Trained, frames: int | None) -> Example:
    """Return what the model takes; `frames`: T to trace with (default: of the run's test clips, else 64).

    Raises:
        UserError: neither the config nor the model's defaults say how many joints and bodies there are.
    """
    config = trained.config
    parameters = inspect.signature(load_object(config.model)).parameters
    sizes: dict[str, Any] = {}
    for axis, name in _AXES.items():
        default = parameters[name].default if name in parameters else _COORDINATES if axis == "channels" else None
        sizes[axis] = config.model_args.get(name, default)
        if not isinstance(sizes[axis], int):
            raise UserError(f"model_args: '{name}' is not set, and the size of clips depends on it; add it to the "
                            "config")
    window = config.test_feeder_args.get("window_size")
    own = window if isinstance(window, int) and window >= LEAST_FRAMES else USUAL_FRAMES
    return Example(frames=frames or own, further=further_inputs_of(trained.model), **sizes)


def traced(model: nn.Module, model_args: Mapping[str, Any], example: Example) -> tuple[Any, Example]:
    """Trace a model's inference form, with both lengths open or, if it does not permit that, only the batch.

    Raises:
        UserError: it cannot be traced at all.
    """
    form = inference_form(model, model_args)
    refusal: Exception | None = None
    fixed = replace(example, open_frames=False)
    for shape in (example, fixed) if leaves_lengths_open() else (fixed,):
        try:
            return fold_batch_norms(trace(form, shape)), shape
        except Exception as error:  # exporters raise nearly anything
            refusal = error
    reason = " ".join(str(refusal).split())[:300]
    raise UserError(f"this model cannot be exported: {type(refusal).__name__}: {reason}; give it a reference, as "
                    "docs/export.md says")


def export(trained: Trained, example: Example, output_format: str, path: Path) -> tuple[Example, list[Difference]]:
    """Write the model to `path` and check the file against the model; nothing is left there if it fails.

    Returns:
        what was left open, and the differences at several sizes.

    Raises:
        UserError: the model cannot be exported, or the file's logits differ by more than `TOLERANCE`.
    """
    program, example = traced(trained.model, trained.config.model_args, example)
    with replacing(path) as temporary:
        write(program, output_format, temporary, tuple(example.axes))
        found = list(differences(trained.model, open_file(temporary, output_format), example, sizes(example)))
        worst = max(found, key=lambda difference: difference.relative)
        if not worst.relative <= TOLERANCE:  # a NaN is not
            raise UserError(f"{path}: not written: at {worst.clips} clips of {worst.frames} frames its logits differ "
                            f"by {worst.largest:.2e} (largest logit {worst.scale:.2e}), more than {TOLERANCE:g}; try "
                            "another PyTorch or onnxruntime version")
    return example, found


def sizes(example: Example) -> list[tuple[int, int]]:
    """Return (clips, frames) to check a file at: sizes it was not traced with, too, where they are open."""
    frames = example.frames
    lengths = (frames, frames, max(LEAST_FRAMES, frames // 2) + 1, frames + 3) if example.open_frames else (frames,) * 4
    batches = (1, 3, 2, 4) if example.open_batch else (2,) * 4
    return sorted(set(zip(batches, lengths, strict=True)))


def differences(model: nn.Module, run: Run, example: Example,
                at: Sequence[tuple[int, int]]) -> Iterator[Difference]:
    """Yield the differences between `run` and the model, on the CPU in single precision, at each size."""
    model = model.cpu().eval()
    for batch, frames in at:
        inputs = example.inputs(batch, frames)
        with torch.inference_mode():
            output = model(*inputs)
        expected = (output[0] if isinstance(output, tuple) else output).numpy()
        found = run(*(tensor.numpy() for tensor in inputs))
        yield Difference(batch, frames, float(np.abs(found - expected).max()), float(np.abs(expected).max()))
