"""Clips as PYSKL and MMAction2 make them: the golden figures, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab.data.feeders.feeder_pyskl import Feeder
from skeleton_lab.data.feeders.pyskl_sampling import Sampling
from skeleton_lab.data.feeders.pyskl_transforms import euler, turned
from skeleton_lab.data.formats.pose_clips import open_pose_clips
from skeleton_lab.data.formats.pyskl_annotations import decompress
from skeleton_lab.errors import UserError
from tests.golden_models import GOLDEN
from tests.plain_pyskl import PlainPyskl
from tests.pyskl_files import annotation, converted, made_clips

FIGURES: dict[str, np.ndarray] = {}
for _name in ("pyskl_pipeline", "pyskl_steps"):  # of the latter, every eleventh frame is kept
    with np.load(GOLDEN / f"{_name}.npz", allow_pickle=False) as _archive:
        FIGURES |= {key: _archive[key] for key in _archive.files}
PARTS = {  # of a golden's name: the seed of its draws, and the options
    "test": (None, {"test_mode": True, "num_clips": 3}),
    "train": (16, {}),
    "strong": (17, {"random_scale": 0.1, "random_rot": 0.3}),
    "dgstgcn": (18, {"decode": True, "normalize": {"align_spine": False}, "random_rot": 0.2}),
    "hand": (None, {"clip_len": 10, "num_person": 1, "test_mode": True, "normalize": {"mode": "auto", "threshold": 0}}),
}


NONE = {"normalize": {"mode": "none"}}
UPRIGHT = {"prenorm3d": {}, "prenorm3d_center_only": {"align_spine": False, "align_shoulder": False},
           "prenorm3d_no_spine": {"align_spine": False}}
AUGMENTED = {"rot0.2": (13, {"random_rot": 0.2}), "rot0.3": (13, {"random_rot": 0.3}),
             "scale0.1": (14, {"random_scale": 0.1}), "scale_tuple": (14, {"random_scale": [0.1, 0.2, 0.3]}),
             "noise": (15, {"random_noise": 0.01})}
FORMATTED = {"one_zero": ("one", NONE), "one_loop": ("one", {**NONE, "person_mode": "loop"}),
             "coco_3_to_2": ("coco", NONE)}
TURNED_2D = "augment/rot2d"
STEPS = [key for key in FIGURES if key.removeprefix("mma2/").split("/")[0].split("_")[0] in (
    "prenorm3d", "prenorm2d", "feat", "augment", "pad", "format") and not key.endswith("_frames") and key != TURNED_2D]


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Each golden input as an archive of one clip, by name."""
    folder = tmp_path_factory.mktemp("annotations")
    names = ("two", "swap", "one", "one32", "zero", "coco", "openpose", "hand")
    inputs = {name: FIGURES[f"input/{name}"] for name in names}
    inputs["hand_times_500"] = inputs["hand"] * 500
    return {name: converted(folder / f"{name}.npz", [annotation(name, keypoint, score=FIGURES.get(
        f"input/{name}_score"))], {"val": [name]}) for name, keypoint in inputs.items()}


def step(key: str) -> tuple[str, dict]:
    """Return the golden input of a step's figures, and the options with which a feeder does that step alone."""
    kind, _, name = key.removeprefix("mma2/").partition("/")
    if kind in UPRIGHT:
        return name, {"normalize": UPRIGHT[kind]}
    if kind == "prenorm2d":
        auto = name.endswith("_auto")
        return name.removesuffix("_auto"), {"normalize": {"mode": "auto" if auto else "fix"},
                                            "scores": not key.startswith("mma2")}
    if kind == "feat":
        name, _, feats = name.rpartition("_")
        return name, {"feats": feats.split("+"), **({} if name == "coco" else NONE)}
    if kind == "pad":
        return "one", {**NONE, "pad_mode": name}
    return FORMATTED[name] if kind == "format" else ("two", AUGMENTED[name][1])


@pytest.mark.parametrize("key", STEPS)
def test_each_step_alone(archives, key):
    name, options = step(key)
    kind = key.removeprefix("mma2/").split("/")[0]
    figure = FIGURES["mma2/" + key if key == "format/one_loop" else key]  # PYSKL means to show the person again too
    if kind.startswith("prenorm3d") or kind == "augment":
        frames = int(FIGURES[f"prenorm3d/{name}_frames"])
    else:
        frames = 200 if kind == "pad" else int(open_pose_clips(archives[name], "val").clips[0, 2])
    persons = figure.shape[-4]
    if kind == "augment":
        np.random.seed(AUGMENTED[key.removeprefix("augment/")][0])
    feeder = Feeder(str(archives[name]), "val", num_person=persons, pad_to=frames,
                    like="mmaction2" if key.startswith("mma2") else "pyskl", **options)
    clips = feeder.get_batch([0])[0].permute(0, 4, 2, 3, 1).numpy()[:, :, ::11]  # (1, C, T, V, M) -> (1, M, T/11, V, C)
    np.testing.assert_array_equal(clips, figure.astype(np.float32).reshape(clips.shape))


def test_a_turn_in_the_plane():
    np.random.seed(13)
    angle = np.random.uniform(-0.3)  # theirs reaches up to 1, the feeder's to 0.3
    turns = euler(np.array([angle]))[None]
    np.testing.assert_allclose(turned(FIGURES["input/hand"][0], turns, np.array([0, 15]))[::11],
                               FIGURES[TURNED_2D][0], rtol=0, atol=1e-12)


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


@pytest.mark.parametrize("options", [
    {"feats": ["j", "bm"], "random_rot": 0.2, "random_scale": 0.1}, {"feats": ["b", "jm"], "test_mode": True,
                                                                       "num_clips": 3}], ids=["train", "test"])
@pytest.mark.parametrize(("flat", "like"), [(False, "pyskl"), (True, "pyskl"), (True, "mmaction2")])
def test_batches_are_what_one_clip_at_a_time_gives(tmp_path, flat, like, options):
    """Clips shorter and longer than those that are made, some with absent persons and joints; any order."""
    if flat:
        options = {key: value for key, value in options.items() if key != "random_rot"}
    entries = made_clips(8, 17 if flat else 25, flat)
    for entry in entries[::2]:
        entry["keypoint"][-1, 3:7] = entry["keypoint"][:, :, 5] = 0
        entry["keypoint"][0, :2] = 0
    path = converted(tmp_path / "a.npz", entries)
    indices = [5, 0, 3, 3, 7, 1, 2, 4, 6]
    np.random.seed(3)
    batch = Feeder(str(path), clip_len=14, like=like, **options).get_batch(indices)[0].numpy()
    np.random.seed(3)
    plain = PlainPyskl(open_pose_clips(path, None), clip_len=14, like=like, **options).get_batch(indices)
    np.testing.assert_array_equal(batch, plain.transpose(0, 1, 5, 3, 4, 2).reshape(batch.shape))


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
    ({"split": "xset"}, "it has: tr"), ({"p_interval": (1, 0.5)}, "p_interval"), ({"pad_to": 5}, "give more"),
    ({"pad_to": 0}, "pad_to=0"), ({"pad_mode": "x"}, "pad_mode='x'"), ({"person_mode": "x"}, "person_mode='x'"),
    ({"random_scale": [0.1, 0.1]}, "give one number or 3"), ({"random_rot": "x"}, "random_rot='x'"),
    ({"random_noise": -1}, "random_noise=-1")])
def test_options_are_refused_in_one_line(tmp_path, options, told):
    path = converted(tmp_path / "a.npz", made_clips(2, 17, flat=True), {"tr": ["clip001"]})
    with pytest.raises(UserError, match=told) as refused:
        Feeder(str(path), **options).get_batch([0])
    assert "\n" not in str(refused.value)
