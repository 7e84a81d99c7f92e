"""From an annotation file to fused streams, as a user of PYSKL's recipes does it, with small networks.

    python -m tests.pyskl_chain

Makes annotation files of 200 clips, 2D and 3D, converts them, trains CTR-GCN and ST-GCN++ for two epochs on each of
four streams, tests the best weights with ten clips, and fuses the streams 2:2:1:1.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import yaml

from tests.pyskl_files import made_clips, write_pickle
from tests.several import run_main
from tests.trees import ROOT

TREES = ("CTR-GCN", "ST-GCN")
STREAMS = {"j": 2, "b": 2, "jm": 1, "bm": 1}
NAMES = {True: "hrnet", False: "3d"}
CLASSES = 4


def write_annotations(path: Path, count: int, flat: bool) -> Path:
    """Write a file of so many clips, two thirds of them for training."""
    entries = made_clips(count, 17 if flat else 25, flat, CLASSES)
    names = [entry["frame_dir"] for entry in entries]
    return write_pickle(path, entries, {"xsub_train": names[:2 * count // 3], "xsub_val": names[2 * count // 3:]})


def small_recipe(tree: str, archive: Path, flat: bool, clip_len: int) -> dict:
    """Return a tree's recipe for NTU-60, narrow and shallow, on a CPU."""
    settings = yaml.safe_load((ROOT / tree / f"config/pyskl/ntu60-xsub-{NAMES[flat]}.yaml").read_text())
    settings["model_args"] |= {"num_class": CLASSES, "blocks": [[16, 1], [16, 2]]}
    for part in ("train", "test"):
        settings[f"{part}_feeder_args"] |= {"data_path": str(archive), "clip_len": clip_len}
    return settings | {"num_epoch": 2, "batch_size": 16, "forward_batch_size": 16, "device": ["cpu"], "num_worker": 0}


def train_and_fuse(folder: Path, tree: str, settings: dict, streams: Sequence[str],
                   run: Callable[..., SimpleNamespace]) -> str:
    """Train and test each stream in `folder`, fuse them; return what ensemble.py says."""
    folder.mkdir(exist_ok=True)
    config = folder / "c.yaml"
    config.write_text(yaml.safe_dump(settings))
    for feats in streams:
        words = ["--config", str(config), "--train-feeder-args", f"feats={feats}", "--test-feeder-args",
                 f"feats={feats}"]
        trained, tested = str(folder / feats), str(folder / f"{feats}_test")
        succeed(run_main(tree, ROOT / tree, [*words, "--work-dir", trained]))
        succeed(run_main(tree, ROOT / tree, [*words, "--work-dir", tested, "--phase", "test", "--weights",
                                             f"{trained}/best.pt", "--save-score", "true"]))
    return succeed(run("ensemble.py", "--scores", *(str(folder / f"{feats}_test") for feats in streams), "--labels",
                       settings["test_feeder_args"]["data_path"], "--softmax", "--weights",
                       *(str(STREAMS[feats]) for feats in streams)))


def convert(source: Path, archive: Path, run: Callable[..., SimpleNamespace]) -> None:
    succeed(run("dataset_tools/convert_pyskl.py", "--input", str(source), "--output", str(archive)))


def succeed(done: SimpleNamespace) -> str:
    """Return what a command says; AssertionError if it failed."""
    assert not done.status, done.err
    return done.out


def run_here(*words: str) -> SimpleNamespace:
    """Run a script of the lab in a Python of its own."""
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return SimpleNamespace(status=done.returncode, out=done.stdout, err=done.stderr)


def main() -> None:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=200, help="in each annotation file (default: %(default)s)")
    parser.add_argument("--clip-len", type=int, default=20, help="frames of a clip (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for flat in (True, False):
            source = write_annotations(Path(folder) / f"{NAMES[flat]}.pkl", options.clips, flat)
            archive = source.with_suffix(".npz")
            convert(source, archive, run_here)
            for tree in TREES:
                said = train_and_fuse(Path(folder) / f"{tree}_{NAMES[flat]}", tree,
                                      small_recipe(tree, archive, flat, options.clip_len), list(STREAMS), run_here)
                print(f"{tree}, {NAMES[flat]}\n{said}", flush=True)


if __name__ == "__main__":
    main()
