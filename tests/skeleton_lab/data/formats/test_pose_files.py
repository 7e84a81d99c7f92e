"""Files of pose estimators and body trackers: who is who, what is absent, and numbers that are right."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.data.formats.face import Wanted
from skeleton_lab.data.formats.recording import Recording, Unit
from skeleton_lab.data.formats.registry import files_of, open_recordings
from skeleton_lab.errors import NothingToSee, UserError
from skeleton_lab.own_skeletons import BODY_25_HANDS
from skeleton_lab.skeletons import COCO_17, HAND_21
from tests import pose_files
from tests.pose_files import KINDS, people


def only(path: Path, **wanted: object) -> Recording:
    recording, = open_recordings(path, Wanted(**wanted))
    return recording


def by_person(found: Recording, truth: np.ndarray) -> np.ndarray:
    """Return (T, M, V, C + 1) in the order of people that `truth` has."""
    values = np.concatenate([found.frames, found.confidence[..., None]], axis=3)
    first = [int(np.flatnonzero(values[:, person].any(axis=(1, 2)))[0]) for person in range(values.shape[1])]
    assert first == sorted(first)
    at = first[0]
    return values if np.abs(values[at, 0] - truth[at, 0]).max() < np.abs(values[at, 0] - truth[at, -1]).max() \
        else values[:, ::-1]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("seed", [0, 1])
def test_people_frames_and_joints_stand_where_they_were(kind: pose_files.Kind, seed: int, tmp_path: Path) -> None:
    made = kind.made(seed)
    found = only(kind.write(tmp_path / kind.name, made))
    assert found.skeleton is kind.skeleton and found.frames.shape == made.truth[..., :-1].shape
    np.testing.assert_allclose(by_person(found, made.truth), made.truth, rtol=0, atol=kind.precision)
    listed = np.zeros(len(made.truth), bool)
    listed[list(made.listed)] = True
    sparse = "alphapose" in kind.name or kind.name == "results.json"  # frames without people have no entry
    if sparse:
        listed[2] = False
    if listed.all():
        assert found.recorded is None
    else:
        np.testing.assert_array_equal(found.recorded, listed)
        assert found.between(2, 9).recorded.tolist() == listed[2:9].tolist()
    assert found.y_down and len(found.body_ids) == made.truth.shape[1]
    assert found.picture("x").frames.shape[3] == 3


def test_what_files_tell_besides(tmp_path: Path) -> None:
    azure = only(pose_files.azure(tmp_path / "a.json", KINDS["azure"].made()))
    assert azure.fps == 30 and azure.unit is Unit.METRES and set(azure.body_ids) == {"3", "4"}
    tracked = only(pose_files.alphapose(tmp_path / "b.json", people(17), True))
    assert set(tracked.body_ids) == {"7", "12"}
    assert only(pose_files.coco_annotations(tmp_path / "c.json", people(17))).image_size == (640, 480)
    pose = only(pose_files.pose_file(tmp_path / "d.pose", people(25, numbered=False)))
    assert pose.fps == 25 and pose.image_size == (640, 480) and pose.unit is Unit.PIXELS
    assert only(tmp_path / "b.json", fps=24.0, image_size=(10, 20)).fps == 24
    told = only(pose_files.arrays(tmp_path / "e.npz", people(17), joints="coco17", fps=12.5, image_size=(64, 48),
                                  ids=np.array(["ann", "bob"])))
    assert (told.fps, told.image_size, told.body_ids, told.unit) == (12.5, (64, 48), ("ann", "bob"), Unit.PIXELS)


def test_a_format_names_its_joints_or_they_are_asked_for(tmp_path: Path) -> None:
    path = pose_files.arrays(tmp_path / "25.npz", people(25))
    with pytest.raises(UserError, match=r"which set its 25 joints are; say it with --joints ntu25 or --joints coco25"):
        only(path)
    assert only(path, skeleton=KINDS["openpose"].skeleton).skeleton is KINDS["openpose"].skeleton
    with pytest.raises(UserError, match=r"has 25 joints, COCO .* has 17; choose other --joints"):
        only(path, skeleton=COCO_17)
    np.savez(tmp_path / "17.npz", keypoints=np.ones((3, 1, 17, 3)), scores=np.ones((3, 1, 17)))
    with pytest.raises(UserError, match="which set its 17 joints are; say it with --joints coco17 or --joints human36"):
        only(tmp_path / "17.npz")
    named = json.loads(pose_files.mmpose(tmp_path / "named.json", people(17), True).read_text())
    names = named["meta_info"]["keypoint_id2name"]
    names["0"], names["1"] = names["1"], names["0"]
    (tmp_path / "named.json").write_text(json.dumps(named))
    with pytest.raises(UserError, match="names its 17 joints otherwise than any set that is known here"):
        only(tmp_path / "named.json")


def test_openpose_reads_each_list_by_itself(tmp_path: Path) -> None:
    body, hand = np.arange(75.0).reshape(25, 3) + 1, np.arange(63.0).reshape(21, 3) + 500
    person = {"pose_keypoints_2d": body.ravel().tolist(), "face_keypoints_2d": [7.0] * 210,
              "hand_left_keypoints_2d": hand.ravel().tolist(), "hand_right_keypoints_2d": []}
    (tmp_path / "a_000000000003_keypoints.json").write_text(json.dumps({"people": [person]}))
    (tmp_path / "b_000000000000_keypoints.json").write_text(json.dumps({"people": [person]}))
    assert files_of(tmp_path) == [tmp_path]
    pose_files.openpose(tmp_path / "many" / "first", people(25))
    assert files_of(tmp_path / "many") == [tmp_path / "many" / "first"]
    recordings = open_recordings(tmp_path)
    assert [recording.name.split(":")[1] for recording in recordings] == ["0 a", "1 b"]
    np.testing.assert_array_equal(recordings[1].frames[0, 0], body[:, :2])
    hands = open_recordings(tmp_path, Wanted(hands=True))[1]
    assert hands.skeleton is BODY_25_HANDS
    np.testing.assert_array_equal(hands.frames[0, 0, 25:46], hand[:, :2])
    assert not hands.frames[0, 0, 46:].any() and not hands.confidence[0, 0, 46:].any()


def test_alphaposes_other_forms(tmp_path: Path) -> None:
    joints = (np.arange(54.0) + 1).tolist()
    for name, frame in (("cmu.json", {"bodies": [{"joints": joints}]}), ("open.json", {"people": [
            {"pose_keypoints_2d": joints}]})):
        (tmp_path / name).write_text(json.dumps({"0.jpg": frame, "2.jpg": frame}))
        found = only(tmp_path / name)
        assert found.frames.shape == (3, 1, 18, 2) and found.recorded.tolist() == [True, False, True]
    made = people(17)
    entries = json.loads(pose_files.alphapose(tmp_path / "x.json", made, True).read_text())
    for entry in entries:
        entry["idx"] = 1  # two people of one id: they are told by their places
    (tmp_path / "x.json").write_text(json.dumps(entries))
    np.testing.assert_allclose(by_person(only(tmp_path / "x.json"), made.truth), made.truth)


def test_mediapipe_in_the_picture_and_in_space(tmp_path: Path) -> None:
    made = people(33, 3, scale=0.3)
    image = only(pose_files.mediapipe(tmp_path / "image.json", made))
    assert image.unit is Unit.SHARES
    pixels = only(tmp_path / "image.json", image_size=(640, 480))
    np.testing.assert_allclose(pixels.frames, image.frames * (640, 480, 640))
    assert pixels.unit is Unit.PIXELS and pixels.image_size == (640, 480)
    truth = people(33, 3, one=True).truth[:4, 0]
    truth[..., :3] -= truth[:, [23, 24], :3].mean(axis=1, keepdims=True)  # the hips are the origin
    truth[..., 3] = 1
    rows = [f"{number}.5," + ",".join(map(str, frame[:, :3].ravel())) for number, frame in enumerate(truth)]
    rows[2] = "3.5," + "," * 98
    header = "time_s," + ",".join(f"{axis}{joint}" for joint in range(1, 34) for axis in "xyz")
    (tmp_path / "world.csv").write_text("\n".join([header, *rows[:3]]))
    world = only(tmp_path / "world.csv", fps=2.0)
    assert world.unit is Unit.METRES and world.frames.shape == (7, 1, 33, 3) and world.fps == 2
    np.testing.assert_allclose(world.frames[[0, 2], 0], truth[:2, :, :3])
    assert world.recorded.tolist() == [True, False, True, False, False, False, True] and not world.frames[6].any()
    both = [{"pose_landmarks": made.truth[0, 0].tolist(), "pose_world_landmarks": truth[0].tolist()}]
    (tmp_path / "both.json").write_text(json.dumps(both))
    assert only(tmp_path / "both.json").unit is Unit.SHARES
    np.testing.assert_allclose(only(tmp_path / "both.json", in_space=True).frames[0, 0], truth[0, :, :3])
    rows = [frame[:, :4].ravel().tolist() for frame in truth]
    for name, content in (("rows", [rows[0], [], rows[1]]), ("keys", {"frame_2": rows[1], "frame_0": rows[0]})):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
        found = only(tmp_path / f"{name}.json")
        np.testing.assert_array_equal(found.frames[[0, 2], 0], truth[:2, :, :3])
        assert found.unit is Unit.METRES and len(found.frames) == 3
    crowd = people(33, 3, scale=0.3)
    centred = crowd.truth.copy()
    centred[..., :3] -= centred[..., [23, 24], :3].mean(axis=2, keepdims=True)
    centred[..., :2] = centred[:, ::-1, :, :2]  # postures swap places: in space nothing but the picture tells
    centred[..., 3:] = crowd.truth[..., 3:]
    pairs = [{"frame": number, "pose_landmarks": poses.tolist(),
              "pose_world_landmarks": centred[number, list(who)].tolist()} for number, poses, who in crowd.frames]
    (tmp_path / "crowd.json").write_text(json.dumps(pairs))
    found = only(tmp_path / "crowd.json", in_space=True)
    shown = np.where(centred[..., 3:] > 0, centred, 0)[..., :3]
    first = crowd.frames[0][2][0]
    np.testing.assert_allclose(found.frames if first == 0 else found.frames[:, ::-1], shown, atol=1e-12)
    plain = [[{"x": 0.5, "y": 0.5, "z": 0.0} for _ in range(21)], None, []]
    (tmp_path / "hand.json").write_text(json.dumps(plain))
    hand = only(tmp_path / "hand.json")
    assert hand.frames.shape == (3, 1, 21, 3) and hand.skeleton is HAND_21


def test_arrays_of_every_shape(tmp_path: Path) -> None:
    made = people(26)
    frames = {f"keypoints_{number}": poses[..., :2] if len(poses) else np.zeros(0) for number, poses, _ in made.frames}
    scores = {f"scores_{number}": poses[..., 2] if len(poses) else np.zeros(0) for number, poses, _ in made.frames}
    np.savez(tmp_path / "each.npz", **frames, **scores)
    np.testing.assert_array_equal(by_person(only(tmp_path / "each.npz"), made.truth), made.truth)
    alone = people(17, one=True, numbered=False).truth[:, 0]
    alone[2] = np.nan
    np.save(tmp_path / "alone.npy", alone)
    found = only(tmp_path / "alone.npy")
    assert found.frames.shape == (12, 1, 17, 2) and not found.frames[2].any()
    np.testing.assert_array_equal(found.confidence[3, 0], alone[3, :, 2])
    phantom = np.ones((4, 1, 17, 3)) * (5, 5, 0.9)
    phantom[1:3, ..., 2] = 0.1  # hardly a joint is seen
    phantom[3, 0, 0, 2] = -0.5
    np.savez(tmp_path / "phantom.npz", keypoints=phantom[..., :2], scores=phantom[..., 2])
    found = only(tmp_path / "phantom.npz")
    assert found.frames.any(axis=(1, 2, 3)).tolist() == [True, False, False, True] and found.confidence[3, 0, 0] == 0
    np.save(tmp_path / "hands.npy", np.full((5, 21, 2), 0.5))
    assert only(tmp_path / "hands.npy").skeleton is HAND_21


def _damaged(tmp_path: Path, name: str) -> Path:
    """Write a file of some kind with something wrong in it."""
    path = tmp_path / name.replace(" ", "_")
    if name == "a folder without files":
        path.mkdir()
        return path
    if name.startswith("openpose"):
        pose_files.openpose(path, people(25))
        frame = sorted(path.iterdir())[0 if "first" in name else 5]
        text = frame.read_text()
        frame.write_text({"openpose cut": text[:50], "openpose first cut": text[:50],
                          "openpose NaN": json.dumps({"people": [{"pose_keypoints_2d": [float("nan")] * 75}]}),
                          "openpose count": json.dumps({"people": [{"pose_keypoints_2d": [1.0] * 74}]}),
                          "openpose other set": json.dumps({"people": [{"pose_keypoints_2d": [1.0] * 54}]}),
                          "openpose words": json.dumps({"people": [{"pose_keypoints_2d": ["1"] * 75}]}),
                          "openpose no people": "{}"}[name])
        return path
    what, _, how = name.rpartition(" ")
    kind = KINDS[what]
    kind.write(path, kind.made())
    text = path.read_text()
    if how == "cut":
        text = text[:len(text) // 2]
    elif how == "NaN":
        text = text[:len(text) // 2] + re.sub(r"\d+\.\d+", "NaN", text[len(text) // 2:], count=1)
    elif how == "huge":
        text = text[:len(text) // 2] + re.sub(r"\d+\.\d+", "1e999", text[len(text) // 2:], count=1)
    elif how == "short":
        text = text.replace("frame,", "", 1)
    path.write_text(text)
    return path


@pytest.mark.parametrize(("name", "what"), [
    ("a folder without files", "looks like a folder without files"),
    ("openpose cut", r"_000000000005_keypoints\.json:1: is not JSON"), ("openpose first cut", "is not JSON"),
    ("openpose NaN", "holds the word NaN, which is no number"), ("openpose count", "74 numbers"),
    ("openpose other set", "has 18 joints in 2 coordinates, a frame before it 25"),
    ("openpose words", "something in it is no number"), ("openpose no people", "has no 'bodies'"),
    *((f"{kind} {how}", what) for kind in ("alphapose", "coco results", "mmpose", "mediapipe image", "azure")
      for how, what in (("cut", "is not JSON"), ("NaN", "holds the word NaN"),
                    ("huge", "holds a number that is not finite"))),
    ("mediapipe csv NaN", r"is no number; write the file again with empty fields"),
    ("mediapipe csv short", "fields expected, found 133"),
])
def test_what_is_damaged_is_told_in_one_line(tmp_path: Path, name: str, what: str) -> None:
    path = _damaged(tmp_path, name)
    with pytest.raises(UserError, match=what) as caught:
        only(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("content", "what"), [
    ([{"image_id": "0.jpg", "keypoints": [1.0] * 50, "box": []}], "entry 0: 50 numbers, which are no 3 for each joint"),
    ([{"image_id": "x.jpg", "keypoints": [1.0] * 51}], "the name 'x.jpg' holds no number of a frame"),
    ([{"image_id": 10**7 * place, "keypoints": [1.0] * 51} for place in range(2)], "no places in one recording"),
    ([{"image_id": 1, "keypoints": [0.0] * 51}], "nobody was seen in any of its 1 frames"),
    ([{"image_id": 1, "keypoints": [1.0] * 60}], "say it with --joints kinect20"),
    ([{"image_id": 1, "keypoints": [1.0] * 66}], "as many as no set that is known here"),
    ([{"frame_id": 0, "instances": [{"keypoints": [[1, 2]] * 17, "keypoint_scores": [1] * 16}]}], "belong together"),
    ([{"frame_id": 0, "instances": []}] * 2, "nobody was seen"),
    ([{"frame_id": 0, "instances": [{"keypoints": [[1, 2]] * 17, "keypoint_scores": [1] * 17}]}] * 2, "0 twice"),
    ([[{"x": 1, "y": 1}] * 32], "32 landmarks; a pose has 33, a hand 21"),
    ([[{"x": 1, "y": "NaN"}] * 33], "something in it is no number"),
    ([{"frame": 0, "landmarks": []}], "nobody was seen"),
    ({"joint_names": [], "frames": [{"frame_id": 0, "bodies": [{"body_id": 1, "joint_positions": [[1, 2, 3]]}]}]},
     r"joint_positions \(1, 3\), expected \(32, 3\)"),
    ({"joint_names": [], "frames": []}, "nobody was seen in any of its 0 frames"),
    ({"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [{"image_id": 2, "keypoints": [1.0] * 51}]},
     "do not fit each other"),
    ({"people": []}, "nobody was seen in any of its 1 frames"),
])
def test_bad_content_is_told_in_one_line(tmp_path: Path, content: object, what: str) -> None:
    path = tmp_path / "clip.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=what) as caught:
        only(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_a_frame_that_stands_far_out_is_counted_from_the_first(tmp_path: Path) -> None:
    path = tmp_path / "clip.json"
    path.write_text(json.dumps([{"image_id": 5_000_000 + place, "keypoints": [1.0] * 51} for place in (0, 2)]))
    assert only(path).recorded.tolist() == [True, False, True]
    path.write_text(json.dumps([{"frame_id": 0, "instances": [
        {"keypoints": [[1, 2]] * 17, "keypoint_scores": [0.9] * 17, "bbox_score": 1.0}]}]))
    assert only(path).num_frames == 1  # sure of its joints: somebody is there


def test_pose_files_that_end_early_or_know_no_body(tmp_path: Path) -> None:
    path = pose_files.pose_file(tmp_path / "clip.pose", people(25, numbered=False))
    content = path.read_bytes()
    path.write_bytes(content[:-9])
    with pytest.raises(UserError, match="is damaged: it ends too early"):
        only(path)
    place = len(content) - 4 * np.prod(people(25, numbered=False).truth.shape[:2]) * 27 * 3 - 6  # frames, then people
    path.write_bytes(content[:place] + struct.pack("<IH", 1 << 31, 0))
    with pytest.raises(UserError, match="tells of 2147483648 frames, more than 200000; cut it into parts"):
        only(path)
    path.write_bytes(content.replace(b"LEFT_KNEE", b"LEFT_NEEE"))
    with pytest.raises(UserError, match=r"its points \(EXTRA, BODY\) are no joints of a person"):
        only(path)
    with pytest.raises(NothingToSee):
        only(pose_files.arrays(tmp_path / "none.npz", pose_files.People(np.zeros((3, 1, 17, 3)), (0, 1), ((), ()))))
