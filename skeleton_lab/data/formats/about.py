"""What a data set says of itself besides clips and labels: names of classes and clips, the skeleton, frames a second.

An archive holds it in plain arrays, each of them optional:

- `class_names` (K,) strings, in class order; `names_train`, `names_test` (N,) strings, one for each clip;
- `skeleton`, a string: a dotted path such as skeleton_lab.own_skeletons.UTD_MHAD_20, its last word, or a name;
- `fps`, a number: frames a second.

MS-G3D's `.npy` files have no room for that; a JSON file beside them holds the same, by the same names, but for the
clips' names, which stand in the label file: `val_about.json` beside `val_label.pkl`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.class_names import NTU_120
from skeleton_lab.data.formats import archive
from skeleton_lab.data.formats.archive import ArrayHeader, NpzWriter
from skeleton_lab.errors import UserError
from skeleton_lab.files import write_text
from skeleton_lab.skeleton_names import find_skeleton, same_joints, skeleton_path
from skeleton_lab.skeletons import NTU_25, Skeleton

NTU_FPS = 30.0
CLASS_NAMES, SKELETON, FPS = "class_names", "skeleton", "fps"
_MAX_BYTES = 256 << 20  # of all names of an array


@dataclass(frozen=True)
class About:
    """What a data set says of itself; None, or no entry, where it says nothing.

    clip_names: of the clips of a split, by split.
    """

    class_names: tuple[str, ...] | None = None
    skeleton: Skeleton | None = None
    fps: float | None = None
    clip_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def name_of(self, split: str, index: int) -> str | None:
        """Return the name of a clip, if it has one."""
        names = self.clip_names.get(split, ())
        return names[index] if index < len(names) else None

    def without_clips(self) -> About:
        """Return it without the clips' names, which are of some clips in some order."""
        return replace(self, clip_names={})


def about_ntu(labels: Sequence[int] | np.ndarray, num_classes: int) -> About:
    """Return what is known of recordings that are named as NTU RGB+D's are, with these labels.

    They are the benchmark's, and their classes have its names, if all classes are there. Made-up recordings go through
    the same commands under the same kind of names; they have other actions, and fewer.
    """
    whole = len(np.unique(labels)) == num_classes
    return About(NTU_120[:num_classes], NTU_25, NTU_FPS) if whole else About()


def require_skeleton(about: About, expected: Skeleton, path: str | Path) -> None:
    """Refuse data whose joints are other ones than those that are `expected`.

    Raises:
        UserError: the data say so.
    """
    if about.skeleton is not None and not same_joints(about.skeleton, expected):
        raise UserError(f"{path}: its skeleton is {about.skeleton.name}, but {expected.name} is expected; take a "
                        "feeder and a graph of its own skeleton (docs/own_skeletons.md)")


def read_about(path: str | Path, usual: Skeleton | None = None, told: Skeleton | None = None) -> About:
    """Read what an archive says of itself.

    Args:
        usual: a skeleton that the archive may name although it does not stand among the known ones. told: of its joints
            in any case; what the archive says is then not asked.

    Raises:
        UserError: an array of these names has another form, or names a skeleton that is not known.
    """
    headers = archive.list_arrays(path)
    fps = None
    if FPS in headers:
        fps = _rate(_plain(path, headers[FPS], "fiu"), path)
    skeleton = told
    if told is None and SKELETON in headers:
        skeleton = _skeleton(_text(_plain(path, headers[SKELETON], "SU"), path), path, usual)
    names = {key.removeprefix("names_"): _texts(path, headers[key]) for key in headers if key.startswith("names_")}
    return About(_texts(path, headers[CLASS_NAMES]) if CLASS_NAMES in headers else None, skeleton, fps, names)


def write_about(writer: NpzWriter, about: About) -> None:
    """Write what is known into an archive."""
    if about.class_names is not None:
        writer.write(CLASS_NAMES, np.array(about.class_names, np.str_))
    if about.skeleton is not None:
        writer.write(SKELETON, np.array(skeleton_path(about.skeleton)))
    if about.fps is not None:
        writer.write(FPS, np.array(about.fps, np.float64))
    for split, names in about.clip_names.items():
        writer.write(f"names_{split}", np.array(names, np.str_))


def beside(label_path: str | Path) -> Path:
    """Return where it is said what a file of labels of MS-G3D belongs to."""
    path = Path(label_path)
    return path.with_name(f"{path.name.removesuffix('_label.pkl')}_about.json")


def read_beside(label_path: str | Path, usual: Skeleton | None = None) -> About:
    """Read what is said beside MS-G3D's files; nothing, if there is no such file. Raises as `read_about`."""
    path = beside(label_path)
    if not path.is_file():
        return About()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = content.get(CLASS_NAMES)
        if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise ValueError("class_names is no list of names")
        text, fps = content.get(SKELETON), content.get(FPS)
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({error}); make it anew with the clips, or delete it") from None
    return About(None if names is None else tuple(names), None if text is None else _skeleton(str(text), path, usual),
                 None if fps is None else _rate(np.array(fps), path))


def write_beside(label_path: str | Path, about: About) -> None:
    """Write what is known beside MS-G3D's files; no file, where nothing is."""
    content: dict[str, Any] = {}
    if about.class_names is not None:
        content[CLASS_NAMES] = list(about.class_names)
    if about.skeleton is not None:
        content[SKELETON] = skeleton_path(about.skeleton)
    if about.fps is not None:
        content[FPS] = about.fps
    if not content:
        return
    with suppress(UserError):  # damaged: made anew
        if read_beside(label_path, about.skeleton) == about.without_clips():
            return
    write_text(beside(label_path), json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _plain(path: str | Path, header: ArrayHeader, kinds: str) -> np.ndarray:
    if header.dtype.kind not in kinds or header.nbytes > _MAX_BYTES:
        raise UserError(f"{path}: '{header.key}' is {header.dtype} of shape {header.shape}; expected plain "
                        f"{'numbers' if 'f' in kinds else 'strings'}; make it anew with the clips")
    return archive.read_whole(path, header.key)


def _texts(path: str | Path, header: ArrayHeader) -> tuple[str, ...]:
    values = _plain(path, header, "SU").reshape(-1)
    return tuple(_text(value, path) for value in values)


def _text(value: Any, path: str | Path) -> str:
    value = np.asarray(value)
    if value.size != 1:
        raise UserError(f"{path}: one string expected, found an array of shape {value.shape}; make it anew with the "
                        "clips")
    text = value.item()
    try:
        return text.decode() if isinstance(text, bytes) else text
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _rate(value: np.ndarray, path: str | Path) -> float:
    if value.size != 1 or value.dtype.kind not in "fiu" or not 0 < value.item() < np.inf:
        raise UserError(f"{path}: 'fps' is {value!r:.60}; expected one number above 0")
    return float(value.item())


def _skeleton(text: str, path: str | Path, usual: Skeleton | None) -> Skeleton:
    skeleton = find_skeleton(text, usual)
    if skeleton is None:
        raise UserError(f"{path}: names the skeleton '{text}', which is not known here; add it to "
                        "skeleton_lab/own_skeletons.py, or say which one it is with --skeleton")
    return skeleton
