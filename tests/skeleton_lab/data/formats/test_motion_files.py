"""Files of motion capture and of data sets in text: TRC, C3D, BVH, AMASS, UTKinect."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from skeleton_lab.data.formats.face import Wanted
from skeleton_lab.data.formats.recording import Recording, Unit
from skeleton_lab.data.formats.registry import open_recordings
from skeleton_lab.errors import UserError
from skeleton_lab.own_skeletons import HALPE_26, SMPL_24
from skeleton_lab.skeletons import COCO_17, UCLA_20
from tests.pose_files import POSE2SIM, trc

PLACES = (19, 12, 14, 16, 21, 23, 25, 11, 13, 15, 20, 22, 24, 18, 17, 0, 6, 8, 10, 5, 7, 9)  # in Halpe's order


def only(path: Path, **wanted: object) -> Recording:
    recording, = open_recordings(path, Wanted(**wanted))
    return recording


@pytest.fixture
def points() -> np.ndarray:
    made = np.random.default_rng(0).normal(size=(6, len(POSE2SIM), 3)).round(6)
    made[1, 3] = np.nan
    made[3] = np.nan
    made[5, -1] = np.nan  # a row that ends in empty fields
    return made


def test_trc_places_markers_by_name(tmp_path: Path, points: np.ndarray) -> None:
    for unit, scale in (("m", 1), ("mm", 0.001)):
        found = only(trc(tmp_path / "a.trc", points, unit=unit))
        assert found.skeleton is HALPE_26 and found.fps == 60 and found.unit is Unit.METRES and not found.y_down
        np.testing.assert_allclose(found.frames[:, 0, PLACES], np.nan_to_num(points) * scale, atol=1e-12)
        np.testing.assert_array_equal(found.confidence[:, 0, PLACES], np.isfinite(points).all(axis=2))
        assert found.recorded.tolist() == [True, True, True, False, True, True]
        assert not found.confidence[:, :, 1:5].any()
    skin = trc(tmp_path / "b.trc", points[:, :17], tuple(f"M{number}" for number in range(17)))
    with pytest.raises(UserError, match=r"b\.trc: unknown marker set \(M0, M1, "):
        only(skin)
    assert only(skin, skeleton=COCO_17).skeleton is COCO_17


@pytest.mark.parametrize(("old", "new", "what"), [
    ("\n5\t", "\nfive\t", r"a\.trc:10: 'five' is no number"), ("\n5\t", "\n5\tNaN\t", "a.trc:10: .* fields expected"),
    ("Hip\t", "\t", "a.trc:3: tells of 22 markers, line 4 names 21"),
    ("\n1\t0.0\t", "\n1\t0.0\tnan\t", "fields expected"),
    ("0.125\t", "nan\t", "'nan' is no number; leave a field empty")])
def test_damaged_trc_is_told_in_one_line(tmp_path: Path, points: np.ndarray, old: str, new: str, what: str) -> None:
    points[4, 0, 0] = 0.125
    path = trc(tmp_path / "a.trc", points)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=what) as caught:
        only(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
    path.write_text("PathFileType\t4\n")
    with pytest.raises(UserError, match="has 1 lines"):
        only(path)


BVH_JOINTS = ("Hips", "Spine", "Spine1", "Spine2", "Neck", "Head", "LeftShoulder", "LeftArm", "LeftForeArm", "LeftHand",
              "RightShoulder", "RightArm", "RightForeArm", "RightHand", "LeftUpLeg", "LeftLeg", "LeftFoot",
              "LeftToeBase", "RightUpLeg", "RightLeg", "RightFoot", "RightToeBase")
BVH_PLACES = (0, 3, 6, 9, 12, 15, 13, 16, 18, 20, 14, 17, 19, 21, 1, 4, 7, 10, 2, 5, 8, 11)


def stand_in(joints: np.ndarray, names: tuple[str, ...], up: str = "+y") -> SimpleNamespace:
    """What pybvh gives of a file."""
    content = SimpleNamespace(joint_positions=lambda: joints, joint_names=list(names), frame_time=1 / 30, world_up=up)
    return SimpleNamespace(read_bvh_file=lambda path: content)


def test_bvh_finds_joints_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bvh"
    path.write_text("HIERARCHY\nROOT Hips\n")
    joints = np.random.default_rng(0).normal(size=(3, len(BVH_JOINTS), 3)) + 90
    monkeypatch.setitem(sys.modules, "pybvh", stand_in(joints, tuple(f"mixamorig:{name}" for name in BVH_JOINTS)))
    found = only(path)
    assert found.skeleton is SMPL_24 and found.fps == pytest.approx(30) and found.unit is None
    np.testing.assert_array_equal(found.frames[:, 0, BVH_PLACES], joints)
    assert found.confidence.sum() == 3 * len(BVH_JOINTS)
    poser = {"Shoulder": "Collar", "Arm": "Shoulder", "ForeArm": "Elbow", "Hand": "Wrist", "UpLeg": "Hip",
             "Leg": "Knee", "Foot": "Ankle", "ToeBase": "Toe"}
    named = tuple(side + poser[name.removeprefix(side)] if side else name for name in BVH_JOINTS
                  for side in [next((side for side in ("Left", "Right") if name.startswith(side)), "")])
    monkeypatch.setitem(sys.modules, "pybvh", stand_in(joints, named, "+z"))
    np.testing.assert_array_equal(only(path).frames[:, 0, BVH_PLACES], joints[..., [0, 2, 1]] * (1, 1, -1))
    monkeypatch.setitem(sys.modules, "pybvh", stand_in(joints[:, :2], ("Hips", "Tail")))
    with pytest.raises(UserError, match=r"its joints \(Hips, Tail\) cannot be told: which is the neck\?"):
        only(path)


def c3d(path: Path) -> Path:
    header = bytearray(512)
    struct.pack_into("<BBHHHH", header, 0, 2, 0x50, 5, 0, 1, 4)
    path.write_bytes(bytes(header) + bytes(512))
    return path


STAND_IN = """
import numpy as np

def c3d(path):
    if b"damaged" in open(path, "rb").read():
        raise IOError("Wrong header")
    if b"hostile" in open(path, "rb").read():
        import os
        os.abort()  # as a library in C++ ends on a damaged file
    points = np.load({points!r}).transpose(2, 1, 0)
    return dict(data=dict(points=np.concatenate([points, np.ones_like(points[:1])])), parameters=dict(POINT=dict(
        LABELS=dict(value={labels!r}), RATE=dict(value=np.array([100.0])), UNITS=dict(value=["mm"]))))
"""


def test_c3d_points_are_placed_by_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, points: np.ndarray) -> None:
    path = c3d(tmp_path / "a.c3d")
    np.save(tmp_path / "points.npy", points)
    (tmp_path / "ezc3d.py").write_text(STAND_IN.format(points=str(tmp_path / "points.npy"),
                                                       labels=[f"{label}  " for label in POSE2SIM]))
    monkeypatch.syspath_prepend(tmp_path)
    found = only(path)
    assert found.fps == 100 and found.unit is Unit.METRES and found.recorded is None
    np.testing.assert_allclose(found.frames[:, 0, PLACES], np.nan_to_num(points) / 1000)
    content = bytearray(path.read_bytes())
    for word, what in ((b"damaged", "ezc3d: OSError: Wrong header"), (b"hostile", "ezc3d: .*")):
        path.write_bytes(bytes(content) + word)
        with pytest.raises(UserError, match=rf"a\.c3d: is damaged, or no C3D \({what}\)"):
            only(path)
    struct.pack_into("<H", content, 8, 60_000)
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match="tells of 60000 frames of 5 points, more than it holds"):
        only(path)


@pytest.mark.parametrize(("name", "package"), [("a.bvh", "pybvh"), ("a.c3d", "ezc3d")])
def test_a_library_that_is_not_there_is_named_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                               name: str, package: str) -> None:
    path = tmp_path / name
    if name == "a.bvh":
        path.write_text("HIERARCHY\n")
    else:
        c3d(path)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"needs the package {package}; get it with: .* pip install {package}$"):
        only(path)


def test_motions_of_body_models_get_a_mean_skeleton(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    poses, trans = np.zeros((4, 156)), np.zeros((4, 3))
    poses[:, 0] = np.pi / 2  # AMASS: upright, z up
    poses[1:, 3 * 18 + 1] = -np.pi / 2  # the left elbow bends forward
    trans[2:] = 1, 2, 3
    np.savez(tmp_path / "a.npz", poses=poses, trans=trans, mocap_framerate=np.array(120.0), gender=np.array("neutral"),
             betas=np.zeros(16))
    found = only(tmp_path / "a.npz")
    assert found.skeleton is SMPL_24 and found.fps == 120 and found.unit is Unit.METRES
    assert "mean skeleton" in capsys.readouterr().err
    joint = {name: found.frames[:, 0, number] for number, name in enumerate(SMPL_24.joint_names)}
    height = joint["head"][0, 1] - joint["left ankle"][0, 1]
    assert 1.3 < height < 1.6 and joint["left hip"][0, 0] > 0 > joint["right hip"][0, 0]
    np.testing.assert_allclose(joint["left wrist"][0] - joint["left elbow"][0], (0.25, 0, 0), atol=1e-12)
    np.testing.assert_allclose(joint["left wrist"][1] - joint["left elbow"][1], (0, 0, 0.25), atol=1e-12)
    np.testing.assert_allclose(joint["pelvis"][2], (1, 3, -2))
    bones = [np.linalg.norm(found.frames[:, 0, child] - found.frames[:, 0, parent], axis=-1)
             for child, parent in SMPL_24.edges]
    np.testing.assert_allclose(np.ptp(bones, axis=1), 0, atol=1e-12)
    np.savez(tmp_path / "b.npz", poses=poses[:, :150], trans=trans)
    with pytest.raises(UserError, match=r"b\.npz: poses \(4, 150\) and trans \(4, 3\) are no motion"):
        only(tmp_path / "b.npz")


def test_utkinect_places_rows_by_their_number_and_cuts_by_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    numbers = [3, 4, 4, 7, 9]
    joints = rng.normal(size=(5, 20, 3)).round(6)
    path = tmp_path / "joints_s01_e02.txt"
    path.write_text("".join(f"{number} " + " ".join(map(str, frame.ravel())) + "\n"
                            for number, frame in zip(numbers, joints, strict=True)))
    found = only(path)
    assert found.skeleton is UCLA_20 and found.frames.shape == (10, 1, 20, 3) and found.label is None
    np.testing.assert_array_equal(found.frames[[3, 4, 7, 9], 0], joints[[0, 1, 3, 4]])
    assert np.flatnonzero(found.recorded).tolist() == [3, 4, 7, 9]
    (tmp_path / "actionLabel.txt").write_text("s01_e01\nwalk: 1 2\ns01_e02\nwalk: 3 5\nsitDown: 6 9\ncarry: NaN NaN\n")
    walk, sit = open_recordings(path)
    assert (walk.class_name, sit.class_name) == ("walk", "sit down") and len(walk.frames) == 3
    np.testing.assert_array_equal(sit.frames[[1, 3], 0], joints[[3, 4]])
    path.write_text(path.read_text() + "10 1 2\n")
    with pytest.raises(UserError, match=r"joints_s01_e02\.txt:6: 61 numbers expected"):
        open_recordings(path)
    (tmp_path / "actionLabel.txt").write_text("s01_e02\nfly: 3 5\n")
    path.write_text("".join(path.read_text().splitlines(True)[:5]))
    with pytest.raises(UserError, match=r"actionLabel\.txt:2: 'fly: 3 5' is no action"):
        open_recordings(path)
