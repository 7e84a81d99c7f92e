"""Pre-normalisation: the whole-array version against the one-joint-at-a-time definition, and its corner cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skeleton_lab.data.prepare.prenormalize import CLIPS_AT_ONCE, pre_normalize
from tests.plain_prenormalize import plain_pre_normalize

TOLERANCE = {"rtol": 0, "atol": 3e-6}  # coordinates of up to about 10; float32 resolves 1e-6 there


def recordings(seed, num_clips=2, num_frames=12, num_bodies=2):
    """Random bodies in places of a room, with every kind of gap."""
    rng = np.random.default_rng(seed)
    clips = np.zeros((num_clips, 3, num_frames, 25, num_bodies), np.float32)
    for clip in clips:
        for m in range(num_bodies):
            first, last = np.sort(rng.integers(0, num_frames + 1, 2)) if rng.random() < 0.8 else (0, num_frames)
            clip[:, first:last, :, m] = rng.normal(0, 0.4, (3, last - first, 25)) + rng.uniform(-3, 3, (3, 1, 1))
            clip[:, rng.random(num_frames) < 0.2, :, m] = 0  # frames the tracker lost
            clip[:, (rng.random((num_frames, 25)) < 0.1), m] = 0  # joints it lost
    return clips


@given(seed=st.integers(0, 10**6), num_bodies=st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_whole_arrays_do_what_single_joints_do(seed, num_bodies):
    clips = recordings(seed, num_bodies=num_bodies)
    original = clips.copy()
    result = pre_normalize(clips)
    assert result.dtype == np.float32 and result.shape == clips.shape and result.flags.c_contiguous
    np.testing.assert_allclose(result, plain_pre_normalize(clips), **TOLERANCE)
    np.testing.assert_array_equal(clips, original)


def test_a_clip_comes_out_alike_alone_and_among_many():
    clips = recordings(1, num_clips=2 * CLIPS_AT_ONCE + 3)
    alone = np.concatenate([pre_normalize(clip[None]) for clip in clips])
    np.testing.assert_array_equal(pre_normalize(clips), alone)


def test_any_memory_layout_and_float_type_will_do():
    clips = recordings(2)
    frames_first = np.ascontiguousarray(clips.transpose(0, 2, 4, 3, 1)).transpose(0, 4, 1, 3, 2)  # (N, 3, T, V, M) view
    for same in (frames_first, clips.astype(np.float64)):
        np.testing.assert_array_equal(pre_normalize(same), pre_normalize(clips))


def test_the_short_clip_repeats_to_the_end():
    clips = np.zeros((1, 3, 7, 25, 2), np.float32)
    clips[0, :, :3, :, 0] = np.random.default_rng(0).normal(size=(3, 3, 25))
    result = pre_normalize(clips)
    np.testing.assert_array_equal(result[:, :, [3, 4, 5, 6]], result[:, :, [0, 1, 2, 0]])
    assert not result[..., 1].any()


def test_a_late_body_moves_to_the_front_and_closes_its_gaps_and_an_early_one_keeps_them():
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(3, 6, 25)).astype(np.float32)
    late, early = np.zeros((1, 3, 6, 25, 1), np.float32), np.zeros((1, 3, 6, 25, 1), np.float32)
    late[0, :, [2, 5], :, 0] = frames[:, [2, 5]].transpose(1, 0, 2)
    early[0, :, [0, 3], :, 0] = frames[:, [2, 5]].transpose(1, 0, 2)
    late, early = pre_normalize(late), pre_normalize(early)
    assert late.any(axis=(0, 1, 3, 4)).tolist() == [True] * 6
    assert early.any(axis=(0, 1, 3, 4)).tolist() == [True, False, False, True, True, False]  # 0..3 repeat, gaps and all
    np.testing.assert_array_equal(late[:, :, 1], late[:, :, 3])


def test_spine_middle_is_the_origin_and_the_body_stands_upright_facing_the_camera():
    clips = recordings(3, num_clips=5)
    clips[..., 0] = np.random.default_rng(0).normal(size=clips.shape[:-1])
    result = pre_normalize(clips)
    assert not result[:, :, :, 1, 0].any()
    shoulders = result[:, :, 0, 8, 0] - result[:, :, 0, 4, 0]
    np.testing.assert_allclose(shoulders[:, 1:], 0, atol=1e-5)  # (N, 3): nothing but x is left
    assert (shoulders[:, 0] > 0).all()


def test_distances_between_joints_stay():
    clips = np.random.default_rng(0).normal(size=(3, 3, 4, 25, 2)).astype(np.float32)
    result = pre_normalize(clips)

    def lengths(x):
        return np.linalg.norm(x[..., 1:, :] - x[..., :-1, :], axis=1)

    np.testing.assert_allclose(lengths(result), lengths(clips), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", [
    "empty clip", "first body empty", "spine of length zero", "already aligned", "upside down"])
def test_corner_cases_agree_with_the_definition(case):
    clips = np.random.default_rng(0).normal(size=(1, 3, 5, 25, 2)).astype(np.float32)
    if case == "empty clip":
        clips[:] = 0
    elif case == "first body empty":
        clips[..., 0] = 0
    elif case == "spine of length zero":
        clips[:, :, :, 1] = clips[:, :, :, 0]
    else:
        clips[:, :, 0, [0, 1, 4, 8], 0] = 0.5
        clips[:, 2, 0, 1, 0] += 0.25 if case == "already aligned" else -0.25
        clips[:, 0, 0, 8, 0] += 0.25 if case == "already aligned" else -0.25
    result = pre_normalize(clips)
    np.testing.assert_allclose(result, plain_pre_normalize(clips), **TOLERANCE)
    if case == "first body empty":
        np.testing.assert_array_equal(result, clips)
    if case in ("already aligned", "upside down"):  # exact opposites are left alone, too
        np.testing.assert_array_equal(result, clips - clips[:, :, :, 1:2, :1])


def test_no_clips_give_no_clips_and_another_skeleton_is_refused():
    assert pre_normalize(np.zeros((0, 3, 5, 25, 2), np.float32)).shape == (0, 3, 5, 25, 2)
    for shape in ((1, 3, 5, 18, 2), (1, 2, 5, 25, 2), (3, 5, 25, 2)):
        with pytest.raises(ValueError, match=r"\(N, 3, T, 25, M\) expected"):
            pre_normalize(np.zeros(shape))
