"""Pose files before a model: the clips that convert_poses.py makes of them, whatever pipeline the run has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.data.formats.face import Wanted
from skeleton_lab.data.formats.pose_clips import open_pose_clips
from skeleton_lab.data.prepare.class_folders import read_clips
from skeleton_lab.data.prepare.own_archive import write_archive
from skeleton_lab.errors import UserError
from skeleton_lab.predict.recordings import ClipFile, Take, open_takes
from skeleton_lab.skeletons import COCO_17, NTU_25, OPENPOSE_18
from tests import pose_files
from tests.pose_files import people


def only(path: Path, usual, **wanted: object) -> Take:
    take, = open_takes(path, Wanted(usual=usual, **wanted))
    return take


def test_clips_of_poses_are_those_of_the_archive(tmp_path: Path) -> None:
    made = people(25)
    empty = np.zeros((3, *made.truth.shape[1:]))
    late = pose_files.People(np.concatenate([empty, made.truth]), tuple(range(15)), ((), (), (), *(
        made.order[made.listed.index(number)] if number in made.listed else () for number in range(12))))
    clip = pose_files.openpose(tmp_path / "in" / "wave" / "clip", late)  # nobody is in its first frames
    pose_files.openpose(tmp_path / "in" / "bow" / "clip", made)
    clips = read_clips(tmp_path / "in", Wanted(), COCO_17)
    write_archive(tmp_path / "own.npz", clips, np.zeros(2, bool), 30)
    archived = open_pose_clips(tmp_path / "own.npz", None)
    found = only(clip, COCO_17).pose_clip()
    np.testing.assert_allclose(found.keypoint, archived.frames(1), rtol=1e-6)
    np.testing.assert_allclose(found.score, archived.scores_of(1), rtol=1e-6)
    assert only(clip, NTU_25).pose_clip().score is None


def test_clips_in_space_have_two_people_and_bones_if_asked(tmp_path: Path) -> None:
    path = pose_files.azure(tmp_path / "a.json", people(32, 3, scale=1.0, one=True))
    take = only(path, NTU_25)
    alone, twins = take.archive_clip(twin=False), take.archive_clip(twin=True)
    assert alone.shape == (3, 12, 25, 2) and not alone[..., 1].any()
    np.testing.assert_array_equal(twins[..., 1], alone[..., 0])
    assert take.file_clip(ClipFile(from_archive=True, padded=20)).shape == (3, 20, 25, 2)
    assert [part.num_frames for part in (take.cut(0, 5), take.cut(5, 12))] == [5, 7]
    with pytest.raises(UserError, match="cannot become a clip of an archive"):
        only(path, COCO_17).archive_clip(twin=False)


def test_openposes_18_joints_are_kinetics(tmp_path: Path) -> None:
    made = people(18, one=True)
    path = pose_files.openpose(tmp_path / "in", made)
    with pytest.raises(UserError, match="say it with --image-size"):
        only(path, OPENPOSE_18).file_clip(ClipFile())
    clip = only(path, OPENPOSE_18, image_size=(400, 200)).file_clip(ClipFile())
    assert clip.shape == (3, 300, 18, 2) and not clip[..., 1].any() and not clip[:, 7, 3].any()
    x, y, score = made.truth[0, 0, 5]
    np.testing.assert_allclose(clip[:, 0, 5, 0], (x / 400 - 0.5, 0.5 - y / 200, score), rtol=1e-5)


def test_only_who_was_trained_on_a_kinects_joints_is_told_of_guessed_depth(tmp_path: Path, capsys) -> None:
    path = pose_files.mediapipe(tmp_path / "a.json", people(33, 3, one=True), "world_landmarks")
    only(path, NTU_25)
    assert "guesses depth" not in "".join(capsys.readouterr())
    only(path, NTU_25, of_kinect=True)
    assert "MediaPipe guesses depth" in "".join(capsys.readouterr())
