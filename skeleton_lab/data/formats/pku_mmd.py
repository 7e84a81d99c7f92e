"""PKU-MMD (Liu et al., 2017): a text for each recording, a row for each frame, 150 numbers: two people of 25 joints.

x, y, z in metres, NTU RGB+D's joints in their order; the second person is all zeros where somebody is alone. Recordings
are long and hold many actions, so that none has one class: predict them with --window-frames. Where a folder of labels,
such as `Train_Label_PKU_final`, stands beside theirs, a file of the same name in it tells where each action is: rows of
its number from 1, first frame, last frame, confidence. There is a recording for each action then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from skeleton_lab.data.formats.face import REMEDY, Format, Look, Wanted
from skeleton_lab.data.formats.numbers_in_text import is_number
from skeleton_lab.data.formats.recording import Recording, Recordings
from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import NTU_25

NUM_BODIES, FPS = 2, 30.0
MAX_BYTES = 256 << 20
_SPAN = re.compile(r"(\d{1,3})\s*,\s*(\d{1,9})\s*,\s*(\d{1,9})")
_WORDS = NUM_BODIES * NTU_25.num_joints * 3


def _looks_like(look: Look) -> bool:
    words = look.lines[0].split() if look.lines else []
    return len(words) == _WORDS and all(map(is_number, words))


def _read(look: Look, wanted: Wanted) -> Sequence[Recording]:
    path = look.path
    whole = Recording(str(path), read_frames(path), NTU_25, body_ids=("1", "2"), fps=FPS, centre=1)
    spans = [] if wanted.long else read_spans(path, len(whole.frames))
    if not spans:
        return [whole]
    places = wanted.places(path, len(spans))

    def make(number: int) -> Recording:
        action, first, stop = spans[places[number]]
        return replace(whole.between(first, stop), name=f"{path}:{places[number]} action {action}")

    return Recordings(len(places), make)


def read_spans(path: Path, num_frames: int) -> list[tuple[int, int, int]]:
    """Return (number of the action, first frame, the one after its last) of a recording; [] where no labels are found.

    Raises:
        UserError: a row of the labels is none, or reaches beyond the recording.
    """
    spans: list[tuple[int, int, int]] = []
    try:
        labels = next((file for file in sorted(path.resolve().parent.parent.glob(f"*[Ll]abel*/{path.name}"))
                       if file.is_file() and file != path.resolve()), None)
        lines = [] if labels is None else labels.read_text("utf-8", "replace").splitlines()
    except (OSError, ValueError):  # a folder that is not ours to look into
        return []
    for number, line in enumerate(lines, 1):
        found = _SPAN.match(line.strip())
        if found is None and line.strip():
            raise UserError(f"{labels}:{number}: '{line[:60]}' is no action, first frame, last frame; {REMEDY}")
        if found:
            action, first, last = map(int, found.groups())
            if not first < last <= num_frames:
                raise UserError(f"{labels}:{number}: frames {first} to {last} are none of the {num_frames} in {path}; "
                                f"{REMEDY}")
            spans.append((action, first, last))
    return spans


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
