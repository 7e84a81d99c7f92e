"""MS-G3D's configurations: the published values of twenty, keys that exist, dotted paths that lead somewhere."""

from __future__ import annotations

import pytest
import torch
import yaml

from tests.trees import ROOT

CONFIG = ROOT / "MS-G3D" / "config"
NTU_MODEL = {"num_point": 25, "num_person": 2, "num_gcn_scales": 13, "num_g3d_scales": 6,
             "graph": "graph.ntu_rgb_d.AdjMatrixGraph"}
NTU_TRAINING = {"base_lr": 0.05, "weight_decay": 0.0005, "device": [0], "batch_size": 32, "forward_batch_size": 16,
                "test_batch_size": 32}
NTU_60 = {"step": [30, 40], "num_epoch": 50, **NTU_TRAINING}
NTU_120 = {"step": [30, 50], "num_epoch": 60, **NTU_TRAINING}
NTU_FEEDER = {"random_choose": False, "random_shift": False, "random_move": False, "window_size": -1,
              "normalization": False}
KINETICS_MODEL = {"num_point": 18, "num_person": 2, "num_gcn_scales": 8, "num_g3d_scales": 8,
                  "graph": "graph.kinetics.AdjMatrixGraph"}
KINETICS = {"base_lr": 0.1, "weight_decay": 0.0003, "step": [45, 55], "num_epoch": 65, "device": [0, 1, 2, 3],
            "batch_size": 128, "forward_batch_size": 64, "test_batch_size": 128}

# folder: (data and output folder, classes, other model arguments, training, training feeder, weights, test device)
PUBLISHED = {
    "nturgbd-cross-subject": ("ntu/xsub", 60, NTU_MODEL, NTU_60, NTU_FEEDER, "ntu60_xsub", [0]),
    "nturgbd-cross-view": ("ntu/xview", 60, NTU_MODEL, NTU_60, NTU_FEEDER, "ntu60_xview", [0]),
    "nturgbd120-cross-subject": ("ntu120/xsub", 120, NTU_MODEL, NTU_120, NTU_FEEDER, "ntu120_xsub", [0]),
    "nturgbd120-cross-setup": ("ntu120/xset", 120, NTU_MODEL, NTU_120, NTU_FEEDER, "ntu120_xset", [0]),
    "kinetics-skeleton": ("kinetics", 400, KINETICS_MODEL, KINETICS, {}, "kinetics", 0),
}
STREAMS = ("joint", "bone")


def expected(folder, phase, stream):
    """The whole content of one file, from the published table."""
    place, num_class, model, training, feeder, weights, test_device = PUBLISHED[folder]
    data = {part: {"data_path": f"./data/{place}/{part}_data_{stream}.npy",
                   "label_path": f"./data/{place}/{part}_label.pkl"} for part in ("train", "val")}
    common = {"feeder": "feeders.feeder.Feeder", "model": "model.msg3d.Model",
              "model_args": {"num_class": num_class, **model}}
    if phase == "train":
        return common | training | {
            "work_dir": f"./work_dir/{place}/msg3d_{stream}", "nesterov": True,
            "train_feeder_args": data["train"] | {"debug": False} | feeder, "test_feeder_args": data["val"]}
    return common | {
        "work_dir": f"./eval/{place}/{stream}/", "weights": f"./pretrained_models/{weights}_{stream}.pt",
        "phase": "test", "save_score": True, "device": test_device, "test_batch_size": 32,
        "test_feeder_args": data["val"] | {"debug": False}}


FILES = [(folder, phase, stream) for folder in PUBLISHED for phase in ("train", "test") for stream in STREAMS]


def test_there_are_these_files_and_no_others():
    found = {str(path.relative_to(CONFIG)) for path in CONFIG.rglob("*")
             if path.is_file() and path.parent.name != "pyskl"}  # those are tests/scripts/test_pyskl_recipes.py's
    assert len(found) == 21
    assert found == {"demo/default.yaml", *(f"{folder}/{phase}_{stream}.yaml" for folder, phase, stream in FILES)}


def test_the_demo_s_config_is_of_the_generated_data(tree):
    config = yaml.safe_load((CONFIG / "demo" / "default.yaml").read_text())
    assert config["model_args"]["num_class"] == 10 and tree.load(config["feeder"]).__name__ == "Feeder"
    for part, name in (("train", "train"), ("test", "val")):  # the converter's names
        assert config[f"{part}_feeder_args"] == {"data_path": f"../demo/msg3d/{name}_data_joint.npy",
                                                 "label_path": f"../demo/msg3d/{name}_label.pkl"}
    model = tree.load(config["model"])(**config["model_args"])
    assert model(torch.zeros(1, 3, 16, 25, 2)).shape == (1, 10)


@pytest.mark.parametrize(("folder", "phase", "stream"), FILES)
def test_values_are_the_published_ones_and_paths_resolve(tree, folder, phase, stream):
    config = yaml.safe_load((CONFIG / folder / f"{phase}_{stream}.yaml").read_text())
    assert config == expected(folder, phase, stream)
    assert tree.load(config["feeder"]).__name__ == "Feeder"
    graph = tree.load(config["model_args"]["graph"])()
    assert graph.num_nodes == config["model_args"]["num_point"]


@pytest.mark.parametrize("folder", PUBLISHED)
def test_the_model_builds_from_its_arguments(tree, folder):
    config = yaml.safe_load((CONFIG / folder / "train_joint.yaml").read_text())
    model = tree.load(config["model"])(**config["model_args"])
    published = {60: 3_194_595, 120: 3_217_695, 400: 3_144_328}
    assert sum(parameter.numel() for parameter in model.parameters()) == published[config["model_args"]["num_class"]]
