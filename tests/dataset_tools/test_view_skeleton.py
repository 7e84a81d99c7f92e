"""The viewer: pictures of the right kind and size, and people who stand upright in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skeleton_lab.data.formats.ntu import parse_name
from skeleton_lab.data.generate.synthetic import make_clip
from skeleton_lab.data.prepare.prenormalize import pre_normalize
from skeleton_lab.pictures.film import save_film
from skeleton_lab.skeleton_clip import SkeletonClip
from skeleton_lab.skeletons import NTU_25
from tests.skeleton_texts import one_body
from tests.trees import ROOT

SCRIPT = ROOT / "dataset_tools" / "view_skeleton.py"


def test_a_gif_of_a_recording(tmp_path: Path, run_script) -> None:
    path = tmp_path / "S001C001P001R001A001.skeleton"
    path.write_text("\n".join(one_body(9)))
    result = run_script(SCRIPT, path, "--output", tmp_path / "clip.gif", "--max-frames", 5)
    assert result.returncode == 0, result.stderr
    assert "S001C001P001R001A001.skeleton, drink water, 9 frames, NTU RGB+D (25 joints)" in result.stdout
    with Image.open(tmp_path / "clip.gif") as picture:
        assert picture.n_frames == 5 and picture.size == (512, 542)
        assert picture.info["duration"] == pytest.approx(9 / 5 * 1000 / 30, abs=10)
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 20


def test_a_strip(tmp_path: Path, run_script) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(2, 3, 8, 25, 2)).astype(np.float32))
    result = run_script(SCRIPT, tmp_path / "x.npy", "--index", 1, "--output", tmp_path / "clip.png", "--panels", 3)
    assert result.returncode == 0, result.stderr
    with Image.open(tmp_path / "clip.png") as picture:
        assert picture.size == (600, 288)


@pytest.mark.parametrize("arguments", [("--output", "clip.jpg"), ("--index", "7")])
def test_bad_options_are_one_line(tmp_path: Path, run_script, arguments: tuple[str, str]) -> None:
    np.save(tmp_path / "x.npy", np.ones((2, 3, 8, 25, 2), np.float32))
    result = run_script(SCRIPT, tmp_path / "x.npy", *arguments, cwd=tmp_path)
    assert result.returncode == 2 and result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert not (tmp_path / "clip.gif").exists()


@pytest.mark.parametrize("normalised", [False, True])
def test_people_stand_upright_and_face_the_viewer(normalised: bool) -> None:
    """In the picture: head above hips above feet, and the left hand of someone who faces us on the right."""
    frames = make_clip(parse_name("S001C001P001R001A001"))
    if normalised:
        frames = pre_normalize(frames.transpose(3, 0, 2, 1)[None])[0].transpose(1, 3, 2, 0)
    right, away, up = np.moveaxis(SkeletonClip(frames, NTU_25, "x").in_space()[:, 0].mean(axis=0), -1, 0)
    names = NTU_25.joint_names
    assert up[names.index("head")] > up[names.index("spine base")] + 0.3
    assert up[names.index("spine base")] > up[names.index("left foot")] + 0.3
    assert right[names.index("left shoulder")] > right[names.index("right shoulder")] + 0.1
    feet, ankles = (np.mean([away[names.index(f"{side} {part}")] for side in ("left", "right")])
                    for part in ("foot", "ankle"))
    assert feet < ankles  # toes point at us


def test_a_gif_runs_at_the_clips_speed_and_has_room_for_its_title(tmp_path: Path) -> None:
    frames = make_clip(parse_name("S001C001P001R001A001"))[:2]
    clip = SkeletonClip(frames, NTU_25, "NTU60_CS.npz:test 7 S015C003P003R002A006, step aside and wave, together", 10)
    captions = ["step aside and wave, together 12.3 %, walk up and back, one by one 9 %", "bow 90 %"]
    save_film(clip, 2, tmp_path / "clip.gif", captions)
    with Image.open(tmp_path / "clip.gif") as picture:
        assert picture.info["duration"] == 100
        head = np.asarray(picture.convert("L"))[:60]
    assert (head[:, :3] > 200).all() and (head[:, -3:] > 200).all() and (head < 100).any()
