"""Recordings become the clips that the data pipelines make of them, whole or in windows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.data.formats.face import Wanted
from skeleton_lab.data.formats.ntu import NTU60, NTU120, parse_name
from skeleton_lab.data.formats.nw_ucla import NW_UCLA
from skeleton_lab.data.formats.recording import Made, Recording
from skeleton_lab.data.prepare.bones import joints_to_bones
from skeleton_lab.data.prepare.clip_archive import convert
from skeleton_lab.errors import NothingToSee, UserError
from skeleton_lab.predict.predictor import cut, windows
from skeleton_lab.predict.recordings import Archived, ClipFile, open_takes
from skeleton_lab.skeletons import NTU_25
from tests.skeleton_texts import GOLDEN, body_lines, one_body, recording_lines, unpack


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "expected.npz") as arrays:
        return {key: arrays[key] for key in arrays}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return unpack("skeletons", tmp_path_factory.mktemp("golden"))


def in_order(folder: Path, benchmark, protocol: str, part: str) -> list[Path]:
    """Return the recordings of an archive's rows."""
    chosen = next(entry for entry in benchmark.protocols if entry.name == protocol)
    numbers = getattr(chosen, part)
    paths = [path for path in sorted(folder.iterdir()) if chosen.group(parse_name(path.name)) in numbers]
    return sorted(paths, key=lambda path: numbers.index(chosen.group(parse_name(path.name))))


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(("archive", "benchmark", "protocol", "twin"), [
    ("NTU60_CS", NTU60, "xsub", False), ("NTU60_CV", NTU60, "xview", False), ("NTU120_CSub", NTU120, "xsub", True)])
def test_skeleton_files_give_the_rows_of_the_published_archives(folder, golden, archive, benchmark, protocol, twin):
    for part in ("train", "test"):
        paths, rows = in_order(folder, benchmark, protocol, part), golden[f"{archive}/x_{part}"]
        assert len(paths) == len(rows)
        for path, row, one_hot in zip(paths, rows, golden[f"{archive}/y_{part}"], strict=True):
            take, = open_takes(path, Wanted())
            clip = take.archive_clip(twin)  # (C, T, V, M)
            expected = row.reshape(-1, 2, 25, 3).transpose(3, 0, 2, 1)
            np.testing.assert_array_equal(clip, expected[:, :clip.shape[1]])
            assert not expected[:, clip.shape[1]:].any() and take.label == one_hot.argmax()


def test_skeleton_files_give_the_clips_of_ms_g3ds_files(folder, golden):
    for name, expected in zip(golden["msg3d_xsub/val_names"], golden["msg3d_xsub/val_data_joint"], strict=True):
        take, = open_takes(folder / str(name), Wanted())
        np.testing.assert_allclose(take.file_clip(ClipFile()), expected, atol=1e-6)
        bones = joints_to_bones(take.file_clip(ClipFile())[None], NTU_25)[0]
        np.testing.assert_array_equal(take.file_clip(ClipFile(bones=True)), bones)


def test_archives_give_what_the_converter_to_ms_g3d_writes(golden, tmp_path, run_script):
    np.savez(tmp_path / "x.npz", **{key.partition("/")[2]: value for key, value in golden.items()
                                    if key.startswith("NTU60_CS/")})
    for options, rules in (((), ClipFile(True)), (("--frames", "20"), ClipFile(True, resized=20))):
        done = run_script("convert_ctr_npz_to_msg3d.py", "--input", tmp_path / "x.npz", "--output", tmp_path / "out",
                          "--overwrite", *options)
        assert done.returncode == 0, done.stderr
        written = np.load(tmp_path / "out" / "val_data_joint.npy")
        takes = open_takes(tmp_path / "x.npz", Wanted("test"))
        np.testing.assert_array_equal([take.file_clip(rules) for take in takes], written)
        again = open_takes(tmp_path / "out" / "val_data_joint.npy", Wanted(indices=(2,)))
        np.testing.assert_array_equal(again[0].file_clip(rules), written[2])
        assert again[0].label == takes[2].label
        with pytest.raises(UserError, match=r"laid out for MS-G3D.*numpy\.savez\('clips\.npz', x=clips\)"):
            again[0].archive_clip(twin=False)


def test_nw_ucla_recordings_give_what_the_converter_writes(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for name, frames in (("a01_s01_e00_v01", 5), ("a12_s02_e01_v03", 7)):
        label = {"a01": 1, "a12": 10}[name[:3]]
        content = {"skeletons": rng.standard_normal((frames, 20, 3)).tolist(), "label": label}
        (tmp_path / "in" / f"{name}.json").write_text(json.dumps(content))
    convert(NW_UCLA, tmp_path / "in", tmp_path / "x.npz", tmp_path / "msg3d")
    take, = open_takes(tmp_path / "in" / "a12_s02_e01_v03.json", Wanted())
    with np.load(tmp_path / "x.npz") as arrays:
        np.testing.assert_array_equal(take.archive_clip(twin=False), arrays["x_test"][0])
    np.testing.assert_array_equal(take.file_clip(ClipFile(padded=7)),
                                  np.load(tmp_path / "msg3d" / "val_data_joint.npy")[0])
    assert take.label == 9
    own = tmp_path / "in" / "mine.json"
    own.write_text(json.dumps({"skeletons": take.raw_frames().tolist()}))
    assert open_takes(own, Wanted())[0].label is None
    np.testing.assert_array_equal(open_takes(own, Wanted())[0].raw_frames(), take.raw_frames())


def test_a_window_is_what_a_recording_of_those_frames_would_be(tmp_path):
    whole, = open_takes(write(tmp_path / "whole.skeleton", one_body(12)), Wanted())
    lines = one_body(12)
    part = ["4", *lines[1 + 3 * 28:1 + 7 * 28]]  # a frame is 28 lines: count, header, number of joints, 25 joints
    alone, = open_takes(write(tmp_path / "part.skeleton", part), Wanted())
    np.testing.assert_array_equal(whole.cut(3, 7).archive_clip(False), alone.archive_clip(False))
    np.testing.assert_array_equal(whole.cut(3, 7).file_clip(ClipFile()), alone.file_clip(ClipFile()))
    assert whole.cut(3, 7).num_frames == 4 and whole.cut(3, 7).start == 3


def test_windows_of_archived_clips_keep_the_padding(golden):
    frames = golden["NTU60_CS/x_test"][0].reshape(-1, 2, 25, 3)
    take = Archived(Recording("x", frames, NTU_25, made=Made.ARCHIVED))
    clip = take.cut(4, 10).archive_clip(False)
    np.testing.assert_array_equal(clip[:, :6], frames[4:10].transpose(3, 0, 2, 1))
    assert clip.shape[1] == len(frames) and not clip[:, 6:].any()


def test_windows_cover_a_recording_to_its_end():
    assert windows(10, 4, 3) == [(0, 4), (3, 7), (6, 10)]
    assert windows(11, 4, 3) == [(0, 4), (3, 7), (6, 10), (7, 11)]
    assert windows(4, 4, 1) == windows(4, 9, 1) == [(0, 4)]


def test_nobody_in_a_window(tmp_path):
    lines = recording_lines([body_lines()], [body_lines()], [], [])
    take, = open_takes(write(tmp_path / "x.skeleton", lines), Wanted())
    first, second = cut(take, 2, 2)
    assert first.archive_clip(False).any()
    for make in (lambda: second.archive_clip(False), lambda: second.file_clip(ClipFile())):
        with pytest.raises(NothingToSee, match="no frame holds a body"):
            make()


@pytest.mark.parametrize(("name", "content", "complaint"), [
    ("x.csv", "", "looks like an empty file"), ("x.skeleton", "1\nnonsense", "x.skeleton:2"),
    ("x.json", "{}", "looks like a JSON object with nothing known"), ("x.json", "[", "is not JSON"),
    ("x.json", json.dumps({"skeletons": [[[0, 0, 0]] * 5]}), "expected frames x 20 joints x 3"),
    ("x.npz", "PK\x03\x04", "x.npz"), ("x.npy", "", "x.npy")])
def test_a_wrong_file_is_named(tmp_path, name, content, complaint):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=complaint) as refusal:
        open_takes(tmp_path / name, Wanted())
    assert str(tmp_path / name) in str(refusal.value)


def test_kinds_that_do_not_fit_say_so(tmp_path):
    take, = open_takes(write(tmp_path / "x.skeleton", one_body(3)), Wanted())
    with pytest.raises(UserError, match="cannot be taken as one body's plain frames"):
        take.raw_frames()
