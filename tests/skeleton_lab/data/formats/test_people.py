"""Who is who over time, and the people who matter."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab.data.formats.people import Follower, assign_people, most_relevant, placed


def crowd(seed: int, hidden: dict[int, range], unlisted: range, cross: bool = False) -> tuple[list, list, np.ndarray]:
    """Two people who walk: detections in changing order, frame numbers, and (T, 2, 17, 3) where each really was."""
    rng = np.random.default_rng(seed)
    shape = rng.uniform(0, 1, (17, 2)) * (60, 170)
    start, step = rng.uniform(0, 300, (2, 2)), rng.normal(0, 3, (2, 2))
    if cross:
        start, step = np.array([[0.0, 0.0], [300.0, 4.0]]), np.array([[8.0, 0.0], [-8.0, 0.0]])
    truth = np.zeros((40, 2, 17, 3))
    detections, numbers = [], []
    for frame in range(40):
        people = [person for person in (0, 1) if frame not in hidden.get(person, ())]
        for person in people:
            truth[frame, person, :, :2] = shape + start[person] + step[person] * frame + rng.normal(0, 1.5, (17, 2))
            truth[frame, person, :, 2] = rng.uniform(0.3, 1, 17)
        if frame in unlisted:
            truth[frame] = 0
            continue
        detections.append(truth[frame, rng.permutation(people)])
        numbers.append(frame)
    return detections, numbers, truth


@pytest.mark.parametrize("seed", range(8))
def test_people_stay_who_they_are(seed: int) -> None:
    detections, numbers, truth = crowd(seed, {1: range(25, 31)}, range(12, 16))
    tracks = assign_people(detections, numbers)
    frames, confidence = placed(detections, numbers, tracks)
    assert frames.shape == (40, 2, 17, 2) and not frames[12:16].any() and not confidence[12:16].any()
    found = np.concatenate([frames, confidence[..., None]], axis=3)
    np.testing.assert_array_equal(found if np.array_equal(found, truth) else found[:, ::-1], truth)


def test_a_steady_walk_leads_past_each_other() -> None:
    """In one place and posture at frame 18: only where they were going tells them apart."""
    detections, numbers, truth = crowd(0, {}, range(17, 21), cross=True)
    frames, _ = placed(detections, numbers, assign_people(detections, numbers))
    assert frames.shape[1] == 2
    np.testing.assert_array_equal(frames if frames[0, 0, 0, 0] == truth[0, 0, 0, 0] else frames[:, ::-1],
                                  truth[..., :2])


def test_who_was_away_for_long_or_is_elsewhere_is_somebody_new() -> None:
    follower = Follower()
    person = np.concatenate([np.random.default_rng(0).uniform(0, 100, (1, 17, 2)), np.ones((1, 17, 1))], axis=2)
    assert follower.update(person, 0).tolist() == [0]
    assert follower.update(person[:0], 1).tolist() == []
    assert follower.update(person, 3).tolist() == [0]
    assert follower.update(np.add(person, (900, 0, 0)), 4).tolist() == [1]
    assert follower.update(person, 400).tolist() == [2]
    assert follower.update(np.add(person, (90, 0, 0)), 401).tolist() == [2]  # a leap


def test_joints_that_were_not_seen_do_not_count() -> None:
    rng = np.random.default_rng(1)
    first = np.concatenate([rng.uniform(0, 100, (17, 2)), np.ones((17, 1))], axis=1)
    half = first.copy()
    half[5:] = 0
    other = np.add(first, (60, 0, 0))
    tracks = assign_people([np.stack([first, other]), np.stack([other, half])], [0, 1])
    assert [track.tolist() for track in tracks] == [[0, 1], [1, 0]]


def test_the_surest_who_move_matter_most() -> None:
    rng = np.random.default_rng(2)
    body = rng.uniform(0, 100, (17, 2))
    frames = np.stack([np.stack([body, body + 200 + 2 * t, body + 500 + 50 * np.sin(t)]) for t in range(30)])
    sure = np.ones(frames.shape[:3])
    assert most_relevant(frames, sure) == [1, 2]  # the first one hangs on the wall
    sure[3:, 2] = 0
    assert most_relevant(frames, sure) == [0, 1]
    assert most_relevant(frames[:, :2], None) == [0, 1]
