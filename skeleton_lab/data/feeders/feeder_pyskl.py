"""Clips as PYSKL and MMAction2 make them of annotations, 2D or 3D: the same numbers, for whole batches at once.

Bones, motions and the upright position are those of the whole recording, as theirs are. What a batch needs of its
recordings is gathered, transformed together and spread over its clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch

from skeleton_lab.data.feeders import pyskl_transforms as transforms
from skeleton_lab.data.feeders.feeding import NUM_DEBUG_SAMPLES, BatchFeeder
from skeleton_lab.data.feeders.observation import Observation
from skeleton_lab.data.feeders.pyskl_rows import NOBODY, Kept, Rows, fewer, rows_of
from skeleton_lab.data.feeders.pyskl_sampling import Draws, Sampling
from skeleton_lab.data.formats.about import read_about
from skeleton_lab.data.formats.pose_clips import PoseClips, open_pose_clips, splits_of
from skeleton_lab.errors import UserError
from skeleton_lab.own_skeletons import PYSKL_LAYOUTS
from skeleton_lab.skeleton_clip import SkeletonClip

WHOSE = "feeders.feeder_pyskl.Feeder"
LIKE = ("pyskl", "mmaction2")
FILLED = ("zero", "loop")
USUAL_SIZE = (1080, 1920)
MAX_REMEMBERED = 4096  # draws of tests, by the number of frames


@dataclass(frozen=True)
class Normalizing:
    """How keypoints are normalised. 3D: align_center, align_spine, align_shoulder (None: as each project does). 2D:
    mode "fix" by the picture's size, "auto" by the points' own range; points that score at most `threshold` go to 0.
    mode "none": both are left as they are in the file, all frames.
    """

    mode: str = "fix"
    threshold: float = 0.01
    align_center: bool = True
    align_spine: bool = True
    align_shoulder: bool | None = None

    @property
    def none(self) -> bool:
        """Whether nothing is done."""
        return self.mode == "none"

    @property
    def turned(self) -> bool:
        """Whether anything is turned, and with it in double precision."""
        return bool(self.align_spine or self.align_shoulder)

    @classmethod
    def of(cls, options: dict[str, Any], like: str) -> Normalizing:
        unknown = set(options) - set(cls.__dataclass_fields__)
        if unknown:
            raise UserError(f"{WHOSE}: normalize has no '{min(unknown)}'; it takes "
                            f"{', '.join(cls.__dataclass_fields__)}")
        made = cls(**options)
        if made.align_shoulder is None:
            made = replace(made, align_shoulder=made.align_spine or like != "pyskl")
        if made.mode not in ("fix", "auto", "none"):
            raise UserError(f"{WHOSE}: normalize: mode '{made.mode}' does not exist; choose fix, auto or none")
        _require(_is_number(made.threshold), f"normalize: threshold={made.threshold!r} is no number; give one")
        return made


@dataclass(frozen=True)
class Augmenting:
    """What is drawn for each training clip: a factor for each axis within 1 +- scale, turns within +- rot (rad), and
    noise of a share of a person's extent in each frame.
    """

    scale: float | Sequence[float] = 0.0
    rot: float = 0.0
    noise: float = 0.0

    @classmethod
    def of(cls, scale: Any, rot: Any, noise: Any) -> Augmenting:
        for name, value in (("random_scale", scale), ("random_rot", rot), ("random_noise", noise)):
            each = value if name == "random_scale" and isinstance(value, list | tuple) else [value]
            _require(all(_is_number(size) and 0 <= size < np.inf for size in each), f"{name}={value!r} is no number "
                     "from 0; give one")
        return cls(scale if np.any(scale) else 0.0, rot, noise)


class Augmentations:
    """What was drawn for the recordings of a batch, a row each: factors (N, C), angles (N, 1 or 3), noise (S, V, C)."""

    def __init__(self) -> None:
        self.factors: list[np.ndarray] = []
        self.angles: list[np.ndarray] = []
        self.noise: list[np.ndarray] = []


class _Known:
    """What was found of each recording when it was first asked for: how many frames are kept (-1: not asked yet) and,
    where that is not all, which; whether persons change places; the rotation (NaN: not asked yet). And test draws, by
    frames.
    """

    def __init__(self, count: int) -> None:
        self.sizes = np.full(count, -1)
        self.exchanged = np.zeros(count, bool)
        self.turns = np.full((count, 3, 3), np.nan)
        self.frames: dict[int, np.ndarray] = {}
        self.draws: dict[int, np.ndarray] = {}


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
        pad_to: frames to fill each recording up to, in place of sampling. pad_mode: with zeros ("zero"), or by
            beginning again ("loop"). person_mode: the same for persons: "loop" shows the only one again.
        random_scale, random_rot, random_noise: see `Augmenting`.
        repeat: how often an epoch goes through the recordings.
        observe: share of a recording that is seen, from its first frame on; two numbers: drawn for each clip.
        debug: use the first 100 recordings only.

    Attributes:
        label: (N,) int64 class of each recording, -1 where it is not known. sample_name: its name.

    Raises:
        UserError: an option is refused, or the archive is missing or broken.
    """

    FEATS: ClassVar[tuple[str, ...]] = ("j", "b", "jm", "bm")

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
        pad_mode: str = "zero",
        person_mode: str = "zero",
        random_scale: float | Sequence[float] = 0,
        random_rot: float = 0,
        random_noise: float = 0,
        repeat: int = 1,
        observe: float | Sequence[float] = 1,
        debug: bool = False,
    ) -> None:
        self.feats = _feats(feats, self.FEATS)
        _check_choices(like=(like, LIKE), pad_mode=(pad_mode, FILLED), person_mode=(person_mode, FILLED))
        _check_counts(clip_len=clip_len, num_clips=num_clips, num_person=num_person, repeat=repeat,
                      pad_to=1 if pad_to is None else pad_to)
        _require(_are_shares(p_interval), f"p_interval={p_interval!r} is no range of shares; give two numbers in "
                 "(0, 1], the smaller first")
        self.like, self.num_clips, self.num_person, self.repeat = like, 1 if pad_to else num_clips, num_person, repeat
        self.pad_to, self.pad_loop, self.person_loop = pad_to, pad_mode == "loop", person_mode == "loop"
        self.scores = scores
        self.sampling = Sampling(clip_len, num_clips, (float(p_interval[0]), float(p_interval[1])), test_mode,
                                 ratio_drawn=like == "pyskl", decode=decode)
        self.normalizing = Normalizing.of(normalize or {}, like)
        self.augmenting = Augmenting.of(random_scale, random_rot, random_noise)
        self.observation = Observation.of(observe, WHOSE)
        self._clips = _opened(data_path, split)
        if debug:
            self._clips = PoseClips(self._clips.path, self._clips.split, self._clips.rows, self._clips.scores,
                                    self._clips.present, self._clips.clips[:NUM_DEBUG_SAMPLES],
                                    self._clips.names[:NUM_DEBUG_SAMPLES])
        self.class_names = read_about(self._clips.path).class_names
        self.label: np.ndarray = self._clips.clips[:, 3]
        self.sample_name = list(self._clips.names)
        self.joints = self._clips.rows.shape[1]
        self.flat = self.joints != transforms.NTU_JOINTS
        known = [skeleton.num_joints for skeleton in PYSKL_LAYOUTS.values()]
        _require(self.joints in known, f"{data_path}: clips of {self.joints} joints; known are "
                 f"{', '.join(map(str, known))}")
        _require(np.size(random_scale) in (1, self._scaled_channels), f"random_scale={random_scale!r}: give one number "
                 f"or {self._scaled_channels}")
        self._known = _Known(len(self.label))

    def __len__(self) -> int:
        return len(self.label) * self.repeat

    def get_batch(self, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the clips (N*K, C, T, V, M) float32, a recording's K one behind the other, the classes (N,) of the
        recordings and `indices` (N,), both int64.

        The random draws are those of as many single items, so that both ways give the same numbers.
        """
        asked = np.asarray(indices, np.int64)
        if not ((-len(self) <= asked) & (asked < len(self))).all():
            raise IndexError(f"{len(self)} clips, but {asked.min()} to {asked.max()} are asked for")
        places = asked % len(self.label)
        kept = self._kept(places)
        picked, augmentations = self._drawn(places, kept.sizes.tolist())
        kept, picked = self._shown(kept, picked)
        rows = rows_of(kept, picked, (self.num_clips, self.num_person))
        clips = self._clips_of(places, rows, augmentations)  # (N, K, M, L, V, C)
        clips = clips.permute(0, 1, 5, 3, 4, 2)  # -> (N, K, C, L, V, M)
        return clips.flatten(0, 1), torch.from_numpy(self.label[places]), torch.from_numpy(asked)

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

    def _kept(self, places: np.ndarray) -> Kept:
        """Return what is kept of recordings: those frames in which the first person is there, if they are in space."""
        known = self._known
        for place in places[known.sizes[places] < 0].tolist():
            self._look_at(place)
        table, whole = self._clips.clips[places, :3], known.sizes[places]
        sizes = self.observation.frames(whole)
        frames = {}
        if known.frames or not self.observation.whole:
            for n, place in enumerate(places.tolist()):
                if place in known.frames or sizes[n] < whole[n]:
                    frames[n] = known.frames.get(place, np.arange(whole[n]))[:sizes[n]]
        return Kept(table, known.exchanged[places], sizes, frames)

    def _look_at(self, place: int) -> None:
        """Find which frames of a recording are kept, and whether its two persons change places."""
        first, persons, frames = self._clips.clips[place, :3]
        self._known.sizes[place] = frames
        present = self._clips.present[first:first + persons * frames].reshape(persons, frames)
        if self.flat or self.normalizing.none or not present.any():
            return
        _require(persons <= 2, f"{self._clips.path}: {self.sample_name[place]} has {persons} persons; clips in "
                 "space have one or two")
        self._known.exchanged[place] = exchanged = persons == 2 and present[0].sum() < present[1].sum()
        seen = present[int(exchanged)]
        if not seen.all():
            self._known.frames[place] = np.flatnonzero(seen)
            self._known.sizes[place] = seen.sum()

    def _drawn(self, places: np.ndarray, sizes: Sequence[int]) -> tuple[np.ndarray, Augmentations]:
        """Draw for recordings of which so many frames are kept, in their order; return the numbers (N, K*L) of the
        frames that are taken, and what was drawn besides.
        """
        made, augmented = Augmentations(), self.augmenting != Augmenting()
        draws = Draws(self.sampling)
        sampled = not (self.pad_to or self.sampling.test)
        for place, frames in zip(places.tolist(), sizes, strict=True):
            if augmented:
                self._augment(made, place, frames)
            if sampled:
                draws.draw(frames)
        if self.pad_to:
            _require(max(sizes) <= self.pad_to, f"pad_to={self.pad_to}: a recording has {max(sizes)} frames; give more")
            number, ends = np.arange(self.pad_to), np.array(sizes)[:, None]
            return number % ends if self.pad_loop else np.where(number < ends, number, NOBODY), made
        return draws.picked() if sampled else np.stack([self._tested(frames) for frames in sizes]), made

    def _tested(self, frames: int) -> np.ndarray:
        """Return what tests take of a recording, which is the same each time."""
        known = self._known.draws
        if frames in known:
            return known[frames]
        state = np.random.get_state()  # what a test draws is no business of whatever is drawn next
        drawn = self.sampling.draw(frames)
        np.random.set_state(state)
        if len(known) < MAX_REMEMBERED:
            known[frames] = drawn
        return drawn

    def _augment(self, made: Augmentations, place: int, frames: int) -> None:
        """Draw factors, angles and noise for a recording; nobody is turned who is nowhere."""
        rule, coordinates = self.augmenting, 2 if self.flat else 3
        first, persons, whole = self._clips.clips[place, :3]
        if rule.scale:
            channels = self._scaled_channels
            made.factors.append(1 + np.random.uniform(-1, 1, size=channels) * np.broadcast_to(rule.scale, channels))
        if rule.rot:
            angles = np.zeros(1 if self.flat else 3)
            there = self._clips.present[first:first + persons * whole].any()
            made.angles.append(np.random.uniform(-rule.rot, rule.rot, size=len(angles)) if there else angles)
        if rule.noise:
            noise = transforms.noise_of((persons * frames, self.joints, coordinates), rule.noise)
            made.noise.append(noise[:min(persons, self.num_person) * frames])

    def _shown(self, kept: Kept, picked: np.ndarray) -> tuple[Kept, np.ndarray]:
        """Return the frames that have to be computed, of long recordings but few, and the picks among those."""
        if self.augmenting.noise:
            return kept, picked
        sizes, chosen, picked = kept.sizes.copy(), dict(kept.frames), picked.copy()
        for n in np.flatnonzero(sizes > 2 * picked.shape[1]).tolist():
            numbers = chosen[n] if n in chosen else np.arange(sizes[n])
            chosen[n], picked[n] = fewer(numbers, picked[n])
            sizes[n] = len(chosen[n])
        return replace(kept, sizes=sizes, frames=chosen), picked

    @property
    def _scaled_channels(self) -> int:
        """How many channels there are when factors are drawn: PYSKL's score is one of them by then."""
        clips = self._clips
        scored = self.flat and self.scores and (clips.scores is not None or clips.rows.shape[2] == 3)
        return (2 if self.flat else 3) + (scored and self.like == "pyskl")

    # -- what becomes of them ------------------------------------------------------------------------

    def _clips_of(self, places: np.ndarray, rows: Rows, drawn: Augmentations) -> torch.Tensor:
        """Return (N, K, M, L, V, C) float32: normalised, augmented, and as the features that are asked for."""
        x = self._clips.rows.take(rows.source, axis=0)  # (S, V, C)
        x, score = self._in_picture(places, x, rows) if self.flat else (self._in_space(places, x, rows), None)
        if score is not None and self.like == "pyskl":  # a channel from here on, as it is theirs
            x, score = _joined(x, score), None
        x = _augmented(x, rows, drawn)
        if score is not None:
            x = _joined(x, score)
        x = transforms.features(self._changed(places, x, rows), rows.ends, self.feats)
        if self.person_loop:
            lonely = rows.places[:, :, 1:2] == rows.bounds[-1]
            rows.places[:, :, 1:2][lonely] = rows.places[:, :, :1][lonely]
        return torch.from_numpy(transforms.clips_of(x, rows))

    def _changed(self, places: np.ndarray, x: np.ndarray, rows: Rows) -> np.ndarray:
        """Return coordinates (S, V, C) as feeders that derive from this one change them before features are made."""
        return x

    def _in_space(self, places: np.ndarray, x: np.ndarray, rows: Rows) -> np.ndarray:
        """Return x (S, V, 3) about the first person's first spine joint, that person upright."""
        if self.normalizing.none:
            return x
        first = x[rows.bounds[:-1]]  # (N, V, 3)
        if self.normalizing.align_center:
            x = transforms.centred(x, transforms.centre_of(first), rows)
        if self.normalizing.turned:
            x = transforms.turned(x, self._turns(places, first), rows.bounds)
        return x

    def _turns(self, places: np.ndarray, first: np.ndarray) -> np.ndarray:
        """Return the rotations (N, 3, 3) that lay recordings upright, whose first rows are (N, V, 3)."""
        known = self._known.turns
        new = np.flatnonzero(np.isnan(known[places, 0, 0]))
        if len(new):
            first = first[new]
            if self.normalizing.align_center:
                first = transforms.centred(first, transforms.centre_of(first))
            known[places[new]] = transforms.upright(
                first, bool(self.normalizing.align_shoulder), self.normalizing.align_spine)
        return known[places]

    def _in_picture(self, places: np.ndarray, x: np.ndarray, rows: Rows) -> tuple[np.ndarray, np.ndarray | None]:
        """Return x (S, V, 2) within [-1, 1] of the picture, and scores (S, V), if there are any."""
        theirs, score = self.like == "pyskl", None
        if x.shape[-1] == 3:
            x, score = np.ascontiguousarray(x[..., :2]), x[..., 2]
        elif self._clips.scores is not None:
            score = self._clips.scores.take(rows.source, axis=0)
        if theirs:
            x, score = _single(x), None if score is None else _single(score)
        if not self.normalizing.none:
            x = transforms.in_picture(x, *self._frames_of_reference(places), rows)
        if theirs and not self.normalizing.none and score is not None:
            x.reshape(-1, 2)[np.flatnonzero(score <= self.normalizing.threshold)] = 0
        return x, score if self.scores else None

    def _frames_of_reference(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return middle and half extent (N, 2) of what recordings are normalised by."""
        if self.normalizing.mode == "auto" and self.like == "pyskl":
            found = [self._span_of(place) for place in places.tolist()]
            return np.stack([middle for middle, _ in found]), np.stack([half for _, half in found])
        sizes = self._clips.clips[places, 4:6]
        half = np.where(sizes[:, :1] > 0, sizes, USUAL_SIZE)[:, ::-1] / 2  # (height, width) -> (x, y)
        return half, half

    def _span_of(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the middle and half the range (2,) of a recording's own points; what leaves them, if that is small."""
        keypoints, score = self._clips.frames(place).astype(np.float32), self._clips.scores_of(place)
        if keypoints.shape[-1] == 3:
            score = keypoints[..., 2]
        found = transforms.spans(keypoints, score, self.normalizing.threshold)
        return found or (np.zeros(2, np.float32), np.ones(2, np.float32))


def _single(x: np.ndarray) -> np.ndarray:
    return torch.from_numpy(x).float().numpy()  # which NumPy is slow at


def _joined(x: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Return x (S, V, C) with scores (S, V) as one more channel."""
    joined = np.empty((*x.shape[:2], x.shape[2] + 1), x.dtype)
    for channel, values in enumerate((*x.reshape(-1, x.shape[2]).T, score.reshape(-1))):
        joined.reshape(-1, joined.shape[2])[:, channel] = values
    return joined


def _augmented(x: np.ndarray, rows: Rows, drawn: Augmentations) -> np.ndarray:
    if drawn.factors:
        x = x * rows.of_each(np.stack(drawn.factors))[:, None]
    if drawn.angles:
        x = transforms.turned(x, np.stack([transforms.euler(angles) for angles in drawn.angles]), rows.bounds)
    if drawn.noise:
        coordinates = drawn.noise[0].shape[2]
        noise = np.concatenate([*drawn.noise, np.zeros((1, x.shape[1], coordinates))])
        x = np.concatenate([transforms.noisy(x[..., :coordinates], noise), x[..., coordinates:]], axis=-1)
    return x


def _opened(data_path: str, split: str | None) -> PoseClips:
    """Open a split; where none is named, all clips."""
    if split is not None and split not in splits_of(data_path) and not splits_of(data_path):
        split = None  # of a bare list
    return open_pose_clips(data_path, split)


def _feats(feats: Sequence[str] | str, known: tuple[str, ...]) -> list[str]:
    chosen = [feats] if isinstance(feats, str) else list(feats)
    _require(bool(chosen) and all(feat in known for feat in chosen), f"feats={feats!r}: choose of {', '.join(known)}")
    return chosen


def _check_choices(**options: tuple[object, tuple[str, ...]]) -> None:
    for name, (value, choices) in options.items():
        _require(value in choices, f"{name}='{value}' does not exist; choose {' or '.join(choices)}")


def _check_counts(**options: object) -> None:
    for name, value in options.items():
        _require(type(value) is int and value > 0, f"{name}={value!r} is no count; give a positive whole number")


def _are_shares(values: Sequence[float]) -> bool:
    return (isinstance(values, list | tuple) and len(values) == 2 and all(map(_is_number, values))
            and 0 < values[0] <= values[1] <= 1)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise UserError(f"{WHOSE}: {what}")
