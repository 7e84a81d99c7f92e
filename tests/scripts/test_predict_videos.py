"""predict.py on videos and streams: what extract_poses.py finds, through a model; pictures, and what it costs."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import av
import numpy as np
import pytest

from skeleton_lab.data.formats.pose_clips import PoseClip, write_pose_clips
from tests.scripts.test_predict import write_run
from tests.skeleton_lab.capture.films import nobody, write_film
from tests.trees import ROOT

SCRIPT = ROOT / "predict.py"
SEES_SQUARES = ("--estimator", "tests.skeleton_lab.capture.blobs", "--people", "2")
ENOUGH = {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> SimpleNamespace:
    """A film of two people, and two runs with fresh weights: of NTU's joints in space, and of a hand's in a picture."""
    folder = tmp_path_factory.mktemp("videos")
    feeder = {"data_path": "gone.npz", "split": "test", "window_size": 16, "p_interval": [0.95]}
    write_run(folder / "space", "CTR-GCN", "nturgbd-cross-subject/default.yaml", {
        "test_feeder_args": feeder, "model_args": {"num_class": 3}})
    (folder / "space" / "run.json").write_text(json.dumps({"class_names": ["wave", "bow", "jump"]}))
    hand = {"data_path": "gone.npz", "split": None, "like": "pyskl", "feats": ["j"], "clip_len": 10, "num_person": 1,
            "scores": False, "normalize": {"mode": "auto", "threshold": 0}, "test_mode": True}
    write_run(folder / "hand", "ST-GCN", "pyskl/ntu60-xsub-hrnet.yaml", {
        "test_feeder_args": hand, "train_feeder_args": hand, "model_args": {
            "num_class": 4, "in_channels": 2, "num_person": 1, "num_point": 21, "graph": "graph.pyskl.Graph",
            "graph_args": {"layout": "handmp"}, "blocks": [[8, 1], [8, 1], [16, 2]]}})
    return SimpleNamespace(folder=folder, film=write_film(folder / "a.mp4"))


def test_a_video_gives_the_logits_of_its_extraction(made, tmp_path, run_script):
    """In one command, with the film drawn over; and in two."""
    command = (SCRIPT, "--run", made.folder / "space", "--json", "--device", "cpu")
    done = run_script(*command, made.film, *SEES_SQUARES, "--pose-python", sys.executable, "--mp4", tmp_path / "x.mp4",
                      "--gif", tmp_path / "x.gif", env=ENOUGH)
    assert done.returncode == 0, done.stderr
    [found] = json.loads(done.stdout)
    assert (found["recording"], found["first_frame"], found["last_frame"]) == (str(made.film), 0, 11)
    extracted = run_script(ROOT / "extract_poses.py", made.film, "--output", tmp_path / "a.npz", *SEES_SQUARES)
    assert extracted.returncode == 0, extracted.stderr
    [again] = json.loads(run_script(*command, tmp_path / "a.npz", env=ENOUGH).stdout)
    assert found["logits"] == again["logits"] and found["top"][0]["name"] in ("wave", "bow", "jump")
    with av.open(str(tmp_path / "x.mp4")) as film:
        pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(pictures) == 12 and (tmp_path / "x.gif").is_file()
    head = len(pictures[0]) - 64
    assert head > 15 and pictures[0].shape[1] == 96
    green = (pictures[5][head:, :, 1].astype(int) - pictures[5][head:, :, 0] > 100).sum()
    assert 40 < green < 256  # the square of the film is there, and the person is drawn over it


def test_a_stream_of_hands_is_watched_line_by_line(made, tmp_path, run_script):
    hands = np.random.default_rng(0).uniform(0.2, 0.8, (1, 60, 21, 2)).astype(np.float32)
    write_pose_clips(tmp_path / "hands.npz", [PoseClip(hands, None)], ["hands"])
    command = (SCRIPT, "--run", made.folder / "hand", "--camera", tmp_path / "hands.npz", "--fps", "60",
               "--stride-frames", "10", "--device", "cpu")
    done = run_script(*command, "--json", env=ENOUGH)
    assert done.returncode == 0, done.stderr
    *moments, last = map(json.loads, done.stdout.splitlines())
    assert moments[0]["frame"] >= 9 and moments[-1]["frame"] == 59 and moments[0]["changed"]
    assert all(0 < label["probability"] <= 1 for moment in moments for label in moment["top"])
    summary = last["summary"]
    assert (summary["frames"], summary["dropped_frames"]) == (60, 0)
    assert summary["predictions"] == len(moments) and summary["delay_ms"]["max"] >= summary["delay_ms"]["median"] > 0
    text = run_script(*command, "--seconds", "0.3", env=ENOUGH).stdout.splitlines()
    assert text[0].split()[1] == "s" and text[0].endswith("%") and "dropped; " in text[-1]


def test_a_video_in_place_of_a_camera(made, run_script):
    done = run_script(SCRIPT, "--run", made.folder / "space", "--camera", made.film, "--window-frames", 6, "--json",
                      "--pose-python", sys.executable, *SEES_SQUARES, "--device", "cpu", env=ENOUGH)
    assert done.returncode == 0, done.stderr
    *moments, last = map(json.loads, done.stdout.splitlines())
    assert moments and moments[-1]["frame"] == 11 and moments[-1]["top"]
    assert last["summary"]["frames"] + last["summary"]["dropped_frames"] == 12


@pytest.mark.parametrize(("arguments", "line"), [
    (("{film}",), "make pose makes an environment"),
    (("{film}", "--pose-python", "{python}"), "mediapipe is not installed"),
    (("{empty}", "--pose-python", "{python}", *SEES_SQUARES), "nobody was seen in any of its 4 frames"),
    (("{broken}", "--pose-python", "{python}", *SEES_SQUARES), "broken.mp4: is no video that can be read"),
    (("--camera", "{broken}", "--pose-python", "{python}", *SEES_SQUARES), "broken.mp4: is no video that can be read"),
    (("--camera", "{film}", "--pose-python", "{python}", "--estimator", "no.such"), "--estimator no.such: "),
    (("--camera", "nowhere.npz"), "nowhere.npz: no such file"),
    (("--camera", "{film}", "{film}"), "give recordings or --camera, one of the two"),
    (("{film}", "--show"), "--show: needs --camera"),
    (("--camera", "{film}", "--smooth", "0"), "--smooth: expected more than 0"),
    (("--camera", "{film}", "--gif", "x.gif"), "not --camera"),
])
def test_bad_input_is_one_line(made, tmp_path, run_script, arguments, line):
    words = {"{film}": made.film, "{python}": sys.executable, "{empty}": made.folder / "empty.mp4",
             "{broken}": made.folder / "broken.mp4"}
    if not words["{empty}"].exists():
        write_film(words["{empty}"], 4, nobody)
        words["{broken}"].write_bytes(made.film.read_bytes()[:99])
    done = run_script(SCRIPT, "--run", made.folder / "space", *(words.get(word, word) for word in arguments),
                      cwd=tmp_path, env=ENOUGH)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and line in done.stderr, done.stderr
    assert not done.stdout and not list(tmp_path.iterdir())
