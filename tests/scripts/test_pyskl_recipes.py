"""The configs of PYSKL's recipes resolve in their trees; two epochs of one, tested with several clips and fused."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from skeleton_lab.imports import check_arguments
from skeleton_lab.train.config import read_config
from skeleton_lab.train.spec import TreeSpec
from tests.pyskl_chain import convert, small_recipe, train_and_fuse, write_annotations
from tests.trees import open_tree

TREES = ("CTR-GCN", "MS-G3D", "ST-GCN")
WAYS = {"60": ("xsub", "xview"), "120": ("xsub", "xset")}


@pytest.mark.parametrize("name", TREES)
def test_configs_resolve(name):
    with open_tree(name) as tree:
        for classes, splits in WAYS.items():
            for split, kind in ((split, kind) for split in splits for kind in ("3d", "hrnet")):
                path = tree.path / f"config/pyskl/ntu{classes}-{split}-{kind}.yaml"
                config = read_config(TreeSpec(root=tree.path), ["--config", str(path)])
                check_arguments(tree.load(config.feeder), config.feeder, config.train_feeder_args, "train")
                check_arguments(tree.load(config.feeder), config.feeder, config.test_feeder_args, "test")
                assert (config.model_args["num_class"], config.train_feeder_args["split"], config.schedule) == (
                    int(classes), f"{split}_train", "cosine")
                assert config.model_args["num_point"] == {"3d": 25, "hrnet": 17}[kind]
            check_arguments(tree.load(config.model), config.model, config.model_args, "model_args")
        assert len(list((tree.path / "config/pyskl").iterdir())) == 8


@pytest.mark.parametrize(("tree", "flat"), [("ST-GCN", True), ("CTR-GCN", False)])
def test_from_an_annotation_file_to_fused_streams(run_script, tmp_path, tree, flat):
    """At length, with 200 clips and all streams: python -m tests.pyskl_chain."""
    def run(*words):
        done = run_script(*words)
        return SimpleNamespace(status=done.returncode, out=done.stdout, err=done.stderr)

    archive = tmp_path / "a.npz"
    convert(write_annotations(tmp_path / "a.pkl", 12, flat), archive, run)
    said = train_and_fuse(tmp_path / "runs", tree, small_recipe(tree, archive, flat, 8), ("j", "bm"), run)
    assert re.search(r"^j_test +2 .*\nbm_test +1 ", said, re.MULTILINE) and "ensemble" in said
    rates = [line.split(",")[1] for line in (tmp_path / "runs/j/history.csv").read_text().splitlines()[1:]]
    assert [float(rate) for rate in rates] == [0.1, 0.05]
