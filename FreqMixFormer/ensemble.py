#!/usr/bin/env python3
"""Fuse the test scores of FreqMixFormer's streams: hop 8, hop 1 and hop 2, of joints and of their motion.

Run inside this folder, after testing each stream; as published, the options of bones name other streams here:
    python3 ensemble.py --dataset ntu/xsub --joint-dir ../work_dir/hop8 --bone-dir ../work_dir/hop8_motion \
        --joint-motion-dir ../work_dir/hop1 --bone-motion-dir ../work_dir/hop1_motion \
        --joint-k2-dir ../work_dir/hop2 --joint-motion-k2-dir ../work_dir/hop2_motion

Not for: choosing weights on the test set, as the published code does. All weights are 1; hop 8 and its motion alone
take --alpha.
"""

import sys
from pathlib import Path

TREE = Path(__file__).resolve().parent
sys.path[:0] = [str(TREE), str(TREE.parent)]

from skeleton_lab.entry.ensemble import run_ensemble
from skeleton_lab.streams.options import NTU_ARCHIVES, STREAMS, UCLA

HOP_2 = ("joint-k2", "joint-motion-k2")
WEIGHTS = dict.fromkeys((*NTU_ARCHIVES, UCLA), (1.0,) * len((*STREAMS, *HOP_2)))

if __name__ == "__main__":
    run_ensemble({"base": WEIGHTS}, HOP_2)
