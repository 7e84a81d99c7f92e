"""Bodies and actors of NTU recordings: the golden arrays, and each rule on a recording made for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.data.formats.ntu import NTU60, NTU120, parse_name
from skeleton_lab.data.formats.sightings import Sightings
from skeleton_lab.data.formats.skeleton_file import read_recording
from skeleton_lab.data.prepare.actors import ACTOR_VALUES, Body, Scene, choose_actors, collect_bodies, translate
from tests.skeleton_texts import GOLDEN, unpack

NO_FRAMES = np.empty(0, np.int64)


def body(name: str, first: int, num_frames: int, motion: float = 0.1, width: float = 0.3) -> Body:
    """Return an upright body that moves along x by `motion` metres; `name` metres beyond 2 m away."""
    joints = np.zeros((num_frames, 25, 3), np.float32)
    joints[..., 0] = np.linspace(0, width, 25) + motion * np.linspace(0, 1, num_frames)[:, None]
    joints[..., 1] = np.linspace(0.1, 1.1, 25)
    joints[..., 2] = 2 + float(name)
    return Body(name, first, joints)


def scene(num_frames: int, *bodies: Body) -> Scene:
    return Scene(num_frames, bodies, NO_FRAMES)


def who(rows: np.ndarray, actor: int) -> list[int]:
    """Return, per frame, whose body stands in an actor's columns (0: nobody's)."""
    depth = rows[:, actor * ACTOR_VALUES + 2]
    return np.where(depth == 0, 0, depth - 2).round().astype(int).tolist()


@pytest.mark.parametrize(("benchmark", "protocol", "archive"), [
    (NTU60, 0, "NTU60_CS"), (NTU60, 1, "NTU60_CV"), (NTU120, 0, "NTU120_CSub"), (NTU120, 1, "NTU120_CSet")])
def test_golden_recordings(tmp_path: Path, benchmark, protocol: int, archive: str) -> None:
    expected = np.load(GOLDEN / "expected.npz")
    rule = benchmark.protocols[protocol]
    paths = sorted(unpack("skeletons", tmp_path).iterdir())
    for part in ("train", "test"):
        chosen = [path for group in getattr(rule, part) for path in paths if rule.group(parse_name(path.name)) == group]
        assert len(chosen) == len(expected[f"{archive}/x_{part}"])
        for path, row in zip(chosen, expected[f"{archive}/x_{part}"], strict=True):
            found = translate(choose_actors(collect_bodies(read_recording(path))))
            assert found is not None and found.dtype == np.float32
            np.testing.assert_allclose(found, row[:len(found), :found.shape[1]], rtol=0, atol=1e-6)
            assert not row[len(found):].any()


def test_collecting_drops_empty_frames_and_closes_gaps() -> None:
    joints = np.arange(5 * 75, dtype=np.float64).reshape(5, 25, 3)
    recording = Sightings(6, np.array([1, 1, 3, 4, 4]), np.array([0, 1, 0, 0, 1]), ("7", "5", "5", "7", "5"), joints,
                          np.zeros((5, 25), np.uint8))
    found = collect_bodies(recording)
    assert found.num_frames == 3 and found.dropped.tolist() == [0, 2, 5]
    assert [(entry.body_id, entry.first, entry.last) for entry in found.bodies] == [("7", 0, 1), ("5", 0, 2)]
    np.testing.assert_array_equal(found.bodies[0].joints, joints[[0, 3]])
    np.testing.assert_array_equal(found.bodies[1].joints, joints[[1, 2, 4]])


def test_a_body_listed_twice_in_a_frame_never_outgrows_the_scene() -> None:
    recording = Sightings(2, np.array([0, 1, 1]), np.array([0, 0, 1]), ("7", "7", "7"), np.ones((3, 25, 3)),
                          np.zeros((3, 25), np.uint8))
    assert choose_actors(collect_bodies(recording)).shape == (2, ACTOR_VALUES)


def test_one_body_keeps_its_zero_frames_and_several_lose_theirs() -> None:
    lonely = body("1", 0, 20)
    lonely.joints[4] = 0
    assert choose_actors(scene(20, lonely)).shape == (20, ACTOR_VALUES)
    assert choose_actors(scene(20, lonely, body("2", 0, 11))).shape == (19, ACTOR_VALUES)


def test_short_bodies_are_noise() -> None:
    assert choose_actors(scene(30, body("1", 0, 30), body("2", 0, 11))).shape == (30, ACTOR_VALUES)
    assert choose_actors(scene(30, body("1", 0, 30), body("2", 0, 12))).shape == (30, 2 * ACTOR_VALUES)


def test_among_short_bodies_the_longest_stays() -> None:
    rows = choose_actors(scene(12, body("1", 0, 5), body("2", 2, 9), body("3", 3, 9)))
    assert rows.shape == (9, ACTOR_VALUES) and set(who(rows, 0)) == {2}


def test_bodies_mostly_too_wide_are_noise() -> None:
    wide = body("2", 0, 30, motion=5, width=0.9)
    assert choose_actors(scene(30, body("1", 0, 30), wide)).shape == (30, ACTOR_VALUES)
    wide.joints[:10] = body("2", 0, 10, motion=0.02).joints  # 20 of 30 frames: below the limit
    rows = choose_actors(scene(30, body("1", 0, 30), wide))
    assert rows.shape == (30, 2 * ACTOR_VALUES)
    assert set(who(rows, 0)) == {1}  # its wild frames do not count as motion


def test_the_last_body_is_never_noise() -> None:
    bodies = [body(str(number), 0, 30, width=2) for number in (1, 2, 3)]
    assert set(who(choose_actors(scene(30, *bodies)), 0)) == {3}


def test_the_liveliest_body_is_the_first_actor_and_ties_keep_their_order() -> None:
    rows = choose_actors(scene(20, body("1", 0, 20), body("2", 0, 20, motion=0.5)))
    assert (set(who(rows, 0)), set(who(rows, 1))) == ({2}, {1})
    rows = choose_actors(scene(20, body("1", 0, 20), body("2", 0, 20)))
    assert (set(who(rows, 0)), set(who(rows, 1))) == ({1}, {2})


def test_bodies_one_after_the_other_are_one_actor() -> None:
    rows = choose_actors(scene(40, body("1", 0, 20, motion=0.5), body("2", 19, 21)))  # they share a frame: later wins
    assert who(rows, 0) == [1] * 19 + [2] * 21 and who(rows, 1) == [0] * 40


def test_a_weak_body_before_the_second_actor_is_lost() -> None:
    rows = choose_actors(scene(60, body("1", 0, 60, motion=0.9), body("2", 30, 30, motion=0.5), body("3", 0, 20)))
    assert who(rows, 1) == [0] * 30 + [2] * 30


def test_translation_keeps_a_missing_actor_at_zero() -> None:
    rows = np.zeros((3, 150), np.float32)
    rows[1:, :75] = np.arange(75) + 1
    rows[:2, 75:] = 5
    moved = translate(rows)
    assert moved is not None
    assert not moved[0, :75].any() and not moved[2, 75:].any()
    np.testing.assert_array_equal(moved[1, 3:6], [0, 0, 0])
    np.testing.assert_array_equal(moved[0, 75:78], [1, 0, -1])
    single = translate(rows[:, :75])
    assert single is not None
    np.testing.assert_array_equal(single[0, :3], [-4, -5, -6])
    assert translate(np.zeros((3, 75), np.float32)) is None


def test_no_bodies_no_actors() -> None:
    with pytest.raises(ValueError, match="no actors"):
        choose_actors(scene(3))
