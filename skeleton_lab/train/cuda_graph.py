"""Passes of training as CUDA graphs: recorded once, and replayed from then on.

A pass launches some thousand kernels, and launching one costs the processor microseconds. With small batches, or on a
fast GPU, the launches take longer than the kernels. A replay launches all of them at once; what it computes is the
same, to the bit.

Only models that say `capturable = True` are recorded (`skeleton_lab.nn.model`): on clips of one shape they launch the
same kernels in every pass, and never wait for a result. A replay launches the recorded kernels and does nothing else,
so that whatever else such a pass did would be left out.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from skeleton_lab.nn.inputs import Data
from skeleton_lab.nn.model import is_capturable
from skeleton_lab.train.device import Precision
from skeleton_lab.train.loop import Criterion, TrainingPasses, check_labels

WARM_UP = 3  # passes that run as they are before one is recorded: libraries set themselves up in the first ones
Shape = tuple[torch.Size | tuple[torch.Size, ...], float]  # of what the model takes; the chunks of a batch


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

    def run(self, data: Data, labels: Tensor, chunks: float) -> Tensor:
        """Make the pass, or replay it."""
        if not self.recording:
            return super().run(data, labels, chunks)
        shape = (data.shape, chunks)
        if self._recorded is None and self._ran[shape] >= WARM_UP:
            self._record(data, labels, shape)
        if self._recorded is not None and self._recorded.shape == shape:
            check_labels(labels, self.num_classes)
            return self._recorded.replay(data, labels)
        self._ran[shape] += 1
        with self._on_own_stream():
            return super().run(data, labels, chunks)

    def release(self) -> None:
        """Give up the recording, and return the memory that its tensors take; the next pass makes another.

        So are the gradients that lie there: those of the last step, which has been taken.
        """
        if self._recorded is None:
            return
        self._recorded.let_go()
        self._recorded = None  # the last reference to tensors of the recording's pool
        torch.cuda.empty_cache()

    def _record(self, data: Data, labels: Tensor, shape: Shape) -> None:
        """Record a pass over clips of this shape, without running it; where that fails, go on without."""
        own = data.to(self.device, copy=True), labels.to(self.device, copy=True)
        graph, parameters = torch.cuda.CUDAGraph(), list(self.model.parameters())
        so_far = [parameter.grad for parameter in parameters]
        self.model.zero_grad(set_to_none=True)
        pool, reason = torch.cuda.graph_pool_handle(), ""
        try:
            self._try_without_waiting(own, shape[1])
            # The loader's thread, which pins memory, may go on meanwhile.
            with torch.cuda.graph(graph, pool=pool, stream=self._stream, capture_error_mode="thread_local"):
                result = super().run(*own, shape[1])
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
        if reason:  # past the handler, whose traceback holds all that the pass has kept
            self.recording = False
            self.model.zero_grad(set_to_none=True)
            del graph
            _end_failed_recording(self._main_stream, pool)
            self.say(f"--cuda-graph: a training pass could not be recorded ({reason}); going on without.")
        else:
            grads = [(parameter, parameter.grad) for parameter in parameters if parameter.grad is not None]
            self._recorded = _Recorded(shape, graph, *own, result, grads)
        for parameter, grad in zip(parameters, so_far, strict=True):
            parameter.grad = grad

    def _try_without_waiting(self, own: tuple[Data, Tensor], chunks: float) -> None:
        """Make a pass that raises a RuntimeError where it waits for a result, which a recording cannot do.

        A recording that fails leaves more behind than such a pass. Its gradients are given up; what moves with each
        pass, running moments and random draws, is put back.
        """
        if self.device.type != "cuda":
            return
        buffers = [buffer.clone() for buffer in self.model.buffers()]
        draws, mode = torch.cuda.get_rng_state(self.device), torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")
        try:
            with self._on_own_stream():
                super().run(*own, chunks)
        finally:
            torch.cuda.set_sync_debug_mode(mode)
            torch.cuda.set_rng_state(draws, self.device)
            with torch.no_grad():
                for buffer, before in zip(self.model.buffers(), buffers, strict=True):
                    buffer.copy_(before)
            self.model.zero_grad(set_to_none=True)

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
    data: Any  # as the passes get it: a tensor, or Inputs
    labels: Tensor
    result: Tensor
    grads: list[tuple[nn.Parameter, Tensor]]

    def replay(self, data: Data, labels: Tensor) -> Tensor:
        self.data.copy_(data, non_blocking=True)
        self.labels.copy_(labels, non_blocking=True)
        self.graph.replay()
        self._hand_over()
        return self.result.clone()

    def let_go(self) -> None:
        """Give up the graph, and take from the parameters the gradients that lie in its pool."""
        for parameter, grad in self.grads:
            if parameter.grad is grad:
                parameter.grad = None
        self.graph.reset()

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


def _end_failed_recording(stream: torch.cuda.Stream | None, pool: Any) -> None:
    """Go back to the stream from before a recording that failed, end its memory pool, record something that does not.

    After a failure PyTorch stays on the recording's stream, its allocator goes on serving the recording's pool and
    keeps what is freed, and its random generator believes that recording goes on.
    """
    assert stream is not None
    torch.cuda.set_stream(stream)
    for name in ("_cuda_endAllocateToPool", "_cuda_endAllocateCurrentStreamToPool", "_cuda_releasePool"):
        end = getattr(torch._C, name, None)  # PyTorch's own, under names that differ between versions
        if end is not None:
            with suppress(RuntimeError, TypeError):  # it had ended
                end(stream.device_index, pool)
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        torch.zeros(1, device=stream.device)
    gc.collect()
    torch.cuda.empty_cache()


def recording_wanted(wanted: bool, device: torch.device, compiled: bool, processes: int,
                     say: Callable[[str], None]) -> bool:
    """Return whether to record passes, given `--cuda-graph`; on a GPU say why not, if something else forbids it."""
    if not wanted or device.type != "cuda":
        return False
    if processes > 1:
        say("--cuda-graph: passes of several processes that train together are not recorded.")
    elif compiled:
        say("--cuda-graph: passes of a compiled model are not recorded.")
    return processes == 1 and not compiled
