"""Work on many files with several processes: a progress bar, no growth in memory, no orphans."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from tqdm import tqdm

from skeleton_lab.errors import UserError

Task = TypeVar("Task")
Result = TypeVar("Result")

_POLL_S = 0.1
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_advance: Callable[[int], Any] = lambda count: None  # noqa: E731 - set anew in each process


def advance(count: int = 1) -> None:
    """Move the progress bar of `Crew.run` by `count` items; to be called from within a task."""
    _advance(count)


class Crew:
    """Processes that work through tasks, this one among them. Use it in a `with` statement.

    The others start with the first task and serve one `run` after another. They end with the statement, and also if
    this process is killed.
    """

    def __init__(self, jobs: int) -> None:
        """Plan for `jobs` processes, this one included.

        Raises:
            UserError: fewer than one.
        """
        if jobs < 1:
            raise UserError(f"--jobs {jobs}: at least one process has to do the work")
        self.jobs = jobs
        self._pool: ProcessPoolExecutor | None = None
        self._counts: Any = None

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def run(self, function: Callable[[Task], Result], tasks: Iterable[Task], progress: tqdm) -> Iterator[Result]:
        """Yield function(task) for every task, in the order of completion.

        `function` and the tasks must be picklable; `function` moves `progress` through `advance`. An exception in a
        task ends the run and is raised here.

        Raises:
            UserError: a process died, for want of memory as a rule.
        """
        left, pending = iter(tasks), set[Future[Result]]()

        def feed() -> None:
            """Give each of the other processes that has none a task."""
            busy = sum(not future.done() for future in pending)
            for task in itertools.islice(left, self.jobs - 1 - busy):
                pending.add(self._started().submit(function, task))

        def advance_here(count: int) -> None:
            progress.update(count)
            self._drain(progress)
            feed()

        try:
            while True:
                feed()
                own = list(itertools.islice(left, 1))
                for task in own:
                    yield _run_here(function, task, advance_here)
                if not own and not pending:
                    return
                done, _ = wait(pending, timeout=0 if own else _POLL_S, return_when=FIRST_COMPLETED)
                pending -= done
                self._drain(progress)
                for future in done:
                    yield future.result()
        except BrokenProcessPool as error:
            raise UserError("a worker process died, for want of memory as a rule; run the command again with fewer "
                            "--jobs: it carries on where it stopped") from error

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")  # starts clean: no inherited locks, threads or open files
            for name in _THREAD_VARIABLES:
                os.environ.setdefault(name, "1")  # for the processes to come: each is one thread
            self._counts = context.SimpleQueue()
            self._pool = ProcessPoolExecutor(self.jobs - 1, context, _start_worker, (self._counts,))
        return self._pool

    def _drain(self, progress: tqdm) -> None:
        """Move `progress` by what the other processes have counted."""
        while self._counts is not None and not self._counts.empty():
            progress.update(self._counts.get())


def _run_here(function: Callable[[Task], Result], task: Task, advance_here: Callable[[int], Any]) -> Result:
    global _advance
    previous, _advance = _advance, advance_here
    try:
        return function(task)
    finally:
        _advance = previous


def _start_worker(counts: Any) -> None:
    """Set up a worker process."""
    global _advance
    _advance = counts.put
    parent = multiprocessing.parent_process()
    assert parent is not None

    def leave_with_parent() -> None:
        parent.join()  # a parent that is killed cannot stop its workers
        os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()
