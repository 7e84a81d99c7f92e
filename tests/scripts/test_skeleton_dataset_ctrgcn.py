"""skeleton_dataset_ctrgcn.py: both layouts, one or two persons, transforms, workers, and the loader check."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from skeleton_dataset_ctrgcn import SkeletonDataset
from skeleton_lab.errors import UserError
from tests.scripts.small_archive import NUM_FRAMES, write_pair


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("archives"))


def first_frame(clip):
    """A transform that spawned workers can import."""
    return clip[:, 0]


def test_both_layouts_give_the_same_clips_and_labels(archives):
    kaggle, converted = (SkeletonDataset(path) for path in archives)
    assert len(kaggle) == len(converted) == 48
    for index in (0, 1, 47):
        (a, label_a), (b, label_b) = kaggle[index], converted[index]
        assert a.shape == (3, NUM_FRAMES, 25, 2) and a.dtype == torch.float32 and a.is_contiguous()
        assert torch.equal(a, b) and label_a == label_b == index % 4
        assert isinstance(label_a, int)


def test_a_clip_is_what_the_file_holds(archives):
    flat = np.load(archives[0])["x_test"][5]  # (T, 150): bodies x joints x coordinates
    clip, _ = SkeletonDataset(archives[1], "test")[5]
    assert clip[2, 7, 20, 1] == flat[7, 75 + 3 * 20 + 2]


def test_one_person_keeps_the_first_body(archives):
    both, one = SkeletonDataset(archives[1]), SkeletonDataset(archives[1], use_both_persons=False)
    assert torch.equal(one[3][0], both[3][0][..., :1])


def test_clips_may_be_changed_in_place(archives):
    dataset = SkeletonDataset(archives[1], transform=lambda clip: clip.mul_(0))
    before = SkeletonDataset(archives[1])[1][0]
    assert dataset[1][0].abs().sum() == 0
    assert torch.equal(SkeletonDataset(archives[1])[1][0], before)


def test_spawned_workers_read_the_same_clips(archives):
    dataset = SkeletonDataset(archives[0], "test", transform=first_frame)
    batches = list(DataLoader(dataset, 10, num_workers=2, multiprocessing_context="spawn"))
    clips, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert clips.shape == (24, 3, 25, 2)
    assert torch.equal(clips, torch.stack([dataset[i][0] for i in range(24)]))
    assert labels.tolist() == dataset.labels.tolist()


def test_a_pickled_dataset_does_not_carry_the_clips(archives):
    assert len(pickle.dumps(SkeletonDataset(archives[0]))) < 1000


def test_a_clip_with_nan_is_named(tmp_path):
    clips = np.zeros((3, 5, 150), np.float32)
    clips[1, 2, 3] = np.nan
    np.savez(tmp_path / "nan.npz", x_train=clips, y_train=np.eye(3), x_test=clips, y_test=np.eye(3))
    dataset = SkeletonDataset(tmp_path / "nan.npz")
    dataset[0]
    with pytest.raises(UserError, match="clip 1"):
        dataset[1]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_script_checks_a_loader(archives, run_script, workers):
    ran = run_script("skeleton_dataset_ctrgcn.py", "--npz-path", archives[1], "--batch-size", 8, "--num-workers",
                     workers, "--one-person")
    assert ran.returncode == 0, ran.stderr
    assert "48 clips" in ran.stdout
    assert f"(8, 3, {NUM_FRAMES}, 25, 1)" in ran.stdout
    assert "clips/s" in ran.stdout


@pytest.mark.parametrize("workers", [0, 1])
def test_bad_input_is_one_line(tmp_path, run_script, workers):
    clips = np.full((4, 5, 150), np.inf, np.float32)
    np.savez(tmp_path / "inf.npz", x_train=clips, y_train=np.eye(4), x_test=clips, y_test=np.eye(4))
    for path, said in ((tmp_path / "inf.npz", "NaN or infinite"), (tmp_path / "missing.npz", "missing.npz")):
        ran = run_script("skeleton_dataset_ctrgcn.py", "--npz-path", path, "--num-workers", workers)
        error = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
        assert ran.returncode == 2
        assert "Traceback" not in ran.stderr
        assert len(error) == 1 and said in error[0], ran.stderr
