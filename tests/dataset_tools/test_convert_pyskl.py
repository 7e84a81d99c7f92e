"""convert_pyskl.py through its command line, and what reads its archives."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from skeleton_lab.data.formats.face import Wanted
from skeleton_lab.data.formats.pose_clips import open_pose_clips
from skeleton_lab.data.formats.pyskl_annotations import Annotations
from skeleton_lab.data.formats.registry import open_recordings
from skeleton_lab.errors import UserError
from tests.pyskl_files import annotation, made_clips, write_pickle

SCRIPT = "dataset_tools/convert_pyskl.py"


def convert(run_script, source, output, *more):
    return run_script(SCRIPT, "--input", source, "--output", output, *more)


def test_everything_is_kept(run_script, tmp_path):
    entries = made_clips(5, 17, flat=True)
    del entries[2]["label"]
    source = write_pickle(tmp_path / "a.pkl", entries, {"train": ["clip003", "clip000"], "val": ["clip002"]})
    done = convert(run_script, source, tmp_path / "a.npz")
    assert done.returncode == 0, done.stderr
    assert "5 clips" in done.stdout and "17 joints of 2 coordinates and a score" in done.stdout
    clips = open_pose_clips(tmp_path / "a.npz", None)
    for place, entry in enumerate(entries):
        np.testing.assert_array_equal(clips.frames(place), entry["keypoint"])
        np.testing.assert_array_equal(clips.scores_of(place), entry["keypoint_score"])
        assert clips.frames(place).dtype == np.float16
    assert clips.clips[:, 3:].tolist() == [[label, 1080, 1920] for label in (0, 1, -1, 3, 0)]
    assert open_pose_clips(tmp_path / "a.npz", "train").names == ["clip000", "clip003"]  # the order of annotations

    recording = open_recordings(tmp_path / "a.npz", Wanted(split="train"))[1]
    assert (recording.label, recording.image_size, recording.y_down) == (3, (1920, 1080), True)
    assert recording.frames.shape == (*entries[3]["keypoint"].shape[1::-1], 17, 2)
    for words in (("dataset_tools/inspect_npz.py", "--path", tmp_path / "a.npz"),
                  ("dataset_tools/view_skeleton.py", tmp_path / "a.npz", "--split", "train", "--index", "1", "--output",
                   tmp_path / "a.gif")):
        done = run_script(*words)
        assert done.returncode == 0, done.stderr
    again = convert(run_script, source, tmp_path / "a.npz")
    assert again.returncode == 2 and "exists; give another --output" in again.stderr


def test_bare_lists_file_names_and_skeletons_in_files_of_their_own(run_script, tmp_path):
    entries = made_clips(2, 25, flat=False)
    for entry in entries:
        entry["filename"] = "videos/" + entry.pop("frame_dir")
    source = write_pickle(tmp_path / "a.pkl", entries)
    assert convert(run_script, source, tmp_path / "a.npz").returncode == 0
    assert open_pose_clips(tmp_path / "a.npz", None).names == ["videos/clip000", "videos/clip001"]

    skeletons = np.random.default_rng(0).uniform(0, 1, (5, 17, 3)).astype(np.float16)
    (tmp_path / "k.pkl").write_bytes(pickle.dumps({"k": {"keypoint": skeletons}}))
    entry = {"frame_dir": "k", "label": 0, "raw_file": "r.pkl", "frame_inds": np.array([2, 2, 3, 9, 9], np.int16),
             "box_score": np.array([0.9, 0.4, 0.9, 0.9, 0.9]), "total_frames": 10}
    source = write_pickle(tmp_path / "b.pkl", [entry])
    assert convert(run_script, source, tmp_path / "b.npz", "--least-box", "0.5").returncode == 0
    made = open_pose_clips(tmp_path / "b.npz", None).frames(0)
    assert made.shape == (2, 3, 17, 2)
    np.testing.assert_array_equal(made[:, 2], skeletons[3:, :, :2])

    entries = [{**entry, "frame_dir": name, "valid": {0.5: left, np.float32(0.7): 1}}
               for name, left in (("a", 4), ("b", 6), ("c", np.int64(10)))]
    source = write_pickle(tmp_path / "c.pkl", entries, {"val": ["c", "a"]})
    chosen = Annotations(source, least_box=0.5, least_valid=0.6)
    assert chosen.names == ["b", "c"] and chosen.splits["val"].tolist() == [1]
    for box, share, told in ((0.7, 0.6, "at most 0.1"), (0.6, 0.1, "clip 0: its 'valid' tells nothing of boxes that "
                                                                    "score 0.6, only of 0.5, 0.7")):
        with pytest.raises(UserError, match=told):
            Annotations(source, least_box=box, least_valid=share)


class Hostile:
    def __reduce__(self):
        import os

        return os.mkdir, ("made",)


@pytest.mark.parametrize(("content", "told"), [
    ({"annotations": []}, "no annotation file"), ([1, 2], "no annotation file"), (3, "no annotation file"),
    ([{"frame_dir": "a", "keypoint": np.zeros((1, 3, 25), np.float16)}], "clip 0: its keypoint"),
    ([annotation("a", np.full((1, 3, 25, 3), np.nan, np.float16))], "not finite"),
    ([annotation("a", np.zeros((1, 3, 25, 3), np.float16), label="b")], "its label"),
    ([annotation("a", np.zeros((1, 3, 17, 2))), annotation("b", np.zeros((1, 3, 25, 3)))], "convert them apart"),
    ([{"frame_dir": "a", "keypoint": np.array([object()])}], "refused, nothing was run"),
    ({"split": Hostile(), "annotations": []}, "refused, nothing was run"),
])
def test_damaged_and_hostile_files_are_refused(run_script, tmp_path, content, told):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol=2))
    done = convert(run_script, tmp_path / "a.pkl", tmp_path / "a.npz")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and told in done.stderr
    assert not (tmp_path / "a.npz").exists()
