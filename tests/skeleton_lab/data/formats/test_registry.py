"""Every format behind one face: recordings of each, what tells it, and what is said of files that none knows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.data.formats.archive import NpzWriter
from skeleton_lab.data.formats.face import Wanted
from skeleton_lab.data.formats.labels import write_labels
from skeleton_lab.data.formats.ntu import parse_name
from skeleton_lab.data.formats.recording import Made, Recording
from skeleton_lab.data.formats.registry import FORMATS, files_of, open_recordings
from skeleton_lab.data.generate import synthetic
from skeleton_lab.data.prepare.prenormalize import pre_normalize
from skeleton_lab.errors import UserError
from skeleton_lab.own_skeletons import MSR_ACTION3D_20, UTD_MHAD_20
from skeleton_lab.skeletons import NTU_25, OPENPOSE_18, UCLA_20
from tests.skeleton_texts import OTHER_ID, body_lines, one_body, recording_lines, unpack

SAMPLE = "S001C001P001R001A005"


def only(path: Path, **wanted: object) -> Recording:
    """Return the one recording of a file."""
    recording, = open_recordings(path, Wanted(**wanted))
    return recording


@pytest.fixture(scope="module")
def two_people() -> np.ndarray:
    """(T, 2, 25, 3) float32."""
    return synthetic.make_clip(parse_name(SAMPLE))


def write_archive(path: Path, x: np.ndarray, *splits: str, **more: np.ndarray) -> Path:
    with NpzWriter(path) as writer:
        for part in splits or ("train", "test"):
            writer.write(f"x_{part}", x)
            writer.write(f"y_{part}", np.arange(len(x)))
        for key, value in more.items():
            writer.write(key, value)
    return path


def test_skeleton_files_hold_bodies_by_id(tmp_path: Path) -> None:
    path = tmp_path / f"{SAMPLE}.skeleton"
    path.write_text("\n".join(recording_lines([body_lines()], [body_lines(OTHER_ID), body_lines(shift=1)], [])))
    found = only(path)
    assert (found.skeleton, found.label, found.class_name, found.fps) == (NTU_25, 4, "drop", 30)
    assert found.num_frames == 3 and found.frames.shape == (3, 2, 25, 3) and len(found.body_ids) == 2
    clip = found.picture("x")
    assert clip.present.tolist() == [[True, False], [True, True]]  # the empty frame at the end is dropped
    assert clip.frames[1, 0, 0, 0] == 1 and clip.frames[1, 1, 0, 0] == 0


def test_archives_in_all_layouts_hold_the_same(tmp_path: Path, two_people: np.ndarray) -> None:
    padded = np.zeros((1, 150, 2, 25, 3), np.float32)
    padded[0, :len(two_people)] = two_people
    kaggle = only(write_archive(tmp_path / "kaggle.npz", padded.reshape(1, 150, 150)))
    converted = only(write_archive(tmp_path / "converted.npz", padded.transpose(0, 4, 1, 3, 2)))
    for found in (kaggle, converted):
        assert found.num_frames == len(two_people) and found.skeleton is NTU_25 and found.made is Made.ARCHIVED
        np.testing.assert_array_equal(found.picture("x").frames, two_people)
    assert kaggle.name == f"{tmp_path / 'kaggle.npz'}:test 0" and kaggle.class_name == "class 0"


def test_an_archives_skeleton_is_told_its_own_or_the_runs(tmp_path: Path) -> None:
    """Twenty joints are NW-UCLA's, UTD-MHAD's or MSR-Action3D's: nothing is guessed."""
    clips = np.ones((2, 3, 5, 20, 1), np.float32)
    silent = write_archive(tmp_path / "silent.npz", clips)
    recording = open_recordings(silent, Wanted(indices=(1,)))[0]
    assert recording.skeleton is None
    with pytest.raises(UserError, match=r"test 1: does not say which skeleton its 20 joints are; .* --skeleton"):
        recording.known_skeleton()
    assert recording.with_skeleton(None, UTD_MHAD_20).skeleton is UTD_MHAD_20
    assert recording.with_skeleton(MSR_ACTION3D_20, UTD_MHAD_20).skeleton is MSR_ACTION3D_20
    for text in ("skeleton_lab.own_skeletons.UTD_MHAD_20", "UTD_MHAD_20", UTD_MHAD_20.name):
        says = write_archive(tmp_path / "says.npz", clips, skeleton=np.array(text))
        assert open_recordings(says)[0].with_skeleton(None, UCLA_20).skeleton is UTD_MHAD_20
    with pytest.raises(UserError, match="names the skeleton 'nobody', which is not known here"):
        open_recordings(write_archive(tmp_path / "says.npz", clips, skeleton=np.array("nobody")))
    with pytest.raises(UserError, match="has 20 joints, NTU RGB"):
        recording.with_skeleton(NTU_25)


def test_names_travel_in_archives(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "named.npz", np.ones((2, 3, 5, 20, 1), np.float32), fps=np.array(25),
                         class_names=np.array(["wave", "bow"]), names_test=np.array(["ann", "bob"]))
    found = open_recordings(path)[1]
    assert (found.name, found.class_name, found.fps) == (f"{path}:test 1 bob", "bow", 25)


def test_archives_without_labels_with_one_split_or_deflated(tmp_path: Path) -> None:
    clips = np.random.default_rng(0).normal(size=(3, 3, 5, 25, 2)).astype(np.float32)
    for arrays in ({"x_test": clips}, {"x": clips}, {"x_train": clips}, {"x_test": clips, "y_test": -np.ones(3, int)}):
        for save in (np.savez, np.savez_compressed):
            save(tmp_path / "x.npz", **arrays)
            found = open_recordings(tmp_path / "x.npz", Wanted(indices=(2,)))
            assert len(found) == 1 and found[0].label is None
            np.testing.assert_array_equal(found[0].frames, clips[2].transpose(1, 3, 2, 0))
    with pytest.raises(UserError, match="has no split 'train', only test"):
        open_recordings(tmp_path / "x.npz", Wanted("train"))


def test_msg3d_files_have_names_and_z_up(tmp_path: Path, two_people: np.ndarray) -> None:
    clip = np.ascontiguousarray(two_people.transpose(3, 0, 2, 1)[None])  # (1, C, T, V, M)
    path = tmp_path / "val_data_joint.npy"
    np.save(path, pre_normalize(clip))
    assert only(path).name == f"{path}:0" and only(path).label is None
    write_labels(tmp_path / "val_label.pkl", [f"raw/{SAMPLE}.skeleton"], [4])
    (tmp_path / "val_about.json").write_text(json.dumps({"class_names": ["a", "b", "c", "d", "wave"], "fps": 30}))
    found = only(path)
    assert found.name == f"{path}:0 {SAMPLE}" and found.class_name == "wave" and found.picture("x").up_axis == 2
    np.save(path, clip)
    assert only(path).picture("x").up_axis == 1
    (tmp_path / "val_about.json").write_text("[")
    with pytest.raises(UserError, match=r"val_about\.json: cannot be read"):
        only(path)


def test_json_is_told_by_its_structure(tmp_path: Path) -> None:
    joints = np.random.default_rng(0).normal(size=(4, 20, 3))
    for name, label in (("a02_s01_e00_v01.json", 1), ("mine.txt", None)):
        (tmp_path / name).write_text(json.dumps({"skeletons": joints.tolist(), "label": 2}))
        found = only(tmp_path / name)
        assert found.skeleton is UCLA_20 and found.label == label
        np.testing.assert_array_equal(found.frames[:, 0], joints)
    kinetics = only(unpack("kinetics_raw", tmp_path) / "kinetics_val" / "vid01.json")
    assert kinetics.skeleton is OPENPOSE_18 and kinetics.frames.shape[1:] == (2, 18, 2)
    assert kinetics.confidence.shape == kinetics.frames.shape[:3]
    assert not kinetics.picture("x").frames[..., 2].any()


def test_pku_mmd_is_two_people_a_row(tmp_path: Path, two_people: np.ndarray) -> None:
    path = tmp_path / "0002-L.txt"
    np.savetxt(path, two_people.reshape(len(two_people), 150), fmt="%.6f")
    found = only(path)
    assert found.skeleton is NTU_25 and found.fps == 30 and found.label is None
    np.testing.assert_allclose(found.frames, two_people, atol=1e-6)
    sightings = found.sightings()
    assert sightings.num_frames == len(two_people) and set(sightings.body_ids) == {"1", "2"}
    path.write_text(path.read_text() + "1 2 3\n")
    with pytest.raises(UserError, match=rf"0002-L.txt:{len(two_people) + 1}: 150 numbers expected .* found 3 words"):
        only(path)


def test_pku_mmd_is_cut_by_the_labels_beside_it(tmp_path: Path, two_people: np.ndarray) -> None:
    path, labels = tmp_path / "skeletons" / "0002-L.txt", tmp_path / "Train_Label_PKU_final" / "0002-L.txt"
    path.parent.mkdir()
    labels.parent.mkdir()
    np.savetxt(path, two_people.reshape(len(two_people), 150), fmt="%.6f")
    labels.write_text("5,2,9,2\n12,10,20,1\n")
    first, second = open_recordings(path)
    assert second.name == f"{path}:1 action 12" and second.label is None
    np.testing.assert_allclose(first.frames, two_people[2:9], atol=1e-6)
    assert len(only(path, long=True).frames) == len(two_people)
    for text, what in (("5,2,9999,2\n", "frames 2 to 9999 are none of the"), ("wave\n", "'wave' is no action")):
        labels.write_text(text)
        with pytest.raises(UserError, match=rf"0002-L\.txt:1: {what}"):
            open_recordings(path)


def test_screen_coordinates_are_no_metres(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    world = np.column_stack([rng.normal(0, 0.5, (400, 2)), rng.uniform(2, 4, 400), np.ones(400)])
    screen = np.column_stack([rng.uniform(90, 200, 400), rng.uniform(40, 200, 400), rng.uniform(600, 700, 400),
                              np.ones(400)])
    np.savetxt(tmp_path / "a02_s02_e01_skeleton3D.txt", world)
    found = only(tmp_path / "a02_s02_e01_skeleton3D.txt")
    assert found.skeleton is MSR_ACTION3D_20 and found.class_name == "horizontal arm wave"
    np.savetxt(tmp_path / "anything.txt", screen)
    with pytest.raises(UserError, match=r"holds screen coordinates .* give the recording's _skeleton3D\.txt file"):
        only(tmp_path / "anything.txt")


def test_a_name_tells_no_format(tmp_path: Path) -> None:
    """A recording under any suffix is what its content says."""
    (tmp_path / "x.json").write_text("\n".join(one_body(3)))
    assert only(tmp_path / "x.json").skeleton is NTU_25
    np.save(tmp_path / "clips.npy", np.ones((1, 3, 5, 25, 2), np.float32))
    (tmp_path / "clips.npy").rename(tmp_path / "clips.skeleton")
    assert only(tmp_path / "clips.skeleton").made is Made.FILED


@pytest.mark.parametrize(("content", "what"), [
    ({"people": 3}, "a pose estimator's output (JSON with 'people')"),
    ([{"keypoints": 3}], "a pose estimator's output (JSON with 'keypoints')"),
    ({"skeleton": 3}, "a JSON object with 'skeleton'"), ([1, 2], "a JSON list with nothing known"),
    ("0.1,0.2,0.3\n", "a table of 3 columns (CSV)"),
    ("1 2 3\n", "a text with 3 numbers in its first line"), ("hello\n", "a text that begins with 'hello'"),
    (b"\x80\x04K\x01.", "a pickle"), (b"\x00\x00\x00\x18ftypmp42", "a video (MP4)"), (b"\x00\x01", "a binary file"),
    ("", "an empty file")])
def test_what_no_format_knows_is_said_to_be_what_it_looks_like(tmp_path: Path, content: object, what: str) -> None:
    path = tmp_path / "clip.json"
    path.write_bytes(content if isinstance(content, bytes) else
                     (content if isinstance(content, str) else json.dumps(content)).encode())
    with pytest.raises(UserError) as caught:
        open_recordings(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: is no recording") and what in line and "\n" not in line
    assert "download" not in line and all(entry.name in line for entry in FORMATS)


def test_other_archives(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.ones(3))
    with pytest.raises(UserError, match=r"an archive of other arrays \(a \(3,\)\)"):
        open_recordings(tmp_path / "x.npz")


@pytest.mark.parametrize(("name", "index", "what"), [
    ("none.skeleton", 0, "cannot read it"), ("own.npz", 2, "there is no clip 2; it holds 2"),
    ("own.npz", -1, "there is no clip -1"), ("empty.npy", 0, "nobody is in it"), ("bad.npy", 0, "not finite"),
    ("flat.npy", 0, "an array of float32 of shape (3, 5), not clips (N, C, T, V, M)")])
def test_what_cannot_be_shown_is_one_line(tmp_path: Path, name: str, index: int, what: str) -> None:
    write_archive(tmp_path / "own.npz", np.ones((2, 3, 5, 18, 1), np.float32))
    np.save(tmp_path / "empty.npy", np.zeros((1, 3, 5, 25, 2), np.float32))
    np.save(tmp_path / "bad.npy", np.full((1, 3, 5, 25, 2), np.nan, np.float32))
    np.save(tmp_path / "flat.npy", np.zeros((3, 5), np.float32))
    with pytest.raises(UserError) as caught:
        open_recordings(tmp_path / name, Wanted(indices=(index,)))[0].picture("x")
    assert what in str(caught.value) and "\n" not in str(caught.value)


def test_the_files_of_a_folder(tmp_path: Path) -> None:
    for name in ("b.npy", "a.json", "notes.md"):
        (tmp_path / name).touch()
    assert [path.name for path in files_of(tmp_path)] == ["a.json", "b.npy"]
    assert files_of(tmp_path / "notes.md") == [tmp_path / "notes.md"]
