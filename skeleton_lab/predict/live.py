"""Predicting while it happens: frames come in at their own pace, the last of them are a window, windows are smoothed.

    source --thread--> Ring (the last W frames) --every k frames--> Predictor --mean of the last n--> Moment

A source pushes frames as they come, by number and time; it never waits for the model. Where the model is slower than k
frames, it skips to the newest. Numbers that a source left out are frames that nobody had time to look at: they are
filled in from their neighbours, and counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import numpy as np

from skeleton_lab.data.formats.recording import Recording
from skeleton_lab.predict.predictor import Prediction, Predictor
from skeleton_lab.predict.recordings import Take

clock = time.monotonic  # of the whole machine: another process's readings can be compared with ours
_KEPT_DELAYS = 10_000  # of which percentiles are told; a stream may go on for days
_TICK_S = 0.03


class Arrival(NamedTuple):
    """One frame: its number in the source, when it was captured, and its people: id -> (V, C + 1), confidence last."""

    number: int
    captured_s: float
    people: dict[int, np.ndarray]


class Source(Protocol):
    """Where frames come from. template: a recording that says what they are, of which the frames do not matter."""

    template: Recording

    def run(self, push: Callable[[Arrival], None]) -> None:
        """Push each frame when it comes, until there are no more; in a thread of its own."""

    def stop(self) -> None:
        """Let `run` return soon."""


class Ring:
    """The last frames of a stream. One thread pushes, another one takes windows."""

    def __init__(self, length: int) -> None:
        self._frames: deque[Arrival] = deque(maxlen=length)
        self._changed = threading.Condition()
        self._ended = False
        self.error: BaseException | None = None
        self.received = self.dropped = 0

    def push(self, frame: Arrival) -> None:
        """Add a frame; the oldest one leaves when the ring is full."""
        with self._changed:
            if self._frames:
                self.dropped += frame.number - self._frames[-1].number - 1
            self.received += 1
            self._frames.append(frame)
            self._changed.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        """Say that no more frames come, and what went wrong if something did."""
        with self._changed:
            self._ended, self.error = True, error
            self._changed.notify_all()

    def wait(self, number: int, timeout_s: float) -> bool:
        """Wait until frame `number` is there or none will be; False if neither came about in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ended or self._newest() >= number, timeout_s)

    def window(self, length: int) -> list[Arrival]:
        """Return the frames of the last `length` numbers."""
        with self._changed:
            first = self._newest() - length
            return [frame for frame in self._frames if frame.number > first]

    @property
    def ended(self) -> bool:
        """Whether no more frames will come."""
        return self._ended

    def _newest(self) -> int:
        return self._frames[-1].number if self._frames else -1


def joined(frames: list[Arrival], template: Recording) -> Recording:
    """Return frames as a recording, a body for each id; missing numbers are filled in from their neighbours."""
    shape = next((pose.shape for frame in frames for pose in frame.people.values()), None)
    ids = sorted({number for frame in frames for number in frame.people})
    if shape is None:
        return replace(template, held=np.zeros((len(frames), 1, template.num_joints, template.frames.shape[3])),
                       confidence=None, body_ids=None)
    people = np.zeros((len(frames), max(len(ids), 1), *shape))
    for place, frame in enumerate(frames):
        for number, pose in frame.people.items():
            people[place, ids.index(number)] = pose
    people = _without_holes(people, np.array([frame.number for frame in frames]))
    confidence = None if template.confidence is None else people[..., -1].astype(np.float32)
    return replace(template, held=people[..., :-1].astype(np.float32), confidence=confidence,
                   body_ids=tuple(str(number) for number in ids))


def _without_holes(people: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return people (T, M, V, C) of the frames `numbers`, with the frames between them: on the way from one to the next
    where a joint is in both, else as before.
    """
    wanted = np.arange(numbers[0], numbers[-1] + 1)
    if len(wanted) == len(numbers):
        return people
    after = np.searchsorted(numbers, wanted)
    before = np.where(numbers[after] == wanted, after, after - 1)
    gap = np.maximum(numbers[after] - numbers[before], 1)
    way = ((wanted - numbers[before]) / gap)[:, None, None, None]
    both = (people[before, ..., -1:] > 0) & (people[after, ..., -1:] > 0)
    return np.where(both, (1 - way) * people[before] + way * people[after], people[before])


@dataclass(frozen=True)
class Pace:
    """window: frames of a window, W. every: frames from one prediction to the next, k. smooth: windows to average."""

    window: int
    every: int
    smooth: int


@dataclass(frozen=True, eq=False)
class Moment:
    """One prediction. number, time_s: of the newest frame, from the stream's start. shares: (classes,) the mean of the
    last windows' probabilities; None where nobody is in sight. changed: whether the action is another than before.
    delay_s: from the capture of that frame to now.
    """

    number: int
    time_s: float
    prediction: Prediction
    shares: np.ndarray | None
    changed: bool
    delay_s: float

    @property
    def action(self) -> int | None:
        """The most probable class; None where nobody is in sight."""
        return None if self.shares is None else int(self.shares.argmax())


@dataclass
class Tally:
    """What happened: predictions made, those left out because the model was busy, their delays, how long it took."""

    predictions: int = 0
    skipped: int = 0
    delays_s: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT_DELAYS))
    started_s: float = field(default_factory=clock)
    ended_s: float | None = None

    def note(self, delay_s: float) -> None:
        """Count a prediction."""
        self.predictions += 1
        self.delays_s.append(delay_s)

    @property
    def lasted_s(self) -> float:
        """Seconds from the first frame to the end, or to now."""
        return max((self.ended_s or clock()) - self.started_s, 1e-9)


class Live:
    """A stream under watch.

    Args:
        take_of: a recording as what the predictor takes.
        idle: is called some thirty times a second while nothing is due.
    """

    def __init__(self, predictor: Predictor, source: Source, pace: Pace, take_of: Callable[[Recording], Take],
                 idle: Callable[[], None] = lambda: None) -> None:
        self.predictor, self.source, self.pace = predictor, source, pace
        self._take_of, self.idle = take_of, idle
        self.ring, self.tally = Ring(pace.window), Tally()
        self._last: deque[np.ndarray] = deque(maxlen=pace.smooth)
        self._action: int | None = None
        self._said = False

    def moments(self) -> Iterator[Moment]:
        """Yield each prediction as it is made, until the source ends.

        Raises:
            UserError: the source failed, or its joints do not fit the model.
        """
        thread = threading.Thread(target=self._fill, daemon=True)
        thread.start()
        try:
            due, seen = self.pace.window - 1, -1
            while True:
                while not self.ring.wait(due, _TICK_S):
                    self.idle()
                if self.ring.error is not None:
                    raise self.ring.error
                frames = self.ring.window(self.pace.window)
                if not frames or frames[-1].number == seen:
                    break
                seen = frames[-1].number
                self.tally.skipped += max(0, (seen - due) // self.pace.every)
                due = max(due, seen - (seen - due) % self.pace.every) + self.pace.every
                yield self._moment(frames)
                self.idle()
        finally:
            self.tally.ended_s = clock()
            self.source.stop()
            thread.join(timeout=5)

    def _fill(self) -> None:
        try:
            self.source.run(self.ring.push)
            self.ring.end()
        except BaseException as error:
            self.ring.end(error)

    def _moment(self, frames: list[Arrival]) -> Moment:
        take = self._take_of(joined(frames, self.source.template))
        [prediction] = self.predictor.at_once([take], empty_ok=True)
        shares = prediction.probabilities
        if shares is None:
            self._last.clear()
        else:
            self._last.append(shares)
            shares = np.mean(self._last, axis=0)
        action = None if shares is None else int(shares.argmax())
        changed = not self._said or action != self._action
        self._action, self._said = action, True
        delay_s = clock() - frames[-1].captured_s
        self.tally.note(delay_s)
        time_s = frames[-1].number / (self.source.template.fps or 1)
        return Moment(frames[-1].number, time_s, prediction, shares, changed, delay_s)


class PacedRecording:
    """A recording as a stream: each frame when its time has come."""

    def __init__(self, recording: Recording, fps: float) -> None:
        self.template = replace(recording, fps=fps)
        self._stopped = threading.Event()

    def run(self, push: Callable[[Arrival], None]) -> None:
        """See `Source`."""
        frames, confidence = self.template.frames, self.template.confidence
        start, fps = clock(), float(self.template.fps or 1)
        for number, bodies in enumerate(frames):
            if self._stopped.wait(max(0.0, start + number / fps - clock())):
                return
            sure = (bodies != 0).any(axis=2).astype(bodies.dtype) if confidence is None else confidence[number]
            people = np.concatenate([bodies, sure[..., None]], axis=2)
            push(Arrival(number, start + number / fps, dict(enumerate(people))))  # as many bodies as it has

    def stop(self) -> None:
        """See `Source`."""
        self._stopped.set()
