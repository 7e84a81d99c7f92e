"""A bounded run of `python -m tests.faults.kill_many`."""

from __future__ import annotations

from tests.faults.kill_many import kill_many


def test_a_training_killed_six_times_ends_as_an_untouched_one(tmp_path):
    happened, wrong = kill_many(tmp_path, kills=6, epochs=6, seed=2)
    assert happened["write"] and happened["time"]
    assert not wrong
