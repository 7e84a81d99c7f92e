"""ProtoGCN through its real command line, on small archives: train, resume, test, fuse; its recipes."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
import torch
import yaml

from skeleton_lab.errors import UserError
from tests.pyskl_files import converted, made_clips
from tests.several import run_main
from tests.tree_cases import assert_refuses_weights
from tests.trees import ROOT

TREE = ROOT / "ProtoGCN"
CONFIGS = sorted((TREE / "config").glob("*/*.yaml"))
RECIPES = {path.stem: path for path in CONFIGS if path.parent.name == "pyskl"}
NUM_TRAIN, NUM_TEST, NUM_CLASS = 8, 4, 4


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    names = [f"clip{place:03d}" for place in range(NUM_TRAIN + NUM_TEST)]
    return converted(tmp_path_factory.mktemp("archive") / "a.npz", made_clips(len(names), 25, flat=False),
                     {"xsub_train": names[:NUM_TRAIN], "xsub_val": names[NUM_TRAIN:]})


@pytest.fixture(scope="module")
def config(archive, tmp_path_factory):
    """The bone stream's recipe, small."""
    settings = yaml.safe_load(RECIPES["ntu60-xsub-b"].read_text())
    settings["model_args"] |= {"num_class": NUM_CLASS, "num_prototype": 5, "blocks": [[24, 1], [24, 2]]}
    for part in ("train", "test"):
        settings[f"{part}_feeder_args"] |= {"data_path": str(archive), "clip_len": 8}
    settings["test_feeder_args"]["num_clips"] = 3
    settings |= {"device": ["cpu"], "num_worker": 0, "batch_size": 4, "test_batch_size": 4, "save_epoch": 0,
                 "schedule": "step"}  # a cosine of one epoch is not the first half of one of two
    path = tmp_path_factory.mktemp("config") / "c.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def test_recipes_are_the_published_ones():
    """Prototypes, weight of the contrastive loss, and what is changed at random beside the rotation."""
    found = {}
    for name, path in RECIPES.items():
        settings = yaml.safe_load(path.read_text())
        args, train = settings["model_args"], settings["train_feeder_args"]
        changes = {key.removeprefix("random_"): value for key, value in train.items() if key.startswith("random_")}
        assert (settings["num_epoch"], settings["schedule"], train["clip_len"]) == (150, "cosine", 100)
        assert settings["base_lr"] / settings["batch_size"] == 0.1 / 64
        found[name] = args["num_prototype"], args["csc_weight"], args["num_class"], changes
    swap, drop, mirror, rot = {"swap": 0.5}, {"drop": 0.2}, {"mirror": 0.5}, {"rot": 0.2}
    streams = {"j": (400, 0.2), "b": (100, 0.3), "k": (100, 0.1)}
    sets = {"ntu60-xsub": (60, {}, swap, swap), "ntu60-xview": (60, {}, {}, drop),
            "ntu120-xsub": (120, swap, swap, drop), "ntu120-xset": (120, {}, swap, swap)}
    expected = {f"{name}-{stream}": (*streams[stream], classes, rot | change)
                for name, (classes, *changes) in sets.items() for stream, change in zip("jbk", changes, strict=True)}
    for name, classes in (("kinetics", 400), ("finegym", 99)):
        expected |= {f"{name}-{stream}": (*streams[stream], classes, mirror) for stream in streams}
    assert found == expected


def test_resumed_tested_and_fused(config, archive, run_script, tmp_path):
    """Two epochs at once and in two runs end in the same weights and class memory; best of one clip, tested with three.

    The run in two parts recomputes activations in its second one, which changes no number.
    """
    whole, parts, tested = tmp_path / "whole", tmp_path / "parts", tmp_path / "tested"
    common = ("--config", str(config), "--save-score", "true", "--num-epoch")
    for words in ((*common, 2, "--work-dir", whole), (*common, 1, "--work-dir", parts),
                  (*common, 2, "--resume", "--memory-friendly", "--work-dir", parts),
                  (*common, 2, "--phase", "test", "--weights", whole / "best.pt", "--work-dir", tested)):
        done = run_main("ProtoGCN", TREE, list(map(str, words)))
        assert done.status == 0, done.err
    first, second = (torch.load(folder / "training_state.pt", weights_only=True) for folder in (whole, parts))
    for part in ("model", "training_buffers"):
        assert first[part] and all(torch.equal(first[part][key], second[part][key]) for key in first[part])
    assert len(re.findall(r"Mean auxiliary loss: ", (whole / "log.txt").read_text())) == 2
    assert not any("avg_f" in key for key in torch.load(whole / "best.pt", weights_only=True))

    best, again = (pickle.loads((folder / "epoch1_test_score.pkl").read_bytes()) for folder in (whole, tested))
    assert list(best) == [f"clip{place:03d}" for place in range(NUM_TRAIN, NUM_TRAIN + NUM_TEST)]
    assert all(np.array_equal(best[name], again[name]) for name in best)
    assert all(abs(np.exp(scores).sum() - 1) < 1e-5 for scores in best.values())  # logarithms of mean probabilities
    done = run_script("ensemble.py", "--scores", whole, tested, "--labels", f"{archive}:xsub_val", "--softmax",
                      "--weights", 2, 1)
    assert done.returncode == 0 and "ensemble" in done.stdout, done.stderr


def test_weights_of_another_model_are_refused_in_one_line(config, tmp_path):
    assert_refuses_weights("ProtoGCN", ["--config", config], tmp_path, "l1.gcn1.alpha")


@pytest.mark.parametrize("golden", ["protogcn_coco", "protogcn_ntu"])
def test_checkpoints_of_the_authors_are_imported(golden, tmp_path, tree):
    """Their prefixes, their head, no class memory: the model has the weights, and clips as theirs."""
    from skeleton_lab.foreign.checkpoint_file import read_checkpoint
    from skeleton_lab.foreign.imported import data_of, recognised, told_by, write_work_dir
    from tests.golden_models import fill_golden, load_golden

    about = load_golden(golden)
    filled = fill_golden(tree.load("model.protogcn.Model")(**about.model_args))
    heads = {"fc.": "cls_head.fc_cls.", "csc_loss.": "cls_head.csc_loss."}
    theirs = {next((heads[start] + key.removeprefix(start) for start in heads if key.startswith(start)),
                   f"backbone.{key}"): value for key, value in filled.state_dict().items()}
    torch.save({"meta": {"epoch": 150}, "state_dict": theirs}, tmp_path / "j.pth")
    checkpoint = read_checkpoint(tmp_path / "j.pth")
    imported = recognised(tmp_path / "j.pth", checkpoint, told_by({}))
    assert imported.tree.name == "ProtoGCN"
    weight, name = (0.2, "ntu60-xsub-j") if "ntu" in golden else (0.3, "finegym-j")
    assert imported.network.args == {**about.model_args, "in_channels": 3, "csc_weight": weight}
    data = data_of(imported.network, {}, checkpoint.of_mmaction2)
    model = write_work_dir(tmp_path / "run", tmp_path / "j.pth", checkpoint, imported, data)
    assert all(torch.equal(value, filled.state_dict()[key]) for key, value in model.state_dict().items())
    options = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["test_feeder_args"]
    expected = {**yaml.safe_load(RECIPES[name].read_text())["test_feeder_args"], "split": options["split"]}
    assert {key: options[key] for key in expected} == expected
    del theirs["backbone.gcn.3.tcn.bn.weight"]
    torch.save(theirs, tmp_path / "j.pth")
    with pytest.raises(UserError, match=r"lacks weights: gcn\.3\.tcn\.bn\.weight"):
        write_work_dir(tmp_path / "again", tmp_path / "j.pth", read_checkpoint(tmp_path / "j.pth"), imported, data)
