"""Loading a clip from every format, and knowing which way is up."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.data.formats.any_clip import load_clip
from skeleton_lab.data.formats.archive import NpzWriter
from skeleton_lab.data.formats.labels import write_labels
from skeleton_lab.data.formats.ntu import parse_name
from skeleton_lab.data.generate import synthetic
from skeleton_lab.data.prepare.prenormalize import pre_normalize
from skeleton_lab.errors import UserError
from skeleton_lab.own_skeletons import UTD_MHAD_20
from tests.skeleton_texts import OTHER_ID, body_lines, recording_lines, unpack

SAMPLE = "S001C001P001R001A005"


@pytest.fixture(scope="module")
def two_people() -> np.ndarray:
    """(T, 2, 25, 3) float32."""
    return synthetic.make_clip(parse_name(SAMPLE))


def test_recordings_show_bodies_by_id(tmp_path: Path) -> None:
    path = tmp_path / f"{SAMPLE}.skeleton"
    path.write_text("\n".join(recording_lines([body_lines()], [body_lines(OTHER_ID), body_lines(shift=1)], [])))
    clip = load_clip(path)
    assert clip.frames.shape == (2, 2, 25, 3) and clip.title == SAMPLE  # the empty frame at the end is dropped
    assert clip.present.tolist() == [[True, False], [True, True]]
    assert clip.frames[1, 0, 0, 0] == 1 and clip.frames[1, 1, 0, 0] == 0


def write_archive(path: Path, x: np.ndarray) -> Path:
    with NpzWriter(path) as writer:
        for part in ("train", "test"):
            writer.write(f"x_{part}", x)
            writer.write(f"y_{part}", np.arange(len(x)))
    return path


def test_archives_in_all_layouts_show_the_same(tmp_path: Path, two_people: np.ndarray) -> None:
    padded = np.zeros((1, 150, 2, 25, 3), np.float32)
    padded[0, :len(two_people)] = two_people
    kaggle = load_clip(write_archive(tmp_path / "kaggle.npz", padded.reshape(1, 150, 150)), split="test")
    converted = load_clip(write_archive(tmp_path / "converted.npz", padded.transpose(0, 4, 1, 3, 2)))
    np.testing.assert_array_equal(kaggle.frames, two_people)
    np.testing.assert_array_equal(converted.frames, two_people)
    assert kaggle.title == "test 0, class 0" and kaggle.up_axis == converted.up_axis == 1


def test_archives_of_other_skeletons(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "own.npz", np.ones((2, 3, 5, 20, 1), np.float32))
    assert load_clip(path, 1).skeleton.name.startswith("NW-UCLA")
    assert load_clip(path, 1, skeleton=UTD_MHAD_20).skeleton is UTD_MHAD_20


def test_msg3d_files_have_names_and_z_up(tmp_path: Path, two_people: np.ndarray) -> None:
    clip = np.ascontiguousarray(two_people.transpose(3, 0, 2, 1)[None])  # (1, C, T, V, M)
    np.save(tmp_path / "val_data_joint.npy", pre_normalize(clip))
    assert load_clip(tmp_path / "val_data_joint.npy").title == "clip 0"
    write_labels(tmp_path / "val_label.pkl", [f"raw/{SAMPLE}.skeleton"], [4])
    found = load_clip(tmp_path / "val_data_joint.npy")
    assert found.title == f"{SAMPLE}, class 4" and found.up_axis == 2
    np.save(tmp_path / "val_data_joint.npy", clip)
    assert load_clip(tmp_path / "val_data_joint.npy").up_axis == 1


def test_json_is_ucla_or_kinetics(tmp_path: Path) -> None:
    ucla = tmp_path / "a02_s01_e00_v01.json"
    joints = np.random.default_rng(0).normal(size=(4, 20, 3))
    ucla.write_text(json.dumps({"skeletons": joints.tolist(), "label": 2}))
    assert load_clip(ucla).title == "a02_s01_e00_v01, class 1"
    kinetics = load_clip(unpack("kinetics_raw", tmp_path) / "kinetics_val" / "vid01.json")
    assert kinetics.frames.shape[1:] == (2, 18, 3) and not kinetics.frames[..., 2].any()


@pytest.mark.parametrize(("name", "index", "what"), [
    ("clip.csv", 0, "is of no format known here"), ("none.skeleton", 0, "cannot read it"),
    ("own.npz", 2, "there is no clip 2; it holds 2"), ("own.npz", -1, "there is no clip -1"),
    ("empty.npy", 0, "clip 0 is empty"), ("bad.npy", 0, "not finite"), ("flat.npy", 0, "not clips")])
def test_what_cannot_be_shown_is_one_line(tmp_path: Path, name: str, index: int, what: str) -> None:
    write_archive(tmp_path / "own.npz", np.ones((2, 3, 5, 20, 1), np.float32))
    np.save(tmp_path / "empty.npy", np.zeros((1, 3, 5, 25, 2), np.float32))
    np.save(tmp_path / "bad.npy", np.full((1, 3, 5, 25, 2), np.nan, np.float32))
    np.save(tmp_path / "flat.npy", np.zeros((3, 5), np.float32))
    with pytest.raises(UserError, match=what) as caught:
        load_clip(tmp_path / name, index)
    assert "\n" not in str(caught.value)


def test_a_skeleton_must_fit(tmp_path: Path, two_people: np.ndarray) -> None:
    np.save(tmp_path / "x.npy", two_people.transpose(3, 0, 2, 1)[None])
    with pytest.raises(UserError, match="has 25 joints, UTD-MHAD"):
        load_clip(tmp_path / "x.npy", skeleton=UTD_MHAD_20)
