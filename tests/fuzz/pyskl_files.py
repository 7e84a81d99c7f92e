"""Fuzz the readers of PYSKL's and MMAction2's files: annotations, results, checkpoints; mutated ones run nothing.

    python -m tests.fuzz.pyskl_files --count 100000
"""

from __future__ import annotations

import io
import os
import pickle
import random

import numpy as np
import torch

from skeleton_lab.data.formats.pyskl_annotations import Annotations
from skeleton_lab.errors import UserError
from skeleton_lab.foreign.checkpoint_file import read_checkpoint
from skeleton_lab.foreign.score_file import is_results, read_results
from tests.fuzz.label_pickles import FORBIDDEN, WORDS
from tests.fuzz.mutations import BINARY, inserting, main, mutate, refused_in_one_line
from tests.fuzz.watch import FOLDER, Watch
from tests.pyskl_files import made_clips


class Foreign:
    """An object of code that the reader has not."""


def _checkpoint() -> bytes:
    buffer = io.BytesIO()
    torch.save({"meta": {"epoch": 1, "config": "a = 1"}, "hub": Foreign(),
                "state_dict": {"backbone.A": torch.ones(3), "cls_head.fc.bias": torch.zeros(2)}}, buffer)
    return buffer.getvalue()


CLIPS = made_clips(2, 17, flat=True)
RESULTS = [{"pred_score": torch.ones(3), "gt_label": torch.tensor([1])}]
SEEDS = (*(pickle.dumps(value, protocol) for protocol in (2, 4) for value in (
    CLIPS, {"split": {"val": ["clip000"]}, "annotations": CLIPS}, [np.ones(3, np.float32)], RESULTS)), _checkpoint())
MUTATIONS = (*BINARY, inserting(WORDS), inserting(WORDS))
"".encode("cp437")  # Python imports a codec when it is first used, here the one of old zip files'
WATCH = Watch(tuple(word for word in FORBIDDEN if word != "import"))  # PyTorch imports parts of itself when it reads


def check_content(content: bytes) -> bool:
    """Return whether one of the readers read `content`; AssertionError if one does not do as it should."""
    path = FOLDER / f"skeleton-lab-fuzz-{os.getpid()}.pkl"
    path.write_bytes(content)
    try:
        return any([_read(path, reader) for reader in (_annotations, _results, read_checkpoint)])
    finally:
        path.unlink()


def _read(path, reader) -> bool:
    WATCH.start()
    try:
        reader(path)
        return True
    except UserError as error:
        WATCH.on = False
        refused_in_one_line(error, str(path))
        return False
    finally:
        WATCH.stop(path)


def _annotations(path) -> None:
    for clip in Annotations(path):
        assert clip.keypoint.ndim == 4 and np.isfinite(clip.keypoint).all() and clip.label >= -1


def _results(path) -> None:
    if not is_results(path):
        raise UserError(f"{path}: no results")
    stream, labels = read_results("x", path)
    assert stream.scores.ndim == 2 and (labels is None or len(labels) == len(stream.names))


def check(rng: random.Random) -> bool:
    """Make an input and check it."""
    return check_content(mutate(SEEDS, MUTATIONS, rng))


if __name__ == "__main__":
    main(check, __doc__)
