"""extract_poses.py through its command line, on small videos, with an estimator that sees coloured squares."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.data.formats.extracted import read_about_of
from skeleton_lab.data.formats.face import Wanted
from skeleton_lab.data.formats.registry import open_recordings
from tests.skeleton_lab.capture.blobs import PERSON
from tests.skeleton_lab.capture.films import nobody, write_film
from tests.trees import ROOT

SCRIPT = ROOT / "extract_poses.py"
SEES_SQUARES = ("--estimator", "tests.skeleton_lab.capture.blobs", "--people", "2")


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    return write_film(tmp_path_factory.mktemp("films") / "a.mp4")


def test_people_keep_who_they_are_over_a_gap(film, tmp_path, run_script):
    """Listed in another order in every second frame, the red one away for three."""
    done = run_script(SCRIPT, film, "--output", tmp_path / "a.npz", *SEES_SQUARES)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'a.npz'}: 12 frames, 2 people\n"
    [flat] = open_recordings(tmp_path / "a.npz")
    assert flat.frames.shape == (12, 2, 33, 2) and (flat.fps, flat.image_size, flat.y_down) == (25, (96, 64), True)
    away = [number for number in range(12) if not flat.confidence[number, 0].any()]
    red = next(body for body in range(2) if not flat.confidence[5, body].any())
    hips = flat.frames[:, :, [23, 24]].mean(axis=2)  # (T, M, 2), the squares' middles
    seen = np.r_[0:4, 7:12]
    np.testing.assert_allclose(hips[seen, red, 0], 17.5 + 2 * seen, atol=1)
    np.testing.assert_allclose(hips[:, 1 - red, 0], 77.5 - 2 * np.arange(12), atol=1)
    assert not flat.frames[4:7, red].any() and (not away or away == [4, 5, 6])
    [space] = open_recordings(tmp_path / "a.npz", Wanted(in_space=True))
    np.testing.assert_allclose(space.frames[0, 0], PERSON, atol=1e-6)
    about = read_about_of(tmp_path / "a.npz")
    assert (about["video"], about["people"], about["joints"]) == ("a.mp4", 2, "mediapipe33")


def test_a_folder_keeps_its_order_and_is_carried_on(film, tmp_path, run_script):
    videos, poses = tmp_path / "videos", tmp_path / "poses"
    for name in ("wave/a.mp4", "wave/b.mp4", "clap/a.mp4"):
        (videos / name).parent.mkdir(parents=True, exist_ok=True)
        (videos / name).write_bytes(film.read_bytes())
    (videos / "clap" / "broken.mp4").write_bytes(b"nothing" * 50)
    write_film(videos / "clap" / "empty.mov", 4, nobody)
    (videos / "notes.txt").write_text("no video")
    command = (SCRIPT, "--video", videos, "--output", poses, "--jobs", 2, *SEES_SQUARES)
    done = run_script(*command)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert sorted(line.partition(":")[0] for line in lines) == ["error"] * 3
    assert any("broken.mp4" in line and "no video that can be read" in line for line in lines)
    assert any("empty.mov" in line and "nobody was seen in any of its 4 frames" in line for line in lines)
    assert lines[-1] == "error: 2 of 5 videos could not be read, see above; the others are written"
    made = sorted(path.relative_to(poses).as_posix() for path in poses.rglob("*") if path.is_file())
    assert made == ["clap/a.npz", "wave/a.npz", "wave/b.npz"]
    (videos / "clap" / "broken.mp4").unlink()
    (videos / "clap" / "empty.mov").unlink()
    (poses / "wave" / "a.npz").unlink()  # as if it had been interrupted there
    before = (poses / "wave" / "b.npz").stat().st_mtime_ns
    again = run_script(*command)
    assert again.returncode == 0, again.stderr
    assert again.stderr == "2 of 3 are there already\n" and again.stdout.count("frames") == 1
    assert (poses / "wave" / "a.npz").is_file() and (poses / "wave" / "b.npz").stat().st_mtime_ns == before


@pytest.mark.parametrize(("arguments", "line"), [
    (("{film}", "--output", "x.npz"), "--estimator mediapipe: mediapipe is not installed for"),
    (("{film}", "--output", "x.npz", "--estimator", "rtmlib"), "pip install --no-deps rtmlib"),
    (("{film}", "--output", "x.npz", "--estimator", "no.such.module"), "choose mediapipe, rtmlib, or a module"),
    (("{film}", "--output", "x.npy", *SEES_SQUARES), "ends in .npz"),
    (("{film}", "--output", "x.npz", "--people", "0"), "expected 1 or more"),
    (("{film}",), "--output: is needed"),
    (("--output", "x.npz"), "give a video, or --camera"),
    (("--camera", "none.mp4", *SEES_SQUARES), "none.mp4: is no video that can be read"),
])
def test_bad_input_is_one_line(film, tmp_path, run_script, arguments, line):
    done = run_script(SCRIPT, *(str(film) if word == "{film}" else word for word in arguments), cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and line in done.stderr
    assert not list(tmp_path.iterdir())


def test_it_needs_no_pytorch(film, tmp_path, run_script):
    """Nor anything else that only the lab's own environment has."""
    missing = ("torch", "yaml", "h5py", "sklearn", "matplotlib", "tensorboard", "PIL")
    script = (f"import runpy, sys\nfor name in {missing!r}: sys.modules[name] = None\n"
              f"sys.argv = ['extract_poses.py', '--video', {str(film)!r}, '--output', 'a.npz', *{SEES_SQUARES!r}]\n"
              f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')")
    done = run_script("-c", script, cwd=tmp_path, fresh=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.npz").is_file()


def test_a_video_in_place_of_a_camera_keeps_its_pace(film, run_script):
    done = run_script(SCRIPT, "--camera", film, "--space", *SEES_SQUARES)
    assert done.returncode == 0, done.stderr
    head, *frames = map(json.loads, done.stdout.splitlines())
    assert head == {"joints": "mediapipe33", "image_size": [96, 64], "fps": 25.0, "space": True}
    numbers = [frame["number"] for frame in frames]
    assert numbers[-1] == 11 and numbers == sorted(set(numbers)) and len(frames[0]["people"]["0"][0]) == 4
    passed = frames[-1]["captured_s"] - frames[0]["captured_s"]
    assert passed > (numbers[-1] - numbers[0]) / 25 - 0.01  # never early


def test_an_interrupted_extraction_leaves_nothing(tmp_path, run_script):
    """Ctrl-C in the middle of a video."""
    film = write_film(tmp_path / "long.mp4", 60)
    script = (f"import os, runpy, signal, sys\nsys.path.insert(0, {str(ROOT)!r})\n"
              "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
              "from tests.skeleton_lab.capture import blobs\n"
              "see = blobs.Squares.see\n"
              "def stopped(self, picture, time_ms):\n"
              "    if self._seen == 30: os.kill(os.getpid(), signal.SIGINT)\n"
              "    return see(self, picture, time_ms)\n"
              "blobs.Squares.see = stopped\n"
              f"sys.argv = ['extract_poses.py', {str(film)!r}, '--output', 'out/a.npz', *{SEES_SQUARES!r}]\n"
              f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')")
    done = run_script("-c", script, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path != film]
