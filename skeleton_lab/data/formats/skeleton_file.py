"""The `.skeleton` text format of NTU RGB+D 60 and 120 (Microsoft Kinect v2).

    40                                               the number of frames
    1                                                per frame: the number of bodies, then per body:
    72057594037931101 0 1 1 1 1 0 0.02 -0.01 2       the body's id, 8 numbers, its tracking state
    25                                               the number of joints, then a line for each joint:
    0.127 0.171 2.986 262.7 182.8 1023.8 454.4 ...   x y z (metres), depth x y, colour x y, orientation w x y z,
    ...                                              tracking state (0 not tracked, 1 inferred, 2 tracked)

The reader is strict: a recording fits this to the last word or is refused, with the line of its first fault.
Any white space parts words, CR LF ends lines as well as LF, blank lines are allowed at the end only.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from skeleton_lab.class_names import NTU_120
from skeleton_lab.data.formats.about import NTU_FPS
from skeleton_lab.data.formats.face import Format, Look, Wanted
from skeleton_lab.data.formats.ntu import SUFFIX, parse_name
from skeleton_lab.data.formats.numbers_in_text import Words, find_words, is_number
from skeleton_lab.data.formats.recording import Recording
from skeleton_lab.data.formats.sightings import Sightings
from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import NTU_25

NUM_JOINTS = 25
MAX_STREAM_BYTES = 256 << 20  # of a recording that is cut into windows
MAX_BYTES = 8 << 20  # half as much again as a Kinect writes about six people in ten seconds
MAX_FRAMES = 20_000  # eleven minutes

_HEADER_WORDS = 10
_JOINT_WORDS = 12
_WORDS_OF_BODY_LINES = np.array([_HEADER_WORDS, 1, *[_JOINT_WORDS] * NUM_JOINTS])
_BODY_LINES = len(_WORDS_OF_BODY_LINES)
_MAX_COUNT_DIGITS = 9
_MIN_LINE_BYTES = 20  # on average over the lines of a body; those of real recordings have 80
_MAX_LINE_BYTES = 4096
_SMALL_BYTES = 1 << 20
_JOINT_LINE = "%.7g " * 11 + "%d\n"
_REMEDY = "download the recording again or leave it out"


def _looks_like(look: Look) -> bool:
    """A number alone, and another: of frames, and of bodies in the first one."""
    lines = [line.split() for line in look.lines[:2]]
    return bool(lines) and all(len(words) == 1 and words[0].isdigit() for words in lines[:1]) \
        and (len(lines) < 2 or len(lines[1]) <= 1)


def _read(look: Look, wanted: Wanted) -> list[Recording]:
    sightings = read_recording(look.path, MAX_STREAM_BYTES if wanted.long else MAX_BYTES)
    try:
        label = parse_name(look.path.name).label
    except UserError:  # a name of one's own
        label = None
    return [Recording(str(look.path), sightings, NTU_25, body_ids=sightings.bodies, fps=NTU_FPS, label=label,
                      class_names=NTU_120, centre=1)]


FORMAT = Format("NTU RGB+D .skeleton", (SUFFIX,), _looks_like, _read)


def read_recording(path: str | Path, max_bytes: int = MAX_BYTES) -> Sightings:
    """Read one `.skeleton` file.

    Raises:
        UserError: it cannot be read, is larger than `max_bytes`, or breaks the format (names file and line).
    """
    try:
        state = os.stat(path)
        if not stat.S_ISREG(state.st_mode):  # a pipe would keep us waiting
            raise UserError(f"{path}: is no regular file; {_REMEDY}")
        if state.st_size > max_bytes:
            raise UserError(f"{path}: is larger than {max_bytes / 2**20:.0f} MiB, which no recording is; {_REMEDY}")
        with open(path, "rb", buffering=0) as file:
            text = file.read(state.st_size)
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror}); {_REMEDY}") from error
    return parse_recording(text, str(path))


def parse_recording(text: bytes, source: str) -> Sightings:
    """Parse the bytes of a `.skeleton` file; `source` names it in messages.

    Raises:
        UserError: it breaks the format, as `read_recording`.
    """
    plain = text.rstrip() + b"\n"
    if b"\r" in plain:
        plain = plain.replace(b"\r\n", b"\n")
    recording = None
    if _may_be_recording(plain):
        words = find_words(plain) or find_words(_single_spaced(plain))
        recording = _parse_words(words) if words else None
    if recording is None:
        line, fault = next(faults(plain), (1, "breaks the format"))
        raise UserError(f"{source}:{line}: {fault}; {_REMEDY}")
    return recording


def _may_be_recording(text: bytes) -> bool:
    """Judge by the first line and the number of lines, before anything is spent on what is no recording at all."""
    num_frames = _count(text[:text.index(b"\n")].strip())
    if not 0 < num_frames <= MAX_FRAMES:
        return False
    return len(text) < _SMALL_BYTES or text.count(b"\n") <= 1 + num_frames + len(text) // _MIN_LINE_BYTES


def _single_spaced(text: bytes) -> bytes:
    """Return text with single spaces between words, and nothing of it if it has lines that are no recording's."""
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
    if np.diff(ends, prepend=-1).max() > _MAX_LINE_BYTES + 1:
        return b""
    return b"\n".join(b" ".join(line.split()) for line in text.split(b"\n"))


def format_recording(recording: Sightings) -> str:
    """Return the text of a `.skeleton` file: seven significant digits, as a Kinect writes them.

    What `Sightings` do not hold is made up: image coordinates by a pinhole camera, orientations of bones from the
    joints alone, hands unknown.
    """
    rows = np.concatenate([recording.joints, _projected(recording.joints, 366, (256, 212)),
                           _projected(recording.joints, 1060, (960, 540)), _orientations(recording.joints)], axis=2)
    parts = [f"{recording.num_frames}\n"]
    bodies = np.bincount(recording.frames, minlength=recording.num_frames)
    sighting = 0
    for num_bodies in bodies.tolist():
        parts.append(f"{num_bodies}\n")
        for _ in range(num_bodies):
            parts.append(f"{recording.body_ids[sighting]} 0 0 0 0 0 0 0 0 2\n{NUM_JOINTS}\n")
            parts += [_JOINT_LINE % (*row, state) for row, state in
                      zip(rows[sighting].tolist(), recording.tracking[sighting].tolist(), strict=True)]
            sighting += 1
    return "".join(parts)


def _projected(joints: np.ndarray, focal_px: float, centre_px: tuple[float, float]) -> np.ndarray:
    """Return where joints (K, 25, 3) appear in an image, (K, 25, 2) in pixels from the top left."""
    depth = np.maximum(joints[..., 2:], 0.1)
    return np.array(centre_px) + focal_px * joints[..., :2] * (1, -1) / depth


def _orientations(joints: np.ndarray) -> np.ndarray:
    """Return (K, 25, 4), w x y z: the turn from straight up to each joint's bone, zeros where there is no bone."""
    bones = joints - joints[:, list(NTU_25.parents)]
    lengths = np.linalg.norm(bones, axis=2, keepdims=True)
    x, y, z = np.moveaxis(bones / np.where(lengths > 0, lengths, 1), 2, 0)
    turns = np.stack([1 + y, z, np.zeros_like(x), -x], axis=2)  # half way between up and the bone
    norms = np.linalg.norm(turns, axis=2, keepdims=True)
    return turns / np.where(norms > 0, norms, 1) * (lengths > 0)


def _parse_words(words: Words) -> Sightings | None:
    """Return the recording, or None if it breaks the format: this function is quick, `faults` explains."""
    if (words.line_ends - words.line_starts).max() > _MAX_LINE_BYTES:
        return None
    layout = _lay_out(words)
    if layout is None:
        return None
    headers, frames, slots, num_frames = layout
    body_ids = tuple([str(word, "ascii", "replace") for word in words.first_words(headers)])
    if not all(map(_is_body_id, set(body_ids))):
        return None
    joint_lines = (headers[:, None] + np.arange(2, _BODY_LINES)).ravel()  # (K * 25,)
    characters = np.frombuffer(words.text, np.uint8)
    line_ends = words.line_ends[joint_lines]
    tracking = characters[line_ends - 1] - np.uint8(ord("0"))
    if (characters[line_ends - 2] != ord(" ")).any() or (tracking > 2).any() or not words.are_numbers():
        return None
    joints = words.values(joint_lines, 3)
    if not np.isfinite(joints).all():
        return None
    return Sightings(num_frames, frames, slots, body_ids, joints.reshape(-1, NUM_JOINTS, 3),
                     tracking.reshape(-1, NUM_JOINTS))


def _lay_out(words: Words) -> tuple[np.ndarray, np.ndarray, np.ndarray, int] | None:
    """Return where the bodies stand, told from the number of words in each line: (K,) int64 each of the bodies'
    header lines, frames and slots, and the number of frames. None if they do not stand as the format has it.
    """
    words_of_line = words.words_of_line
    headers = np.flatnonzero(words_of_line == _HEADER_WORDS)
    num_lines = len(words_of_line)
    if len(headers) and (headers[-1] + _BODY_LINES > num_lines
                         or np.diff(headers).min(initial=num_lines) < _BODY_LINES):
        return None
    body_lines = headers[:, None] + np.arange(_BODY_LINES)  # (K, 27)
    is_count = np.ones(num_lines, bool)
    is_count[body_lines] = False
    count_lines = np.flatnonzero(is_count)
    if (words_of_line[count_lines] != 1).any() or (words_of_line[body_lines] != _WORDS_OF_BODY_LINES).any():
        return None
    num_frames, *bodies_of_frame = _counts(words.first_words(count_lines))
    if count_lines[0] != 0 or num_frames != len(bodies_of_frame) or num_frames == 0:
        return None
    # The bodies of a frame are those that stand between its count and the next.
    frames = np.searchsorted(count_lines, headers) - 2
    if (np.bincount(frames + 1, minlength=num_frames + 1) != [0, *bodies_of_frame]).any():
        return None
    if set(words.first_words(headers + 1)) - {b"25"}:
        return None
    return headers, frames, np.arange(len(frames)) - np.searchsorted(frames, frames), num_frames


def _count(word: bytes) -> int:
    """Return a whole number of at most nine digits, -1 for anything else."""
    return int(word) if word.isdigit() and len(word) <= _MAX_COUNT_DIGITS else -1


def _counts(words: list[bytes]) -> list[int]:
    """Return `_count` of each of many words, of which few are different."""
    values = {word: _count(word) for word in set(words)}
    return [values[word] for word in words]


def _is_body_id(word: str) -> bool:
    return word.isascii() and word.isdigit()


def faults(text: bytes) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, what is wrong) where `text` breaks the format: the format, line by line.

    Only the first is of use: what follows a fault is read as if it were none.
    """
    text = text.rstrip()
    if not text:
        yield 1, "the file is empty"
    place = line = 0  # where the next line begins; how many there were

    def take(what: str) -> list[bytes]:
        nonlocal place, line
        if place > len(text):
            raise _Unreadable(f"the file ends here, before {what}")
        end = text.find(b"\n", place)
        content = text[place:len(text) if end < 0 else end]
        place, line = place + len(content) + 1, line + 1
        if len(content) > _MAX_LINE_BYTES:
            raise _Unreadable(f"the line has {len(content)} bytes; no recording has more than {_MAX_LINE_BYTES} in one")
        return content.split()

    try:
        frames = take("the number of frames")
        yield from _faults_of_count(line, frames, "the number of frames")
        if _count(frames[0]) == 0:
            yield line, "the recording has no frames"
        if _count(frames[0]) > MAX_FRAMES:
            yield line, f"{_count(frames[0])} frames, more than the {MAX_FRAMES} that are read"
        for frame in range(_count(frames[0])):
            bodies = take(f"the number of bodies of frame {frame + 1}")
            yield from _faults_of_count(line, bodies, f"the number of bodies of frame {frame + 1}")
            for _ in range(_count(bodies[0])):
                where = f"of a body of frame {frame + 1}"
                header = take(f"the header {where}")
                yield from _faults_of_numbers(line, header, _HEADER_WORDS, f"the header {where}")
                if not _is_body_id(header[0].decode("ascii", "replace")):
                    yield line, f"'{_show(header[0])}' is no body id, which is a whole number"
                joints = take(f"the number of joints {where}")
                yield from _faults_of_count(line, joints, f"the number of joints {where}")
                if _count(joints[0]) != NUM_JOINTS:
                    yield line, f"{_count(joints[0])} joints where {NUM_JOINTS} were expected"
                for joint in range(NUM_JOINTS):
                    yield from _faults_of_joint(take(f"joint {joint + 1} {where}"), line, joint)
        if place <= len(text):
            yield line + 1, f"text after the last of {_count(frames[0])} frames"
    except _Unreadable as fault:
        yield line, str(fault)


class _Unreadable(Exception):
    """There is no line where one was expected, or none of sensible length."""


def _faults_of_joint(words: list[bytes], line: int, joint: int) -> Iterator[tuple[int, str]]:
    yield from _faults_of_numbers(line, words, _JOINT_WORDS, f"joint {joint + 1}")
    for word in words[:3]:
        if not np.isfinite(float(word)):
            yield line, f"coordinate '{_show(word)}' of joint {joint + 1} is not finite"
    if words[-1] not in (b"0", b"1", b"2"):
        yield line, f"tracking state '{_show(words[-1])}' of joint {joint + 1} is not 0, 1 or 2"


def _faults_of_count(line: int, words: list[bytes], what: str) -> Iterator[tuple[int, str]]:
    if len(words) != 1:
        yield line, f"{what} was expected alone, found {len(words)} words"
    if _count(words[0]) < 0:
        yield line, f"{what} is '{_show(words[0])}', not a whole number from 0"


def _faults_of_numbers(line: int, words: list[bytes], expected: int, what: str) -> Iterator[tuple[int, str]]:
    if len(words) != expected:
        yield line, f"{expected} words were expected ({what}), found {len(words)}"
    for word in words:
        if not is_number(word):
            yield line, f"'{_show(word)}' is not a number ({what})"


def _show(word: bytes) -> str:
    """Return a word fit for a one-line message."""
    text = word[:24].decode("ascii", "replace").replace("�", "?")
    return "".join(character if character.isprintable() else "?" for character in text)
