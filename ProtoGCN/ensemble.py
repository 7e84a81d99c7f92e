#!/usr/bin/env python3
"""Fuse the test scores of ProtoGCN's streams on CTR-GCN's archives: joint, bone, and their motions.

Run inside this folder, after testing each stream:
    python3 ensemble.py --dataset ntu/xsub --joint-dir ../work_dir/joint --bone-dir ../work_dir/bone

Its own six streams, on PYSKL's annotations, are fused as published by the script at the repository's root:
    python3 ../ensemble.py --scores j b k jm bm km --weights 2 2 2 1 1 1 --softmax --labels data/pyskl/ntu60_3danno.npz

Not for: choosing weights on the test set. The default weights are CTR-GCN's published ones.
"""

import sys
from pathlib import Path

TREE = Path(__file__).resolve().parent
sys.path[:0] = [str(TREE), str(TREE.parent)]

from skeleton_lab.entry.ensemble import run_ensemble

if __name__ == "__main__":
    run_ensemble()
