"""Clips as PYSKL and MMAction2 make them of annotations, 2D or 3D: the same numbers, for whole batches at once.

Bones, motions and the upright position are those of the whole recording, as theirs are; but only the frames that are
taken are ever computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

from skeleton_lab.data.feeders import pyskl_transforms as transforms
from skeleton_lab.data.feeders.feeding import NUM_DEBUG_SAMPLES, BatchFeeder
from skeleton_lab.data.feeders.observation import Observation
from skeleton_lab.data.feeders.pyskl_sampling import Sampling
from skeleton_lab.data.formats.pose_clips import PoseClips, open_pose_clips, splits_of
from skeleton_lab.errors import UserError
from skeleton_lab.own_skeletons import PYSKL_LAYOUTS
from skeleton_lab.skeleton_clip import SkeletonClip

WHOSE = "feeders.feeder_pyskl.Feeder"
LIKE = ("pyskl", "mmaction2")
FEATS = ("j", "b", "jm", "bm")
USUAL_SIZE = (1080, 1920)
MAX_REMEMBERED = 4096  # draws of tests, by the number of frames


@dataclass(frozen=True)
class Normalizing:
    """How keypoints are normalised. 3D: align_center, align_spine, align_shoulder. 2D: mode "fix" by the picture's
    size, "auto" by the points' own range, "none"; points that score at most `threshold` go to 0.
    """

    mode: str = "fix"
    threshold: float = 0.01
    align_center: bool = True
    align_spine: bool = True
    align_shoulder: bool | None = None

    @classmethod
    def of(cls, options: dict[str, Any]) -> Normalizing:
        unknown = set(options) - set(cls.__dataclass_fields__)
        if unknown:
            raise UserError(f"{WHOSE}: normalize has no '{min(unknown)}'; it takes "
                            f"{', '.join(cls.__dataclass_fields__)}")
        made = cls(**options)
        if made.mode not in ("fix", "auto", "none"):
            raise UserError(f"{WHOSE}: normalize: mode '{made.mode}' does not exist; choose fix, auto or none")
        return made


@dataclass(frozen=True)
class Augmenting:
    """What is drawn for each training clip: a factor for each axis within 1 +- scale, and turns within +- rot (rad)."""

    scale: float = 0.0
    rot: float = 0.0


class Views(NamedTuple):
    """Where the frames that a batch takes lie: rows (N, M, F) in the file, -1 where nobody is; clip sizes (N,) T."""

    rows: np.ndarray
    lengths: np.ndarray


@dataclass
class _Known:
    """What was found of each clip when it was first asked for."""

    frames: dict[int, tuple[np.ndarray, bool]] = field(default_factory=dict)  # those kept, whether persons change place
    draws: dict[int, np.ndarray] = field(default_factory=dict)


class Feeder(BatchFeeder):
    """Clips of poses, by the pipelines of PYSKL or MMAction2; each test clip several times over.

    Args:
        data_path: archive of dataset_tools/convert_pyskl.py. split: of that archive, such as xsub_train; None: all.
        like: "pyskl" or "mmaction2", which draw and normalise differently.
        feats: of "j" (joints), "b" (bones), "jm", "bm" (their motions), one on top of the other.
        clip_len: frames of a clip. num_clips: clips of each recording, of which tests average the probabilities.
        num_person: M of a clip; more are left out, fewer filled up with zeros.
        test_mode: the rule of sampling for tests, in which the same frames are taken each time.
        normalize: see `Normalizing`. scores: whether the score of 2D joints is their third channel.
        p_interval: share of the frames to sample from, two numbers. decode: sample as UniformSampleDecode.
        pad_to: frames to fill each recording up to with zeros, in place of sampling.
        random_scale, random_rot: see `Augmenting`. repeat: how often an epoch goes through the recordings.
        observe: share of a recording that is seen, from its first frame on; two numbers: drawn for each clip.
        debug: use the first 100 recordings only.

    Attributes:
        label: (N,) int64 class of each recording, -1 where it is not known. sample_name: its name.

    Raises:
        UserError: an option is refused, or the archive is missing or broken.
    """

    def __init__(
        self,
        data_path: str,
        split: str | None = None,
        like: str = "pyskl",
        feats: Sequence[str] = ("j",),
        clip_len: int = 100,
        num_clips: int = 1,
        num_person: int = 2,
        test_mode: bool = False,
        normalize: dict[str, Any] | None = None,
        scores: bool = True,
        p_interval: Sequence[float] = (1, 1),
        decode: bool = False,
        pad_to: int | None = None,
        random_scale: float = 0,
        random_rot: float = 0,
        repeat: int = 1,
        observe: float | Sequence[float] = 1,
        debug: bool = False,
    ) -> None:
        self.feats = _feats(feats)
        _require(like in LIKE, f"like='{like}' does not exist; choose {' or '.join(LIKE)}")
        for name, value in (("clip_len", clip_len), ("num_clips", num_clips), ("num_person", num_person),
                            ("repeat", repeat)):
            _require(type(value) is int and value > 0, f"{name}={value!r} is no number from 1")
        _require(len(p_interval) == 2 and all(isinstance(share, int | float) and 0 < share <= 1 for share in p_interval)
                 and p_interval[0] <= p_interval[1], f"p_interval={p_interval!r} is no range of shares in (0, 1]")
        self.like, self.num_clips, self.num_person, self.repeat = like, num_clips, num_person, repeat
        self.pad_to, self.scores = pad_to, scores
        self.sampling = Sampling(clip_len, num_clips, (float(p_interval[0]), float(p_interval[1])), test_mode,
                                 ratio_drawn=like == "pyskl", decode=decode)
        self.normalizing = Normalizing.of(normalize or {})
        self.augmenting = Augmenting(random_scale or 0, random_rot or 0)
        self.observation = Observation.of(observe, WHOSE)
        self._clips = _opened(data_path, split)
        if debug:
            self._clips = PoseClips(self._clips.path, self._clips.split, self._clips.rows, self._clips.scores,
                                    self._clips.present, self._clips.clips[:NUM_DEBUG_SAMPLES],
                                    self._clips.names[:NUM_DEBUG_SAMPLES])
        self.label: np.ndarray = self._clips.clips[:, 3]
        self.sample_name = list(self._clips.names)
        self.joints = self._clips.rows.shape[1]
        self.flat = self.joints != transforms.NTU_JOINTS
        _require(self.joints in transforms.BONES, f"{data_path}: clips of {self.joints} joints; known are "
                 f"{', '.join(map(str, transforms.BONES))}")
        self._known = _Known()

    def __len__(self) -> int:
        return len(self.label) * self.repeat

    def get_batch(self, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the clips (N*K, C, T, V, M) float32, a recording's K one behind the other, the classes (N,) of the
        recordings and `indices` (N,), both int64.

        The random draws are those of as many single items, so that both ways give the same numbers.
        """
        places = [range(len(self))[index] % len(self.label) for index in indices]
        shapes = [self._frames_of(place) for place in places]
        draws = [self._draw(len(frames)) for frames, _ in shapes]
        now, views = self._gathered(places, shapes, np.stack([picked for picked, _, _ in draws]))
        data = self._made(places, shapes, draws, (now, views))  # (N, M, K*L, V, C)
        n, m, _, v, c = data.shape
        clips = torch.from_numpy(data).view(n, m, 1 if self.pad_to else self.num_clips, -1, v, c)
        clips = clips.permute(0, 2, 5, 3, 4, 1)  # (N, M, K, L, V, C) -> (N, K, C, L, V, M)
        return (clips.reshape(-1, *clips.shape[2:]), torch.from_numpy(self.label[places]),
                torch.as_tensor(indices, dtype=torch.int64))

    def __getitem__(self, index: int) -> tuple[np.ndarray, int, int]:
        """Return the clips of a recording, (C, T, V, M) float32 or, of several, (K, C, T, V, M); class and `index`."""
        data, labels, _ = self.get_batch([index])
        return (data[0] if len(data) == 1 else data).numpy(), int(labels[0]), index

    def recorded(self, index: int) -> SkeletonClip:
        """Return a recording before any transform, to be looked at."""
        place = index % len(self.label)
        frames = np.array(self._clips.frames(place).transpose(1, 0, 2, 3), np.float32)  # (T, M, V, C)
        if self.flat:
            frames = np.concatenate([frames[..., :1], -frames[..., 1:2], 0 * frames[..., :1]], axis=-1)
        skeleton = next(skeleton for skeleton in PYSKL_LAYOUTS.values() if skeleton.num_joints == self.joints)
        return SkeletonClip(frames, skeleton, self.sample_name[place])

    # -- which frames --------------------------------------------------------------------------------

    def _frames_of(self, place: int) -> tuple[np.ndarray, bool]:
        """Return the frames of a recording that are kept, and whether its two persons change places."""
        if place not in self._known.frames:
            first, persons, frames = self._clips.clips[place, :3]
            kept, exchanged = np.arange(frames), False
            present = self._clips.present[first:first + persons * frames].reshape(persons, frames)
            if not self.flat and present.any():
                _require(persons <= 2, f"{self._clips.path}: {self.sample_name[place]} has {persons} persons; clips in "
                         "space have one or two")
                exchanged = persons == 2 and present[0].sum() < present[1].sum()
                kept = np.flatnonzero(present[int(exchanged)])
            self._known.frames[place] = kept, exchanged
        kept, exchanged = self._known.frames[place]
        return kept[:int(self.observation.frames(np.array([len(kept)]))[0])], exchanged

    def _draw(self, frames: int) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Return the frame numbers of a recording's clips, its factors (C,) and its angles; theirs is the order."""
        channels = 2 if self.flat else 3
        scaled = None if not self.augmenting.scale else \
            1 + np.random.uniform(-1, 1, size=channels + (self.flat and self._scored)) * self.augmenting.scale
        angles = None if not self.augmenting.rot else np.random.uniform(
            -self.augmenting.rot, self.augmenting.rot, size=1 if self.flat else 3)
        if self.pad_to:
            _require(frames <= self.pad_to, f"pad_to={self.pad_to}: a recording has {frames} frames; give more")
            return np.where(np.arange(self.pad_to) < frames, np.arange(self.pad_to), -1), scaled, angles
        if not self.sampling.test:
            return self.sampling.draw(frames), scaled, angles
        if frames not in self._known.draws and len(self._known.draws) < MAX_REMEMBERED:
            state = np.random.get_state()  # what a test draws is no business of whatever is drawn next
            self._known.draws[frames] = self.sampling.draw(frames)
            np.random.set_state(state)
        return self._known.draws[frames], scaled, angles

    def _gathered(self, places: Sequence[int], shapes: Sequence[tuple[np.ndarray, bool]],
                  picked: np.ndarray) -> tuple[np.ndarray, Views]:
        """Return keypoints (N, M, F, V, C) of the frames that are taken, as they are in the file, and where they lie.

        picked: (N, F) among the frames that are kept, -1 for none.
        """
        rows = np.full((len(places), self.num_person, picked.shape[1]), -1, np.int64)
        for number, (place, (kept, exchanged)) in enumerate(zip(places, shapes, strict=True)):
            first, persons, frames = self._clips.clips[place, :3]
            own = np.where(picked[number] >= 0, kept[picked[number]], -1)
            for slot in range(min(persons, self.num_person)):
                person = 1 - slot if exchanged else slot
                rows[number, slot] = np.where(own >= 0, first + person * frames + own, -1)
        return self._rows(self._clips.rows, rows), Views(rows, np.array([len(kept) for kept, _ in shapes]))

    @staticmethod
    def _rows(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return rows of the file, zeros for -1."""
        taken = array[rows]
        taken[rows < 0] = 0
        return taken

    # -- what becomes of them ------------------------------------------------------------------------

    @property
    def _scored(self) -> bool:
        return self.flat and (self._clips.scores is not None and self.scores)

    def _made(self, places: Sequence[int], shapes: Sequence[tuple[np.ndarray, bool]], draws: Sequence[Any],
              taken: tuple[np.ndarray, Views]) -> np.ndarray:
        """Return (N, M, F, V, C) float32: normalised, augmented, and as the features that are asked for."""
        now, views = taken
        parts = [self._normalised(places, shapes, now, views, draws)]
        last = None
        if any("m" in feat for feat in self.feats):
            picked = np.stack([picked for picked, _, _ in draws])
            last = (picked < 0) | (picked + 1 >= views.lengths[:, None])  # (N, F)
            after, after_views = self._gathered(places, shapes, np.where(last, picked, picked + 1))
            parts.append(self._normalised(places, shapes, after, after_views, draws))
        return transforms.features(parts[0], parts[1] if len(parts) > 1 else None, last, self.feats)

    def _normalised(self, places: Sequence[int], shapes: Sequence[tuple[np.ndarray, bool]], x: np.ndarray,
                    views: Views, draws: Sequence[Any]) -> np.ndarray:
        if self.flat:
            x = self._in_picture(places, x, views)
        else:
            x = self._in_space(places, shapes, x)
        if draws[0][1] is not None:
            x = x * np.stack([scaled for _, scaled, _ in draws])[:, None, None, None, :x.shape[-1]]
        if draws[0][2] is not None:
            angles = np.stack([angles for _, _, angles in draws])
            if self.flat:
                sin, cos = np.sin(angles[:, 0]), np.cos(angles[:, 0])
                turns = np.stack([cos, sin, -sin, cos], axis=1).reshape(-1, 2, 2)
                x = np.concatenate([np.einsum("nmfvc,nkc->nmfvk", x[..., :2], turns), x[..., 2:]], axis=-1)
            else:
                x = transforms.turned(x, np.stack([transforms.euler(three) for three in angles]))
        return x

    def _in_space(self, places: Sequence[int], shapes: Sequence[tuple[np.ndarray, bool]], x: np.ndarray) -> np.ndarray:
        """Return x (N, M, F, V, 3) about the first person's first spine joint, that person upright."""
        rule = self.normalizing
        firsts = np.array([self._clips.clips[place, 0] + int(exchanged) * self._clips.clips[place, 2] + kept[0]
                           for place, (kept, exchanged) in zip(places, shapes, strict=True)])
        first = self._clips.rows[firsts][:, None, None]  # (N, 1, 1, V, 3)
        if rule.align_center:
            centre = transforms.centre_of(first[:, 0, 0])
            x, first = transforms.centred(x, centre), transforms.centred(first, centre)
        shoulders = rule.align_spine if rule.align_shoulder is None else rule.align_shoulder
        if rule.align_spine or shoulders:
            x = transforms.turned(x, transforms.upright(first[:, 0, 0], shoulders, rule.align_spine))
        return x

    def _in_picture(self, places: Sequence[int], x: np.ndarray, views: Views) -> np.ndarray:
        """Return x (N, M, F, V, 2 or 3) within [-1, 1] of the picture, with scores, if there are any, behind."""
        theirs = self.like == "pyskl"
        x = x.astype(np.float32) if theirs else x
        inner = x.shape[-1] == 3
        score = x[..., 2] if inner else None if self._clips.scores is None else \
            self._rows(self._clips.scores, views.rows).astype(x.dtype)
        x = x[..., :2]
        there = (views.rows >= 0)[..., None, None]
        for number, place in enumerate(places):
            middle_half = self._frame_of_reference(place)
            if middle_half is not None:
                middle, half = middle_half
                for axis in range(2):
                    x[number, ..., axis] = (x[number, ..., axis] - middle[axis]) / half[axis]
        if theirs and score is not None:
            x = np.where((score > self.normalizing.threshold)[..., None], x, x.dtype.type(0))
        x = np.where(there, x, x.dtype.type(0))
        return np.concatenate([x, score[..., None]], axis=-1) if score is not None and self.scores else x

    def _frame_of_reference(self, place: int) -> tuple[Any, Any] | None:
        """Return middle and half extent (x, y) of what a recording is normalised by; None: it stays as it is."""
        mode = self.normalizing.mode
        if mode == "none":
            return None
        if mode == "auto" and self.like == "pyskl":
            keypoints, score = self._clips.frames(place).astype(np.float32), self._clips.scores_of(place)
            if keypoints.shape[-1] == 3:
                score = keypoints[..., 2]
            return transforms.spans(keypoints, score, self.normalizing.threshold)
        height, width = (int(length) for length in self._clips.clips[place, 4:6])
        height, width = (height, width) if height else USUAL_SIZE
        return (width / 2, height / 2), (width / 2, height / 2)


def _opened(data_path: str, split: str | None) -> PoseClips:
    """Open a split; where none is named, all clips."""
    if split is not None and split not in splits_of(data_path) and not splits_of(data_path):
        split = None  # of a bare list
    return open_pose_clips(data_path, split)


def _feats(feats: Sequence[str] | str) -> list[str]:
    chosen = [feats] if isinstance(feats, str) else list(feats)
    _require(bool(chosen) and all(feat in FEATS for feat in chosen), f"feats={feats!r}: choose of {', '.join(FEATS)}")
    return chosen


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise UserError(f"{WHOSE}: {what}")
