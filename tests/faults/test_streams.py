"""Output that cannot go where it should: closed streams, full devices, readers that leave; and outputs on devices."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from skeleton_lab.command.terminal import outlived
from skeleton_lab.errors import UserError
from skeleton_lab.files import claim, replacing, write_text
from tests.trees import ROOT

# A command that prints and then waits for nothing: what `reported` makes of its output.
COMMAND = "import sys; sys.path.insert(0, {root!r}); from skeleton_lab.errors import run_command; {body}"
PRINTS = "run_command(lambda: print('x' * 200_000))"


def run(body: str, shell: str = "", **options) -> subprocess.CompletedProcess:
    """Run a command whose streams a shell has prepared."""
    command = [sys.executable, "-c", COMMAND.format(root=str(ROOT), body=body)]
    return subprocess.run(["bash", "-c", f'"$@" {shell}', "bash", *command], capture_output=True, text=True, **options)


def test_a_reader_that_leaves_is_no_success():
    done = run(PRINTS, "| head -c 3; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stdout, done.stderr) == (141, "xxx", "")


def test_a_full_device_is_named_and_nothing_else():
    done = run(PRINTS, "> /dev/full")
    assert done.returncode == 2
    assert done.stderr == ("error: standard output: cannot write to it (No space left on device); make room there, "
                           "or send it elsewhere\n")


def test_a_full_device_is_not_blamed_on_a_file(tmp_path):
    body = f"""
from skeleton_lab.files import replacing
def main():
    with replacing({str(tmp_path / 'a')!r}) as part:
        part.write_text('a')
        print('done', flush=True)
run_command(main)"""
    done = run(body, "> /dev/full")
    assert done.returncode == 2 and "standard output" in done.stderr and str(tmp_path) not in done.stderr


@pytest.mark.parametrize(("shell", "status"), [("<&- >&- 2>&-", 2), (">&-", 2), ("<&- 2>&-", 0), ("2>&-", 0)])
def test_closed_streams_take_no_file_and_are_no_success_if_anything_was_printed(tmp_path, shell, status):
    body = f"""
def main():
    file = open({str(tmp_path / 'a')!r}, 'w')
    assert file.fileno() > 2
    print('said')
    file.write('own')
run_command(main)"""
    assert run(body, shell).returncode == status
    assert (tmp_path / "a").read_text() == "own"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_letter_that_cannot_be_shown_is_escaped(encoding):
    done = run(r"run_command(lambda: print('\u0142d\u017a'))", env={**os.environ, "PYTHONIOENCODING": encoding})
    assert done.returncode == 0 and "\\u0142" in done.stdout and not done.stderr


def test_what_outlives_its_terminal_goes_on_and_tells_once():
    told, [reader, writer] = [], os.pipe()
    os.close(reader)
    before = sys.stdout
    with open(writer, "w") as gone:
        sys.stdout = gone
        try:
            with outlived(told.append):
                for number in range(3):
                    print(number, flush=True)
        finally:
            sys.stdout = before
    assert told == ["Nothing takes this run's output any more (Broken pipe): it goes on without."]


def test_a_device_is_written_to_and_stays(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "said")
    assert os.read(reader, 100) == b"said" and pipe.is_fifo()
    os.close(reader)
    write_text(tmp_path / "file", "before")
    with pytest.raises(UserError, match="/dev/full: cannot write to it"), replacing("/dev/full") as part:
        part.write_text("x")
    with pytest.raises(ValueError), replacing("/dev/null") as part:
        raise ValueError
    assert not os.path.isfile("/dev/null")


@pytest.mark.parametrize("shell", ["| cat", "> {file}; cat {file}"])
def test_dev_stdout_comes_after_what_was_printed(tmp_path, shell):
    body = "from skeleton_lab.files import write_text; run_command(lambda: (print('first'), " \
           "write_text('/dev/stdout', 'second\\n'), print('third')) and 0)"
    done = run(body, shell.format(file=tmp_path / "out"))
    assert (done.stdout, done.stderr) == ("first\nsecond\nthird\n", "")


def test_of_two_commands_on_one_output_one_is_refused(tmp_path):
    output = tmp_path / "out.npz"
    body = f"from skeleton_lab.files import claim; run_command(lambda: (claim({str(output)!r}), print('mine', " \
           "flush=True), sys.stdin.read()) and 0)"
    command = [sys.executable, "-c", COMMAND.format(root=str(ROOT), body=body)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "mine\n"
        with pytest.raises(UserError, match="another command is writing it"):
            claim(output)
        first.stdin.close()
    assert first.returncode == 0 and not list(tmp_path.iterdir())


def test_a_path_of_strange_bytes_is_written_down(tmp_path):
    write_text(tmp_path / "a", os.fsdecode(b"/data/\xff"))
    assert (tmp_path / "a").read_bytes() == b"/data/\xff"
