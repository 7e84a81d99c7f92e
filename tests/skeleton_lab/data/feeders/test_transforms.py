"""Clip transforms, batched and classical, against their definitions."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from skeleton_lab.data.feeders import transforms
from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import NTU_25
from tests.trees import ROOT


def walk(num_frames, rng=None):
    """A smooth made-up clip (C, T, V, M)."""
    rng = rng or np.random.default_rng(0)
    return rng.standard_normal((3, num_frames, 25, 2)).cumsum(axis=1).astype(np.float32)


def test_rotation_matrices_are_the_golden_ones():
    with np.load(ROOT / "tests" / "golden" / "feeders.npz") as golden:
        np.testing.assert_allclose(transforms.rotation_matrices(golden["rotation/angles_xyz"]),
                                   golden["rotation/matrices"], rtol=0, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 150), st.integers(0, 40), st.integers(1, 90))
def test_resampling_is_linear_interpolation_with_half_pixel_centres(length, first, window):
    series = np.random.default_rng(length).standard_normal((first + length, 4)).astype(np.float32)
    plan = transforms.plan_resampling(transforms.Spans(np.array([first]), np.array([length])), window)
    resized = transforms.mix_frames(series[plan.lower], series[plan.upper], plan.weight)[0]
    image = torch.from_numpy(series[first:].T.copy())[None, None]
    expected = functional.interpolate(image, size=(4, window), mode="bilinear", align_corners=False)[0, 0].T
    np.testing.assert_allclose(resized, expected.numpy(), rtol=0, atol=2e-5)
    assert plan.lower.min() >= first
    assert plan.upper.max() < first + length


def test_resampling_to_the_same_length_changes_nothing():
    plan = transforms.plan_resampling(transforms.Spans(np.array([5]), np.array([64])), 64)
    np.testing.assert_array_equal(plan.lower[0], np.arange(5, 69))
    assert not plan.weight.any()


@pytest.mark.parametrize(("valid", "share", "first", "length"), [
    (100, 0.95, 2, 96), (100, 1.0, 0, 100), (10, 0.5, 2, 6), (1, 0.95, 0, 1), (0, 0.95, 0, 0), (45, 0.95, 1, 43)])
def test_centre_spans(valid, share, first, length):
    spans = transforms.centre_spans(np.array([valid]), share)
    assert (spans.first[0], spans.length[0]) == (first, length)


def test_drawn_spans_stay_inside_their_clips_and_use_what_they_may():
    np.random.seed(0)
    valid = np.tile([0, 1, 40, 64, 65, 100, 300], 400)
    spans = transforms.draw_spans(valid, 0.5, 1.0)
    assert (spans.first >= 0).all()
    assert (spans.first + spans.length <= valid).all()
    uncropped = valid <= 64
    assert (spans.length[uncropped] == valid[uncropped]).all()
    assert (spans.length[~uncropped] >= 64).all()
    longest = spans.length[valid == 300]
    assert 150 <= longest.min() < 160
    assert 290 < longest.max() <= 300
    assert (spans.first + spans.length)[valid == 65].max() == 65


def test_drawn_spans_take_one_uniform_and_one_integer_draw_each():
    valid = np.array([80, 0, 300, 64])
    np.random.seed(9)
    spans = transforms.draw_spans(valid, 0.5, 1.0)
    np.random.seed(9)
    for i in (0, 2, 3):
        share = np.random.rand() * 0.5 + 0.5
        length = min(max(int(np.floor(valid[i] * share)), 64), valid[i])
        assert (spans.length[i], spans.first[i]) == (length, np.random.randint(0, valid[i] - length + 1))


def test_rotations_are_drawn_as_one_by_one():
    torch.manual_seed(4)
    together = transforms.draw_rotations(5)
    torch.manual_seed(4)
    np.testing.assert_array_equal(together, np.concatenate([transforms.draw_rotations(1) for _ in range(5)]))
    np.testing.assert_allclose(np.linalg.det(together), 1, atol=1e-6)
    assert len(np.unique(together[:, 0, 0])) == 5


def test_rotate_turns_each_joint():
    rng = np.random.default_rng(1)
    frames = rng.standard_normal((3, 7, 2, 25, 3)).astype(np.float32)
    matrices = transforms.draw_rotations(3)
    expected = np.einsum("nij,ntmvj->ntmvi", matrices.astype(float), frames)
    np.testing.assert_allclose(transforms.rotate(frames, matrices), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bones_and_motion(dtype):
    frames = np.random.default_rng(1).standard_normal((2, 6, 2, 25, 3)).astype(dtype)
    bones = transforms.bones(frames, NTU_25.parents)
    for joint, reference in NTU_25.bones:
        np.testing.assert_array_equal(bones[..., joint, :], frames[..., joint, :] - frames[..., reference, :])
    assert not bones[..., NTU_25.root, :].any()
    np.testing.assert_array_equal(transforms.bones(frames.transpose(0, 2, 1, 3, 4), NTU_25.parents),
                                  bones.transpose(0, 2, 1, 3, 4))
    motion = transforms.motion(frames)
    np.testing.assert_array_equal(motion[:, :-1], frames[:, 1:] - frames[:, :-1])
    assert not motion[:, -1].any()


def test_span_unit_cube():
    rng = np.random.default_rng(2)
    lengths = np.array([4, 1, 9])
    starts = np.array([0, 4, 5])
    frames = rng.standard_normal((14, 20, 3))
    frames[5:, :, 1] = 3.5
    scaled = transforms.span_unit_cube(frames, starts, lengths)
    for start, length in zip(starts, lengths, strict=True):
        clip = scaled[start:start + length]
        np.testing.assert_allclose(clip.min(axis=(0, 1)), [-1, -1 if start < 5 else 0, -1])
        np.testing.assert_allclose(clip.max(axis=(0, 1)), [1, 1 if start < 5 else 0, 1])
    one = frames[:4, :, 0]
    np.testing.assert_allclose(scaled[:4, :, 0], 2 * (one - one.min()) / (one.max() - one.min()) - 1)


def test_even_and_drawn_frames():
    np.testing.assert_array_equal(transforms.even_frames(10, 4), [0, 3, 6, 9])
    np.testing.assert_array_equal(transforms.even_frames(1, 3), [0, 0, 0])
    random.seed(0)
    drawn = transforms.draw_frames(30, 52)
    assert (np.diff(drawn) >= 0).all()
    assert set(drawn) <= set(range(30))
    assert len(transforms.draw_frames(1, 200)) == 200
    views = np.array([transforms.draw_view() for _ in range(3000)])
    assert (views.min(), views.max()) == (-60, 60)


def test_auto_pading():
    clip = walk(10)
    padded = transforms.auto_pading(clip, 16)
    assert (padded.shape, padded.dtype) == ((3, 16, 25, 2), np.float64)
    np.testing.assert_array_equal(padded[:, :10], clip)
    assert not padded[:, 10:].any()
    assert transforms.auto_pading(clip, 10) is clip
    random.seed(0)
    padded = [transforms.auto_pading(clip, 12, random_pad=True) for _ in range(50)]
    assert {int(np.flatnonzero(one.any(axis=(0, 2, 3)))[0]) for one in padded} == {0, 1, 2}


def test_random_choose():
    clip = walk(10)
    random.seed(0)
    assert transforms.random_choose(clip, 10) is clip
    crops = [transforms.random_choose(clip, 8) for _ in range(50)]
    starts = {next(i for i in range(3) if np.array_equal(crop, clip[:, i:i + 8])) for crop in crops}
    assert starts == {0, 1, 2}
    assert transforms.random_choose(clip, 14).shape[1] == 14
    assert transforms.random_choose(clip, 14, auto_pad=False) is clip
    with pytest.raises(UserError, match="positive window_size"):
        transforms.random_choose(clip, -1)


def test_random_shift_moves_the_occupied_span():
    clip = np.zeros((3, 12, 25, 2), np.float32)
    clip[:, 2:6] = walk(4)
    clip[:, 4] = 0  # a gap inside the span stays
    random.seed(1)
    starts = set()
    for _ in range(80):
        shifted = transforms.random_shift(clip)
        assert shifted.dtype == np.float64
        start = int(np.flatnonzero(shifted.any(axis=(0, 2, 3)))[0])
        np.testing.assert_array_equal(shifted[:, start:start + 4], clip[:, 2:6])
        assert np.count_nonzero(shifted) == np.count_nonzero(clip)
        starts.add(start)
    assert starts == set(range(9))
    assert not transforms.random_shift(np.zeros_like(clip)).any()


def test_random_move_glides_between_two_states():
    clip = walk(30)
    original = clip.copy()
    np.random.seed(2)
    moved = transforms.random_move(clip)
    assert moved is clip
    np.random.seed(2)
    angle, scale, x, y = (np.linspace(*np.random.choice(choices, 2), 30) for choices in (
        [-10, -5, 0, 5, 10], [0.9, 1, 1.1], [-0.2, -0.1, 0, 0.1, 0.2], [-0.2, -0.1, 0, 0.1, 0.2]))
    for t in (0, 13, 29):
        turn = np.radians(angle[t])
        matrix = scale[t] * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        expected = np.einsum("ij,jvm->ivm", matrix, original[:2, t]) + np.array([x[t], y[t]])[:, None, None]
        np.testing.assert_allclose(moved[:2, t], expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(moved[2], original[2])
    flat = transforms.random_move(walk(5)[:2])
    assert flat.shape[0] == 2


def test_random_move_moves_missing_joints_too():
    np.random.seed(0)
    moved = transforms.random_move(np.zeros((3, 4, 25, 2), np.float32), shifts=(0.5,))
    np.testing.assert_allclose(moved[:2], 0.5)


def test_downsample():
    clip = walk(11)
    np.testing.assert_array_equal(transforms.downsample(clip, 3, random_sample=False), clip[:, ::3])
    random.seed(0)
    assert {transforms.downsample(clip, 3).shape[1] for _ in range(40)} == {3, 4}
