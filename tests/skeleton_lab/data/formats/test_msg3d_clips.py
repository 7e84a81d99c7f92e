"""MS-G3D's clips: which people of a recording are kept, and how damaged Kinetics recordings are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skeleton_lab.data.formats.kinetics import most_certain_poses
from skeleton_lab.data.formats.msg3d_clips import (
    liveliest_bodies,
    read_kinetics_clip,
    read_ntu_clip,
)
from skeleton_lab.data.formats.sightings import Sightings
from skeleton_lab.errors import NothingToSee, UserError
from tests.skeleton_texts import body_lines, recording_lines


def recording(num_frames: int, *sightings: tuple[int, int, float]) -> Sightings:
    """Return sightings (frame, slot, spread along x in metres), each slot's body at a depth of 8 * (slot + 1)."""
    frames, slots, spreads = zip(*sightings, strict=True)
    joints = np.zeros((len(frames), 25, 3))
    joints[..., 0] = np.linspace(-0.5, 0.5, 25) * np.array(spreads)[:, None]
    joints[..., 2] = 8.0 * (np.array(slots)[:, None] + 1)
    return Sightings(num_frames, np.array(frames), np.array(slots), ("7",) * len(frames), joints,
                     np.zeros((len(frames), 25), np.uint8))


def who(clip: np.ndarray) -> list[list[int]]:
    """Return, per frame, the slots of the two bodies counted from 1; 0 for nobody."""
    return (clip[2].mean(axis=1) / 8).round().astype(int).tolist()  # (F, V, M) -> (F, M)


def test_the_two_liveliest_places_are_kept() -> None:
    clip = liveliest_bodies(recording(3, (0, 0, 1), (0, 1, 3), (0, 2, 2), (2, 0, 1), (2, 1, 3), (2, 2, 2)))
    assert clip.shape == (3, 3, 25, 2) and clip.dtype == np.float32
    assert who(clip) == [[2, 3], [0, 0], [2, 3]]


def test_frames_without_a_body_do_not_lessen_its_energy() -> None:
    assert who(liveliest_bodies(recording(2, (0, 0, 1), (1, 0, 1), (1, 1, 1.1)))) == [[0, 1], [2, 1]]


def test_among_equals_the_later_place_comes_first() -> None:
    assert who(liveliest_bodies(recording(1, (0, 0, 1), (0, 1, 1), (0, 2, 1)))) == [[3, 2]]
    assert who(liveliest_bodies(recording(1, (0, 0, 0)))) == [[0, 0]]  # even an empty place


def test_a_fifth_body_is_ignored() -> None:
    assert who(liveliest_bodies(recording(1, *((0, slot, slot + 1) for slot in range(6))))) == [[4, 3]]


def test_ntu_recordings_without_bodies_or_too_long_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.skeleton"
    path.write_text("2\n0\n0\n")
    with pytest.raises(NothingToSee, match="no frame holds a body"):
        read_ntu_clip(str(path), 0)
    path.write_text("\n".join(recording_lines(*([body_lines()] for _ in range(301)))))
    with pytest.raises(UserError, match="301 frames, but MS-G3D's files hold 300"):
        read_ntu_clip(str(path), 0)


def person(value: float, score: float) -> dict[str, Any]:
    return {"pose": [value] * 36, "score": [score] * 18}


def kinetics(tmp_path: Path, content: Any, label: int = 3) -> np.ndarray:
    path = tmp_path / "video.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_kinetics_clip(str(path), label)


def test_kinetics_keeps_the_two_surest_of_the_first_five(tmp_path: Path) -> None:
    people = [person(0.1 * number, score) for number, score in enumerate((0.2, 0.9, 0.5, 0.9, 0.1, 1.0))]
    clip = kinetics(tmp_path, {"label_index": 3, "data": [{"frame_index": 4, "skeleton": people}]})
    assert clip.shape == (3, 5, 18, 2) and clip.dtype == np.float32
    assert not clip[:, :4].any()
    np.testing.assert_allclose(clip[0, 4, 0], [0.1 - 0.5, 0.3 - 0.5], atol=1e-7)
    np.testing.assert_allclose(clip[1, 4, 0], [0.5 - 0.1, 0.5 - 0.3], atol=1e-7)
    np.testing.assert_allclose(clip[2, 4, 0], [0.9, 0.9], atol=1e-7)


def test_joints_without_confidence_are_at_zero() -> None:
    clip = most_certain_poses(np.concatenate([np.full((2, 1, 18, 5), 0.25), np.zeros((1, 1, 18, 5))]))
    assert clip.shape == (3, 1, 18, 2) and not clip.any()


@pytest.mark.parametrize(("content", "what"), [
    ("", "video.json:1: is not JSON"), ('{\n"data": [\n}', "video.json:3: is not JSON"), ("[" * 100_000, "is not JSON"),
    ("\x00\xff", "is not JSON"), ([], "no list of frames"), ({"data": 3}, "no list of frames"),
    ({"data": [], "label_index": 4}, "label_index is 4, but 3 in the label file"),
    ({"data": [{}], "label_index": 3}, "frame 1 of its list: KeyError"),
    ({"data": [{"frame_index": 300, "skeleton": []}], "label_index": 3}, "frame_index 300 is not in 0..299"),
    ({"data": [{"frame_index": -1, "skeleton": []}], "label_index": 3}, "frame_index -1 is not in 0..299"),
    ({"data": [{"frame_index": "1", "skeleton": []}], "label_index": 3}, "frame_index '1'"),
    ({"data": [{"frame_index": 0, "skeleton": 7}], "label_index": 3}, "frame 1 of its list: TypeError"),
    ({"data": [{"frame_index": 0, "skeleton": [{"pose": [0] * 35, "score": [0] * 18}]}], "label_index": 3}, "frame 1"),
    ({"data": [{"frame_index": 0, "skeleton": [{"pose": [0] * 36, "score": [0] * 17}]}], "label_index": 3}, "frame 1"),
    ({"data": [{"frame_index": 0, "skeleton": [{"pose": ["a"] * 36, "score": [0] * 18}]}], "label_index": 3}, "frame"),
    ('{"label_index": 3, "data": [{"frame_index": 0, "skeleton": [{"pose": [' + "NaN," * 35 + 'NaN], "score": ['
     + "1," * 17 + "1]}]}]}", "holds the word NaN"),
])
def test_damaged_kinetics_recordings_are_one_line(tmp_path: Path, content: Any, what: str) -> None:
    with pytest.raises(UserError, match=r"video\.json") as caught:
        kinetics(tmp_path, content)
    assert what in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 300
