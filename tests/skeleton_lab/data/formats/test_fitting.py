"""People of pose files as a model's data have them: joints, axes, unit, and who is taken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from skeleton_lab.data.formats.fitting import archive_clip, fit_joints, fitted
from skeleton_lab.data.formats.recording import Recording, Unit
from skeleton_lab.errors import NothingToSee, UserError
from skeleton_lab.own_skeletons import AZURE_32, BODY_25, MEDIAPIPE_33, SMPL_24
from skeleton_lab.skeletons import COCO_17, HAND_21, NTU_25


def recording(skeleton, channels: int, unit: Unit | None, people: int = 1, **more) -> Recording:
    rng = np.random.default_rng(0)
    frames = rng.uniform(1, 2, (6, people, skeleton.num_joints, channels))
    return Recording("clip", frames, skeleton, np.full(frames.shape[:3], 0.5), unit=unit, from_poses=True,
                     **{"y_down": True, **more})


def test_a_cameras_metres_become_a_kinects() -> None:
    source = recording(AZURE_32, 3, Unit.METRES)
    found = fit_joints(source, NTU_25)
    assert found.unit is Unit.METRES and not found.y_down and found.skeleton is NTU_25
    np.testing.assert_allclose(found.frames[:, :, 4], source.frames[:, :, 5] * (-1, -1, 1))
    clip = archive_clip(found)
    assert clip.shape == (3, 6, 25, 2) and clip.dtype == np.float32 and not clip[:, 0, 1, 0].any()
    assert not clip[..., 1].any()
    np.testing.assert_allclose(clip[:, :, 4, 0].T, found.frames[:, 0, 4] - found.frames[0, 0, 1], rtol=1e-5)


def test_flat_joints_get_no_depth_and_a_persons_size(capsys: pytest.CaptureFixture[str]) -> None:
    source = recording(BODY_25, 2, Unit.PIXELS, image_size=(640, 480))
    found = fit_joints(replace(source, held=source.frames * 300), NTU_25)
    trunk = np.linalg.norm(found.frames[..., 20, :] - found.frames[..., 0, :], axis=-1)
    assert not found.frames[..., 2].any() and np.median(trunk) == pytest.approx(0.5)
    again = fit_joints(source, NTU_25)
    np.testing.assert_allclose(again.frames, found.frames)  # whatever the picture's size
    told = capsys.readouterr().err
    assert "flat joints: depth is 0" in told and "spine base = mid hip" in told


def test_what_was_not_seen_stands_where_it_hangs_in_space_and_is_0_in_a_picture() -> None:
    source = recording(BODY_25, 2, Unit.PIXELS)
    source.confidence[2, 0, [6, 7]] = 0  # the left elbow and wrist
    source.confidence[4] = 0  # nobody
    found = fit_joints(source, NTU_25)
    for joint in (5, 6, 7, 21, 22):
        np.testing.assert_array_equal(found.frames[2, 0, joint], found.frames[2, 0, 4])
    assert not found.frames[4].any() and found.confidence[2, 0, 5] == 0
    flat = fit_joints(source, COCO_17)
    assert not flat.frames[2, 0, [7, 9]].any() and flat.frames[2, 0, 5].any()
    np.testing.assert_array_equal(flat.frames[0, 0, 0], source.frames[0, 0, 0])


def test_motion_capture_is_turned_upright_and_measured() -> None:
    source = recording(SMPL_24, 3, None, y_down=False)
    frames = source.frames
    frames[:, 0, 12] = frames[:, 0, 0] + (0, 0, 50)  # the trunk: 50 units along z
    found = fit_joints(replace(source, held=frames), NTU_25)
    trunk = found.frames[..., 20, :] - found.frames[..., 0, :]
    np.testing.assert_allclose(trunk, np.broadcast_to((0, 0.5, 0), (6, 1, 3)), atol=1e-12)
    hips = (frames[0, 0, 1] - frames[0, 0, 0]) / 100
    np.testing.assert_allclose(found.frames[0, 0, 12] - found.frames[0, 0, 0], (hips[0], hips[2], -hips[1]), atol=1e-12)


def test_shares_become_pixels_of_a_square_and_metres_those_of_a_picture() -> None:
    shares = recording(MEDIAPIPE_33, 3, Unit.SHARES)
    found = fit_joints(shares, COCO_17)
    assert found.image_size == (1000, 1000) and found.unit is Unit.PIXELS
    np.testing.assert_allclose(found.frames[:, :, 5], shares.frames[:, :, 11, :2] * 1000)
    metres = fit_joints(recording(MEDIAPIPE_33, 3, Unit.METRES), COCO_17)
    np.testing.assert_allclose(metres.frames[:, :, 5], shares.frames[:, :, 11, :2] * 300 + (960, 540))
    hand = recording(HAND_21, 3, Unit.SHARES)
    np.testing.assert_array_equal(fitted(hand, HAND_21).frames, hand.frames[..., :2])


def test_two_people_are_taken_the_first_of_them_first(capsys: pytest.CaptureFixture[str]) -> None:
    source = recording(COCO_17, 2, Unit.PIXELS, people=3, body_ids=("a", "b", "c"))
    source.confidence[1:, 1] = 0
    source.confidence[:, 2] = 0.9
    found = fit_joints(source, COCO_17)
    assert found.body_ids == ("c", "a") and "of 3 people c and a are taken" in capsys.readouterr().err
    np.testing.assert_array_equal(found.frames[:, 0], source.frames[:, 2])


def test_what_cannot_be_fitted() -> None:
    hand = recording(HAND_21, 2, Unit.SHARES)
    assert fit_joints(hand, NTU_25).skeleton is HAND_21
    with pytest.raises(UserError, match="no table leads from the joints of hand"):
        fitted(hand, NTU_25)
    hand.confidence[:] = 0
    with pytest.raises(NothingToSee, match="clip: no frame holds a body"):
        fit_joints(hand, HAND_21)
    kinect = replace(hand, from_poses=False)
    assert fit_joints(kinect, NTU_25) is kinect
