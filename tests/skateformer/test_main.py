"""SkateFormer through its real command line, on a small archive: train, resume, test; its configs."""

from __future__ import annotations

import pytest
import torch
import yaml

from skeleton_lab.train.config import read_config
from tests.tree_cases import train_in_parts
from tests.trees import ROOT

TREE = ROOT / "SkateFormer"
CONFIGS = sorted((TREE / "config").glob("**/*.yaml"))
PUBLISHED = """
work_dir: ./work_dir/ntu_cs/SkateFormer_j
feeder: feeders.feeder_ntu.Feeder
train_feeder_args: {data_path: data/ntu/NTU60_CS.npz, split: train, debug: False, window_size: 64, p_interval: [0.5, 1],
  thres: 64, uniform: True, partition: True, data_type: j, aug_method: a123489, intra_p: 0.5, inter_p: 0.2}
test_feeder_args: {data_path: data/ntu/NTU60_CS.npz, split: test, window_size: 64, p_interval: [0.95], thres: 64,
  uniform: True, partition: True, data_type: j}
model: model.SkateFormer.SkateFormer_
model_args: {num_classes: 60, num_people: 2, num_points: 24, kernel_size: 7, num_heads: 32, attn_drop: 0.5,
  head_drop: 0, drop: 0, rel: True, drop_path: 0.2, type_1_size: [8, 8], type_2_size: [8, 12], type_3_size: [8, 8],
  type_4_size: [8, 12], mlp_ratio: 4.0, index_t: True}
optimizer: AdamW
weight_decay: 0.1
base_lr: 1e-3
lr_scheduler: cosine
min_lr: 1e-5
warmup_lr: 1e-7
warm_up_epoch: 25
warmup_prefix: False
grad_clip: True
grad_max: 1.0
lr_decay_rate: 0.1
loss_type: LSCE
nesterov: True
device: [0]
batch_size: 128
test_batch_size: 128
num_epoch: 500
"""


def flags(archive, *more) -> tuple:
    data = f"data_path={archive}"
    return ("main.py", "--config", "config/demo/default.yaml", "--train-feeder-args", data, "--test-feeder-args", data,
            "--model-args", "num_class=4", "--device", "cpu", "--num-worker", "0", "--batch-size", "4",
            "--test-batch-size", "4", "--save-epoch", "0", "--eval-interval", "1", *more)


@pytest.fixture(scope="module")
def spec(tree):
    return tree.load("main.SPEC")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: "-".join(path.parts[-3:]))
def test_each_config_is_the_published_recipe(path, tree, spec):
    config = read_config(spec, ["--config", str(path)])
    with torch.device("meta"):
        tree.load(config.model)(**config.model_args)
    assert config.grad_max == 1 and config.optimizer == "AdamW" and config.schedule == "cosine"
    if "demo" not in path.parts:
        stream = path.stem.rpartition("_")[2]
        assert {config.train_feeder_args["data_type"], config.test_feeder_args["data_type"]} == {stream}
        assert config.phase == path.parts[-3] and path.parts[-2] in config.work_dir
        assert ("inter" in config.feeder) == ("inter" in path.parts[-2])


def test_the_published_configs_load(tmp_path, spec):
    (tmp_path / "published.yaml").write_text(PUBLISHED)
    theirs = vars(read_config(spec, ["--config", str(tmp_path / "published.yaml")]))
    ours = vars(read_config(spec, ["--config", str(TREE / "config/train/ntu_cs/SkateFormer_j.yaml")]))
    ours["config"], ours["nesterov"] = theirs["config"], True
    for key in ("eval_interval", "save_interval", "save_epoch", "loss_type"):
        ours[key] = theirs[key]
    for key in ("train_feeder_args", "test_feeder_args"):
        assert ours[key].items() <= theirs.pop(key).items()
        del ours[key]
    assert ours.pop("model_args").items() <= theirs.pop("model_args").items()
    assert theirs == ours
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(theirs | {"grad_max": 2.0}))
    assert read_config(spec, ["--config", str(again)]).grad_max == 2
    assert read_config(spec, ["--config", str(again), "--grad-clip", "False"]).grad_max is None


def test_resumed_and_tested(tiny_archive, tmp_path):
    """Two epochs at once and in two runs end in the same weights; their scores are the test's."""
    fixed = "--schedule", "step", "--step", 1  # a cosine would depend on the number of epochs
    runs = train_in_parts("SkateFormer", flags(tiny_archive, *fixed)[1:], tmp_path)
    runs.same_weights()
    best = runs.scores()
    assert list(best) == [f"test_{row}" for row in range(6)]
