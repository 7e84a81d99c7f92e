#!/usr/bin/env python3
"""Fuse the test scores of SkateFormer's streams: joint, bone, and their motions.

Run inside this folder, after testing each stream:
    python3 ensemble.py --dataset ntu/xsub --joint-dir work_dir/ntu_cs/SkateFormer_j \\
        --bone-dir work_dir/ntu_cs/SkateFormer_b

Not for: choosing weights on the test set. The default weights are CTR-GCN's published ones.
"""

import sys
from pathlib import Path

TREE = Path(__file__).resolve().parent
sys.path[:0] = [str(TREE), str(TREE.parent)]

from skeleton_lab.entry.ensemble import run_ensemble

if __name__ == "__main__":
    run_ensemble()
