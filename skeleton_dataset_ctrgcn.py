"""A plain PyTorch `Dataset` over an NTU archive, converted or as downloaded; run as a script it checks a loader.

    python3 skeleton_dataset_ctrgcn.py --input CTR-GCN/data/ntu/NTU60_CS_ctrgcn.npz --num-workers 2

The file is mapped, not loaded: opening 10 GB takes no memory to speak of. For your own experiments and for the
small baselines; the training commands of CTR-GCN/ and MS-G3D/ have feeders of their own, with augmentation.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())
sys.path.insert(0, str(ROOT))

from skeleton_lab.command.options import Parser, input_path, read_early
from skeleton_lab.errors import run_command
from skeleton_lab.train.flags import natural, positive


def read_options() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--input", "--npz-path", dest="npz_path", type=input_path, metavar="NPZ",
                        default=ROOT / "CTR-GCN/data/ntu/NTU60_CS_ctrgcn.npz",
                        help="archive in either layout (default: %(default)s)")
    parser.add_argument("--split", choices=("train", "test"), default="train", help="default: %(default)s")
    parser.add_argument("--one-person", action="store_true", help="drop the second body")
    parser.add_argument("--batch-size", type=positive, default=64, help="clips (default: %(default)s)")
    parser.add_argument("--num-workers", type=natural, default=2, help="loader processes (default: %(default)s)")
    parser.add_argument("--batches", type=positive, default=100, help="how many to read (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from skeleton_lab.data.formats.layouts import open_split, require_finite


class SkeletonDataset(Dataset):
    """Clips of one split: `dataset[i]` is (clip (C, T, V, M) float32, class index int).

    Reads the converted layout (N, C, T, V, M) with class indices and the Kaggle one (N, T, 150) with one-hot labels;
    both give the same clips. It can be handed to loader workers: pickled, it carries the path, not the data.

    Args:
        path: the `.npz` archive.
        split: "train" or "test".
        use_both_persons: keep both bodies (M = 2); otherwise the first one only (M = 1).
        transform: called with each clip, a tensor that it may change; returns what the dataset returns.

    Raises:
        UserError: the file is missing, damaged or of another layout, or has no such split; from indexing, a clip that
            holds NaN or infinity.
    """

    def __init__(self, path: str | Path, split: str = "train", use_both_persons: bool = True,
                 transform: Callable[[Tensor], Any] | None = None) -> None:
        self.path, self.split = Path(path), split
        self.use_both_persons, self.transform = use_both_persons, transform
        self._clips = open_split(self.path, split)

    @property
    def labels(self) -> np.ndarray:
        """The class index of every clip, (N,) int64."""
        return self._clips.labels

    def __len__(self) -> int:
        return self._clips.num_clips

    def __getitem__(self, index: int) -> tuple[Any, int]:
        bodies = slice(None) if self.use_both_persons else slice(1)
        frames = self._clips.frames(index)[:, bodies]  # (T, M, V, C), a view of the file
        clip = np.array(frames.transpose(3, 0, 2, 1), np.float32, order="C")  # (C, T, V, M), a copy
        require_finite(clip, self.path, self.split, index)
        clip = torch.from_numpy(clip)
        return (self.transform(clip) if self.transform else clip), int(self.labels[index])


def check_loader(loader: DataLoader, num_batches: int) -> list[str]:
    """Read `num_batches` batches and return what came out of them, line by line."""
    num_batches = min(num_batches, len(loader))
    batches = iter(tqdm(islice(loader, num_batches), "reading", num_batches, unit=" batches", disable=None))
    start_s = time.perf_counter()
    clips, labels = next(batches)
    first_s = time.perf_counter()
    lines = [f"first batch   clips {tuple(clips.shape)} {clips.dtype}, labels {labels[:8].tolist()}...",
             f"              after {first_s - start_s:.2f} s, worker start included"]
    seen = sum(len(labels) for _, labels in batches)
    if seen:
        lines.append(f"speed         {seen / (time.perf_counter() - first_s):,.0f} clips/s over {seen:,} more clips")
    return lines


def main(arguments: argparse.Namespace) -> None:
    dataset = SkeletonDataset(arguments.npz_path, arguments.split, use_both_persons=not arguments.one_person)
    classes = len(np.unique(dataset.labels[dataset.labels >= 0]))
    print(f"{arguments.split:<14}{len(dataset):,} clips, {classes} classes in use")
    loader = DataLoader(dataset, arguments.batch_size, shuffle=True, num_workers=arguments.num_workers)
    print("\n".join(check_loader(loader, arguments.batches)))


if __name__ == "__main__":
    run_command(main, OPTIONS)
