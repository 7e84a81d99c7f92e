"""Clips that hold NaN or no frames: found by the inspection, and named where a training meets them."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab.data.feeders.empty_clips import MOST_NAMED, EmptyClips
from skeleton_lab.data.feeders.spans import SpanReader, open_clips
from skeleton_lab.data.formats.labels import write_labels
from tests.archives import converted_arrays
from tests.ranks import run_ranks
from tests.several import run_main
from tests.trees import ROOT

EMPTY, BAD = 3, 5


def damage(clips: np.ndarray, nan: bool) -> None:
    clips[EMPTY] = 0
    if nan:
        clips[BAD, 1, 0, 7, 0] = np.nan


def ctrgcn(folder, nan):
    """A training of CTR-GCN: (command, its folder, the file, what it is to say of the two clips)."""
    path, arrays = folder / "ntu.npz", converted_arrays(num_train=8)
    damage(arrays["x_train"], nan)
    np.savez(path, **arrays)
    data = f"data_path={path},window_size=8"
    argv = ["--config", "config/nturgbd-cross-subject/default.yaml", "--train-feeder-args", data,
            "--test-feeder-args", data, "--model-args", "num_class=5", "--batch-size", "4"]
    return "CTR-GCN", argv, path, f"clip {EMPTY} of the train split", f"clip {BAD} of the train split"


def msg3d(folder, nan):
    """The same of MS-G3D."""
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        clips = rng.normal(size=(8, 3, 6, 25, 2)).astype(np.float32)
        if part == "train":
            damage(clips, nan)
        np.save(folder / f"{part}.npy", clips)
        write_labels(folder / f"{part}.pkl", [f"{part}_{i}" for i in range(8)], [0] * 8)
    feeder = [f"data_path={folder}/{part}.npy,label_path={folder}/{part}.pkl" for part in ("train", "val")]
    argv = ["--config", "config/nturgbd-cross-subject/train_joint.yaml", "--train-feeder-args", feeder[0],
            "--test-feeder-args", feeder[1], "--model-args", "num_gcn_scales=2,num_g3d_scales=2", "--batch-size", "4",
            "--forward-batch-size", "4"]
    return ("MS-G3D", argv, folder / "train.npy", f"sample {EMPTY} (train_{EMPTY})", f"sample {BAD} (train_{BAD})")


@pytest.mark.parametrize("make", [ctrgcn, msg3d])
@pytest.mark.parametrize("nan", [False, True])
def test_a_training_names_bad_clips(tmp_path, make, nan):
    tree, argv, path, empty, bad = make(tmp_path, nan)
    more = ["--device", "cpu", "--num-worker", "0", "--num-epoch", "1", "--work-dir", str(tmp_path / "work")]
    [end] = run_ranks(1, run_main, tree, ROOT / tree, [*argv, *more])
    lines = [line for line in end.err.splitlines() if str(path) in line]
    if nan:
        assert end.status == 2 and "Traceback" not in end.err
        assert lines[-1].startswith(f"error: {path}: {bad} holds NaN or infinite values")
    else:
        assert end.status == 0 and lines == [f"{path}: {empty} has no frames (all values are 0)"]


def test_the_inspection_finds_both(tmp_path, run_script):
    _, _, path, *_ = ctrgcn(tmp_path, nan=True)
    done = run_script("dataset_tools/inspect_npz.py", "--path", path, "--check")
    assert done.returncode != 0
    for clip, problem in ((EMPTY, "no frames"), (BAD, "NaN or infinite values")):
        assert any(str(clip) in line and problem in line for line in (done.stdout + done.stderr).splitlines())


def test_many_empty_clips_are_cut_short(capsys):
    empty = EmptyClips("a.npz", 20)
    for index in [*range(10), *range(10)]:
        empty.found(index, f"clip {index}")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == MOST_NAMED and lines[0] == "a.npz: clip 0 has no frames (all values are 0)"
    assert "inspect_npz.py --check" in lines[-1]


def test_gaps_in_ntu_clips_stay_as_published_but_not_unnoticed(tmp_path, capsys):
    x = np.zeros((2, 20, 150), np.float32)
    x[0, :10], x[1, 10:] = 1, 1
    np.savez(tmp_path / "gap.npz", x_test=x, y_test=[0, 1])
    reader = SpanReader(open_clips(tmp_path / "gap.npz", "test"))
    assert reader.num_valid([0, 1]).tolist() == [10, 10]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and "gap.npz: clip 1 of the test split has empty frames before its last one" in said[0]
