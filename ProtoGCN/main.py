#!/usr/bin/env python3
"""Train or test ProtoGCN (Liu et al., "Revealing Key Details to See Differences", CVPR 2025).

Run inside this folder:
    python3 main.py --config config/pyskl/ntu60-xsub-j.yaml --work-dir ../work_dir/protogcn --device 0
    python3 main.py --config <work dir>/config.yaml --work-dir <work dir> --phase test --weights <work dir>/best.pt

Not for: preparing data (dataset_tools/convert_pyskl.py makes the archives of config/pyskl/; CTR-GCN's serve the other
configs), or fusing streams (ensemble.py).
"""

import sys
from pathlib import Path

TREE = Path(__file__).resolve().parent
sys.path[:0] = [str(TREE), str(TREE.parent)]

from skeleton_lab.entry.tree import run
from skeleton_lab.errors import run_command
from skeleton_lab.train.spec import TreeSpec

SPEC = TreeSpec(root=TREE)

if __name__ == "__main__":
    run_command(lambda: run(SPEC))
