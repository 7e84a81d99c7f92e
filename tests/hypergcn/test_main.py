"""Hyper-GCN through its real command line, on a small archive: train, resume, test, fuse, refuse."""

from __future__ import annotations

import re

from yaml import safe_load

from skeleton_lab.imports import construct
from tests.tree_cases import assert_fuses_what_it_trains, assert_refuses_weights, ntu_flags
from tests.trees import ROOT

TREE = ROOT / "Hyper-GCN"
CONFIGS = sorted((TREE / "config").rglob("*.yaml"))


def flags(archive) -> list[str]:
    return ntu_flags(archive, "config/base/nturgbd-cross-view/hyper_joint.yaml")


def test_each_graph_has_the_joints_of_its_model(tree):
    for path in CONFIGS:
        options = safe_load(path.read_text())["model_args"]
        graph = construct(options["graph"], {"hyper_joints": options.get("hyper_joints", 0),
                                             **options.get("graph_args", {})}, "graph_args")
        assert graph.num_node == options["num_point"]


def test_the_configs_are_the_published_ones():
    configs = {str(path.relative_to(TREE / "config")): safe_load(path.read_text()) for path in CONFIGS}
    assert len(configs) == 32 + 2
    data = {"nturgbd-cross-subject": (60, "data/ntu/NTU60_CS.npz"), "nturgbd-cross-view": (60, "data/ntu/NTU60_CV.npz"),
            "nturgbd120-cross-subject": (120, "data/ntu120/NTU120_CSub.npz"),
            "nturgbd120-cross-set": (120, "data/ntu120/NTU120_CSet.npz")}
    for size in ("base", "large"):
        for benchmark, (classes, file) in data.items():
            for stream in ("joint", "bone", "joint_motion", "bone_motion"):
                config = configs[f"{size}/{benchmark}/hyper_{stream}.yaml"]
                xview, motion = benchmark == "nturgbd-cross-view", "motion" in stream
                for part in ("train_feeder_args", "test_feeder_args"):
                    options = config[part]
                    assert (options["data_path"], options["bone"], options["vel"]) == (file, "bone" in stream, motion)
                    assert options.get("frame_sample") == ("clips" if xview else None)
                    assert options.get("align") == (True if xview else None)
                model = config["model_args"]
                assert model["num_class"] == classes and model.get("size", "base") == size
                assert model.get("hyper_joints", 0) == (0 if motion and benchmark == "nturgbd120-cross-set" else 3)
                slow = size == "large" and benchmark != "nturgbd-cross-subject"
                assert config["base_lr"] == (0.025 if slow else 0.05)
                recipe = ("batch_size", "num_epoch", "step", "warm_up_epoch", "weight_decay", "nesterov")
                assert [config[key] for key in recipe] == [64, 140, [110, 120], 5, 0.0004, True]


def test_resumed_tested_and_fused(tiny_archive, run_script, tmp_path):
    """Four streams are fused with the weights of the size; the divergence loss is 1 at the start, beside the other."""
    whole = tmp_path / "whole"
    runs, printed = assert_fuses_what_it_trains(
        "Hyper-GCN", flags(tiny_archive), tiny_archive, run_script, tmp_path, "--joint-motion-dir", whole,
        "--bone-motion-dir", whole, "--size", "large")
    assert re.findall(r"1\.4|0\.5", printed) == ["1.4", "0.5"]
    logs = [(folder / "log.txt").read_text() for folder in (runs.whole, runs.parts)]
    losses = [re.findall(r"Mean (?:training|auxiliary) loss: [0-9]+\.[0-9]{4}", log) for log in logs]
    assert losses[0] == losses[1] and losses[0][1] == "Mean auxiliary loss: 1.0000"
    settings = safe_load((runs.whole / "config.yaml").read_text())
    assert settings["label_smoothing"] == 0.1 and f"# Parameters: {1_041_677 - 56 * 257}" in logs[0]


def test_weights_of_another_model_are_refused_in_one_line(tiny_archive, tmp_path):
    assert_refuses_weights("Hyper-GCN", flags(tiny_archive), tmp_path, "l1.gcn1.topology")
