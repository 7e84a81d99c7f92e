"""One drawing of skeletons: where lines stand, what is left out, and that GIF, MP4 and video frames show them."""

from __future__ import annotations

import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from skeleton_lab.data.formats.ntu import parse_name
from skeleton_lab.data.generate.synthetic import make_clip
from skeleton_lab.errors import UserError
from skeleton_lab.pictures.film import save_film
from skeleton_lab.pictures.paint import COLOURS, PAPER, Painter, Style, font_of, wrapped
from skeleton_lab.pictures.sketch import Placing, dashed, fit, sketch_clip
from skeleton_lab.skeleton_clip import SkeletonClip
from skeleton_lab.skeletons import COCO_17, NTU_25


@pytest.fixture(scope="module")
def pair() -> SkeletonClip:
    """Two people who act on each other."""
    return SkeletonClip(make_clip(parse_name("S001C001P001R001A050"))[:12], NTU_25, "two")


def reddish(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """(H, W) bool: pixels of nearly this colour."""
    return (np.abs(picture.astype(int) - colour) < 40).all(axis=2)


def test_people_stand_on_the_floor_and_all_of_it_is_in_the_picture(pair):
    sketch = sketch_clip(pair)
    low, high = sketch.box
    everything = np.concatenate([sketch.floor.reshape(-1, 2), sketch.joints[sketch.shown]])
    places = fit((low, high), (300, 200), 10)(everything)
    inside = (places >= 10 - 1e-6).all(axis=1) & (places <= np.array([290, 190]) + 1e-6).all(axis=1)
    assert inside.all()
    feet = sketch.joints[0, 0, [15, 19], 1].mean()
    assert low[1] < sketch.joints[0, 0, 3, 1] < feet <= high[1]  # down the page is down
    assert sketch.floor[..., 1].min() < feet < sketch.floor[..., 1].max()


def test_one_wild_joint_does_not_make_people_small():
    frames = np.repeat(make_clip(parse_name("S001C001P001R001A001"))[:1, :1], 40, axis=0)
    calm = sketch_clip(SkeletonClip(frames, NTU_25, "calm")).box
    frames[3, 0, 7] += 50
    wild = sketch_clip(SkeletonClip(frames, NTU_25, "wild")).box
    assert ((wild[1] - wild[0]) < 2 * (calm[1] - calm[0])).all()


def test_a_still_viewer_sees_somebody_walk_and_one_who_follows_does_not():
    frames = np.repeat(make_clip(parse_name("S001C001P001R001A001"))[:1, :1], 5, axis=0)
    frames[..., 0] -= np.arange(5, dtype=np.float32)[:, None, None]  # a metre a frame, to the viewer's right
    clip = SkeletonClip(frames, NTU_25, "walk")
    still, along = (sketch_clip(clip, follow).joints[:, 0, 0, 0] for follow in (False, True))
    np.testing.assert_allclose(np.diff(still), np.cos(np.radians(15)), atol=1e-5)
    np.testing.assert_allclose(along, along[0], atol=1e-5)


def test_flat_joints_lie_as_in_their_picture_and_those_not_found_are_left_out():
    frames = np.zeros((1, 1, 17, 3), np.float32)
    frames[0, 0, :, 0], frames[0, 0, :, 1] = np.arange(1, 18), -np.arange(1, 18)  # y up, as `Recording.picture` gives
    frames[0, 0, :, 2] = 0.9  # a score, no depth
    frames[0, 0, 9] = 0
    sketch = sketch_clip(SkeletonClip(frames, COCO_17, "flat"))
    np.testing.assert_allclose(sketch.joints[0, 0, 3], (4, 4))
    assert not len(sketch.floor) and not sketch.shown[0, 0, 9] and len(sketch.dots(0, 0)) == 16
    bones = {side: len(ends) for side, ends in sketch.bones(0, 0)}
    assert bones == {"left": 7, "right": 8}  # without the one to the left wrist


def test_dashes_are_pieces_of_their_lines():
    lines = np.array([[[0, 0], [30, 40]], [[5, 5], [5, 8]]], float)
    pieces = dashed(lines, (10, 5))
    np.testing.assert_allclose(pieces[:4], [[[0, 0], [6, 8]], [[9, 12], [15, 20]], [[18, 24], [24, 32]],
                                            [[27, 36], [30, 40]]])
    np.testing.assert_allclose(pieces[4:], [[[5, 5], [5, 8]]])


def test_a_frame_over_a_video_leaves_the_rest_of_it_alone(pair):
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    joints = np.zeros((1, 1, 17, 3), np.float32)
    joints[0, 0, 5, :2], joints[0, 0, 7, :2] = (40, -60), (120, -60)  # left shoulder, left elbow
    painter = Painter(sketch_clip(SkeletonClip(joints, COCO_17, "")), Style((160, 120)), ["wave 90 %"],
                      Placing(1.0, np.zeros(2)))
    drawn = np.asarray(painter.frame(0, "wave 90 %", over=Image.fromarray(noise)))
    head = len(drawn) - 120
    assert head > 20 and (drawn[:head] < 100).any()
    changed = (drawn[head:] != noise).any(axis=2)
    assert changed[58:63, 45:115].all() and not changed[:54].any() and not changed[66:].any()
    assert reddish(drawn[head:], COLOURS["left"])[60, 50:110].all()


def test_moving_pictures_have_the_clips_speed_and_show_both_people(pair, tmp_path: Path):
    save_film(pair, 6, tmp_path / "a.gif", ["kick 71 %"] * 12)
    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.n_frames == 6 and picture.size[0] == 512
        lasted = 0
        for number in range(6):
            picture.seek(number)
            lasted += picture.info["duration"]
        drawn = np.asarray(picture.convert("RGB"))
    assert lasted == 400  # 12 frames at 30 a second
    for side in ("left", "right"):
        columns = np.flatnonzero(reddish(drawn, COLOURS[side]).any(axis=0))
        assert np.ptp(columns) > 150  # of two people, not of one
    save_film(pair, None, tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as film:
        pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        assert len(pictures) == 12 and film.streams.video[0].average_rate == 30
        assert film.streams.video[0].codec_context.name == "h264"
    assert reddish(pictures[3], COLOURS["left"]).any() and (np.abs(pictures[3].astype(int) - PAPER) < 9).mean() > 0.8


def test_without_pyav_an_mp4_is_one_line(pair, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match="pip install av"):
        save_film(pair, 2, tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "one", "a line that is longer than the picture is wide", "W" * 60, "a\nb"])
def test_titles_keep_all_letters_in_lines_that_fit(text: str):
    lines = wrapped(text, 120, 15)
    assert "".join(lines).replace(" ", "") == "".join(text.split())
    assert all(font_of(15).getlength(line) <= 120 for line in lines)
