#!/usr/bin/env python3
"""Train or test MS-G3D (Liu et al., "Disentangling and Unifying Graph Convolutions ...", CVPR 2020).

Run inside this folder:
    python3 main.py --config config/nturgbd-cross-subject/train_joint.yaml --work-dir ../work_dir/msg3d --half
    python3 main.py --config config/nturgbd-cross-subject/test_joint.yaml --weights <work dir>/best.pt

Not for: preparing data (see data_gen/ and convert_ctr_npz_to_msg3d.py), or fusing streams (ensemble.py).
"""

import sys
from pathlib import Path

TREE = Path(__file__).resolve().parent
sys.path[:0] = [str(TREE), str(TREE.parent)]

from skeleton_lab.entry.tree import run
from skeleton_lab.errors import UserError, run_command
from skeleton_lab.train.config import Config
from skeleton_lab.train.flags import boolean, positive, text, whole
from skeleton_lab.train.spec import Flag, LogTexts, TreeSpec


def amp_level(value: object) -> int:
    """Read Apex's optimisation level, 0 to 3."""
    level = whole(value)
    if not 0 <= level <= 3:
        raise ValueError(f"expected 0, 1, 2 or 3, not '{value}'")
    return level


FLAGS = (
    Flag("assume_yes", boolean, False, "delete the training in the work directory first, as --overwrite does",
         switch=True, transient=True),
    Flag("amp_opt_level", amp_level, 1, "Apex's levels, for older commands: with --half, 0 is full precision and "
                                        "1, 2, 3 are autocast"),
    Flag("checkpoint", text, None, "take optimiser, schedule and epoch from this file of checkpoints/; the weights "
                                   "come from --weights", metavar="FILE", free=True),
    Flag("optimizer_states", text, None, "take only the optimiser's state from a file of checkpoints/",
         metavar="FILE", free=True),
    Flag("train_window_size", positive, None, "frames of a training clip: longer ones are cut at a random place, "
                                              "shorter ones padded (default: as train_feeder_args says)"),
    Flag("test_window_size", positive, None, "pad test clips to this many frames (default: as test_feeder_args says)"),
)


def adjust(config: Config, explicit: frozenset[str]) -> None:
    """Carry out the flags that stand for other settings; called by the engine with the resolved config."""
    if config.amp_opt_level == 0:
        config.half = False
    if config.assume_yes:
        config.overwrite = True
        if config.resume:
            raise UserError("--resume and --assume-yes contradict each other; choose one")
    if config.train_window_size:
        config.train_feeder_args |= {"window_size": config.train_window_size, "random_choose": True}
    if config.test_window_size:
        config.test_feeder_args |= {"window_size": config.test_window_size}
    if config.checkpoint and config.optimizer_states:
        raise UserError("--checkpoint holds the optimiser already; leave --optimizer-states out")
    if config.weights:
        config.weights = find_weights(config.weights)


def find_weights(path: str) -> str:
    """Return `path`, or the published weights it means, which come in another folder and spelling.

    The configs name pretrained_models/ntu60_xsub_joint.pt; the published folder is pretrained-models/, and holds
    ntu60-xsub-joint.pt or ntu60-xsub-joint-fusion.pt.
    """
    named = Path(path)
    if not named.exists() and named.parent.name == "pretrained_models":
        stem = named.stem.replace("_", "-")
        for name in (f"{stem}.pt", f"{stem}-fusion.pt"):
            published = named.parent.with_name("pretrained-models") / name
            if published.exists():
                return str(published)
    return path


SPEC = TreeSpec(
    root=TREE,
    defaults={"batch_size": 32, "forward_batch_size": 16, "save_epoch": 0},
    flags=FLAGS,
    weights_file="weights/weights-{epoch}-{step}.pt",
    checkpoint_file="checkpoints/checkpoint-{epoch}-fwbz{forward_batch_size}-{step}.pt",
    log_directory="trainlogs",
    debug_log="debug",
    first_epoch_tag=1,
    right_file="right-samples.txt",
    wrong_file="wrong-samples.txt",
    retest_best=False,
    ignore_exact=True,
    texts=LogTexts(
        parameters="Model total number of params: {count}",
        epoch_start="Training epoch: {epoch}, LR: {lr:.4f}",
        epoch_means="\tMean training loss: {chunk_loss:.4f} (BS {batch_size}: {batch_loss:.4f}).",
        top_k="\tTop {k}: {percent:.2f}%",
    ),
    adjust=adjust,
)

if __name__ == "__main__":
    run_command(lambda: run(SPEC))
