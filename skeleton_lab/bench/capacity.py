"""The largest batch that fits a memory budget: searched on a GPU, predicted on a machine without one."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from skeleton_lab.bench.job import Subject
from skeleton_lab.bench.meters import KeptBytes, LiveBytes, tensor_bytes
from skeleton_lab.nn.chunking import as_on_a_gpu
from skeleton_lab.nn.model import auxiliary_loss_of
from skeleton_lab.train.cuda_graph import WARM_UP
from skeleton_lab.train.outside_errors import is_out_of_memory

# What the libraries of a GPU take for themselves, whatever the batch: measured on an H200, where it is most. And room
# for memory that the allocator holds but cannot use.
WORKSPACE_BYTES = 110 * 10**6
MARGIN = 0.10
SEARCH_LIMIT = 4096
SEARCH_RESOLUTION = 32  # a search stops when the answer is known to 1 part in so many


# --- prediction ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Footprint:
    """Memory of a step as a straight line in the number of clips per forward pass, in bytes.

    Attributes:
        standing: weights, buffers, optimiser state. gradients: of all parameters.
        kept_base, kept_per_clip: what autograd keeps between the forward and the backward pass.
        peak_base, peak_per_clip: the most that is alive at once in a step, beside `standing`.
    """

    standing: int
    gradients: int
    kept_base: float
    kept_per_clip: float
    peak_base: float
    peak_per_clip: float

    def kept(self, clips: int) -> float:
        """Predict the bytes that autograd keeps."""
        return self.kept_base + clips * self.kept_per_clip

    def tensors(self, clips: int) -> float:
        """Predict the most bytes that tensors take at once: an upper bound, all gradients counted from the start."""
        return self.standing + self.gradients + self.peak_base + clips * self.peak_per_clip

    def peak(self, clips: int) -> float:
        """Predict the most bytes that are taken on a GPU at once."""
        return self.tensors(clips) + WORKSPACE_BYTES

    def largest_batch(self, budget_bytes: float) -> int:
        """Return the most clips per forward pass whose predicted peak, with the margin, stays within the budget."""
        room = budget_bytes / (1 + MARGIN) - self.peak(0)
        return max(0, int(room / self.peak_per_clip))


def predict_footprint(subject: Subject) -> Footprint:
    """Measure two small steps on this device and draw a line through them."""
    few, many = subject.job.recipe.probe_clips
    subject.with_forward_batch(few).step(*subject.random_clips(few))  # the optimiser's state comes with a step
    gradients = tensor_bytes(p.grad for p in subject.model.parameters() if p.grad is not None)
    less, more = held_bytes(subject, few), held_bytes(subject, many)
    kept_per_clip, peak_per_clip = ((getattr(more, name) - getattr(less, name)) / (many - few)
                                    for name in ("kept", "peak"))
    return Footprint(subject.standing_bytes(), gradients, less.kept - few * kept_per_clip, kept_per_clip,
                     less.peak - few * peak_per_clip, peak_per_clip)


@dataclass(frozen=True)
class Held:
    """Bytes of one pass, beside what stands: two independent counts of what autograd holds, and the peak.

    Attributes:
        kept: distinct storages that autograd saved tensors in.
        alive: tensors not yet freed after the forward pass, the input among them.
        peak: the most that was alive at once, in the forward or the backward pass.
    """

    kept: int
    alive: int
    peak: int


def held_bytes(subject: Subject, clips: int) -> Held:
    """Run one forward and backward pass (for inference: a forward pass) and count what it holds."""
    data, labels = subject.random_clips(clips)
    existing = [*subject.standing()]
    with LiveBytes([*existing, data, labels]) as live, KeptBytes(existing) as kept:
        if subject.optimizer is None:
            with torch.inference_mode():
                subject.forward(data)
            saved, alive = kept.total, live.now
        else:
            subject.optimizer.zero_grad(set_to_none=True)
            logits = subject.forward(data)
            loss = torch.nn.functional.cross_entropy(logits.float(), labels)
            with subject.precision.autocast():
                auxiliary = auxiliary_loss_of(subject.model, logits, labels)
            loss = loss if auxiliary is None else loss + auxiliary
            saved, alive = kept.total, live.now  # now: what the backward pass recomputes is not kept until then
            loss.backward()
    size = tensor_bytes([data])
    return Held(saved, alive + size, live.peak + size)


# --- search ----------------------------------------------------------------------------------------------------------


def largest_fitting(fits: Callable[[int], bool], start: int, limit: int = SEARCH_LIMIT) -> int:
    """Return the largest number up to `limit` that `fits`, to about 3 %; 0 if not even 1 does.

    Doubles, or halves, from `start` until one number fits and a larger one does not, then bisects.
    """
    low, high = 0, limit + 1  # low fits, high does not
    trial = min(start, limit)
    while not (low and high <= limit):
        if fits(trial):
            low = trial
        else:
            high = trial
        if low == limit or high == 1:
            return low
        if not (low and high <= limit):
            trial = min(2 * low, limit) if low else high // 2
    while high - low > max(1, low // SEARCH_RESOLUTION):
        trial = (low + high) // 2
        if fits(trial):
            low = trial
        else:
            high = trial
    return low


def fits_on_gpu(subject: Subject, clips: int) -> bool:
    """Try steps of `clips` clips in one pass; whatever happens, leave the GPU as free as before.

    Of training as many as it takes to record a pass and replay it, since a recording holds memory of its own; the
    second step has the optimiser's state from the start.
    """
    trial = subject.with_forward_batch(clips)
    try:
        batch: tuple[Tensor, ...] = trial.random_clips(clips)
        for _ in range(2 if subject.optimizer is None else WARM_UP + 2):
            trial.step(*batch)
        torch.cuda.synchronize(subject.device)
        fitted = True
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        fitted = False
    trial.passes.release()
    batch = ()  # the failed step's tensors hang on its traceback, gone with the except clause
    if subject.optimizer is not None:
        subject.optimizer.zero_grad(set_to_none=True)
    gc.collect()
    torch.cuda.empty_cache()
    return fitted


def capacity(subject: Subject) -> dict[str, Any]:
    """Return the largest batch per forward pass within the job's budget, and how it was found.

    `predicted` tells a prediction from a search; `footprint` is there with a prediction.
    """
    job = subject.job
    answer: dict[str, Any] = {"offers_memory_friendly": subject.offers_memory_friendly, "predicted": False}
    if subject.device.type == "cuda":
        budget_bytes = job.budget_bytes or torch.cuda.mem_get_info(subject.device)[0]
        largest = largest_fitting(lambda clips: fits_on_gpu(subject, clips), job.forward_batch_size)
    else:
        assert job.budget_bytes is not None, "a prediction needs a budget"
        budget_bytes = job.budget_bytes
        with as_on_a_gpu():
            footprint = predict_footprint(subject)
        largest = footprint.largest_batch(budget_bytes)
        answer |= {"predicted": True, "footprint": asdict(footprint),
                   "kept_mib_per_clip": footprint.kept_per_clip / 2**20}
    return answer | {"largest_batch": largest, "budget_bytes": budget_bytes}
