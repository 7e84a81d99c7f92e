#!/usr/bin/env python3
"""Fuse the test scores of FreqMixFormer's streams: hop 8 and hop 1, of joints and of their motion.

Run inside this folder, after testing each stream; as published, the options of bones name other streams here:
    python3 ensemble.py --dataset ntu/xsub --joint-dir ../work_dir/hop8 --bone-dir ../work_dir/hop8_motion \
        --joint-motion-dir ../work_dir/hop1 --bone-motion-dir ../work_dir/hop1_motion

Not for: six streams (ensemble.py at the repository's root), or choosing weights on the test set, as the published code
does. All weights are 1.
"""

import sys
from pathlib import Path

TREE = Path(__file__).resolve().parent
sys.path[:0] = [str(TREE), str(TREE.parent)]

from skeleton_lab.entry.ensemble import run_ensemble
from skeleton_lab.streams.options import NTU_ARCHIVES, STREAMS, UCLA

WEIGHTS = dict.fromkeys((*NTU_ARCHIVES, UCLA), (1.0,) * len(STREAMS))

if __name__ == "__main__":
    run_ensemble({"base": WEIGHTS})
