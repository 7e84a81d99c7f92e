#!/usr/bin/env python3
"""Fuse the test scores of Hyper-GCN's streams: joint, bone, and their motions.

Run inside this folder, after testing each stream:
    python3 ensemble.py --dataset ntu/xsub --joint-dir ../work_dir/joint --bone-dir ../work_dir/bone

Not for: choosing weights on the test set. The default weights are the published ones, which differ for each test set.
"""

import sys
from pathlib import Path

TREE = Path(__file__).resolve().parent
sys.path[:0] = [str(TREE), str(TREE.parent)]

from skeleton_lab.entry.ensemble import run_ensemble

# Of joint, bone, joint motion and bone motion, all four; fewer streams are weighted as CTR-GCN's.
WEIGHTS = {
    "base": {"ntu/xsub": (1, 1.4, 1.1, 0.3), "ntu/xview": (1, 1.4, 1.1, 0.6),
             "ntu120/xsub": (1, 1.5, 0.7, 0.3), "ntu120/xset": (1, 1.5, 0.7, 0.3)},
    "large": {"ntu/xsub": (1, 1.4, 1, 0.5), "ntu/xview": (1, 1.4, 1, 0.5),
              "ntu120/xsub": (1, 1.5, 0.7, 0.3), "ntu120/xset": (1, 1.5, 0.6, 0.6)},
}

if __name__ == "__main__":
    run_ensemble(WEIGHTS)
