"""A bounded run of `python -m tests.faults.kill_many`."""

from __future__ import annotations

from tests.faults.kill_many import kill_many


def test_a_training_killed_four_times_ends_as_an_untouched_one(tmp_path):
    happened, wrong = kill_many(tmp_path, kills=4, seed=8)
    assert happened["write"] and happened["time"]
    assert not wrong
