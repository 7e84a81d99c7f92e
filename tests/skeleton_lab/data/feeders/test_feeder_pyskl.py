"""Clips as PYSKL and MMAction2 make them: the golden figures, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab.data.feeders.feeder_pyskl import Feeder
from skeleton_lab.data.feeders.pyskl_sampling import Sampling
from skeleton_lab.data.formats.pyskl_annotations import decompress
from skeleton_lab.errors import UserError
from tests.golden_models import GOLDEN
from tests.pyskl_files import annotation, converted, made_clips

with np.load(GOLDEN / "pyskl_pipeline.npz", allow_pickle=False) as _archive:
    FIGURES = {key: _archive[key] for key in _archive.files}
PARTS = {  # of a golden's name: the seed of its draws, and the options
    "test": (None, {"test_mode": True, "num_clips": 3}),
    "train": (16, {}),
    "strong": (17, {"random_scale": 0.1, "random_rot": 0.3}),
    "dgstgcn": (18, {"decode": True, "normalize": {"align_spine": False}, "random_rot": 0.2}),
    "hand": (None, {"clip_len": 10, "num_person": 1, "test_mode": True, "normalize": {"mode": "auto", "threshold": 0}}),
}


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Each golden input as an archive of one clip, by name."""
    folder = tmp_path_factory.mktemp("annotations")
    names = ("two", "swap", "one", "coco", "hand")
    return {name: converted(folder / f"{name}.npz", [annotation(name, FIGURES[f"input/{name}"],
                                                                score=FIGURES.get(f"input/{name}_score"))],
                            {"val": [name]}) for name in names}


@pytest.mark.parametrize("key", [key for key in FIGURES if "full/" in key])
def test_whole_pipelines(archives, key):
    words = key.rpartition("/")[2].split("_")
    seed, options = PARTS[words[0]]
    feeder = Feeder(str(archives[words[-2] if len(words) > 2 else "hand"]), "val", feats=words[-1].split("+"),
                    **{"clip_len": 20, "like": "mmaction2" if key.startswith("mma2") else "pyskl", **options})
    np.random.seed(seed)
    clips = feeder.get_batch([0])[0].permute(0, 4, 2, 3, 1).numpy()  # (K, C, T, V, M) -> (K, M, T, V, C)
    assert clips.dtype == np.float32
    np.testing.assert_array_equal(clips, FIGURES[key])


@pytest.mark.parametrize("key", [key for key in FIGURES if "index/" in key and "rng" not in key])
def test_frames_that_are_taken(key):
    words = key.rpartition("/")[2].split("_")
    frames = next(int(word[1:]) for word in words if word[0] == "T")
    test, decode, share = "test" in words, "decode" in words, "p" in words
    clips = next((int(word.removeprefix("clips")) for word in words if word.startswith("clips")),
                 2 if share else 10 if test else 1)
    sampling = Sampling(100, clips, (0.5, 1) if share else (1, 1), test, not key.startswith("mma2"), decode)
    np.random.seed(12 if share else 11)
    assert sampling.draw(frames).tolist() == FIGURES[key].tolist()


def test_what_the_next_draw_sees():
    np.random.seed(11)
    Sampling(100).draw(350)
    assert np.random.rand(3).tolist() == FIGURES["index/rng_after_train_T350"].tolist()


@pytest.mark.parametrize("key", [key for key in FIGURES if key.startswith("decompress/")])
def test_compressed_skeletons(key):
    skeletons, frames = FIGURES["input/k400_keypoint"], FIGURES["input/k400_frame_inds"]
    if "box" in key:
        kept = FIGURES["input/k400_box_score"] >= 0.5
        skeletons, frames = skeletons[kept], frames[kept]
    options = {"renumber": False} if "squeeze" in key else {"most_persons": 1} if "max1" in key else {}
    np.testing.assert_array_equal(decompress(skeletons, frames, **options)[0], FIGURES[key])


@pytest.mark.parametrize("flat", [False, True])
def test_batches_are_single_clips(tmp_path, flat):
    path = converted(tmp_path / "a.npz", made_clips(6, 17 if flat else 25, flat), {"tr": ["clip001", "clip004"]})
    feeder = Feeder(str(path), feats=["b", "jm"], clip_len=16, random_rot=0 if flat else 0.2)
    np.random.seed(5)
    batch, labels, indices = feeder.get_batch([4, 1, 2])
    np.random.seed(5)
    np.testing.assert_array_equal(batch.numpy(), np.stack([feeder[index][0] for index in (4, 1, 2)]))
    assert labels.tolist() == [0, 1, 2] and indices.tolist() == [4, 1, 2] and batch.shape == (3, 6, 16, len(
        feeder.recorded(0).skeleton.joint_names), 2)
    assert Feeder(str(path), "tr").sample_name == ["clip001", "clip004"]
    assert len(Feeder(str(path), "tr", repeat=5)) == 10


@pytest.mark.parametrize(("options", "told"), [
    ({"like": "x"}, "like='x'"), ({"feats": ["k"]}, "feats"), ({"clip_len": 0}, "clip_len=0"),
    ({"normalize": {"modus": 1}}, "no 'modus'"), ({"normalize": {"mode": "x"}}, "mode 'x'"),
    ({"split": "xset"}, "it has: tr"), ({"p_interval": (1, 0.5)}, "p_interval"), ({"pad_to": 5}, "give more")])
def test_options_are_refused_in_one_line(tmp_path, options, told):
    path = converted(tmp_path / "a.npz", made_clips(2, 17, flat=True), {"tr": ["clip001"]})
    with pytest.raises(UserError, match=told) as refused:
        Feeder(str(path), **options).get_batch([0])
    assert "\n" not in str(refused.value)
