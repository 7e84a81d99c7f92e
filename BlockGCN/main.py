#!/usr/bin/env python3
"""Train or test BlockGCN (Zhou et al., "BlockGCN: Redefine Topology Awareness ...", CVPR 2024).

Run inside this folder:
    python3 main.py --config config/nturgbd-cross-subject/default.yaml --work-dir ../work_dir/blockgcn --device 0
    python3 main.py --config <work dir>/config.yaml --work-dir <work dir> --phase test --weights <work dir>/best.pt

Not for: preparing data (the archives are CTR-GCN's; see its data/ntu/ and the root's converters), or fusing
streams (ensemble.py).
"""

import sys
from pathlib import Path

TREE = Path(__file__).resolve().parent
sys.path[:0] = [str(TREE), str(TREE.parent)]

from skeleton_lab.entry.tree import run
from skeleton_lab.errors import run_command
from skeleton_lab.train.spec import TreeSpec

SPEC = TreeSpec(root=TREE, models=dict.fromkeys(("model.ctrgcn.Model", "model.BlockGCN.Model"), "model.blockgcn.Model"))

if __name__ == "__main__":
    run_command(lambda: run(SPEC))
