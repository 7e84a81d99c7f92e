"""The file of a video's people: what is written is read, and what does not belong together is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.data.formats.extracted import write_extracted
from skeleton_lab.data.formats.face import Wanted
from skeleton_lab.data.formats.recording import Unit
from skeleton_lab.data.formats.registry import open_recordings
from skeleton_lab.errors import UserError

ABOUT = {"joints": "coco17", "fps": 25.0, "image_size": [640, 480]}
ROWS = {"picture": np.arange(3 * 17 * 3, dtype=np.float32).reshape(3, 17, 3) + 1, "frame": np.array([0, 3, 3]),
        "person": np.array([4, 7, 4]), "space": np.ones((3, 17, 3), np.float32)}


def written(path: Path, rows: dict | None = None, times: int = 6, **about) -> Path:
    write_extracted(path, {**ROWS, **(rows or {})}, np.arange(times) / 25, {**ABOUT, **about})
    return path


def test_people_stand_in_their_frames_and_the_rest_is_nobody(tmp_path):
    path = written(tmp_path / "a.npz")
    [flat] = open_recordings(path)
    assert flat.frames.shape == (6, 2, 17, 2) and flat.body_ids == ("4", "7") and flat.unit is Unit.PIXELS
    np.testing.assert_array_equal(flat.frames[3, 1], ROWS["picture"][1, :, :2])
    np.testing.assert_array_equal(flat.confidence[3, 0], ROWS["picture"][2, :, 2])
    assert not flat.frames[[1, 2, 4, 5]].any() and not flat.frames[0, 1].any() and flat.num_frames == 6
    [space] = open_recordings(path, Wanted(in_space=True))
    assert space.unit is Unit.METRES and space.frames.shape == (6, 2, 17, 3) and space.y_down


@pytest.mark.parametrize(("rows", "about"), [
    ({"frame": np.array([0, 3])}, {}), ({"frame": np.array([0, 3, 6])}, {}), ({"frame": np.array([0, 3, -1])}, {}),
    ({"frame": np.array([0., 3, 3])}, {}), ({"person": np.array([[4, 7, 4]])}, {}),
    ({"picture": np.full((3, 17, 3), np.nan, np.float32)}, {}), ({"picture": np.ones((3, 18, 3))}, {}),
    ({"picture": np.ones((3, 17))}, {}), ({"space": np.ones((3, 17, 2))}, {}),
    ({}, {"joints": "none"}), ({}, {"joints": ["coco17"]}), ({}, {"fps": None}),
    ({}, {"fps": 0}), ({}, {"fps": True}), ({"person": np.array([4., 7, 4])}, {}),
])
def test_what_does_not_belong_together_is_refused(tmp_path, rows, about):
    path = written(tmp_path / "a.npz", rows, **about)
    with pytest.raises(UserError, match=r"a\.npz: .*; make it again with extract_poses\.py"):
        open_recordings(path, Wanted(in_space=True))


@pytest.mark.parametrize("size", [None, [640], ["a", "b"], [0, 480], [float("nan"), 1]])
def test_without_a_usable_size_there_is_none(tmp_path, size):
    assert open_recordings(written(tmp_path / "a.npz", image_size=size))[0].image_size is None
