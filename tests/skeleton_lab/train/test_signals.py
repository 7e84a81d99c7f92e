"""What Ctrl-C says, and what a second one leaves."""

import signal

import pytest

from skeleton_lab.train import training
from skeleton_lab.train.signals import StopRequest


def test_the_first_says_at_once_what_happens_and_the_second_interrupts(capfd):
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop and capfd.readouterr().err == "stopping after this step; again: stop now\n"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_under_torchrun_a_second_one_is_not_offered(capfd):
    with StopRequest(impatient=False) as stop:
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
        assert stop.exit_status == 130 and capfd.readouterr().err == "stopping after this step\n"


@pytest.mark.parametrize(("epochs", "words"), [
    (0, "Stopped at once, before the first state was saved: there is nothing to resume, start again."),
    (1, "training_state.pt: --resume goes on from there.")])
def test_a_second_one_says_what_is_left(toy, tmp_path, monkeypatch, epochs, words):
    if epochs:
        assert toy(tmp_path, "--num-epoch", str(epochs)).returncode == 0

    def interrupted(*anything):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train_one_epoch", interrupted)
    done = toy(tmp_path, *(("--resume",) if epochs else ()))
    assert done.returncode == 130 and words in done.stdout and words in (tmp_path / "log.txt").read_text()
    monkeypatch.undo()
    assert toy(tmp_path, *(("--resume",) if epochs else ())).returncode == 0  # as it says
