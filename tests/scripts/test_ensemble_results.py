"""ensemble.py on result files of PYSKL and MMAction2, which have no names."""

from __future__ import annotations

import pickle

import numpy as np
import torch

from tests.pyskl_files import made_clips, write_pickle
from tests.trees import ROOT

CLASSES, COUNT = 4, 8
LABELS = np.arange(COUNT) % CLASSES


def probabilities(wrong: set[int], seed: int) -> np.ndarray:
    """(N, classes) float32, right but for some clips."""
    scores = np.random.default_rng(seed).uniform(0, 0.5, (COUNT, CLASSES)).astype(np.float32)
    scores[np.arange(COUNT), [(label + (place in wrong)) % CLASSES for place, label in enumerate(LABELS)]] = 1
    return scores / scores.sum(axis=1, keepdims=True)


def dumped(path, scores, labels=LABELS):
    """Write what MMAction2's --dump writes: tensors in a plain pickle."""
    path.write_bytes(pickle.dumps([{"pred_score": torch.from_numpy(row), "gt_label": torch.tensor([label])}
                                   for row, label in zip(scores, labels.tolist(), strict=True)], protocol=2))
    return path


def test_results_with_labels_are_joined_by_position(run_script, tmp_path):
    one = dumped(tmp_path / "joint.pkl", probabilities({0, 1}, 0))
    two = dumped(tmp_path / "bone.pkl", probabilities({5}, 1))
    done = run_script("ensemble.py", "--scores", one, two)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "joined by position, since the labels agree"
    assert any(line.split()[:3] == ["joint", "1", "75.00%"] for line in lines)
    assert any(line.split()[:3] == ["bone", "1", "87.50%"] for line in lines)
    other = dumped(tmp_path / "other.pkl", probabilities(set(), 2), LABELS[::-1].copy())
    done = run_script("ensemble.py", "--scores", one, other)
    assert done.returncode == 2 and "other labels than" in done.stderr and done.stderr.count("\n") == 1


def test_results_without_anything_take_the_names_of_annotations(run_script, tmp_path):
    one, two = tmp_path / "j.pkl", tmp_path / "b.pkl"
    one.write_bytes(pickle.dumps(list(probabilities({0, 1}, 0)), protocol=2))
    two.write_bytes(pickle.dumps(list(probabilities({5}, 1)), protocol=2))
    entries = made_clips(COUNT + 2, 25, flat=False)
    members = [f"clip{place:03d}" for place in range(COUNT)]
    source = write_pickle(tmp_path / "ann.pkl", entries, {"val": members, "train": ["clip008", "clip009"]})
    done = run_script("ensemble.py", "--scores", one, two, "--labels", source)
    assert done.returncode == 0, done.stderr
    assert any(line.split()[:3] == ["j", "1", "75.00%"] for line in done.stdout.splitlines())
    for words, told in (((), "neither names nor labels"), (("--labels", f"{source}:train"), "no split has 8 clips")):
        done = run_script("ensemble.py", "--scores", one, two, *words)
        assert done.returncode == 2 and told in done.stderr and done.stderr.count("\n") == 1

    for tree in ("CTR-GCN", "MS-G3D"):
        done = run_script(ROOT / tree / "ensemble.py", "--dataset", "ntu/xsub", "--joint-dir", one, "--bone-dir", two,
                          "--labels", source)
        assert done.returncode == 0 and "joint (weight 1): top-1 75.00%" in done.stdout, done.stderr

    ours = {member: np.log(row) * 2 for member, row in zip(members, probabilities(set(), 3), strict=True)}
    (tmp_path / "ours.pkl").write_bytes(pickle.dumps(ours))
    done = run_script("ensemble.py", "--scores", one, tmp_path / "ours.pkl", "--labels", source)
    assert done.returncode == 0, done.stderr
    assert "ours: logits, made probabilities (softmax)" in done.stdout
    done = run_script("ensemble.py", "--scores", one, tmp_path / "ours.pkl")
    assert done.returncode == 2 and "have no names" in done.stderr
