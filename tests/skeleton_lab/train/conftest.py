"""The toy tree's command line."""

from __future__ import annotations

from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
import torch

from skeleton_lab.entry.tree import run
from skeleton_lab.errors import run_command
from tests.ranks import run_ranks
from tests.skeleton_lab.train.toy.main import SPEC

TOY = Path(__file__).parent / "toy"
SHORT = ("--device", "cpu", "--num-epoch", "3", "--batch-size", "6", "--test-batch-size", "7", "--num-worker", "0",
         "--base-lr", "0.1", "--nesterov", "true", "--step", "2", "--warm-up-epoch", "1")


@dataclass(frozen=True)
class Done:
    """How a command line ended."""

    returncode: int
    stdout: str
    stderr: str


def run_here(work_dir: Path, *flags: str) -> Done:
    """Run the toy tree's command line in this process (a new one spends two seconds on imports)."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        patch.syspath_prepend(str(TOY))
        patch.chdir(TOY)
        argv = ["--work-dir", str(work_dir), *SHORT, *flags]
        with pytest.raises(SystemExit) as ended:
            run_command(lambda: run(SPEC, argv))
    return Done(ended.value.code, out.getvalue(), err.getvalue())


@pytest.fixture
def toy():
    """Return a function that runs the toy tree on 24 clips for three epochs, or as its flags say."""
    return run_here


@pytest.fixture
def toy_process(run_script):
    """The same in a process of its own."""

    def run(work_dir: Path, *flags: str):
        return run_script(TOY / "main.py", "--work-dir", work_dir, *SHORT, *flags, cwd=TOY)

    return run


def assert_goes_on_and_shares(folder: Path, *flags: str) -> None:
    """The run in `folder`/whole has the weights of one in two parts, to the bit, and of two processes, nearly."""
    assert run_here(folder / "parts", *flags, "--num-epoch", "1").returncode == 0
    assert run_here(folder / "parts", *flags, "--resume").returncode == 0
    assert_same_weights(folder / "whole" / "training_state.pt", folder / "parts" / "training_state.pt")
    ends = run_ranks(2, run_here, folder / "two", *flags)
    assert [end.returncode for end in ends] == [0, 0], ends
    one, two = (torch.load(folder / name / "runs-3-12.pt", weights_only=True) for name in ("whole", "two"))
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-5, atol=1e-6, msg=key)


def assert_same_weights(first: Path, second: Path) -> None:
    """Two weight files or training states hold the same tensors, to the bit."""
    a, b = (torch.load(path, weights_only=True) for path in (first, second))
    a, b = a.get("model", a), b.get("model", b)
    assert list(a) == list(b)
    assert all(torch.equal(a[key], b[key]) for key in a)
