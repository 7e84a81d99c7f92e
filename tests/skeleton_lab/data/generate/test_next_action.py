"""The chain that decides what comes next, and clips one after the other."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab.data.generate.next_action import Chain, concatenate


@pytest.mark.parametrize("num_actions", [3, 10])
def test_the_likely_successors_make_one_cycle_and_all_actions_are_equally_frequent(num_actions):
    chain = Chain.make(num_actions, 0.8, seed=2)
    seen = [0]
    while chain.successor[seen[-1]] != 0:
        seen.append(int(chain.successor[seen[-1]]))
    assert sorted(seen) == list(range(num_actions))
    np.testing.assert_allclose(chain.matrix.sum(axis=0), 1)
    np.testing.assert_allclose(chain.matrix.sum(axis=1), 1)
    assert not np.array_equal(Chain.make(10, 0.8, 3).successor, Chain.make(10, 0.8, 4).successor)


def test_the_best_accuracy_is_that_of_naming_the_likely_successor():
    chain = Chain.make(6, 0.7, seed=0)
    rng = np.random.default_rng(0)
    drawn = np.array([chain.draw(3, rng) for _ in range(20_000)])
    assert chain.best_accuracy() == pytest.approx(0.7)
    assert np.mean(chain.successor[drawn[:, 1]] == drawn[:, 2]) == pytest.approx(0.7, abs=0.015)
    two_on = chain.successor[chain.successor[drawn[:, 0]]]
    assert np.mean(two_on == drawn[:, 2]) == pytest.approx(chain.best_accuracy(2), abs=0.015)
    assert np.bincount(drawn[:, 2], minlength=6) / len(drawn) == pytest.approx(np.full(6, 1 / 6), abs=0.015)


def test_clips_follow_each_other_where_the_first_person_stands():
    rng = np.random.default_rng(1)
    clips = [rng.standard_normal((*sides, 25, 3)).astype(np.float32) for sides in ((4, 1), (6, 2), (3, 1))]  # T, M
    joined = concatenate(clips, centre_joint=1)
    assert joined.shape == (13, 2, 25, 3) and joined.dtype == np.float32
    assert not joined[:4, 1].any() and joined[4:10, 1].all() and not joined[10:, 1].any()
    np.testing.assert_array_equal(joined[:4, 0], clips[0][:, 0])
    for start in (4, 10):
        np.testing.assert_allclose(joined[start, 0, 1, [0, 2]], joined[start - 1, 0, 1, [0, 2]], atol=1e-6)
    for start, clip in ((4, clips[1]), (10, clips[2])):
        moved = joined[start:start + len(clip), :clip.shape[1]] - clip
        np.testing.assert_allclose(moved, np.broadcast_to(moved[0, 0, 0], moved.shape), atol=1e-5)
        assert abs(moved[..., 1]).max() == 0  # heights stay
