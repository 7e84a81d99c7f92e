"""NTU's recordings as the annotations of PYSKL and MMAction2 have them: the figures of their own converters."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab.data.formats.pose_clips import open_pose_clips
from skeleton_lab.data.formats.sightings import sightings_of
from skeleton_lab.data.formats.skeleton_file import format_recording, read_recording
from skeleton_lab.data.prepare.pose_bodies import as_mmaction2, as_pyskl
from tests.golden_models import GOLDEN
from tests.skeleton_texts import unpack

with np.load(GOLDEN / "pyskl_raw.npz", allow_pickle=False) as _archive:
    FIGURES = {key: _archive[key] for key in _archive.files}
MAKERS = {"pyskl": as_pyskl, "mma2": as_mmaction2}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    return unpack("skeletons", tmp_path_factory.mktemp("raw"))


@pytest.mark.parametrize("key", [key for key in FIGURES if not key.startswith("split/")])
def test_persons_of_a_recording(recordings, key):
    whose, name = key.split("/")
    persons = MAKERS[whose](read_recording(recordings / f"{name}.skeleton"))
    assert persons.dtype == np.float16
    np.testing.assert_array_equal(persons, FIGURES[key])


def test_a_folder_becomes_an_archive(run_script, recordings, tmp_path):
    (recordings / "S001C001P001R001A002.skeleton").write_text("2\n0\n0\n")  # nobody
    missing = tmp_path / "missing.txt"
    missing.write_text("S001C001P001R001A001\n")
    out = tmp_path / "a.npz"
    done = run_script("dataset_tools/convert_pyskl.py", "--input", recordings, "--output", out, "--like", "mmaction2",
                      "--missing-list", missing)
    (recordings / "S001C001P001R001A002.skeleton").unlink()
    assert done.returncode == 0, done.stderr
    assert "1 recordings with nobody in them are left out: S001C001P001R001A002" in done.stdout
    for split in ("xsub_train", "xsub_val", "xview_train", "xview_val"):
        clips = open_pose_clips(out, split)
        assert clips.names == sorted(set(FIGURES[f"split/{split}"].tolist()) - {"S001C001P001R001A001"})
        assert clips.clips[:, 3].tolist() == [int(name[-3:]) - 1 for name in clips.names]
        np.testing.assert_array_equal(clips.frames(0), FIGURES[f"mma2/{clips.names[0]}"])


def test_where_all_bodies_look_like_furniture_one_is_kept(tmp_path):
    """A wide one and one that is upright for a frame, both for 20 frames."""
    rng = np.random.default_rng(0)
    clip = rng.uniform(0, 1, (20, 2, 25, 3)) * (3, 1, 1)
    clip[4, 1, :, 0] /= 9
    path = tmp_path / "S001C001P001R001A001.skeleton"
    path.write_text(format_recording(sightings_of(clip.astype(np.float32))))
    persons = as_pyskl(read_recording(path))
    assert persons.shape == (1, 20, 25, 3)
    np.testing.assert_allclose(persons[0], clip[:, 1], rtol=0, atol=2e-3)
