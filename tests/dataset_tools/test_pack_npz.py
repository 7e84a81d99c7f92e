"""Packing: what is kept, what reads it, what is refused. (That the feeder's clips are equal: tests/ctrgcn.)"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skeleton_lab.data.feeders.feeder_ntu import Feeder
from skeleton_lab.data.formats.packed import PACKED, open_packed
from skeleton_lab.errors import UserError

SCRIPT = "dataset_tools/pack_npz.py"


def made_up(num_clips=23, num_frames=60):
    """(N, T, M, V, C): clip 2 is empty, 3 has only the second body, 4 a gap and a second body that comes after it."""
    rng = np.random.default_rng(0)
    clips = np.zeros((num_clips, num_frames, 2, 25, 3), np.float32)
    for i, length in enumerate(rng.integers(5, num_frames + 1, num_clips)):
        clips[i, :length, :1 + (i % 5 == 0)] = rng.standard_normal((length, 1 + (i % 5 == 0), 25, 3))
    clips[2] = 0
    clips[3] = clips[3, :, ::-1]
    clips[4] = 0
    clips[4, :10, 0] = clips[4, 12:20, :1] = 1
    clips[4, 19, 1] = 2
    return clips


@pytest.fixture
def archives(tmp_path):
    clips, labels = made_up(), np.arange(23) % 4
    kaggle, converted = tmp_path / "kaggle.npz", tmp_path / "converted.npz"
    flat, one_hot = clips.reshape(23, 60, 150), np.eye(4)[labels]
    np.savez_compressed(kaggle, x_train=flat, y_train=one_hot, x_test=flat[:7], y_test=one_hot[:7])
    five = np.ascontiguousarray(clips.transpose(0, 4, 1, 3, 2))
    np.savez(converted, x_train=five, y_train=labels, x_test=five[:7], y_test=labels[:7])
    return {"kaggle": kaggle, "converted": converted}, clips, labels


@pytest.mark.parametrize("layout", ["kaggle", "converted"])
def test_packed_clips_are_the_valid_frames(archives, run_script, layout):
    paths, clips, labels = archives
    output = paths[layout].with_name("packed.npz")
    done = run_script(SCRIPT, "--input", paths[layout], "--output", output)
    assert done.returncode == 0, done.stderr
    assert "train: 23 clips" in done.stdout
    split = open_packed(output, "train")
    assert split.layout == PACKED
    assert split.labels.tolist() == labels.tolist()
    assert split.num_classes == (4 if layout == "kaggle" else None)
    assert (len(split), open_packed(output, "test").num_clips) == (23, 7)
    for index, clip in enumerate(clips):
        num_valid = clip.any(axis=(1, 2, 3)).sum()
        np.testing.assert_array_equal(split.frames(index), clip[:num_valid])
    assert split.first_rows[4].tolist()[1] == -1  # its frames lie behind the valid ones
    kept = sum(clip[:clip.any(axis=(1, 2, 3)).sum(), body].any() * clip.any(axis=(1, 2, 3)).sum()
               for clip in clips for body in range(2))
    assert split.array.shape == (kept, 75)


def test_both_layouts_pack_alike(archives, run_script):
    paths, _, _ = archives
    packed = []
    for path in paths.values():
        assert run_script(SCRIPT, "--input", path).returncode == 0
        packed.append(open_packed(path.with_name(f"{path.stem}_packed.npz"), "train"))
    np.testing.assert_array_equal(packed[0].array, packed[1].array)
    np.testing.assert_array_equal(packed[0].first_rows, packed[1].first_rows)


def one_line_refusal(done, *words):
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert all(word in done.stderr for word in words), done.stderr


def test_refusals(archives, run_script, tmp_path):
    paths, clips, labels = archives
    packed = tmp_path / "packed.npz"
    assert run_script(SCRIPT, "--input", paths["converted"], "--output", packed).returncode == 0
    before = packed.read_bytes()
    one_line_refusal(run_script(SCRIPT, "--input", packed), "packed already")
    one_line_refusal(run_script(SCRIPT, "--input", paths["kaggle"], "--output", packed), "--overwrite")
    one_line_refusal(run_script(SCRIPT, "--input", packed.with_name("kaggle.npz"), "--output", paths["kaggle"],
                                "--overwrite"), "input")
    one_line_refusal(run_script(SCRIPT, "--input", tmp_path / "none.npz"), "no such file")
    bad = clips.reshape(23, 60, 150).copy()
    bad[9, 3, 3] = np.inf
    np.savez(tmp_path / "bad.npz", x_train=bad, y_train=labels, x_test=bad, y_test=labels)
    one_line_refusal(run_script(SCRIPT, "--input", tmp_path / "bad.npz"), "clip 9 of the train split")
    assert packed.read_bytes() == before
    assert not (tmp_path / "bad_packed.npz").exists()


@pytest.mark.parametrize(("change", "named"), [
    ({"tracks_train": np.array([[5, 0, -1], [5, 7, -1]])}, "points outside"),
    ({"tracks_train": np.array([[5, 0, -2], [5, 5, -1]])}, "points outside"),
    ({"tracks_train": np.array([[-1, 0, -1], [5, 5, -1]])}, "points outside"),
    ({"tracks_train": np.zeros((2, 2), np.int64)}, "pack it again"),
    ({"x_train": np.zeros((10, 74), np.float32)}, "pack it again"),
    ({"x_train": np.zeros((10, 75))}, "pack it again"),
    ({"y_train": np.array([1])}, "pack it again"),
    ({"y_train": np.array([1, -4])}, "label of clip 1"),
    ({"y_train": None}, "y_train"),
])
def test_damaged_archives_are_named(tmp_path, change, named):
    arrays = {"x_train": np.ones((10, 75), np.float32), "tracks_train": np.array([[5, 0, -1], [5, 5, -1]]),
              "y_train": np.array([1, 0])}
    np.savez(tmp_path / "whole.npz", **arrays)
    assert open_packed(tmp_path / "whole.npz", "train").frames(1).shape == (5, 2, 25, 3)
    arrays = {key: value for key, value in (arrays | change).items() if value is not None}
    np.savez(tmp_path / "damaged.npz", **arrays)
    with pytest.raises(UserError, match=named):
        open_packed(tmp_path / "damaged.npz", "train")


def test_other_tools_say_that_it_is_packed(archives, run_script):
    path = archives[0]["converted"]
    assert run_script(SCRIPT, "--input", path).returncode == 0
    packed = path.with_name("converted_packed.npz")
    one_line_refusal(run_script("convert_ntu60_kaggle_to_ctrgcn.py", "--input", packed), "is packed", "packed from")
    told = run_script("dataset_tools/inspect_npz.py", "--path", packed).stdout
    assert "is packed" in told and "layout: packed, rows (R, V*C)" in told


def test_a_third_split_is_packed_too(archives, run_script):
    source = archives[0]["converted"]
    with np.load(source) as loaded:
        np.savez(source, **dict(loaded), x_val=loaded["x_test"], y_val=loaded["y_test"])
    done = run_script(SCRIPT, "--input", source)
    assert done.returncode == 0 and "val: 7 clips" in done.stdout, done.stderr
    packed = source.with_name("converted_packed.npz")
    val, test = (Feeder(str(packed), split=name, p_interval=[1], window_size=8) for name in ("val", "test"))
    assert torch.equal(val.get_batch(range(7))[0], test.get_batch(range(7))[0]) and list(val.label) == list(test.label)
    assert val.sample_name[0] == "val_0"
