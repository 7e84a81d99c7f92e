"""The configs of PYSKL's recipes resolve in their trees; two epochs of one, tested with several clips and fused."""

from __future__ import annotations

import pytest
import yaml

from skeleton_lab.imports import check_arguments
from skeleton_lab.train.config import read_config
from skeleton_lab.train.spec import TreeSpec
from tests.pyskl_files import converted, made_clips
from tests.several import run_main
from tests.trees import ROOT, open_tree

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


def test_two_epochs_of_a_small_one_and_the_fused_streams(run_script, tmp_path):
    names = [f"clip{place:03d}" for place in range(12)]
    archive = converted(tmp_path / "a.npz", made_clips(12, 17, flat=True), {"tr": names[:8], "te": names[8:]})
    settings = yaml.safe_load((ROOT / "ST-GCN/config/pyskl/ntu60-xsub-hrnet.yaml").read_text())
    settings["model_args"] |= {"num_class": 4, "blocks": [[12, 1], [12, 2]]}
    for part, split in (("train", "tr"), ("test", "te")):
        settings[f"{part}_feeder_args"] |= {"data_path": str(archive), "split": split, "clip_len": 8}
    settings |= {"num_epoch": 2, "batch_size": 8, "forward_batch_size": 8, "device": ["cpu"], "num_worker": 0}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(settings))
    for feats in ("j", "bm"):
        done = run_main("ST-GCN", ROOT / "ST-GCN", [
            "--config", str(tmp_path / "c.yaml"), "--work-dir", str(tmp_path / feats), "--save-score", "true",
            "--train-feeder-args", f"feats={feats}", "--test-feeder-args", f"feats={feats}"])
        assert done.status == 0, done.err
    rates = [line.split(",")[1] for line in (tmp_path / "j" / "history.csv").read_text().splitlines()[1:]]
    assert [float(rate) for rate in rates] == [0.1, 0.05]
    done = run_script("ensemble.py", "--scores", tmp_path / "j", tmp_path / "bm", "--labels", archive, "--softmax")
    assert done.returncode == 0 and "ensemble" in done.stdout, done.stderr
