"""Fuzz the registry of formats: a mutated file of any of them must be read or refused in one line, in little memory.

    python -m tests.fuzz.recordings --count 100000

The files have no names to go by. What is read must be what the face promises.
"""

from __future__ import annotations

import json
import os
import random
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np

from skeleton_lab.data.formats.face import Wanted
from skeleton_lab.data.formats.recording import Recording
from skeleton_lab.data.formats.registry import open_recordings
from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import Skeleton
from tests.fuzz.archives import _FOLDER, npy, npz
from tests.fuzz.mutations import BINARY, inserting, main, mutate, refused_in_one_line
from tests.skeleton_texts import OTHER_ID, body_lines, recording_lines


def _mat() -> tuple[bytes, ...]:
    try:
        from scipy.io import savemat
    except ImportError:  # optional; the other formats are tried all the same
        return ()
    file = BytesIO()
    savemat(file, {"d_skel": np.ones((20, 3, 2))})
    return (file.getvalue(),)


CLIPS = np.ones((2, 3, 4, 20, 1), np.float32)
PERSON = {"pose": [0.25] * 36, "score": [0.5] * 18}
SEEDS = (
    "\n".join(recording_lines([body_lines(), body_lines(OTHER_ID, 1)], [])).encode(),
    npz(False, x_test=CLIPS, y_test=np.arange(2), class_names=np.array(["wave", "bow"]), skeleton=np.array("UCLA_20"),
        fps=np.array(30.0), names_test=np.array(["a", "b"])),
    npz(True, x_train=np.ones((2, 3, 150), np.float32)),
    npz(False, x_test=np.ones((6, 75), np.float32), tracks_test=np.array([[3, 0, 3]]), y_test=np.zeros(1, int)),
    npy(np.ones((2, 3, 4, 25, 2), np.float32)),
    json.dumps({"skeletons": np.ones((2, 20, 3)).tolist(), "label": 1}).encode(),
    json.dumps({"data": [{"frame_index": 1, "skeleton": [PERSON]}], "label": "wave", "label_index": 3}).encode(),
    b"0.1 0.2 2.5 1\n" * 20, b" ".join([b"0.5"] * 150) + b"\n", *_mat())
WORDS = (b"-1", b"0", b"1e9", b"999999999", b"1e400", b"nan", b"NaN", b"Infinity", b"null", b"true", b"[]", b"{}",
         b"\"", b"[[[[[[[[", b",", b"\n", b" ", b"x_test", b"skeleton", b"skeletons", b"class_names", b"data", b"label",
         b"frame_index", b"people", b"(2, 3, 4, 25, 2)", b"()", b"'<U9'", b"'|S4'", b"'<f8'", b"\x00", b"\xff\xfe",
         b"\xef\xbb\xbf", b"PK\x03\x04", b"\x93NUMPY", b"MATLAB 5.0 MAT-file", b"\x1b[31m")
MUTATIONS = (*BINARY, inserting(WORDS), inserting(WORDS))


def check_content(content: bytes) -> bool:
    """Return whether `content` holds recordings; AssertionError if a reader does not do as it should."""
    path = _FOLDER / f"skeleton-lab-fuzz-{os.getpid()}"
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for recording in open_recordings(path, Wanted())[:3]:
                _check(recording, path)
            return True
    except UserError as error:
        refused_in_one_line(error, str(path))
        return False
    finally:
        path.unlink()


def _check(recording: Recording, path: Path) -> None:
    frames = recording.frames
    assert recording.name.startswith(str(path)) and frames.ndim == 4 and frames.dtype.kind == "f", recording.name
    assert frames.shape[3] in (2, 3) and 0 <= recording.num_frames <= len(frames)
    assert recording.skeleton is None or isinstance(recording.skeleton, Skeleton)
    assert recording.confidence is None or recording.confidence.shape == frames.shape[:3]
    assert recording.label is None or recording.label >= 0
    assert recording.class_name is None or isinstance(recording.class_name, str)
    assert recording.fps is None or recording.fps > 0
    try:
        recording.picture("x")
    except UserError as error:
        refused_in_one_line(error, str(path))


def check(rng: random.Random) -> bool:
    """Make an input and check it."""
    return check_content(mutate(SEEDS, MUTATIONS, rng))


if __name__ == "__main__":
    main(check, __doc__)
