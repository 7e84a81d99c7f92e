"""Annotation files of PYSKL and MMAction2: a pickle of persons over time, in 2D or 3D, and of splits.

A dict of `split` (name -> identifiers) and `annotations`, or the bare list of those. Nothing in the pickle is run. Of
its arrays one at a time is built, so that reading takes little more memory than unpickling.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.formats.pose_clips import PoseClip
from skeleton_lab.errors import UserError
from skeleton_lab.pickles import PlainUnpickler, Refused, check_places, load_plain_pickle, plain

MAX_BYTES = 16 << 30
MOST_PERSONS = 10  # of compressed skeletons; more are sorted by their scores and cut
_SAME_THRESHOLD = 1e-6  # a threshold may be written in single precision
_REMEDY = "get it again, or make it as docs/models.md says"


class Annotations(Sequence[PoseClip]):
    """The clips of a file, each built when it is asked for.

    splits: places of the clips of each split, in the order of the file. Of Kinetics' compressed form: skeletons:
    folder of the files; least_box: those boxes alone are taken that score as much; least_valid: those clips alone of
    which such boxes leave as large a share of the frames, which the file tells by `valid`.
    """

    def __init__(self, path: str | Path, skeletons: Path | None = None, least_box: float = 0.0,
                 least_valid: float = 0.0) -> None:
        """Unpickle the file.

        Raises:
            UserError: it cannot be read, would run something, or is no annotation file.
        """
        self.path, self._skeletons, self._least_box = Path(path), skeletons or Path(path).parent, least_box
        content = _unpickled(self.path)
        entries = content.get("annotations") if isinstance(content, Mapping) else content
        if not isinstance(entries, list) or not entries or not all(isinstance(entry, Mapping) for entry in entries):
            raise UserError(f"{path}: no annotation file of PYSKL or MMAction2: expected a list of clips, or a dict of "
                            f"'split' and 'annotations'; {_REMEDY}")
        self._entries: list[Mapping[str, Any]] = entries
        if least_valid:
            shares = [self._valid_share(place) for place in range(len(entries))]
            self._entries = entries = [entry for entry, share in zip(entries, shares, strict=True)
                                       if share >= least_valid]
            if not entries:
                raise UserError(f"{path}: boxes that score {least_box:g} leave a share of {least_valid:g} of the frames"
                                f" of no clip, at most {max(shares):.3g}; ask for less")
        self._key = "filename" if "filename" in entries[0] else "frame_dir"
        names = [self._built(place, self._key) for place in range(len(entries))]
        self.names = [str(name) for name in names]
        self.splits = self._split(content.get("split") if isinstance(content, Mapping) else None)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, place: Any) -> Any:
        """Return a clip; UserError if it is damaged."""
        if not 0 <= place < len(self):
            raise IndexError(place)
        keypoint, score = self._built(place, "keypoint"), self._built(place, "keypoint_score")
        if keypoint is None and self._built(place, "raw_file") is not None:
            keypoint, score = self._decompressed(place)
        if not isinstance(keypoint, np.ndarray) or keypoint.dtype.kind != "f" or keypoint.ndim != 4 \
                or keypoint.shape[3] not in (2, 3) or not keypoint.size:
            raise self._damaged(place, "its keypoint is no array (M, T, V, 2 or 3) of numbers")
        if score is not None and (not isinstance(score, np.ndarray) or score.shape != keypoint.shape[:3]
                                  or score.dtype.kind != "f"):
            raise self._damaged(place, "its keypoint_score does not belong to its keypoint")
        for array in (keypoint, score):
            if array is not None and not np.isfinite(array).all():
                raise self._damaged(place, "it holds a number that is not finite")
        return PoseClip(keypoint, score, self._size(place), self.label_of(place))

    def _valid_share(self, place: int) -> float:
        valid, frames = self._built(place, "valid"), self._built(place, "total_frames")
        known = {float(key): left for key, left in valid.items() if isinstance(key, int | float | np.number)} \
            if isinstance(valid, dict) else {}
        left = next((left for key, left in known.items() if abs(key - self._least_box) < _SAME_THRESHOLD), None)
        if not isinstance(left, int | float | np.number) or not isinstance(frames, int | np.integer) or frames < 1:
            raise self._damaged(place, f"its 'valid' tells nothing of boxes that score {self._least_box:g}, only of "
                                f"{', '.join(f'{key:g}' for key in list(known)[:9]) or 'none'}")
        return float(left) / int(frames)

    def label_of(self, place: int) -> int:
        """Return a clip's class, -1: not known; UserError if it is no class."""
        label = self._built(place, "label")
        if label is not None and (not isinstance(label, int | np.integer) or not -1 <= label < 1 << 31):
            raise self._damaged(place, "its label is no class from 0")
        return -1 if label is None else int(label)

    def _built(self, place: int, key: str) -> Any:
        try:
            return plain(self._entries[place].get(key))
        except Refused as refused:
            raise UserError(f"{self.path}: refused, nothing was run: clip {place} holds {refused}; {_REMEDY}") from None
        except Exception as error:  # a damaged array raises nearly anything
            raise self._damaged(place, f"its {key} cannot be built ({type(error).__name__})") from None

    def _damaged(self, place: int, what: str) -> UserError:
        return UserError(f"{self.path}: clip {place}: {what}; {_REMEDY}")

    def _size(self, place: int) -> tuple[int, int]:
        size = self._built(place, "img_shape")
        if size is None:
            return 0, 0
        if isinstance(size, np.ndarray):
            size = size.tolist()
        if not isinstance(size, tuple | list) or len(size) < 2 or not all(
                isinstance(length, int | np.integer) and 0 < length < 1 << 20 for length in size[:2]):
            raise self._damaged(place, "its img_shape is no (height, width)")
        return int(size[0]), int(size[1])

    def _split(self, split: Any) -> dict[str, np.ndarray]:
        try:
            split = plain(split)
        except Refused as refused:
            raise UserError(f"{self.path}: refused, nothing was run: its splits hold {refused}; {_REMEDY}") from None
        if split is None:
            return {}
        if not isinstance(split, dict) or not all(isinstance(name, str) and name.isidentifier()
                                                  and isinstance(members, list | tuple | np.ndarray)
                                                  for name, members in split.items()):
            raise UserError(f"{self.path}: 'split' is no mapping from names to lists of clips; {_REMEDY}")
        found = {}
        for name, members in split.items():
            wanted = {str(member) for member in members}
            found[name] = np.array([place for place, own in enumerate(self.names) if own in wanted], np.int64)
        return found

    def _decompressed(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Return keypoints and scores of the compressed form, whose skeletons are in a file of their own."""
        name = Path(self.names[place]).name
        path = self._skeletons / f"{name}.pkl"
        content = load_plain_pickle(path)
        content = content.get(name, content) if isinstance(content, dict) else {}
        skeletons = content.get("keypoint") if isinstance(content, dict) else None
        frames = self._built(place, "frame_inds")
        boxes = self._built(place, "box_score")
        if not isinstance(skeletons, np.ndarray) or skeletons.ndim != 3 or skeletons.shape[2] != 3 \
                or not isinstance(frames, np.ndarray) or frames.shape != skeletons.shape[:1] or not len(frames) \
                or frames.dtype.kind not in "iu" or (boxes is not None and np.shape(boxes) != frames.shape):
            raise UserError(f"{path}: its 'keypoint' (S, V, 3) does not belong to the {np.size(frames)} frame_inds of "
                            f"clip {place} of {self.path}; {_REMEDY}")
        if self._least_box and boxes is not None:
            kept = np.asarray(boxes) >= self._least_box
            skeletons, frames = skeletons[kept], frames[kept]
        if not len(frames):
            raise self._damaged(place, "no box scores as much as asked for")
        return decompress(skeletons, frames)


def decompress(skeletons: np.ndarray, frames: np.ndarray, renumber: bool = True,
               most_persons: int = MOST_PERSONS) -> tuple[np.ndarray, np.ndarray]:
    """Return keypoints (M, T, V, 2) and scores (M, T, V), float16, of skeletons (S, V, 3) seen in frames (S,).

    renumber: drop frames without any. A frame's skeletons become its persons in order; where some frame has more than
    `most_persons`, each frame's are sorted by their scores, and cut.
    """
    numbers = np.unique(frames, return_inverse=True)[1] if renumber else frames.astype(np.int64)
    order = np.argsort(numbers, kind="stable")
    numbers, skeletons = numbers[order], skeletons[order]
    persons = np.arange(len(numbers)) - np.searchsorted(numbers, numbers)
    if persons.max() >= most_persons:
        order = np.lexsort((-skeletons[..., 2].sum(axis=1, dtype=np.float32), numbers))
        skeletons = skeletons[order]
    kept = persons < most_persons
    made = np.zeros((int(persons[kept].max()) + 1, int(numbers.max()) + 1, *skeletons.shape[1:]), np.float16)
    made[persons[kept], numbers[kept]] = skeletons[kept]
    return made[..., :2], made[..., 2]


def _unpickled(path: Path) -> Any:
    """Return what a pickle builds, its arrays not yet built."""
    try:
        size = os.path.getsize(path)
        if size > MAX_BYTES:
            raise UserError(f"{path}: {size:,} bytes, more than the {MAX_BYTES:,} of an annotation file; check "
                            "that it is one, or cut it into parts")
        with open(path, "rb") as file:
            check_places(file, size)
            file.seek(0)
            return PlainUnpickler(file, encoding="latin-1").load()
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror}); check the path") from error
    except Refused as refused:
        raise UserError(f"{path}: refused, nothing was run: {refused}, and annotations hold plain data only; "
                        f"{_REMEDY}") from None
    except Exception as error:  # a damaged pickle raises nearly anything
        raise UserError(f"{path}: not a pickle, or a damaged one ({type(error).__name__}); {_REMEDY}") from error
