"""A tree small enough to train in a second: what the engine's tests run through its real command line."""

import sys
from pathlib import Path

TREE = Path(__file__).resolve().parent
sys.path[:0] = [str(TREE), str(TREE.parents[3])]

from skeleton_lab.errors import run_command
from skeleton_lab.train.run import run
from skeleton_lab.train.spec import TreeSpec

SPEC = TreeSpec(root=TREE, defaults={"feeder": "toy_feeder.Feeder", "model": "toy_model.Model", "save_epoch": 0})

if __name__ == "__main__":
    run_command(lambda: run(SPEC))
