"""From a data set to batches, such that every random draw follows from seed, epoch and batch alone.

A Feeder draws from the global generators of `random`, NumPy and torch, as upstream's do. They are
seeded afresh for each batch, in whichever process fetches it. So a run gives the same numbers with any
number of loader processes, and a resumed epoch goes on in the middle as if never interrupted.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.queues
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from skeleton_lab.errors import UserError
from skeleton_lab.nn.inputs import Data, Inputs
from skeleton_lab.train.distributed import World
from skeleton_lab.train.pinning import PinningLoader

# clips (N, C, T, V, M), or with what else the model takes; labels (N,); indices (N,)
Batch = tuple[Data, torch.Tensor, torch.Tensor]


class Feeder(Protocol):
    """What the engine asks of a data set.

    An item is a clip, its class and its index. What stands between clip and class goes to the model too, as further
    arguments of its call.

    Optional besides: `sample_name` (one per clip), `get_batch(indices)`, which returns the same of a whole batch at
    once, collated, and `files`, the paths of what it reads (without it, those among its options).
    """

    label: Sequence[int]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Any, ...]: ...


@dataclass(frozen=True)
class Request:
    """One batch to fetch: the clips, and the seed of the draws made for it."""

    seed: tuple[int, ...]
    indices: list[int]

    def __len__(self) -> int:
        return len(self.indices)


class Batches(Sampler[Request]):
    """The batches of an epoch, in order: of several processes, this one's part.

    A shuffled epoch is for training: every process takes its slice of every batch. The others are for evaluation: a
    process takes whole batches, every so many, so that each clip is computed in the same company as by one process.

    Attributes:
        epoch: 0-based epoch; it decides the order and the draws.
        start: batches to leave out at the beginning, when an interrupted epoch goes on.
        members: the indices that an epoch covers.
    """

    def __init__(self, length: int, batch_size: int, seed: int, shuffle: bool, world: World = World(),  # noqa: B008
                 members: np.ndarray | None = None) -> None:
        """Cover `length` clips, or of them just the `members`; a shuffled epoch drops the last, incomplete batch."""
        self.members = np.arange(length) if members is None else members
        length = len(self.members)
        self._length, self._batch_size, self._seed, self._shuffle = length, batch_size, seed, shuffle
        self._world = world
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch, of all processes."""
        return self._length // self._batch_size if self._shuffle else -(-self._length // self._batch_size)

    def __iter__(self) -> Iterator[Request]:
        rank, size = self._world.rank, self._world.size
        if self._shuffle:
            for number in range(self.start, len(self)):
                yield self.requests(number)[rank]
        else:
            for number in range(self.start + rank, len(self), size):
                yield self.requests(number)[0]

    def requests(self, number: int) -> list[Request]:
        """Return the requests that make up the epoch's batch `number`, from 0: for training, one of each process."""
        indices = self._order()[number * self._batch_size:(number + 1) * self._batch_size]
        seed = (self._seed, self.epoch, number, int(self._shuffle))
        size = self._world.size
        if size == 1 or not self._shuffle:
            return [Request(seed, indices)]
        share = len(indices) // size
        return [Request((*seed, rank), indices[rank * share:(rank + 1) * share]) for rank in range(size)]

    def _order(self) -> list[int]:
        if getattr(self, "_ordered_epoch", None) != self.epoch:
            generator = np.random.default_rng((self._seed, self.epoch))
            order = generator.permutation(self._length) if self._shuffle else np.arange(self._length)
            self._ordered_epoch, self._epoch_order = self.epoch, self.members[order].tolist()
        return self._epoch_order


class SeededFetch(Dataset[Batch]):
    """Serves whole batches of a Feeder, each from generators seeded for it.

    `describe`, if any, makes of what the model would take of the clips, and of their indices, what it takes instead.
    `check` is called before each.
    """

    def __init__(self, feeder: Any, describe: Callable[[Data, Sequence[int]], Data] | None = None,
                 check: Callable[[], None] | None = None) -> None:
        self.feeder, self.describe, self.check = feeder, describe, check

    def __len__(self) -> int:
        return len(self.feeder)

    def __getitems__(self, request: Request) -> Batch:
        """Fetch a batch; the caller's generators are left as they were."""
        if self.check:
            self.check()
        before = generator_states()
        seed_generators(request.seed)
        try:
            if hasattr(self.feeder, "get_batch"):
                *inputs, labels, indices = self.feeder.get_batch(request.indices)
            else:
                *inputs, labels, indices = default_collate([self.feeder[index] for index in request.indices])
                inputs, labels = [tensor.float() for tensor in inputs], labels.long()
            data = Inputs(tuple(inputs)) if len(inputs) > 1 else inputs[0]
            return self.describe(data, request.indices) if self.describe else data, labels, indices
        finally:
            restore_generators(before)


def make_loader(fetch: SeededFetch, batches: Batches, workers: int, device: torch.device,
                say: Callable[[str], None]) -> DataLoader[Batch]:
    """Return a loader over `batches`; workers stay alive between epochs, GPU copies are asynchronous.

    Args:
        say: told if they cannot be.

    Raises:
        UserError: workers are asked for, and there is no shared memory by which they could hand over anything.
    """
    if workers:
        _require_shared_memory(workers)
    options: dict[str, Any] = {
        "batch_sampler": batches, "num_workers": workers, "persistent_workers": workers > 0,
        "worker_init_fn": heed_only_the_main_process,
        "generator": torch.Generator()}  # its own draws then leave the global generator alone
    if device.type == "cuda":
        return PinningLoader(fetch, say, _as_it_is, **options)
    return DataLoader(fetch, collate_fn=_as_it_is, **options)


def heed_only_the_main_process(worker: int) -> None:
    """In a loader process: go on when all processes of a job are asked to stop, since the main one still needs batches.

    Only the main process ends a loader process by SIGTERM; from anybody else the signal is ignored, and so are SIGINT
    and SIGHUP.
    """
    multiprocessing.queues.Queue._on_queue_feeder_error = staticmethod(  # type: ignore[attr-defined]
        _end_with_what_cannot_be_sent)
    for number in (signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)):
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # tells the sender; macOS has it not
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_when_the_main_process_says_so, daemon=True).start()


def _require_shared_memory(workers: int) -> None:
    try:
        multiprocessing.Lock()
    except OSError as error:
        raise UserError(f"--num-worker {workers}: loader processes need shared memory, which there is none of "
                        f"(/dev/shm: {error.strerror}); empty it or make it writable, give the container more (docker "
                        "run --shm-size=8g), or do without them: --num-worker 0") from None


def _end_with_what_cannot_be_sent(error: Exception, item: object) -> None:
    """In a loader process: end, so that the main one learns of it, instead of losing a batch that it waits for."""
    os._exit(1)


def end_loader_processes(loader: DataLoader[Batch]) -> None:
    """End the loader processes, which have nothing to lose, at once: also those that somebody has stopped (SIGSTOP).

    PyTorch asks them to end and then waits for them, without a limit.
    """
    processes = getattr(getattr(loader, "_iterator", None), "_workers", ())
    if not processes:
        return
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch's handler would take it for their failure
    try:
        for process in processes:
            process.kill()
        for process in processes:
            process.join()
    finally:
        signal.signal(signal.SIGCHLD, before)


def _end_when_the_main_process_says_so() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def seed_generators(seed: Sequence[int] | int) -> None:
    """Seed the global CPU generators of `random`, NumPy and torch; a GPU's own generator is left alone."""
    words = np.random.SeedSequence(seed).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    torch.default_generator.manual_seed(int(words[2]) << 32 | int(words[3]))


def generator_states() -> dict[str, Any]:
    """Return the states of the global CPU generators as plain data and tensors."""
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {"python": random.getstate(), "torch": torch.get_rng_state(),
            "numpy": (name, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss)}


def restore_generators(states: dict[str, Any]) -> None:
    """Set the global CPU generators to what `generator_states` returned."""
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    torch.set_rng_state(states["torch"])
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))


def _as_it_is(batch: Any) -> Any:
    return batch
