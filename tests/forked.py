"""Scripts of the checkout, run as `python3 SCRIPT ...` would run them, in processes of their own.

The processes are forked from one that has imported PyTorch and the engine: importing them takes longer than most of
what a test asks of a script. What a script itself forgets to import, only `fresh` processes can tell.
"""

from __future__ import annotations

import inspect
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tests.trees import ROOT

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.preload"])


def run_fresh(arguments: Sequence[str], cwd: Path, env: Mapping[str, str],
              timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run `python3 ARGUMENTS` from the very start; return what it printed and how it ended."""
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=timeout_s,
                          env=dict(env), stdin=subprocess.DEVNULL)


def run_forked(arguments: Sequence[str], cwd: Path, env: Mapping[str, str],
               timeout_s: float) -> subprocess.CompletedProcess[str]:
    """The same, of a script, in a forked process."""
    with tempfile.TemporaryDirectory() as folder:
        stdout, stderr = Path(folder, "stdout"), Path(folder, "stderr")
        process = CONTEXT.Process(target=_become, args=(arguments, cwd.resolve(), dict(env), stdout, stderr))
        process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(list(arguments), timeout_s)
        return subprocess.CompletedProcess(list(arguments), process.exitcode, stdout.read_text(), stderr.read_text())


class Started:
    """A script in a forked process and a session of its own, which goes on: what tests need of a Popen."""

    def __init__(self, arguments: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        stderr = Path(self._folder.name, "stderr")
        stderr.touch()
        self.stderr = stderr.open("rb")
        self._process = CONTEXT.Process(target=_become, args=(arguments, cwd.resolve(), dict(env), Path(os.devnull),
                                                              stderr, True))
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float = 300) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("a forked script", timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


def _become(arguments: Sequence[str], cwd: Path, env: dict[str, str], stdout: Path, stderr: Path,
            session: bool = False) -> None:
    """Take on all that a script can see of the process it runs in, and run it."""
    if session:
        os.setsid()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as a terminal would start it, also under nohup
    for descriptor, path, flags in ((0, os.devnull, os.O_RDONLY), (1, stdout, os.O_WRONLY | os.O_CREAT),
                                    (2, stderr, os.O_WRONLY | os.O_CREAT)):
        os.dup2(os.open(path, flags), descriptor)
    _run(arguments, cwd, env)


def _run(arguments: Sequence[str], cwd: str | Path, env: Mapping[str, str]) -> None:
    """Run `python3 ARGUMENTS` in this process: a script, or `-m` and a module of the engine."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None  # TMPDIR may be another one
    subprocess.Popen = ForkingPopen
    installed = [path for path in sys.path if path.startswith((sys.prefix, sys.base_prefix))]
    if arguments[0] == "-m":
        sys.path[:] = [os.getcwd(), *filter(None, env.get("PYTHONPATH", "").split(os.pathsep)), *installed]
        sys.argv[:] = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return
    script = Path(os.path.abspath(arguments[0]))
    sys.path[:] = [str(script.parent), *installed]
    sys.argv[:] = arguments
    if ROOT not in script.parents:  # it has an engine of its own beside it
        for name in [name for name in sys.modules if name.split(".")[0] == "skeleton_lab"]:
            del sys.modules[name]
    runpy.run_path(str(script), run_name="__main__")


class ForkingPopen(subprocess.Popen):
    """A Popen that forks instead of starting a Python anew, if the command is a script or a module of the engine."""

    def _execute_child(self, *values: Any) -> None:
        given = inspect.signature(super()._execute_child).bind(*values).arguments
        words = [os.fspath(word) for word in given["args"]]
        is_script = words[1:3] == ["-m", "skeleton_lab.bench"] or "".join(words[1:2]).endswith(".py")
        if words[0] != sys.executable or not is_script:
            return super()._execute_child(*values)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # else the new process would print it again
        self.pid = os.fork()
        if not self.pid:
            _become_child(words[1:], given)
        self._child_created = True
        self._close_pipe_fds(*(given[name] for name in PIPES))


PIPES = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")


def _become_child(arguments: list[str], given: Mapping[str, Any]) -> NoReturn:
    """Go on, after a fork, as what Popen would have started."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    for descriptor, name in enumerate(("p2cread", "c2pwrite", "errwrite")):
        if given[name] != -1:
            os.dup2(given[name], descriptor)
    for descriptor in {given[name] for name in PIPES} - {-1, 0, 1, 2}:
        os.close(descriptor)
    sys.stdout, sys.stderr = (os.fdopen(descriptor, "w", 1, closefd=False) for descriptor in (1, 2))
    if given["preexec_fn"]:
        given["preexec_fn"]()
    env = dict(os.environ if given["env"] is None else given["env"])
    process = multiprocessing.get_context("fork").Process(target=_run, args=(arguments, given["cwd"] or ".", env))
    os._exit(process._bootstrap())
