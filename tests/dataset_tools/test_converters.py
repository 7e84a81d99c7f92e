"""Converters of UTD-MHAD, MSR-Action3D and NW-UCLA, on files made in their formats; NW-UCLA's own where they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.data.formats import msr_action3d, nw_ucla, utd_mhad
from skeleton_lab.data.formats.labels import read_labels
from skeleton_lab.data.prepare.clip_archive import convert
from skeleton_lab.errors import UserError
from skeleton_lab.own_skeletons import MSR_ACTION3D_20, UTD_MHAD_20
from skeleton_lab.skeletons import UCLA_20
from tests.trees import ROOT

DATA_SETS = {"utd_mhad": utd_mhad.UTD_MHAD, "msr_action3d": msr_action3d.MSR_ACTION3D, "nw_ucla": nw_ucla.NW_UCLA}
TOOLS = ROOT / "dataset_tools"
UCLA_FOLDER = ROOT / "CTR-GCN" / "data" / "NW-UCLA" / "all_sqe"


def clip(seed: int, num_frames: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.5, (num_frames, 20, 3)).round(5)


def write_utd(folder: Path, name: str, frames: np.ndarray) -> None:
    savemat = pytest.importorskip("scipy.io").savemat
    savemat(folder / f"{name}_skeleton.mat", {"d_skel": frames.transpose(1, 2, 0)})


def write_msr(folder: Path, name: str, frames: np.ndarray) -> None:
    rows = [f"{x} {y} {z} 1.0" for x, y, z in frames.reshape(-1, 3)]
    (folder / f"{name}_skeleton3D.txt").write_text("\n".join(rows) + "\n")


def write_ucla(folder: Path, name: str, frames: np.ndarray) -> None:
    action = int(name[1:3])
    label = (1, 2, 3, 4, 5, 6, 8, 9, 11, 12).index(action) + 1
    (folder / f"{name}.json").write_text(json.dumps({"file_name": name, "skeletons": frames.tolist(), "label": label}))


# script, writer, joint at the origin, two training clips and one test clip with their classes
SETS = {
    "utd_mhad": (write_utd, 2, (("a1_s1_t1", 0), ("a27_s3_t4", 26)), (("a5_s2_t2", 4),)),
    "msr_action3d": (write_msr, 3, (("a01_s01_e01", 0), ("a20_s09_e03", 19)), (("a07_s10_e02", 6),)),
    "nw_ucla": (write_ucla, 1, (("a01_s01_e00_v01", 0), ("a12_s10_e04_v02", 9)), (("a08_s02_e01_v03", 6),)),
}


@pytest.mark.parametrize("name", SETS)
def test_conversion(tmp_path: Path, run_script, name: str) -> None:
    write, centre, train, test = SETS[name]
    source = tmp_path / "source"
    source.mkdir()
    frames = {sample: clip(seed, 5 + seed) for seed, (sample, _) in enumerate((*train, *test))}
    for sample, values in frames.items():
        write(source, sample, values)
    result = run_script(TOOLS / f"convert_{name}.py", "--input", source, "--output", tmp_path / "out.npz", "--msg3d",
                        tmp_path / "msg3d")
    assert result.returncode == 0, result.stderr
    archive = np.load(tmp_path / "out.npz")
    for part, samples in (("train", train), ("test", test)):
        x, y = archive[f"x_{part}"], archive[f"y_{part}"]
        assert x.shape == (len(samples), 3, 7, 20, 1) and x.dtype == np.float32
        assert y.tolist() == [label for _, label in samples]
        joints = np.load(tmp_path / "msg3d" / f"{'val' if part == 'test' else part}_data_joint.npy")
        names, labels = read_labels(tmp_path / "msg3d" / f"{'val' if part == 'test' else part}_label.pkl")
        assert labels == y.tolist()
        assert [name.split(".")[0].split("_skel")[0] for name in names] == [sample for sample, _ in samples]
        for row, repeated, (sample, _) in zip(x, joints, samples, strict=True):
            expected = frames[sample] - frames[sample][0, centre]
            length = len(expected)
            np.testing.assert_allclose(row[:, :length, :, 0].transpose(1, 2, 0), expected, atol=1e-6)
            assert not row[:, length:].any()
            np.testing.assert_array_equal(repeated[:, :length], row[:, :length])
            if length < 7:
                np.testing.assert_array_equal(repeated[:, length], row[:, 0])


@pytest.mark.parametrize(("name", "file", "content", "what"), [
    ("utd_mhad", "a2_s1_t1_skeleton.mat", b"MATLAB 5.0 MAT-file, cut short", "is no readable .mat file"),
    ("msr_action3d", "a02_s01_e01_skeleton3D.txt", b"1 2 3 4\n1 2 x 4\n", "skeleton3D.txt:2: four numbers expected"),
    ("msr_action3d", "a02_s01_e01_skeleton3D.txt", b"1 2 3 4\n" * 21, "3D.txt:21: the file ends inside a frame"),
    ("msr_action3d", "a02_s01_e01_skeleton3D.txt", b"", "looks like an empty file"),
    ("msr_action3d", "a02_s01_e01_skeleton3D.txt", b"nan 0 0 0\n" * 20, "a coordinate is not finite"),
    ("nw_ucla", "a02_s01_e00_v01.json", b'{"skeletons": [', "a02_s01_e00_v01.json:1: is not JSON"),
    ("nw_ucla", "a02_s01_e00_v01.json", b'{"skeletons": [[[1, 2]]], "label": 2}', "has shape (1, 1, 2)"),
    ("nw_ucla", "a02_s01_e00_v01.json", b'{"skeletons": [[[1], [1, 2]]], "label": 2}', "no 'skeletons' of frames"),
    ("nw_ucla", "a02_s01_e00_v01.json", b'{"skeletons": [], "label": 7}', "its label is 7, but action 2 is class 2"),
    ("nw_ucla", "a07_s01_e00_v01.json", b"{}", "is not named like NW-UCLA's files"),
])
def test_damaged_files_are_skipped_and_strict_stops(tmp_path: Path, name: str, file: str, content: bytes,
                                                    what: str) -> None:
    write, _, train, _ = SETS[name]
    source = tmp_path / "source"
    source.mkdir()
    write(source, train[0][0], clip(0, 4))
    (source / file).write_bytes(content)
    data_set = DATA_SETS[name]
    with pytest.raises(UserError) as caught:
        convert(data_set, source, tmp_path / "out.npz", strict=True)
    assert what in str(caught.value) and "\n" not in str(caught.value) and not (tmp_path / "out.npz").exists()
    summary = convert(data_set, source, tmp_path / "out.npz")
    assert summary.num_kept == 1 and what in summary.text(jobs=1)
    assert np.load(tmp_path / "out.npz")["x_test"].shape == (0, 3, 4, 20, 1)


@pytest.mark.parametrize("name", SETS)
def test_frames_without_anybody(tmp_path: Path, name: str) -> None:
    """They are cut off at both ends and stay empty in between; nobody at all is no clip; far longer clips are named."""
    write, centre, train, _ = SETS[name]
    source = tmp_path / "source"
    source.mkdir()
    body = clip(7, 9) + 2.8  # well away from the origin
    body[3:5] = 0
    frames = np.concatenate([np.zeros((4, 20, 3)), body, np.zeros((2, 20, 3))])
    write(source, train[0][0], frames)
    write(source, train[1][0], np.zeros((6, 20, 3)))
    others = [sample.replace("e01", f"e0{take}").replace("e00", f"e0{take}").replace("t1", f"t{take}")
              for take in range(2, 7) for sample in [train[0][0]]]
    for take, sample in enumerate(others):
        write(source, sample, clip(take, 11))
    write(source, others[-1], clip(5, 90))
    summary = convert(DATA_SETS[name], source, tmp_path / "out.npz", tmp_path / "msg3d", strict=True)
    text = summary.text(jobs=1)
    assert summary.num_kept == 6 and "(1 without a body)" in text and "no frame holds a body" in text
    assert f"note: far longer than the others, half of which have 11 to 11 frames: {others[-1]}" in text
    assert "(90)" in text
    assert "holds no test clips" in text
    expected = body - body[0, centre]
    expected[3:5] = 0
    with np.load(tmp_path / "out.npz") as archive:
        found = archive["x_train"][0, :, :, :, 0].transpose(1, 2, 0)  # (T, V, C)
    np.testing.assert_allclose(found[:9], expected, atol=1e-6)
    assert not found[9:].any() and not found[0, centre].any()
    repeated = np.load(tmp_path / "msg3d" / "train_data_joint.npy")[0, :, 9:18, :, 0].transpose(1, 2, 0)
    np.testing.assert_allclose(repeated, expected, atol=1e-6)


def test_an_empty_folder_is_one_line(tmp_path: Path, run_script) -> None:
    result = run_script(TOOLS / "convert_nw_ucla.py", "--input", tmp_path, "--output", tmp_path / "out.npz")
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and "holds no file named like" in result.stderr


@pytest.mark.skipif(not UCLA_FOLDER.is_dir(), reason="needs NW-UCLA's recordings in CTR-GCN/data/NW-UCLA/all_sqe")
def test_the_real_nw_ucla(tmp_path: Path, run_script) -> None:
    result = run_script(TOOLS / "convert_nw_ucla.py", "--input", UCLA_FOLDER, "--output", tmp_path / "ucla.npz")
    assert result.returncode == 0, result.stderr
    with np.load(tmp_path / "ucla.npz") as archive:
        assert archive["x_train"].shape == (1020, 3, 201, 20, 1) and archive["x_test"].shape == (464, 3, 201, 20, 1)
        assert np.bincount(archive["y_test"]).tolist() == [48, 50, 45, 49, 47, 47, 43, 43, 47, 45]


def test_skeletons_are_trees_with_matching_sides() -> None:
    for skeleton in (UTD_MHAD_20, MSR_ACTION3D_20):
        assert skeleton.num_joints == 20 and sorted(child for child, _ in skeleton.edges) == sorted(
            set(range(20)) - {skeleton.root})
        for joint in range(20):
            steps = 0
            while joint != skeleton.root:
                joint, steps = skeleton.parents[joint], steps + 1
                assert steps < 20
        assert len(skeleton.left) == len(skeleton.right) == 8
        mirror = dict(zip((*skeleton.left, *skeleton.right), (*skeleton.right, *skeleton.left), strict=True))
        mirrored = {tuple(mirror.get(joint, joint) for joint in edge) for edge in skeleton.edges}
        assert mirrored == set(skeleton.edges)


def named_edges(skeleton) -> set[tuple[str, str]]:
    names = skeleton.joint_names
    return {(names[child], names[parent]) for child, parent in skeleton.edges}


def test_the_same_body_links_the_same_joints() -> None:
    """All three are Kinect v1's skeleton: what differs is the order of the joints, and where the root is."""
    alike = {frozenset(edge) for edge in named_edges(UTD_MHAD_20)}
    assert {frozenset(edge) for edge in named_edges(UCLA_20)} == alike
    assert {frozenset(edge) for edge in named_edges(MSR_ACTION3D_20)} == alike
