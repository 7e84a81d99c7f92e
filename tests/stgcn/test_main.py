"""ST-GCN++ through its real command line, on a small archive: train, resume, test, fuse, refuse."""

from __future__ import annotations

import json

import numpy as np

from tests.tree_cases import assert_fuses_what_it_trains, assert_refuses_weights, ntu_flags
from tests.trees import ROOT

TREE = ROOT / "ST-GCN"
CONFIGS = sorted((TREE / "config").glob("*/default.yaml"))


def test_the_ntu_configs_are_the_data_sets():
    from yaml import safe_load

    configs = {path.parent.name: safe_load(path.read_text()) for path in CONFIGS if "ntu" in path.parent.name}
    assert {name: (config["model_args"]["num_class"], config["train_feeder_args"]["data_path"],
                   config["test_feeder_args"]["data_path"]) for name, config in configs.items()} == {
        name: (classes, f"data/{file}", f"data/{file}") for name, classes, file in (
            ("nturgbd-cross-subject", 60, "ntu/NTU60_CS.npz"), ("nturgbd-cross-view", 60, "ntu/NTU60_CV.npz"),
            ("nturgbd120-cross-subject", 120, "ntu120/NTU120_CSub.npz"),
            ("nturgbd120-cross-set", 120, "ntu120/NTU120_CSet.npz"))}


def test_resumed_tested_and_fused(tiny_archive, run_script, tmp_path):
    """Two epochs at once and in two runs end in the same weights; their scores are the test's, and are fused."""
    assert_fuses_what_it_trains("ST-GCN", ntu_flags(tiny_archive), tiny_archive, run_script, tmp_path)


def test_weights_of_another_model_are_refused_in_one_line(tiny_archive, tmp_path):
    assert_refuses_weights("ST-GCN", ntu_flags(tiny_archive), tmp_path, "l1.gcn1.alpha")


def test_made_up_ucla_recordings_are_read(tree, tmp_path):
    """The feeder that the UCLA config names, on recordings of one frame each."""
    from skeleton_lab.data.feeders.ucla_split import recordings

    frame = np.random.default_rng(0).standard_normal((1, 20, 3)).tolist()
    for recording in recordings("val"):
        (tmp_path / f"{recording.name}.json").write_text(json.dumps({"skeletons": frame}))
    feeder = tree.load("feeders.feeder_ucla.Feeder")("joint", "val", root=str(tmp_path))
    data, labels, _ = feeder.get_batch([0, 5])
    assert data.shape == (2, 3, 52, 20, 1) and labels.tolist() == feeder.label[0:6:5]
