"""The root ensemble.py through its command line: given and searched weights, every source of labels, refusals."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from skeleton_lab.data.formats.archive import NpzWriter
from skeleton_lab.data.formats.labels import write_labels
from skeleton_lab.pickles import dump_plain_pickle, load_plain_pickle
from tests.trees import ROOT

CLASSES, CLIPS = 3, 60
TRUTH = np.arange(CLIPS) % CLASSES


def write_scores(path: Path, strength: float, seed: int, names: list | None = None) -> Path:
    scores = np.random.default_rng(seed).standard_normal((CLIPS, CLASSES)) + strength * np.eye(CLASSES)[TRUTH]
    path.parent.mkdir(parents=True, exist_ok=True)
    dump_plain_pickle(path, dict(zip(names or [f"test_{i}" for i in range(CLIPS)], scores.astype(np.float32),
                                     strict=True)))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with two streams' work directories and labels in several forms."""
    folder = tmp_path_factory.mktemp("streams")
    write_scores(folder / "joint" / "epoch1_test_score.pkl", 2, 1)
    write_scores(folder / "bone" / "epoch1_test_score.pkl", 1, 2)
    write_scores(folder / "noise" / "epoch1_test_score.pkl", 0, 3)
    write_labels(folder / "label.pkl", [f"test_{i}" for i in range(CLIPS)], TRUTH.tolist())
    with NpzWriter(folder / "data.npz") as writer:
        for split, labels in (("train", TRUTH[::-1]), ("test", TRUTH)):
            writer.write(f"x_{split}", np.ones((CLIPS, 2, 150), np.float32))
            writer.write(f"y_{split}", labels)
    with h5py.File(folder / "data.h5", "w") as file, np.load(folder / "data.npz") as arrays:
        file.update(arrays)
    rows = "\n".join(f"test_{i},{label},0,0.5,1" for i, label in enumerate(TRUTH))
    (folder / "joint" / "predictions.csv").write_text(f"sample,true,predicted,probability,rank\n{rows}\n")
    return folder


def run(run_script, place: Path, *words: str):
    return run_script(ROOT / "ensemble.py", *words, cwd=place)


def top1(stdout: str) -> float:
    return float(re.search(r"^Top1 Acc: (\d+\.\d{4})%$", stdout, re.M)[1])


def accuracy(place: Path, *weights: float) -> float:
    total = sum(weight * np.stack(list(load_plain_pickle(place / name / "epoch1_test_score.pkl").values()))
                for weight, name in zip(weights, ("joint", "bone", "noise"), strict=False))
    return 100 * (total.argmax(axis=1) == TRUTH).mean()


@pytest.mark.parametrize("labels", [("--labels", "label.pkl"), ("--labels", "data.npz"), ("--labels", "data.h5"),
                                    ("--labels", "joint"), ("--labels", "joint/predictions.csv"), ()])
def test_given_weights_with_labels_from_anywhere(run_script, place, labels):
    done = run(run_script, place, "--scores", "joint", "bone/epoch1_test_score.pkl", "noise", *labels,
               "--weights", "0.6", "0.4", "0.1")
    assert done.returncode == 0, done.stderr
    assert top1(done.stdout) == pytest.approx(accuracy(place, 0.6, 0.4, 0.1), abs=1e-3)
    assert top1(done.stdout) != pytest.approx(accuracy(place, 1, 1, 1), abs=1e-3)


def test_streams_of_one_name_are_told_apart(run_script, place):
    done = run(run_script, place, "--scores", "joint/epoch1_test_score.pkl", "bone/epoch1_test_score.pkl", "--labels",
               "label.pkl")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^joint/epoch1_test_score.pkl +1 ", done.stdout, re.M)


def test_output_and_gains(run_script, place, tmp_path):
    done = run(run_script, place, "--scores", "joint", "bone", "--output", str(tmp_path / "fused.pkl"), "--gains",
               str(tmp_path / "gains.csv"))
    assert done.returncode == 0, done.stderr
    fused = load_plain_pickle(tmp_path / "fused.pkl")
    assert list(fused)[:2] == ["test_0", "test_1"] and len(fused) == CLIPS
    again = run(run_script, place, "--scores", str(tmp_path / "fused.pkl"), "--labels", "label.pkl")
    assert top1(again.stdout) == top1(done.stdout) == pytest.approx(accuracy(place, 1, 1), abs=1e-3)
    with open(tmp_path / "gains.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["0", "1", "2"] and {row["samples"] for row in rows} == {"20"}
    mean = np.mean([float(row["recall_ensemble"]) for row in rows])
    assert 100 * mean == pytest.approx(top1(done.stdout), abs=1e-3)
    for row in rows:
        gain = float(row["recall_ensemble"]) - float(row["recall_joint"])
        assert float(row["gain"]) == pytest.approx(gain, abs=1e-5)


def test_a_search_reports_the_half_it_did_not_see(run_script, place, tmp_path):
    done = run(run_script, place, "--scores", "joint", "noise", "--search", "--output", str(tmp_path / "fused.pkl"))
    assert done.returncode == 0, done.stderr
    assert "searched on 30 of the 60 samples" in done.stdout and "of the other 30" in done.stdout
    fused = load_plain_pickle(tmp_path / "fused.pkl")
    labels = {f"test_{i}": label for i, label in enumerate(TRUTH)}
    assert len(fused) == 30
    hits = np.mean([scores.argmax() == labels[name] for name, scores in fused.items()])
    assert top1(done.stdout) == pytest.approx(100 * hits, abs=1e-3)
    weights = re.findall(r"^(joint|noise) +([\d.]+) ", done.stdout, re.M)
    assert float(dict(weights)["joint"]) > float(dict(weights)["noise"])
    printed = re.findall(r"^searched on, (all alike|chosen) +weights ([\d. ]+)  loss (\d\.\d{4})  top-1 \d+",
                         done.stdout, re.M)
    assert [name for name, *_ in printed] == ["all alike", "chosen"] and printed[0][1] == "0.5 0.5"
    assert float(printed[1][2]) < float(printed[0][2]) and re.search(r"^all alike +\d", done.stdout, re.M)


def test_a_search_on_other_data(run_script, place, tmp_path):
    write_scores(tmp_path / "joint.pkl", 2, 11)
    write_scores(tmp_path / "noise.pkl", 0, 12)
    words = ("--scores", "joint", "noise", "--search-scores", str(tmp_path / "joint.pkl"), str(tmp_path / "noise.pkl"))
    done = run(run_script, place, *words, "--search-labels", "label.pkl")
    assert done.returncode == 0, done.stderr
    assert "took no part in it" in done.stdout
    weight = float(re.search(r"^joint +([\d.]+) ", done.stdout, re.M)[1])
    assert 0.5 < weight <= 1


def test_classes_from_the_names_of_recordings(run_script, tmp_path):
    names = [f"S001C001P001R{i:03d}A{label + 1:03d}" for i, label in enumerate(TRUTH)]
    path = write_scores(tmp_path / "ntu.pkl", 2, 1, names)
    done = run(run_script, tmp_path, "--scores", str(path), "--labels", "names")
    assert done.returncode == 0, done.stderr
    scores = np.stack(list(load_plain_pickle(path).values()))
    assert top1(done.stdout) == pytest.approx(100 * (scores.argmax(axis=1) == TRUTH).mean(), abs=1e-3)


@pytest.mark.parametrize(("words", "complaint"), [
    (("--scores", "joint", "bone", "--weights", "1"), "1 weights for 2 streams"),
    (("--scores", "joint", "bone", "--weights", "0", "0"), "not all of them 0"),
    (("--scores", "joint", "bone", "--labels", "label.pkl", "--weights", "1e300", "1"), "the scores is infinite"),
    (("--scores", "joint", "bone", "--output", "bone/epoch1_test_score.pkl"), "would be lost"),
    (("--scores", "joint", "absent"), "no score file of the absent stream"),
    (("--scores", "bone", "--labels", "nothing.npz"), "nothing.npz: no such file"),
    (("--scores", "bone"), "--labels: missing"),
    (("--scores", "joint", "other.pkl"), "60 of"),
    (("--scores", "joint", "fewer.pkl"), "30 samples"),
    (("--scores", "nan.pkl", "--labels", "label.pkl"), "NaN or infinite"),
    (("--scores", "other.pkl", "--labels", "names"), "named neither"),
    (("--scores", "joint", "noise", "--search-scores", "bone", "noise", "--search-labels", "label.pkl"),
     "not searched on what the accuracy is reported on"),
    (("--scores", "joint", "--search-labels", "label.pkl"), "--search-labels is for"),
    (("--scores", "joint", "--labels", "broken.csv"), "not a table"),
    (("--scores", "joint", "--labels", "cut.h5"), "cut.h5: cannot be read, it is damaged"),
    (("--scores", "joint", "--labels", "empty.h5"), "empty.h5: is empty"),
    (("--scores", "joint", "--labels", "cut.npz"), "cut.npz: is damaged or not complete"),
])
def test_bad_input_is_one_line(run_script, place, words, complaint):
    write_scores(place / "other.pkl", 1, 5, [f"clip_{i}" for i in range(CLIPS)])
    scores = load_plain_pickle(place / "bone" / "epoch1_test_score.pkl")
    dump_plain_pickle(place / "fewer.pkl", dict(list(scores.items())[:30]))
    dump_plain_pickle(place / "nan.pkl", {**scores, "test_3": scores["test_3"] * np.nan})
    (place / "broken.csv").write_text("a,b\n1,2\n")
    (place / "cut.h5").write_bytes((place / "data.h5").read_bytes()[:3000])
    (place / "empty.h5").touch()
    (place / "cut.npz").write_bytes((place / "data.npz").read_bytes()[:1000])
    done = run(run_script, place, *words)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert complaint in done.stderr
