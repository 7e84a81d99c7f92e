"""NTU RGB+D 60 and 120 as Hyper-GCN takes it: streams that keep where the body is, whole frames, shoulders along x."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from graph.ntu_rgb_d import SKELETON

from skeleton_lab.data.feeders import feeder_ntu, transforms
from skeleton_lab.data.feeders.pyskl_sampling import Sampling
from skeleton_lab.data.feeders.pyskl_transforms import upright
from skeleton_lab.data.feeders.spans import Tracks
from skeleton_lab.errors import UserError

FRAME_SAMPLES = ("resize", "clips")
CENTRE = SKELETON.root


class Feeder(feeder_ntu.Feeder):
    """CTR-GCN's clips of NTU RGB+D, with Hyper-GCN's streams.

    Without `bone` and `vel`, joints are relative to the spine's top, in the same frame; with `bone`, to the neighbour
    towards it. The spine's top itself keeps its position in both. `vel` gives the steps between frames: of the joints
    as they are, or of the bones.

    Args:
        frame_sample: "resize": a part of the clip, resized to `window_size`, as `p_interval` says. "clips": as many
            whole frames of all that are not empty, drawn at random, evenly spread; shorter clips are looped. Published
            tests draw anew each time; here each test clip has a draw of its own, which stays.
        align: turn each clip so that the first body's shoulders lie along x in the first frame that is taken.
        num_clips, spatial_flip, drop_joint, drop_axis: refused if given; they never did anything.
        options: as those of `skeleton_lab.data.feeders.feeder_ntu.Feeder`.

    Raises:
        UserError: an option is refused, or the archive is missing or broken (a clip with NaN: when it is asked for).
    """

    skeleton = SKELETON

    def __init__(self, data_path: str, label_path: str | None = None, p_interval: float | Sequence[float] = 1,
                 split: str = "train", random_choose: bool = False, random_shift: bool = False,
                 random_move: bool = False, random_rot: bool = False, window_size: int = -1,
                 normalization: bool = False, debug: bool = False, use_mmap: bool = True, bone: bool = False,
                 vel: bool = False, frame_sample: str = "resize", align: bool = False,
                 observe: float | Sequence[float] = 1, num_clips: Any = None, spatial_flip: Any = None,
                 drop_joint: Any = None, drop_axis: Any = None) -> None:
        unused = {"num_clips": num_clips, "spatial_flip": spatial_flip, "drop_joint": drop_joint,
                  "drop_axis": drop_axis}
        for name, value in unused.items():
            if value:
                raise UserError(f"feeders.feeder_ntu.Feeder: {name}={value!r:.40} never had an effect and has none "
                                "here; leave it out")
        if frame_sample not in FRAME_SAMPLES:
            raise UserError(f"feeders.feeder_ntu.Feeder: frame_sample {frame_sample!r:.40} does not exist; choose "
                            f"{' or '.join(FRAME_SAMPLES)}")
        super().__init__(data_path, label_path, p_interval, split, random_choose, random_shift, random_move, random_rot,
                         window_size, normalization, debug, use_mmap, bone, vel, observe)
        self.frame_sample, self.align = frame_sample, align

    def _plan(self, rows: Sequence[int], num_seen: np.ndarray) -> transforms.Resampling:
        if self.frame_sample == "resize":
            return super()._plan(rows, num_seen)
        places = np.zeros((len(rows), self.window_size), np.int64)
        sampling = Sampling(self.window_size, ratio_drawn=False)
        state = np.random.get_state()
        for place, row, frames in zip(places, rows, num_seen.tolist(), strict=True):
            if self.split == "test":
                np.random.seed(row)
            if frames > 0:  # else the clip is empty, and so is its frame 0
                place[:] = sampling.draw(frames)
        if self.split == "test":
            np.random.set_state(state)
        return transforms.Resampling(places, places, np.zeros(places.shape, np.float32))

    def _transformed(self, tracks: Tracks, turns: np.ndarray | None) -> np.ndarray:
        if self.align and len(tracks.clip):
            tracks = tracks._replace(joints=transforms.rotate(tracks.joints, _alignments(tracks)[tracks.clip]))
        return super()._transformed(tracks, turns)

    def _streamed(self, joints: np.ndarray) -> np.ndarray:
        stream = joints
        if self.bone or not self.vel:
            references = SKELETON.parents if self.bone else [CENTRE] * SKELETON.num_joints
            stream = transforms.bones(joints, references)
            stream[..., CENTRE, :] = joints[..., CENTRE, :]  # else nothing would say where the body is
        return transforms.motion(stream) if self.vel else stream


def _alignments(tracks: Tracks) -> np.ndarray:
    """Return the rotation of each clip by position, (N, 3, 3) float32; the identity where there is no first body."""
    first = np.zeros((tracks.clip.max() + 1, *tracks.joints.shape[2:]))  # (N, V, C)
    of_first_body = tracks.body == 0
    first[tracks.clip[of_first_body]] = tracks.joints[of_first_body, 0]
    return upright(first, spine=False).astype(np.float32)
