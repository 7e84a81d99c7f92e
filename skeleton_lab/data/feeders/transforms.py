"""Transforms of clips: crop and resize over time, rotation, bones, motion.

The batched ones act on many clips at once, frame-major: (N, T, M, V, C) or, a body at a time, (N, T, V, C). NTU
archives store frames in that order, so that gathering frames moves whole rows. They use the random generators in the
order in which a loop over single clips would, clip by clip, so a batch and its items come out alike from the same
seeds. The last section holds the classical transforms of one clip, channel-first (C, T, V, M), for feeders that want
them.

Sources: CTR-GCN (Chen et al., ICCV 2021) for cropping, rotation and the NW-UCLA view transform; ST-GCN (Yan et al.,
AAAI 2018) for the classical ones.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from skeleton_lab.errors import UserError

MIN_CROP_FRAMES = 64  # a training crop is never shorter, unless the clip is
MAX_ROTATION_RAD = 0.3


# ---- Crop and resize over time ----

class Spans(NamedTuple):
    """The part of each clip to use: `first` frame and number of frames `length`, both (N,) int64."""

    first: np.ndarray
    length: np.ndarray


class Resampling(NamedTuple):
    """How to resize spans to W frames: frames `lower` and `upper` (N, W) int64 mixed with `weight` of the upper one."""

    lower: np.ndarray
    upper: np.ndarray
    weight: np.ndarray  # (N, W) float32

    def of(self, clips: slice | np.ndarray) -> Resampling:
        """Return the plan of some of the clips."""
        return Resampling(self.lower[clips], self.upper[clips], self.weight[clips])


def centre_spans(num_valid: np.ndarray, share: float) -> Spans:
    """Return the middle `share` of the first `num_valid` (N,) frames of each clip: what testing uses."""
    first = np.floor((1 - share) * num_valid / 2).astype(np.int64)
    return Spans(first, num_valid - 2 * first)


def draw_spans(num_valid: np.ndarray, least: float, most: float) -> Spans:
    """Draw a span in the first `num_valid` (N,) frames of each clip, a share in [least, most) of them: for training.

    No span is shorter than 64 frames unless its clip is. Each clip with frames takes one uniform and one integer draw
    from NumPy's global generator, in that order.
    """
    first, length = np.zeros(len(num_valid), np.int64), np.zeros(len(num_valid), np.int64)
    for i, valid in enumerate(num_valid.tolist()):
        if valid > 0:
            share = np.random.random() * (most - least) + least
            length[i] = min(max(int(valid * share), MIN_CROP_FRAMES), valid)
            first[i] = np.random.randint(0, valid - length[i] + 1)
    return Spans(first, length)


def plan_resampling(spans: Spans, window: int) -> Resampling:
    """Plan the linear interpolation of each span to `window` frames, with half-pixel centres and no anti-aliasing.

    Frame numbers count from the start of the clip. A span without frames yields frame 0 throughout.
    """
    last = np.maximum(spans.length - 1, 0)[:, None]
    scale = (spans.length / np.float32(window)).astype(np.float32)[:, None]
    position = np.maximum(scale * (np.arange(window, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5), 0)
    lower = np.minimum(position.astype(np.int64), last)  # (N, W)
    upper = np.minimum(lower + 1, last)
    first = spans.first[:, None]
    return Resampling(lower + first, upper + first, position - lower.astype(np.float32))


def mix_frames(lower: np.ndarray, upper: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return lower + weight * (upper - lower), in place of `lower`.

    lower, upper: (..., W, K) float32. weight: (..., W) float32.
    """
    mixed = torch.from_numpy(lower)
    torch.lerp(mixed, torch.from_numpy(upper), torch.from_numpy(weight)[..., None], out=mixed)  # one pass, not three
    return lower


def resize(frames: np.ndarray, plan: Resampling) -> np.ndarray:
    """Return the frames of (N, T, M, V, C) float32 that `plan` asks for, (N, W, M, V, C)."""
    number = np.arange(len(frames))[:, None]
    lower, upper = frames[number, plan.lower], frames[number, plan.upper]
    flat = (*plan.lower.shape, -1)
    return mix_frames(lower.reshape(flat), upper.reshape(flat), plan.weight).reshape(lower.shape)


def resize_whole(frames: np.ndarray, plan: Resampling) -> np.ndarray:
    """As `resize`, but a body is never mixed with a frame that it is not in: the nearer of the two frames stands.

    So an empty frame stays empty, and a body does not shrink towards the origin on its way into one.
    """
    there = (frames != 0).any(axis=(3, 4))  # (N, T, M)
    mixed = resize(frames, plan)
    number = np.arange(len(frames))[:, None]
    at_edge = there[number, plan.lower] != there[number, plan.upper]  # (N, W, M)
    if at_edge.any():
        nearer = np.where(plan.weight < 0.5, plan.lower, plan.upper)
        clip, frame, body = np.nonzero(at_edge)
        mixed[clip, frame, body] = frames[clip, nearer[clip, frame], body]
    return mixed


def resize_valid(frames: np.ndarray, window: int) -> np.ndarray:
    """Resize the valid frames of each clip (N, T, M, V, C) to `window`: those up to the last that is not all zero."""
    filled = (frames != 0).any(axis=(2, 3, 4))  # (N, T)
    num_valid = np.where(filled.any(axis=1), frames.shape[1] - filled[:, ::-1].argmax(axis=1), 0)
    return resize(np.ascontiguousarray(frames), plan_resampling(centre_spans(num_valid, 1), window))


# ---- Rotation ----

def axis_rotations(angles: np.ndarray, axis: int) -> np.ndarray:
    """Return (N, 3, 3) float64: for each of the (N,) angles in radians the rotation about `axis` (0 x, 1 y, 2 z).

    The sense is clockwise for column vectors, which is what both CTR-GCN's augmentations use.
    """
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrices = np.zeros((len(angles), 3, 3))
    matrices[:, axis, axis] = 1
    matrices[:, i, i] = matrices[:, j, j] = np.cos(angles)
    matrices[:, i, j] = np.sin(angles)
    matrices[:, j, i] = -matrices[:, i, j]
    return matrices


def rotation_matrices(angles: np.ndarray) -> np.ndarray:
    """Return (N, 3, 3) float32, Rz Ry Rx of (N, 3) angles about x, y and z in radians; x' = R x for a joint x."""
    x, y, z = (axis_rotations(angles[:, axis].astype(np.float64), axis) for axis in range(3))
    return (z @ y @ x).astype(np.float32)


def draw_rotations(num_clips: int) -> np.ndarray:
    """Draw (N, 3, 3) float32 rotations, three angles in [-0.3, 0.3) rad each, from torch's global generator."""
    return rotation_matrices(torch.empty(num_clips, 3).uniform_(-MAX_ROTATION_RAD, MAX_ROTATION_RAD).numpy())


def draw_turns(num_clips: int) -> np.ndarray:
    """Draw (N, 3, 3) float32 rotations of flat joints, about z only, the viewing axis: a third channel stays as it is.

    One angle in [-0.3, 0.3) rad each, from NumPy's global generator.
    """
    angles = np.zeros((num_clips, 3))
    angles[:, 2] = np.random.uniform(-MAX_ROTATION_RAD, MAX_ROTATION_RAD, num_clips)
    return rotation_matrices(angles)


def rotate(frames: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Return (N, T, ..., V, 3) `frames` with every joint x of clip n turned to matrices[n] x."""
    joints = torch.from_numpy(frames).flatten(1, -2)  # (N, T*...*V, 3)
    turned = torch.bmm(joints, torch.from_numpy(matrices).transpose(1, 2))  # faster than numpy's for 3x3
    return turned.numpy().reshape(frames.shape)


# ---- Bones and motion ----

def bones(frames: np.ndarray, reference: Sequence[int], flat: bool = False) -> np.ndarray:
    """Return each joint of (..., V, C) minus its reference joint; `reference` (V,) as in `Skeleton.parents`.

    flat: the third channel is the joints' scores; a bone has the mean of its two.
    """
    frames = np.ascontiguousarray(frames)
    joints = frames.view(f"V{frames.itemsize * frames.shape[-1]}")[..., 0]  # (..., V): whole joints move at a time
    references = np.take(joints, reference, axis=-1).view(frames.dtype).reshape(frames.shape)
    scores = (frames[..., 2] + references[..., 2]) / 2 if flat else None
    np.subtract(frames, references, out=references)
    if scores is not None:
        references[..., 2] = scores
    return references


def motion(frames: np.ndarray, flat: bool = False) -> np.ndarray:
    """Return the step from each frame of (N, T, ...) to the next; zeros for the last one.

    flat: the third channel is scores; a step has the mean of its two.
    """
    steps = np.empty_like(frames)
    np.subtract(frames[:, 1:], frames[:, :-1], out=steps[:, :-1])
    if flat:
        steps[:, :-1, ..., 2] = (frames[:, 1:, ..., 2] + frames[:, :-1, ..., 2]) / 2
    steps[:, -1:] = 0
    return steps


# ---- NW-UCLA: clips of unequal length, end to end in (F, V, 3), clip n from frame starts[n] on ----

def draw_view() -> tuple[int, int]:
    """Draw a view for one training clip: whole degrees in [-60, 60] about x and about y, from Python's `random`.

    Two more numbers are drawn and dropped: one that nothing uses, and a scale that `span_unit_cube` would undo.
    """
    random.random()
    about_x, about_y = random.randint(-60, 60), random.randint(-60, 60)
    random.uniform(0.5, 1.5)
    return about_x, about_y


def draw_frames(length: int, window: int) -> np.ndarray:
    """Draw (W,) frame numbers of one training clip, ascending, from a pool that holds each of them 100 times."""
    copies = max(100, window)
    return np.sort(np.array(random.sample(range(copies * length), window)) % length)


def even_frames(length: int, window: int) -> np.ndarray:
    """Return (W,) frame numbers spread evenly over a clip, its first and last frame included: what testing uses."""
    return np.linspace(0, length - 1, window).astype(np.int64)


def draw_kept_coordinates(window: int, joints: int, share: float) -> np.ndarray:
    """Draw which coordinates (W, V, 3) of a training clip stay, one, and which become 0, from Python's `random`.

    With probability `share` one axis goes, with the same probability (drawn by itself) 4 to 12 joints in 16 to 32
    frames. Draws in order: whether, which axis; whether, how many and which joints, how many and which frames.
    """
    kept = np.ones((window, joints, 3))
    if random.random() < share:
        kept[..., random.randint(0, 2)] = 0
    if random.random() < share:
        dropped = random.sample(range(joints), random.randint(4, 12))
        frames = random.sample(range(window), min(random.randint(16, 32), window))
        kept[np.ix_(frames, dropped)] = 0
    return kept


def view_matrices(degrees: np.ndarray) -> np.ndarray:
    """Return (N, 3, 3) float64, Ry Rx of (N, 2) degrees about x and y; for row vectors, x' = x Ry Rx."""
    radians = np.radians(degrees.astype(np.float64))
    return axis_rotations(radians[:, 1], 1) @ axis_rotations(radians[:, 0], 0)


def span_unit_cube(frames: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Scale each clip of (F, V, C) so that each axis spans [-1, 1] over its frames and joints.

    An axis on which a clip never varies has no scale: it becomes zeros.
    """
    low = np.minimum.reduceat(frames.min(axis=1), starts)  # (N, C)
    high = np.maximum.reduceat(frames.max(axis=1), starts)
    extent = high - low
    scale = np.divide(2, extent, out=np.zeros_like(extent), where=extent > 0)
    offset = np.where(extent > 0, 1.0, 0.0)
    low, scale, offset = (np.repeat(value, lengths, axis=0)[:, None] for value in (low, scale, offset))  # (F, 1, C)
    return (frames - low) * scale - offset


# ---- Classical transforms of one clip (C, T, V, M) ----

def auto_pading(clip: np.ndarray, size: int, random_pad: bool = False) -> np.ndarray:
    """Zero-pad (C, T, V, M) to `size` frames, the clip first or (`random_pad`) at a random place; longer ones stay.

    A padded clip is float64.
    """
    channels, length, joints, bodies = clip.shape
    if length >= size:
        return clip
    first = random.randint(0, size - length) if random_pad else 0
    padded = np.zeros((channels, size, joints, bodies))
    padded[:, first:first + length] = clip
    return padded


def random_choose(clip: np.ndarray, size: int, auto_pad: bool = True) -> np.ndarray:
    """Return `size` frames of (C, T, V, M) from a random place; a shorter clip is padded (or kept: `auto_pad` False).

    Raises:
        UserError: `size` is not positive.
    """
    if size <= 0:
        raise UserError(f"random_choose: cannot choose {size} frames; give a positive window_size")
    length = clip.shape[1]
    if length <= size:
        return auto_pading(clip, size, random_pad=True) if auto_pad else clip
    first = random.randint(0, length - size)
    return clip[:, first:first + size]


def random_shift(clip: np.ndarray) -> np.ndarray:
    """Return (C, T, V, M) float64 with the span from its first to its last non-empty frame moved to a random place."""
    length = clip.shape[1]
    occupied = np.flatnonzero((clip != 0).any(axis=(0, 2, 3)))
    shifted = np.zeros(clip.shape)
    if len(occupied):
        first, end = occupied[0], occupied[-1] + 1
        target = random.randint(0, length - (end - first))
        shifted[:, target:target + end - first] = clip[:, first:end]
    return shifted


def random_move(
    clip: np.ndarray,
    angles_deg: Sequence[float] = (-10.0, -5.0, 0.0, 5.0, 10.0),
    scales: Sequence[float] = (0.9, 1.0, 1.1),
    shifts: Sequence[float] = (-0.2, -0.1, 0.0, 0.1, 0.2),
) -> np.ndarray:
    """Turn, scale and shift (C, T, V, M) in the x-y plane, in place, gliding from one random state to another.

    The states at the first and last frame are drawn from the given choices (NumPy's global generator: two angles, two
    scales, two shifts along x, two along y). Missing joints, at zero, move as well. Returns the same array.
    """
    angle, scale, shift_x, shift_y = (_draw_glide(choices, clip.shape[1])
                                      for choices in (np.radians(angles_deg), scales, shifts, shifts))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])  # (2, 2, T)
    shift = np.stack([shift_x, shift_y])[:, :, None, None]  # (2, T, 1, 1)
    clip[:2] = np.einsum("ijt,jtvm->itvm", turn, clip[:2]) + shift
    return clip


def _draw_glide(choices: Sequence[float] | np.ndarray, length: int) -> np.ndarray:
    """Draw where to begin and end; return the straight way between, (T,)."""
    first, last = np.random.choice(choices, 2)
    return np.linspace(float(first), float(last), length)


def downsample(clip: np.ndarray, step: int, random_sample: bool = True) -> np.ndarray:
    """Return every `step`-th frame of (C, T, V, M), from a random one of the first `step` frames or from frame 0."""
    first = random.randrange(step) if random_sample else 0
    return clip[:, first::step]
