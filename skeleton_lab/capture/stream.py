"""People while they move: a camera, or a video at its own pace, as lines of JSON.

The first line says what follows: `{"joints": "mediapipe33", "image_size": [640, 480], "fps": 30.0, "space": true}`.
Then a line for each frame that was looked at: its `number` among those that the camera gave, when it was captured
(`captured_s`, of `time.monotonic`), and `people`, by the number that follows each: `[[x, y, confidence], ...]` in the
picture, or `[[x, y, z, confidence], ...]` in space. The estimator always takes the newest frame; numbers that are
missing are those it had no time for.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from skeleton_lab.capture.estimators import Estimate, Settings, estimator
from skeleton_lab.capture.video import USUAL_FPS, open_video
from skeleton_lab.data.formats.people import Follower
from skeleton_lab.errors import UserError

_DIGITS = 5


class Newest:
    """The newest frame of a camera, which one thread puts down and another one picks up."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frame: tuple[int, float, np.ndarray] | None = None
        self._ended = False
        self.error: BaseException | None = None

    def put(self, number: int, captured_s: float, picture: np.ndarray) -> bool:
        """Put a frame down in place of the last one; False if nobody wants any more."""
        with self._changed:
            self._frame = (number, captured_s, picture)
            self._changed.notify_all()
            return not self._ended

    def end(self, error: BaseException | None = None) -> None:
        """Say that there are no more frames, or that no more are wanted."""
        with self._changed:
            self._ended, self.error = True, self.error or error
            self._changed.notify_all()

    def frames(self) -> Iterator[tuple[int, float, np.ndarray]]:
        """Yield the newest frame each time, none of them twice, to the last one.

        Raises:
            UserError: the camera or the video failed.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._frame is not None or self._ended)
                frame, self._frame = self._frame, None
            if frame is None:
                if self.error is not None:
                    raise self.error
                return
            yield frame


def stream(source: str, settings: Settings, in_space: bool, output: TextIO) -> None:
    """Write the lines of a camera (a number) or of a video (a file), until it ends.

    Raises:
        UserError: there is no such camera or video, it fails, or the estimator is not there.
    """
    with estimator(settings) as looking, _opened(source) as (fps, newest):
        follower, header, start = Follower(), False, time.monotonic()
        for number, captured_s, picture in newest.frames():
            estimate = looking.see(picture, max(0, round(1000 * (captured_s - start))) + number)
            if not header:
                size = [picture.shape[1], picture.shape[0]]
                _say({"joints": looking.joints, "image_size": size, "fps": fps,
                      "space": in_space and estimate.space is not None}, output)
                header = True
            people = _people(estimate, follower, number, in_space)
            _say({"number": number, "captured_s": captured_s, "people": people}, output)


def _people(estimate: Estimate, follower: Follower, number: int, in_space: bool) -> dict[int, Any]:
    people = estimate.picture
    ids = follower.update(people, number)
    if in_space and estimate.space is not None:
        people = np.concatenate([estimate.space, people[..., 2:]], axis=2)
    return {int(person): pose.astype(float).round(_DIGITS).tolist() for person, pose in zip(ids, people, strict=True)}


def _say(content: dict[str, Any], output: TextIO) -> None:
    print(json.dumps(content), file=output, flush=True)


@contextmanager
def _opened(source: str) -> Iterator[tuple[float, Newest]]:
    """Open a camera or a video for the block: frames a second, and where its frames are put down."""
    newest = Newest()
    with (_camera(int(source)) if source.isdecimal() else _video(Path(source))) as (fps, pictures):
        def fill() -> None:
            try:
                for number, picture in enumerate(pictures):
                    if not newest.put(number, time.monotonic(), picture):
                        break
                newest.end()
            except BaseException as error:
                newest.end(error)

        thread = threading.Thread(target=fill, daemon=True)
        thread.start()
        try:
            yield fps, newest
        finally:
            newest.end()
            thread.join()


@contextmanager
def _video(path: Path) -> Iterator[tuple[float, Iterator[np.ndarray]]]:
    with open_video(path) as video:
        def paced() -> Iterator[np.ndarray]:
            start = None
            for time_s, picture in video.frames():
                start = time.monotonic() - time_s if start is None else start
                time.sleep(max(0.0, start + time_s - time.monotonic()))
                yield picture

        yield video.fps, paced()


@contextmanager
def _camera(number: int) -> Iterator[tuple[float, Iterator[np.ndarray]]]:
    try:
        import cv2
    except ImportError:
        raise UserError("cameras are read by OpenCV, which comes with mediapipe: make pose, or pip install "
                        "opencv-python") from None
    camera = cv2.VideoCapture(number)
    try:
        if not camera.isOpened():
            raise UserError(f"--camera {number}: there is no such camera, or another program has it; cameras are "
                            "numbered from 0")

        def pictures() -> Iterator[np.ndarray]:
            while True:
                there, picture = camera.read()
                if not there:
                    raise UserError(f"--camera {number}: gives no more pictures; see whether it is still plugged in")
                yield np.ascontiguousarray(picture[..., ::-1])  # OpenCV has BGR

        yield camera.get(cv2.CAP_PROP_FPS) or USUAL_FPS, pictures()
    finally:
        camera.release()
