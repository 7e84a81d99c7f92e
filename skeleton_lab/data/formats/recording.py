"""A recording: people over time, in one form, whatever file it came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import overload

import numpy as np

from skeleton_lab.data.formats.sightings import Sightings, sightings_of
from skeleton_lab.errors import UserError
from skeleton_lab.skeleton_clip import USUAL_FPS, SkeletonClip
from skeleton_lab.skeleton_names import skeleton_path, skeletons_with
from skeleton_lab.skeletons import NTU_25, Skeleton


class Made(Enum):
    """How far frames are on their way to training: as recorded, a clip of an archive, a clip of MS-G3D's files."""

    RECORDED = "recorded"
    ARCHIVED = "archived"
    FILED = "filed"


class Unit(Enum):
    """What coordinates count: metres, pixels of a picture, or shares of a picture's width and height."""

    METRES = "metres"
    PIXELS = "pixels"
    SHARES = "shares"


@dataclass(frozen=True, eq=False)
class Recording:
    """What a file tells of some people over time; None where it does not tell.

    Attributes:
        name: what to call it: the file, and the place in it.
        held: its frames, see `frames`; or what they are made of when they are asked for: a function, or sightings.
        skeleton: the joints in their order.
        confidence: (T, M, V) float32, of each joint; the scale is the file's own.
        body_ids: of the M bodies. fps: frames a second.
        label: the class, from 0. class_names: of all classes that `label` counts among, in their order.
        centre: the joint that becomes the origin when a clip for training is made; None: nothing is moved.
        y_down: y points down, as in pictures. image_size: width and height of the picture in pixels.
        unit: of the coordinates; None: not known. recorded: (T,) bool, the frames that the file holds, with people or
            without; None: all of them. from_poses: of a pose estimator or motion capture; such joints are fitted to
            a model's data.
        made: how far the frames are prepared.
    """

    name: str
    held: np.ndarray | Sightings | Callable[[], np.ndarray]
    skeleton: Skeleton | None = None
    confidence: np.ndarray | None = None
    body_ids: tuple[str, ...] | None = None
    fps: float | None = None
    label: int | None = None
    class_names: tuple[str, ...] | None = None
    centre: int | None = None
    y_down: bool = False
    image_size: tuple[int, int] | None = None
    unit: Unit | None = None
    recorded: np.ndarray | None = None
    from_poses: bool = False
    made: Made = Made.RECORDED

    @property
    def frames(self) -> np.ndarray:
        """(T, M, V, C), zeros where a body is absent; C is 3, or 2 of flat joints. Of a large file: a view of its map.

        float32, or float64 where the file has digits that a float32 does not hold. Clips for training may end in
        empty frames.
        """
        if isinstance(self.held, Sightings):
            return self.held.by_body()
        return self.held if isinstance(self.held, np.ndarray) else self.held()

    @property
    def num_frames(self) -> int:
        """T; of clips for training, up to the last frame that is not empty."""
        if isinstance(self.held, Sightings):
            return self.held.num_frames
        frames = self.frames
        if self.made is Made.RECORDED:
            return len(frames)
        used = np.flatnonzero((frames != 0).any(axis=(1, 2, 3)))
        return int(used[-1]) + 1 if len(used) else 0

    @property
    def num_joints(self) -> int:
        """V."""
        return self.held.joints.shape[1] if isinstance(self.held, Sightings) else self.frames.shape[2]

    @property
    def class_name(self) -> str | None:
        """What the class is called; "class 3" where only its number is known."""
        if self.label is None:
            return None
        names = self.class_names or ()
        return names[self.label] if self.label < len(names) else f"class {self.label}"

    def sightings(self) -> Sightings:
        """Return the bodies as sightings, which the preparation of NTU RGB+D takes; for its skeleton in metres only."""
        return self.held if isinstance(self.held, Sightings) else sightings_of(self.frames, self.body_ids)

    def between(self, start: int, stop: int) -> Recording:
        """Return frames `start` to `stop` - 1 as a recording of its own."""
        if isinstance(self.held, Sightings):
            return replace(self, held=self.held.between(start, stop))
        confidence = None if self.confidence is None else self.confidence[start:stop]
        recorded = None if self.recorded is None else self.recorded[start:stop]
        return replace(self, held=self.frames[start:stop], confidence=confidence, recorded=recorded)

    def with_skeleton(self, told: Skeleton | None, usual: Skeleton | None = None) -> Recording:
        """Return it with the skeleton that was `told`; else its own; else the `usual` one, if it fits in number.

        Raises:
            UserError: the skeleton that was told has another number of joints.
        """
        if told is not None:
            if told.num_joints != self.num_joints:
                raise UserError(f"{self.name}: has {self.num_joints} joints, {told.name} has {told.num_joints}; choose "
                                "another --skeleton")
            return replace(self, skeleton=told)
        if self.skeleton is None and usual is not None and usual.num_joints == self.num_joints:
            return replace(self, skeleton=usual)
        return self

    def known_skeleton(self) -> Skeleton:
        """Return its skeleton.

        Raises:
            UserError: nobody told it; the number of joints alone does not.
        """
        if self.skeleton is not None:
            return self.skeleton
        fitting = ", ".join(skeleton_path(skeleton) for skeleton in skeletons_with(self.num_joints))
        raise UserError(f"{self.name}: does not say which skeleton its {self.num_joints} joints are; say it with "
                        f"--joints or --skeleton, such as {fitting or 'your own in skeleton_lab.own_skeletons'} "
                        "(docs/own_skeletons.md)")

    def picture(self, title: str) -> SkeletonClip:
        """Return it as something to draw.

        Raises:
            UserError: nobody is in it, a number in it is not finite, or its skeleton is not known.
        """
        skeleton = self.known_skeleton()
        frames = np.array(self.frames, np.float32)
        used = np.flatnonzero((frames != 0).any(axis=(1, 2, 3)))
        if not len(used):
            raise UserError(f"{self.name}: nobody is in it, all values are 0; choose another clip")
        frames = frames[:used[-1] + 1]
        if not np.isfinite(frames).all():
            raise UserError(f"{self.name}: holds a number that is not finite; make the file again")
        if self.y_down:
            frames[..., 1] *= -1
        if frames.shape[3] == 2:
            frames = np.concatenate([frames, np.zeros_like(frames[..., :1])], axis=3)
        return SkeletonClip(frames, skeleton, title, self.fps or USUAL_FPS)


class Recordings(Sequence[Recording]):
    """Recordings of one file, each made when it is asked for.

    count: how many there are. make: place -> recording.
    """

    def __init__(self, count: int, make: Callable[[int], Recording]) -> None:
        self._places, self._make = range(count), make

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Recording: ...

    @overload
    def __getitem__(self, index: slice) -> Recordings: ...

    def __getitem__(self, index: int | slice) -> Recording | Recordings:
        if isinstance(index, slice):
            places = self._places[index]
            return Recordings(len(places), lambda place: self._make(places[place]))
        return self._make(self._places[index])


def is_ntu(recording: Recording) -> bool:
    """Whether it is as a Kinect v2 records: NTU RGB+D's skeleton, in space, not prepared."""
    return recording.made is Made.RECORDED and recording.skeleton is not None \
        and recording.skeleton.joint_names == NTU_25.joint_names and recording.confidence is None
