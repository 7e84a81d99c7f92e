#!/usr/bin/env python3
"""Fuse the test scores of BlockGCN's streams: joint, bone, and their motions.

Run inside this folder, after testing each stream:
    python3 ensemble.py --dataset ntu/xsub --joint-dir ../work_dir/joint --bone-dir ../work_dir/bone \
        --joint-motion-dir ../work_dir/joint_motion --bone-motion-dir ../work_dir/bone_motion

Not for: choosing weights on the test set. The default weights of four streams are the published ones.
"""

import sys
from pathlib import Path

TREE = Path(__file__).resolve().parent
sys.path[:0] = [str(TREE), str(TREE.parent)]

from skeleton_lab.entry.ensemble import run_ensemble
from skeleton_lab.streams.options import NTU_ARCHIVES, UCLA

WEIGHTS = {**dict.fromkeys(NTU_ARCHIVES, (0.6, 0.7, 0.35, 0.2)), UCLA: (0.7, 0.5, 0.6, 0.2)}  # as in STREAMS there

if __name__ == "__main__":
    run_ensemble({"base": WEIGHTS})
