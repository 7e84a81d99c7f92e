#!/usr/bin/env python3
"""Train or test SkateFormer (Do and Kim, "SkateFormer: Skeletal-Temporal Transformer for Human Action Recognition",
ECCV 2024).

Run inside this folder:
    python3 main.py --config config/train/ntu_cs/SkateFormer_j.yaml --work-dir ../work_dir/skateformer --device 0
    python3 main.py --config <work dir>/config.yaml --work-dir <work dir> --phase test --weights <work dir>/best.pt

Not for: preparing data (the archives are CTR-GCN's; see its data/ntu/ and the converters at the repository's root), or
fusing streams (ensemble.py).
"""

import sys
from pathlib import Path

TREE = Path(__file__).resolve().parent
sys.path[:0] = [str(TREE), str(TREE.parent)]

from skeleton_lab.entry.tree import run
from skeleton_lab.errors import run_command
from skeleton_lab.train.config import Config
from skeleton_lab.train.flags import boolean, real, text
from skeleton_lab.train.spec import Flag, TreeSpec

PUBLISHED_ARGUMENTS = {"num_classes": "num_class", "num_points": "num_point", "num_people": "num_person"}
SMOOTHING, LONGEST_GRADIENT = 0.1, 1.0

FLAGS = (
    Flag("lr_scheduler", text, "cosine", "the published name of --schedule", choices=("cosine",)),
    Flag("loss_type", text, "CE", "LSCE: --label-smoothing 0.1", choices=("CE", "LSCE")),
    Flag("grad_clip", boolean, False, "true: --grad-max 1, if that is not given; false: no limit", switch=True),
    Flag("lr_ratio", real, 0.001, "without effect, here and in the published code"),
)


def adjust(config: Config, explicit: frozenset[str]) -> None:
    """Carry out the published names of settings; called by the engine with the resolved config."""
    config.model_args = {PUBLISHED_ARGUMENTS.get(name, name): value for name, value in config.model_args.items()}
    if config.loss_type == "LSCE" and "label_smoothing" not in explicit:
        config.label_smoothing = SMOOTHING
    if config.grad_clip and config.grad_max is None:
        config.grad_max = LONGEST_GRADIENT
    elif "grad_clip" in explicit and not config.grad_clip:
        config.grad_max = None
    config.grad_clip = config.grad_max is not None


SPEC = TreeSpec(
    root=TREE,
    defaults={"optimizer": "AdamW", "schedule": "cosine", "min_lr": 0.01, "warmup_lr": 0.01},
    flags=FLAGS,
    models={"model.SkateFormer.SkateFormer_": "model.skateformer.Model"},
    adjust=adjust,
)

if __name__ == "__main__":
    run_command(lambda: run(SPEC))
