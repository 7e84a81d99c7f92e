"""Several processes that train one model: who is who, and what they tell each other (see docs/distributed.md).

`torchrun` starts the processes and tells each its place through the environment. PyTorch's DistributedDataParallel
averages their gradients; what else they must agree on goes through the few methods of `World`. With one process each of
these returns at once.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from skeleton_lab.errors import EXIT_BAD_INPUT, UserError
from skeleton_lab.train.place import Place, place_from_environment

TIMEOUT_S = 600  # how long a process waits for the others before it gives up
_EXIT_WITH_OTHERS = 1
_SETTLE_S = 0.1
_FAILED = "skeleton_lab/failed"  # how many processes have
_LAST_WORDS_S = 3
T = TypeVar("T")


class World(Place):
    """The processes that train together, as one of them sees them."""

    @staticmethod
    def from_environment() -> World:
        """Return the world that `torchrun` has made, or that of one process.

        Raises:
            UserError: the environment says what cannot be.
        """
        place = place_from_environment()
        return World(place.rank, place.size, place.local_rank, place.local_size)

    def share(self, clips: int, what: str) -> int:
        """Return each process's share of a batch of `clips`.

        Raises:
            UserError: they cannot be shared out evenly; the message begins with `what`.
        """
        if clips % self.size:
            raise UserError(f"{what} {clips} cannot be shared evenly by {self.size} processes; choose a multiple of "
                            f"{self.size} (it is the number of clips of all processes together)")
        return clips // self.size

    # What follows involves all processes: each must get there, in the same order.

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Return `model` such that its backward pass averages the gradients of all processes.

        All start from the weights of process 0, and follow its BatchNorm buffers at each forward pass.
        """
        if self.size == 1:
            return model
        lay_gradients_as_parameters(model)
        return DistributedDataParallel(model, device_ids=[device.index] if device.type == "cuda" else None)

    def follow_main(self, model: nn.Module) -> None:
        """Give each process the weights and BatchNorm moments of process 0, so that all evaluate the same model."""
        if self.size > 1:
            with torch.no_grad():
                for tensor in (*model.parameters(), *model.buffers()):
                    whole = tensor.contiguous()  # NCCL takes no other, and gloo would send the memory as it lies
                    distributed.broadcast(whole, 0)
                    if whole is not tensor:
                        tensor.copy_(whole)

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Return the mean of a tensor over the processes."""
        if self.size > 1:
            values = values.clone()
            distributed.all_reduce(values)
            values /= self.size
        return values

    def largest(self, number: int) -> int:
        """Return the largest of the processes' numbers."""
        if self.size == 1:
            return number
        numbers = torch.tensor([number])
        distributed.all_reduce(numbers, distributed.ReduceOp.MAX)
        return int(numbers)

    def gather(self, value: T) -> list[T]:
        """Return every process's `value` (tensors and plain data), in the order of their numbers."""
        if self.size == 1:
            return [value]
        content = _packed(value)
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        distributed.all_gather(lengths, torch.tensor([len(content)]))
        longest = max(int(length) for length in lengths)
        contents = [torch.empty(longest, dtype=torch.uint8) for _ in range(self.size)]
        distributed.all_gather(contents, nn.functional.pad(content, (0, longest - len(content))))
        return [_unpacked(content[:int(length)]) for content, length in zip(contents, lengths, strict=True)]

    def from_main(self, make: Callable[[], T]) -> T:
        """Return what process 0 makes (tensors and plain data); the others do not call `make`."""
        if self.size == 1:
            return make()
        content = _packed(make()) if self.is_main else torch.empty(0, dtype=torch.uint8)
        length = torch.tensor([len(content)])
        distributed.broadcast(length, 0)
        if not self.is_main:
            content = torch.empty(int(length), dtype=torch.uint8)
        distributed.broadcast(content, 0)
        return _unpacked(content)

    def wait(self) -> None:
        """Return when all processes have got here."""
        self.largest(0)


def lay_gradients_as_parameters(model: nn.Module) -> None:
    """Have each gradient laid out in memory as its parameter, which DistributedDataParallel warns of otherwise."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.register_hook(partial(_laid_out, torch.empty_like(parameter, device="meta").stride()))


def _laid_out(strides: tuple[int, ...], grad: torch.Tensor) -> torch.Tensor:
    if grad.stride() == strides:
        return grad
    return torch.empty_strided(grad.shape, strides, dtype=grad.dtype, device=grad.device).copy_(grad)


def accumulating(model: nn.Module) -> AbstractContextManager[None]:
    """Return the context for a forward and backward pass whose gradients need not be averaged yet."""
    return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()


@contextmanager
def joined(world: World, timeout_s: float = TIMEOUT_S) -> Iterator[None]:
    """Connect the processes for the block.

    When one fails, the others fail in consequence: of all, the first reports its error, the rest end in silence.

    Raises:
        UserError: the processes cannot be connected, or this is the first to notice that another one is gone.
    """
    if world.size == 1:
        yield
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    address = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
    try:
        distributed.init_process_group(backend, timeout=timedelta(seconds=timeout_s), rank=world.rank,
                                       world_size=world.size)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"process {world.rank} of {world.size} cannot reach the others at {address} "
                        f"({_first_line(error)}); start them with torchrun, and on several machines check "
                        "--master_addr and the firewall") from None
    try:
        yield
    except Exception as error:
        if not _is_first_to_fail(world):
            raise SystemExit(EXIT_BAD_INPUT if isinstance(error, UserError) else _EXIT_WITH_OTHERS) from None
        if _lost_contact(error):
            raise UserError(f"process {world.rank} of {world.size} lost contact with the others ({_first_line(error)});"
                            " one of them was killed, for want of memory perhaps; go on with --resume") from None
        raise
    world.wait()
    # Gloo's thread may be letting go of that last exchange, for which it needs Python's lock. The group's end, which
    # waits for that thread, holds the lock: so let it come first.
    time.sleep(_SETTLE_S)
    distributed.destroy_process_group()


def _is_first_to_fail(world: World) -> bool:
    """Whether no other process has asked this before; also true where nobody answers any more.

    Process 0, which may be the one that answers, stays a moment for the others to ask.
    """
    try:
        store = distributed.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False,
                                     timeout=timedelta(seconds=10), wait_for_workers=False)
        place = store.add(_FAILED, 1)
        give_up = time.monotonic() + _LAST_WORDS_S
        while world.rank == 0 and store.add(_FAILED, 0) < world.size and time.monotonic() < give_up:
            time.sleep(0.05)
        return place == 1
    except RuntimeError:
        return True


def _lost_contact(error: Exception) -> bool:
    """Whether `error` is what a process sees of another one's end."""
    return isinstance(error, RuntimeError) and (
        isinstance(error, getattr(distributed, "DistError", ())) or "gloo" in str(error).lower())


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _packed(value: Any) -> torch.Tensor:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)


def _unpacked(content: torch.Tensor) -> Any:
    return torch.load(io.BytesIO(content.numpy().tobytes()), weights_only=True)
