"""Passes of training as CUDA graphs: recorded once, and replayed from then on.

A pass launches some thousand kernels, and launching one costs the processor microseconds. With small batches, or on a
fast GPU, the launches take longer than the kernels. A replay launches all of them at once; what it computes is the
same, to the bit.

Only models that say `capturable = True` are recorded (`skeleton_lab.nn.model`): on clips of one shape they launch the
same kernels in every pass, and never wait for a result. A replay launches the recorded kernels and does nothing else,
so that whatever else such a pass did would be left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from skeleton_lab.nn.model import is_capturable
from skeleton_lab.train.device import Precision
from skeleton_lab.train.loop import Criterion, TrainingPasses, check_labels

WARM_UP = 3  # passes that run as they are before one is recorded: libraries set themselves up in the first ones
Shape = tuple[torch.Size, float]


class RecordedPasses(TrainingPasses):
    """Passes as `TrainingPasses` makes them, recorded and replayed where device and model permit that.

    Args:
        record: whether to record at all.
        say: told, once, if recording fails.
    """

    def __init__(self, model: nn.Module, device: torch.device, precision: Precision, scaler: torch.amp.GradScaler,
                 record: bool = False, say: Callable[[str], None] = print,
                 criterion: Criterion = functional.cross_entropy) -> None:
        super().__init__(model, device, precision, scaler, criterion)
        self.say = say
        self.recording = record and device.type == "cuda" and is_capturable(model)
        self._stream = torch.cuda.Stream(device) if self.recording else None
        self._main_stream = torch.cuda.current_stream(device) if self.recording else None
        self._ran: Counter[Shape] = Counter()
        self._recorded: _Recorded | None = None

    def run(self, clips: Any, labels: Tensor, chunks: float) -> Tensor:
        """Make the pass, or replay it."""
        if not self.recording or not isinstance(clips, Tensor):
            return super().run(clips, labels, chunks)
        shape = (clips.shape, chunks)
        if self._recorded is None and self._ran[shape] >= WARM_UP:
            self._record(clips, labels, shape)
        if self._recorded is not None and self._recorded.shape == shape:
            check_labels(labels, self.num_classes)
            return self._recorded.replay(clips, labels)
        self._ran[shape] += 1
        with self._on_own_stream():
            return super().run(clips, labels, chunks)

    def release(self) -> None:
        """Give up the recording, and the memory that its tensors take; the next pass makes another."""
        self._recorded = None

    def _record(self, clips: Tensor, labels: Tensor, shape: Shape) -> None:
        """Record a pass over clips of this shape, without running it; where that fails, go on without."""
        own = clips.to(self.device, copy=True), labels.to(self.device, copy=True)
        graph, parameters = torch.cuda.CUDAGraph(), list(self.model.parameters())
        so_far = [parameter.grad for parameter in parameters]
        self.model.zero_grad(set_to_none=True)
        try:
            # The loader's thread, which pins memory, may go on meanwhile.
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                result = super().run(*own, shape[1])
        except RuntimeError as error:
            self.recording = False
            _end_failed_recording(self._main_stream)
            reason = " ".join(str(error).split())[:200]
            self.say(f"--cuda-graph: a training pass could not be recorded ({reason}); going on without.")
        else:
            grads = [(parameter, parameter.grad) for parameter in parameters if parameter.grad is not None]
            self._recorded = _Recorded(shape, graph, *own, result, grads)
        for parameter, grad in zip(parameters, so_far, strict=True):
            parameter.grad = grad

    @contextmanager
    def _on_own_stream(self) -> Iterator[None]:
        """Compute on the stream that recordings are made on, in order with what comes before and after."""
        assert self._stream is not None
        current = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            yield
        current.wait_stream(self._stream)


@dataclass
class _Recorded:
    """A pass as a CUDA graph, and the tensors that it reads from and writes to; `grads`: parameters with their own."""

    shape: Shape
    graph: torch.cuda.CUDAGraph
    clips: Tensor
    labels: Tensor
    result: Tensor
    grads: list[tuple[nn.Parameter, Tensor]]

    def replay(self, clips: Tensor, labels: Tensor) -> Tensor:
        self.clips.copy_(clips, non_blocking=True)
        self.labels.copy_(labels, non_blocking=True)
        self.graph.replay()
        self._hand_over()
        return self.result.clone()

    def _hand_over(self) -> None:
        """Add the gradients to the parameters'.

        The first ones of a step are handed over as they are, or, if the next replay is of the same step, as copies.
        """
        new = [grad for _, grad in self.grads]
        so_far = [parameter.grad for parameter, _ in self.grads if parameter.grad is not None]
        if so_far:
            torch._foreach_add_(so_far, new)
            return
        if self.shape[1] != 1:
            copies = [torch.empty_like(grad) for grad in new]
            torch._foreach_copy_(copies, new)
            new = copies
        for (parameter, _), grad in zip(self.grads, new, strict=True):
            parameter.grad = grad


def _end_failed_recording(stream: torch.cuda.Stream | None) -> None:
    """Go back to the stream from before a recording that failed, and record something that does not.

    After a failure PyTorch stays on the recording's stream, and its random generator believes that recording goes on.
    """
    assert stream is not None
    torch.cuda.set_stream(stream)
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        torch.zeros(1, device=stream.device)
