"""Train a small perceptron straight on the Kaggle archive: does the data load, does the GPU work?

    python3 train_npz_mlp.py --input CTR-GCN/data/ntu/NTU60_CS.npz --epochs 5 --batch-size 256 --device cuda:0

Ends on the accuracy on the test split. It needs no conversion, but either layout will do. It is a smoke test and a
floor to compare with, not a model worth using: it knows nothing of joints or time.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())
sys.path.insert(0, str(ROOT))

from skeleton_lab.command.options import read_early
from skeleton_lab.errors import run_command
from skeleton_lab.toys.options import Options, read_options

DEFAULTS = Options(npz_path=ROOT / "CTR-GCN/data/ntu/NTU60_CS.npz", epochs=5, batch_size=256,
                   device=0, num_frames=32, lr=1e-3)

if __name__ == "__main__":
    OPTIONS = read_early(lambda: read_options(__doc__, DEFAULTS))  # before the libraries load, which takes seconds

from skeleton_dataset_ctrgcn import SkeletonDataset
from skeleton_lab.toys import training
from skeleton_lab.toys.models import SkeletonMLP


def main(options: Options) -> None:
    training.run(options, SkeletonDataset, build=lambda num_class: SkeletonMLP(num_class, options.num_frames))


if __name__ == "__main__":
    run_command(main, OPTIONS)
