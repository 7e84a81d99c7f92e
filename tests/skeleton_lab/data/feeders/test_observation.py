"""How many frames of a clip are seen, and what a clip of MS-G3D's files looks like when only they are."""

from __future__ import annotations

import random

import numpy as np
import pytest

from skeleton_lab.data.feeders.observation import Observation, observed_clip, repeats_to_the_end
from skeleton_lab.data.prepare.prenormalize import pre_normalize
from skeleton_lab.errors import UserError

T = 60


def raw_clip(num_frames: int, num_bodies: int = 1, first: int = 0) -> np.ndarray:
    """(C, T, V, M) like a converted clip: people from frame `first` on, zeros behind the last frame."""
    clip = np.zeros((3, T, 25, 2), np.float32)
    shape = (3, num_frames - first, 25, num_bodies)
    clip[:, first:num_frames, :, :num_bodies] = np.random.default_rng(3).standard_normal(shape)
    return clip


def cut(clip: np.ndarray, num_frames: int) -> np.ndarray:
    result = clip.copy()
    result[:, num_frames:] = 0
    return result


def test_a_share_of_the_valid_frames_to_the_nearest_and_at_least_one():
    num_valid = np.array([0, 1, 4, 10, 99, 300])
    assert Observation.of(0.1, "F").frames(num_valid).tolist() == [0, 1, 1, 1, 10, 30]
    assert Observation.of(0.7, "F").frames(num_valid).tolist() == [0, 1, 3, 7, 69, 210]
    assert Observation.of(0.999, "F").frames(num_valid).tolist() == [0, 1, 4, 10, 99, 300]


def test_the_whole_clip_is_left_alone_and_draws_nothing():
    before = random.getstate()
    whole, fixed = Observation.of(1, "F"), Observation.of([0.5, 0.5], "F")
    assert whole.whole and not fixed.whole and whole.frames(np.array([7, 0])).tolist() == [7, 0]
    fixed.frames(np.array([7, 8]))
    assert random.getstate() == before


def test_drawn_shares_cover_the_range_clip_by_clip():
    observation, num_valid = Observation.of((0.2, 0.5), "F"), np.full(2000, 100)
    random.seed(1)
    seen = observation.frames(num_valid)
    random.seed(1)
    one_by_one = [int(observation.frames(num_valid[:1])[0]) for _ in num_valid]
    assert seen.tolist() == one_by_one
    assert (seen.min(), seen.max()) == (20, 50) and abs(seen.mean() - 35) < 1


@pytest.mark.parametrize("observe", [0, -0.1, 1.01, float("nan"), True, "random", "0.5", None, [], [0.5, 0.2], [0, 1],
                                     [0.1, 0.2, 0.3], ["a", "b"], {"a": 1}, [True, 1]])
def test_what_is_no_share_is_refused(observe):
    with pytest.raises(UserError, match=r"^my\.Feeder: observe=.* is no share of a clip; give one number"):
        Observation.of(observe, "my.Feeder")


@pytest.mark.parametrize("num_bodies", [1, 2])
@pytest.mark.parametrize("num_frames", [4, 23, 37, T])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_pre_normalised_clip_is_that_of_the_cut_recording(num_frames, num_bodies, share):
    raw = raw_clip(num_frames, num_bodies)
    clip, = pre_normalize(raw[None])
    seen = observed_clip(clip, Observation.of(share, "F"), repeats=True)
    expected, = pre_normalize(cut(raw, max(1, round(share * num_frames)))[None])
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-6)


def test_where_zeros_follow_they_follow_the_observed_part():
    raw = raw_clip(40, 2, first=5)
    seen = observed_clip(raw, Observation.of(0.5, "F"), repeats=False)
    np.testing.assert_array_equal(seen, cut(raw, 20))
    assert seen is not raw and raw[:, 20:40].any()


def test_the_second_body_plays_no_part_in_how_long_a_clip_is():
    raw = raw_clip(40, 2)
    raw[:, 13:, :, 1] = 0
    seen = observed_clip(pre_normalize(raw[None])[0], Observation.of(0.25, "F"), repeats=True)
    np.testing.assert_allclose(seen, pre_normalize(cut(raw, 10)[None])[0], rtol=0, atol=1e-6)


def test_a_clip_may_hold_the_second_body_only():
    clip = np.zeros((3, T, 25, 2), np.float32)
    clip[..., 1] = raw_clip(20)[..., 0][:, np.arange(T) % 20]
    seen = observed_clip(clip, Observation.of(0.25, "F"), repeats=True)
    np.testing.assert_array_equal(seen, clip[:, np.arange(T) % 5])


@pytest.mark.parametrize("repeats", [True, False])
def test_empty_clips_stay_empty(repeats):
    assert not observed_clip(np.zeros((3, T, 25, 2)), Observation.of(0.3, "F"), repeats).any()


def test_how_a_file_pads_is_seen_from_its_clips():
    short, full, empty = raw_clip(30), raw_clip(T), np.zeros((3, T, 25, 2), np.float32)
    assert not repeats_to_the_end(np.stack([full, short]))
    assert repeats_to_the_end(np.stack([full, full]))
    assert repeats_to_the_end(pre_normalize(np.stack([full, short, empty])))
    assert repeats_to_the_end(np.zeros((0, 3, T, 25, 2)))
    many = np.broadcast_to(full, (5000, *full.shape))
    assert repeats_to_the_end(many)
