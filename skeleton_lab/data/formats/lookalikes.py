"""What a file that no format knows looks like, in words, and what can be done with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from skeleton_lab.data.formats.face import Look

_OTHERS = "which is not read here; bring its joints into an archive of clips (docs/own_skeletons.md)"
_MAGIC = {
    b"%PDF": "a PDF", b"\x89PNG": "a picture (PNG)", b"\xff\xd8\xff": "a picture (JPEG)", b"GIF8": "a picture (GIF)",
    b"RIFF": "a video or sound (RIFF)", b"\x1aE\xdf\xa3": "a video (Matroska)", b"\x89HDF": "an HDF5 file; "
    "convert_ntu60_kaggle_to_ctrgcn.py makes an archive of the clips in it",
    b"\x1f\x8b": "a file packed by gzip; unpack it first", b"\xfd7zXZ": "a file packed by xz; unpack it first",
    b"7z\xbc\xaf": "a 7-Zip archive; unpack it first", b"\x80\x02": "a pickle", b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle", b"\x80\x05": "a pickle", b"MATLAB": "a MATLAB file",
}


def describe(look: Look) -> str:
    """Return what a file looks like: "a pose estimator's output (JSON with 'people'), ..."."""
    if look.is_folder:
        return _folder(look)
    if not look.head:
        return "an empty file; copy it again"
    for magic, what in _MAGIC.items():
        if look.head.startswith(magic):
            return what
    if look.head[4:8] == b"ftyp":
        return "a video (MP4)"
    if look.arrays:
        return _arrays(look)
    if look.json is not None:
        return next(_json(look.json))
    return _text(look)


def _folder(look: Look) -> str:
    files = sorted(path for path in look.path.iterdir() if path.is_file())
    if not files:
        return "a folder without files"
    return f"a folder of {len(files)} files, the first of them {describe(Look(files[0]))}"


def _arrays(look: Look) -> str:
    if set(look.arrays) == {""}:
        header = look.arrays[""]
        return f"an array of {header.dtype} of shape {header.shape}, not clips (N, C, T, V, M)"
    named = ", ".join(f"{key} {header.shape}" for key, header in list(look.arrays.items())[:6])
    return f"an archive of other arrays ({named}); clips are x_train and x_test, or x"


def _json(content: Any) -> Iterator[str]:
    """Yield what a JSON file may be, the surest first."""
    first = content[0] if isinstance(content, list) and content else None
    keys = set(content) if isinstance(content, dict) else set(first) if isinstance(first, dict) else set()
    if pose := keys & _POSES:
        yield f"a pose estimator's output (JSON with '{min(pose)}') of a form that is not known here, {_OTHERS}"
    kind = "a JSON list" if isinstance(content, list) else "a JSON object"
    named = ", ".join(f"'{key}'" for key in list(map(str, keys))[:6]) if keys else "nothing known"
    yield f"{kind} with {named[:200]}, {_OTHERS}"


_POSES = {"people", "instances", "instance_info", "keypoints", "keypoint_scores", "landmarks", "pose_landmarks",
          "world_landmarks", "pose_world_landmarks", "visibility", "joint_positions"}


def _text(look: Look) -> str:
    lines = look.lines
    if not lines:
        return "a binary file"
    cells = lines[0].split(b",")
    if len(cells) > 1:
        return f"a table of {len(cells)} columns (CSV), {_OTHERS}"
    words = lines[0].split()
    try:
        [float(word) for word in words]
    except ValueError:
        return f"a text that begins with '{_shown(lines[0])}'"
    return f"a text with {len(words)} numbers in its first line"


def _shown(line: bytes) -> str:
    text = line[:40].decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "?" for character in text)
