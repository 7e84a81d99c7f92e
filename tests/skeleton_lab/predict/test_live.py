"""Live: which frames a window has, when a prediction is due, how windows are smoothed, and what is counted."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from skeleton_lab.data.formats.recording import Recording
from skeleton_lab.errors import UserError
from skeleton_lab.predict.live import Arrival, Live, Pace, PacedRecording, Ring, clock, joined
from skeleton_lab.predict.predictor import Prediction
from skeleton_lab.predict.recordings import Take, take_of
from skeleton_lab.skeletons import COCO_17


def recording(length: int) -> Recording:
    """Of one person; the first joint's x is the frame's number plus 1."""
    frames = np.ones((length, 1, 17, 2), np.float32)
    frames[:, 0, 0, 0] += np.arange(length)
    return Recording("clip", frames, COCO_17, np.full((length, 1, 17), 0.9, np.float32), fps=500.0)


class Sees:
    """In place of a model: class 1 while the middle of the window is before `turn`, class 2 after that."""

    def __init__(self, turn: float, busy_s: float = 0.0) -> None:
        self.turn, self.busy_s, self.windows = turn, busy_s, []

    def at_once(self, takes: list[Take], empty_ok: bool) -> list[Prediction]:
        time.sleep(self.busy_s)
        numbers = takes[0].recording.frames[:, 0, 0, 0] - 1
        self.windows.append(numbers.tolist())
        if not takes[0].recording.frames.any():
            return [Prediction(takes[0], None)]
        logits = np.zeros(3, np.float32)
        logits[1 if numbers.mean() < self.turn else 2] = 3
        return [Prediction(takes[0], logits)]


class Pushed:
    """A source that pushes what it is given, and then fails if it is told so."""

    def __init__(self, arrivals: list[Arrival], error: Exception | None = None) -> None:
        self.template, self._arrivals, self._error = recording(1), arrivals, error

    def run(self, push) -> None:
        for arrival in self._arrivals:
            push(arrival)
        if self._error:
            raise self._error

    def stop(self) -> None:
        pass


def arrival(number: int, people: dict[int, float] | None = None) -> Arrival:
    """A frame of people, all joints of whom are at x = y = the number given."""
    people = {0: number + 1.0} if people is None else people
    return Arrival(number, clock(), {person: np.concatenate([np.full((17, 2), x), np.full((17, 1), 0.9)], axis=1)
                                     for person, x in people.items()})


def test_a_prediction_every_k_frames_of_the_last_w():
    model = Sees(turn=20)
    live = Live(model, PacedRecording(recording(41), 500.0), Pace(window=16, every=5, smooth=3), take_of)
    moments = list(live.moments())
    numbers = [moment.number for moment in moments]
    assert numbers[0] >= 15 and numbers[-1] == 40  # the window is full at first; the last frame is predicted
    assert len(numbers) + live.tally.skipped in (6, 7) and live.tally.predictions == len(numbers)
    for moment, window in zip(moments, model.windows, strict=True):
        assert window == list(range(moment.number - 15, moment.number + 1))
    assert live.ring.received == 41 and live.ring.dropped == 0
    assert all(0 <= moment.delay_s < 60 for moment in moments)
    assert [moment.time_s for moment in moments] == [number / 500 for number in numbers]


def test_windows_are_averaged_and_a_change_is_told_once():
    live = Live(Sees(turn=20), Pushed([]), Pace(8, 4, 3), take_of)
    moments = [live._moment([arrival(number)]) for number in range(15, 25)]
    assert [moment.prediction.top(1)[0][0] for moment in moments] == [1] * 5 + [2] * 5
    assert [moment.action for moment in moments] == [1] * 6 + [2] * 4  # two of three say so
    assert [number for number, moment in enumerate(moments) if moment.changed] == [0, 6]
    np.testing.assert_allclose(moments[5].shares, (moments[5].prediction.probabilities + 2 * moments[0].shares) / 3,
                               atol=1e-6)


def test_a_busy_model_takes_the_newest_frames_and_skips():
    model = Sees(turn=1e9, busy_s=0.05)
    live = Live(model, PacedRecording(recording(100), 500.0), Pace(8, 2, 1), take_of)
    numbers = [moment.number for moment in live.moments()]
    assert live.tally.skipped > 10 and np.diff(numbers[:-1]).min() >= 2
    assert len(numbers) + live.tally.skipped == pytest.approx(47, abs=2)
    assert live.ring.received == 100 and live.ring.dropped == 0


def test_nobody_is_told_and_starts_anew():
    live = Live(Sees(turn=1e9), Pushed([]), Pace(4, 1, 2), take_of)
    seen = [live._moment([arrival(number, {} if 8 <= number < 16 else None)]) for number in range(24)]
    assert [moment.action for moment in seen] == [1] * 8 + [None] * 8 + [1] * 8
    assert [number for number, moment in enumerate(seen) if moment.changed] == [0, 8, 16]


def test_frames_that_nobody_looked_at_are_filled_in_and_counted():
    ring = Ring(6)
    for frame in (arrival(0), arrival(1), arrival(4, {0: 5.0, 7: 9.0}), arrival(6, {7: 11.0})):
        ring.push(frame)
    assert (ring.received, ring.dropped) == (4, 3)
    window = ring.window(6)
    assert [frame.number for frame in window] == [1, 4, 6]
    filled = joined(window, recording(1))
    assert filled.frames.shape == (6, 2, 17, 2) and filled.body_ids == ("0", "7")
    np.testing.assert_allclose(filled.frames[:, 0, 3, 0], [2, 3, 4, 5, 5, 0])  # on the way; as before; away
    np.testing.assert_allclose(filled.frames[:, 1, 3, 0], [0, 0, 0, 9, 10, 11])
    assert (filled.confidence[:3, 1] == 0).all() and filled.confidence[4, 1, 0] == pytest.approx(0.9)


def test_a_source_that_fails_ends_it_with_its_line():
    live = Live(Sees(1), Pushed([arrival(0)], UserError("camera 0: unplugged")), Pace(4, 1, 1), take_of)
    with pytest.raises(UserError, match="unplugged"):
        list(live.moments())


def test_leaving_early_stops_the_source():
    before = threading.active_count()
    live = Live(Sees(1), PacedRecording(recording(100_00), 100.0), Pace(2, 1, 1), take_of)
    for _ in live.moments():
        break
    deadline = clock() + 30
    while threading.active_count() > before and clock() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before and len(live.ring.window(2)) == 2


def test_a_recording_keeps_its_bodies_also_those_who_are_away():
    """An archive's clips have two, whoever is in them."""
    two = recording(6)
    frames = np.concatenate([two.frames, 0 * two.frames], axis=1)
    arrivals: list[Arrival] = []
    PacedRecording(replace(two, held=frames, confidence=None), 1000.0).run(arrivals.append)
    window = joined(arrivals, replace(two, held=frames, confidence=None))
    np.testing.assert_array_equal(window.frames, frames)
