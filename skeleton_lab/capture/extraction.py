"""A video to a file of the people in it; a folder of videos to a folder of such files, several at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from skeleton_lab.capture.estimators import Estimate, Settings, estimator
from skeleton_lab.capture.video import SUFFIXES, Video, open_video
from skeleton_lab.data.formats.extracted import read_about_of, write_extracted
from skeleton_lab.data.formats.people import Follower
from skeleton_lab.data.prepare.workers import Crew, advance
from skeleton_lab.errors import NothingToSee, UserError
from skeleton_lab.files import replacing


@dataclass(frozen=True)
class Job:
    """One video, and the file to make of it."""

    video: Path
    output: Path


@dataclass(frozen=True)
class Done:
    """What became of a job. people, frames: in the file. damaged: of the frames, taken as they are. error: the line
    that says why there is no file.
    """

    job: Job
    people: int = 0
    frames: int = 0
    damaged: int = 0
    error: str | None = None


def jobs_of(video: Path, output: Path) -> list[Job]:
    """Return the jobs of a video, or of all videos in a folder and below, which keep their places there.

    Raises:
        UserError: the folder holds none, two of them would make one file, or a file stands where a folder must be.
    """
    if not video.is_dir():
        if output.suffix != ".npz":
            raise UserError(f"{output}: give the file a name that ends in .npz")
        return [Job(video, output)]
    if output.is_file():
        raise UserError(f"{output}: is a file, and {video} a folder; give a folder for --output")
    found = sorted(path for path in video.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise UserError(f"{video}: holds no video; known are {', '.join(SUFFIXES)}")
    made: dict[Path, Path] = {}
    for path in found:
        target = output / path.relative_to(video).with_suffix(".npz")
        if target in made:
            raise UserError(f"{path}: would become the same file as {made[target]}, {target}; rename one of them")
        made[target] = path
    return [Job(path, target) for target, path in made.items()]


def is_done(job: Job, settings: Settings) -> bool:
    """Whether a job's file is there, made of this very video with these settings."""
    try:
        about = read_about_of(job.output)
    except UserError:
        return False
    expected = _origin(job.video, settings)
    return all(about.get(key) == value for key, value in expected.items())


def _origin(video: Path, settings: Settings) -> dict[str, Any]:
    return {"video": video.name, "video_bytes": os.path.getsize(video), **asdict(settings)}


def run_job(job: Job, settings: Settings, bar: bool = False) -> Done:
    """Extract one video.

    Args:
        bar: show a progress bar, of frames.

    Raises:
        UserError: it is damaged, nobody is in it, or the estimator is not there. Then nothing is written.
    """
    collected = _Collected()
    with open_video(job.video) as video, estimator(settings) as looking:
        joints, version = looking.joints, looking.version
        for time_s, picture in _shown(video, bar):
            collected.add(looking.see(picture, collected.time_ms(time_s)), time_s, picture.shape)
        fps, damaged = video.fps, video.damaged
    if not collected.frame:
        raise NothingToSee(f"{job.video}: nobody was seen in any of its {len(collected.times_s)} frames; leave it out, "
                           "or take another --estimator")
    about = {"joints": joints, "fps": fps, "image_size": collected.image_size, "version": version,
             **_origin(job.video, settings)}
    with replacing(job.output) as temporary:
        write_extracted(temporary, collected.rows(), collected.times_s, about)
    return Done(job, len(set(collected.person)), len(collected.times_s), damaged)


def _shown(video: Video, bar: bool) -> Iterator[tuple[float, np.ndarray]]:
    return iter(tqdm(video.frames(), total=video.announced or None, unit="frame", desc=video.path.name, leave=False,
                     disable=None if bar else True))


class _Collected:
    """The rows of a file while it is in the making; people get numbers that follow them over time."""

    def __init__(self) -> None:
        self.times_s: list[float] = []
        self.frame: list[int] = []
        self.person: list[int] = []
        self.image_size: tuple[int, int] | None = None
        self._pictures: list[np.ndarray] = []
        self._spaces: list[np.ndarray] = []
        self._follower = Follower()
        self._last_ms = -1

    def time_ms(self, time_s: float) -> int:
        """Return the time as whole milliseconds that grow from frame to frame."""
        self._last_ms = max(round(1000 * time_s), self._last_ms + 1)
        return self._last_ms

    def add(self, estimate: Estimate, time_s: float, shape: tuple[int, ...]) -> None:
        """Add the people of the next frame."""
        number = len(self.times_s)
        self.times_s.append(time_s)
        self.image_size = (shape[1], shape[0])
        there = np.isfinite(estimate.picture).all(axis=(1, 2)) & (estimate.picture[..., 2] > 0).any(axis=1)
        people = estimate.picture[there]
        for place, person in enumerate(self._follower.update(people, number)):
            self.frame.append(number)
            self.person.append(int(person))
            self._pictures.append(people[place])
            if estimate.space is not None:
                self._spaces.append(estimate.space[there][place])

    def rows(self) -> dict[str, np.ndarray]:
        """Return the arrays of the file."""
        rows: dict[str, np.ndarray] = {"picture": np.stack(self._pictures).astype(np.float32),
                                       "frame": np.array(self.frame, np.int64),
                                       "person": np.array(self.person, np.int64)}
        if self._spaces:
            rows["space"] = np.stack(self._spaces).astype(np.float32)
        return rows


def run_jobs(jobs: list[Job], settings: Settings, processes: int) -> Iterator[Done]:
    """Extract many videos, so many at a time; yield each when it is done, also those that cannot be."""
    with Crew(processes) as crew, tqdm(total=len(jobs), unit="video", leave=False, disable=None) as progress:
        yield from crew.run(partial(_attempt, settings=settings), jobs, progress)


def _attempt(job: Job, settings: Settings) -> Done:
    try:
        return run_job(job, settings)
    except UserError as error:
        return Done(job, error=str(error))
    finally:
        advance()
