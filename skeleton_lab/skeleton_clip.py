"""A recorded clip to be looked at: bodies of a known skeleton, and how a viewer who stands at the camera sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skeleton_lab.skeletons import Skeleton

USUAL_FPS = 30.0  # of a Kinect
ELEVATION_DEG, TURN_DEG = 12, 15  # the viewer stands a little higher than the camera, and to its side


@dataclass(frozen=True)
class SkeletonClip:
    """A clip: frames (T, M, V, 3) float32, zeros where a body is absent; its skeleton; its title; frames a second."""

    frames: np.ndarray
    skeleton: Skeleton
    title: str
    fps: float = USUAL_FPS

    @property
    def up_axis(self) -> int:
        """1 (y) or 2 (z): the axis along which people stand upright in this clip, judged from hips to head."""
        names = self.skeleton.joint_names
        head = next((joint for joint, name in enumerate(names) if name in ("head", "nose")), 0)
        hips = [joint for joint, name in enumerate(names) if name in ("left hip", "right hip")]
        present = self.present
        if not present.any() or not hips:
            return 1
        rise = (self.frames[..., head, :] - self.frames[..., hips, :].mean(axis=-2))[present].mean(axis=0)
        return 2 if abs(rise[2]) > abs(rise[1]) else 1

    @property
    def present(self) -> np.ndarray:
        """(T, M) bool: which bodies are there in which frames."""
        return (self.frames != 0).any(axis=(2, 3))

    @property
    def flat(self) -> bool:
        """Whether its joints lie in a picture: x to the right, y up, and what else they have is no depth."""
        return self.skeleton.flat or not self.frames[..., 2].any()

    def in_space(self) -> np.ndarray:
        """Return the frames (T, M, V, 3) in a picture's axes: to the right, away from the viewer, up."""
        x, y, z = np.moveaxis(self.frames, -1, 0)
        if self.up_axis == 2:  # pre-normalised: people face +y
            return np.stack([-x, -y, z], axis=-1)
        return np.stack([-x, z, y], axis=-1)  # the camera looks along +z, and +x is on its left

    def on_screen(self, follow: bool = True) -> np.ndarray:
        """Return the frames (T, M, V, 2) as seen in parallel projection: to the right, up; in the clip's unit.

        Args:
            follow: the viewer goes along with the people, so that somebody who walks stays in the middle; up stays up.
        """
        if self.flat:
            return self.frames[..., :2] - (self._ground(self.frames[..., :1]) if follow else 0)
        space = self.in_space()
        if follow:
            space[..., :2] -= self._ground(space[..., :2])
        return self.projected(space)

    def _ground(self, places: np.ndarray) -> np.ndarray:
        """Return where people stand in each frame, the mean of `places` (T, M, V, K), as (T, 1, 1, K)."""
        present = self.present[:, :, None, None]
        joints = np.maximum(present.sum(axis=(1, 2, 3)), 1) * places.shape[2]
        return (np.where(present, places, 0).sum(axis=(1, 2)) / joints[:, None])[:, None, None]

    @staticmethod
    def projected(space: np.ndarray) -> np.ndarray:
        """Return points (..., 3), see `in_space`, as the viewer sees them (..., 2): to the right, up."""
        azimuth, elevation = np.radians(TURN_DEG - 90), np.radians(ELEVATION_DEG)
        to_right = np.array([-np.sin(azimuth), np.cos(azimuth), 0])
        upward = np.array([-np.sin(elevation) * np.cos(azimuth), -np.sin(elevation) * np.sin(azimuth),
                           np.cos(elevation)])
        return space @ np.stack([to_right, upward], axis=1)


def side(skeleton: Skeleton, joint: int) -> str:
    """Return left, right or middle."""
    return "left" if joint in skeleton.left else "right" if joint in skeleton.right else "middle"


def spread(length: int, most: int) -> list[int]:
    """Return up to `most` frame numbers of `length`, evenly spread from the first to the last."""
    return np.unique(np.linspace(0, length - 1, min(most, length)).round().astype(int)).tolist()
