"""Train a small ST-GCN on `SkeletonDataset`, end to end: a baseline that learns in minutes.

    python3 train_skeleton_gcn.py --input CTR-GCN/data/ntu/NTU60_CS_ctrgcn.npz --epochs 5 --device cuda:0

Ends on the accuracy on the test split. Takes either layout of the archive. For results worth reporting train CTR-GCN
or MS-G3D (their main.py): this one is small, has no bone or motion stream, and keeps no checkpoints.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())
sys.path.insert(0, str(ROOT))

from skeleton_lab.command.options import read_early
from skeleton_lab.errors import run_command
from skeleton_lab.toys.options import Options, read_options

DEFAULTS = Options(npz_path=ROOT / "CTR-GCN/data/ntu/NTU60_CS_ctrgcn.npz", epochs=5, batch_size=32,
                   device=0, num_frames=64, lr=5e-3)

if __name__ == "__main__":
    OPTIONS = read_early(lambda: read_options(__doc__, DEFAULTS))  # before the libraries load, which takes seconds

from skeleton_dataset_ctrgcn import SkeletonDataset
from skeleton_lab.toys import training
from skeleton_lab.toys.models import SkeletonGCN


def main(options: Options) -> None:
    training.run(options, SkeletonDataset, build=SkeletonGCN)


if __name__ == "__main__":
    run_command(main, OPTIONS)
