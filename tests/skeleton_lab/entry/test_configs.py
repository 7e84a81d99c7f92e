"""The configs of all trees: their classes and graphs are there, and take their options."""

from __future__ import annotations

import runpy

import pytest

from skeleton_lab.imports import check_arguments
from skeleton_lab.train.config import read_config
from tests.trees import ROOT, open_tree

TREES = sorted(path.parent for path in ROOT.glob("*/main.py"))


@pytest.mark.parametrize("root", TREES, ids=lambda root: root.name)
def test_each_config_resolves(root):
    paths = sorted((root / "config").rglob("*.yaml"))
    assert paths
    with open_tree(root.name) as tree:
        spec = runpy.run_path(str(root / "main.py"))["SPEC"]
        for path in paths:
            config = read_config(spec, ["--config", str(path)])
            tests = config.test_feeder_args
            for key, options in (("train_feeder_args", config.train_feeder_args), ("test_feeder_args", tests),
                                 ("val_feeder_args", {**tests, **config.val_feeder_args})):
                if options:  # a config may be for tests only
                    check_arguments(tree.load(config.feeder), config.feeder, options, f"{path}: {key}")
            check_arguments(tree.load(config.model), config.model, config.model_args, f"{path}: model_args")
            if "graph" in config.model_args:
                tree.load(config.model_args["graph"])
