"""PKU-MMD (Liu et al., 2017): a text for each recording, a row for each frame, 150 numbers: two people of 25 joints.

x, y, z in metres, NTU RGB+D's joints in their order; the second person is all zeros where somebody is alone. Recordings
are long and hold many actions, so that none has one class: predict them with --window-frames.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skeleton_lab.data.formats.face import REMEDY, Format, Look, Wanted
from skeleton_lab.data.formats.numbers_in_text import is_number
from skeleton_lab.data.formats.recording import Recording
from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import NTU_25

NUM_BODIES, FPS = 2, 30.0
MAX_BYTES = 256 << 20
_WORDS = NUM_BODIES * NTU_25.num_joints * 3


def _looks_like(look: Look) -> bool:
    words = look.lines[0].split() if look.lines else []
    return len(words) == _WORDS and all(map(is_number, words))


def _read(look: Look, wanted: Wanted) -> list[Recording]:
    frames = read_frames(look.path)
    return [Recording(str(look.path), frames, NTU_25, body_ids=("1", "2"), fps=FPS, centre=1)]


def read_frames(path: Path) -> np.ndarray:
    """Return (T, M=2, V=25, C=3) float32 in metres.

    Raises:
        UserError: the file cannot be read, is larger than 256 MiB, or a row is not 150 finite numbers.
    """
    rows = []
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: is larger than {MAX_BYTES >> 20} MiB; {REMEDY}")
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                words = line.split()
                if not words and not line.strip():
                    continue
                if len(words) != _WORDS or not all(map(is_number, words)):
                    raise UserError(f"{path}:{number}: {_WORDS} numbers expected (two people of {NTU_25.num_joints} "
                                    f"joints), found {len(words)} words; {REMEDY}")
                rows.append(np.array(words, np.float32))
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror}); {REMEDY}") from error
    frames = np.stack(rows) if rows else np.zeros((0, _WORDS), np.float32)
    bad = np.flatnonzero(~np.isfinite(frames).all(axis=1))
    if len(bad) or not len(frames):
        raise UserError(f"{path}: frame {bad[0] if len(bad) else 0} holds a number that is not finite, or there is no "
                        f"frame; {REMEDY}")
    return frames.reshape(-1, NUM_BODIES, NTU_25.num_joints, 3)


FORMAT = Format("PKU-MMD text", (".txt",), _looks_like, _read)
