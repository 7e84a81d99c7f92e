"""AlphaPose's `alphapose-results.json`: one list with an entry for each person in each frame.

    [{"image_id": "0.jpg", "category_id": 1, "keypoints": [x, y, score, ...], "score": 2.9, "idx": 1}, ...]

Frames are told by the number in `image_id`, and those without people have no entry. `score` is no probability and is
not read; those of the joints are. `idx`, a number or a list of one, tells who is who where people were tracked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from skeleton_lab.data.formats.estimates import (
    REMEDY,
    Facts,
    Frame,
    number_in,
    recording_of,
    set_of,
    triples,
    whole_number,
)
from skeleton_lab.data.formats.face import Format, Look, Wanted
from skeleton_lab.data.formats.recording import Recording
from skeleton_lab.errors import NothingToSee, UserError


def _looks_like(look: Look) -> bool:
    if not isinstance(look.json, list) or not look.json or not isinstance(look.json[0], dict):
        return False
    first = look.json[0]
    return {"image_id", "keypoints"} <= first.keys() and (isinstance(first["image_id"], str)
                                                          or bool(first.keys() & {"idx", "box"}))


def _read(look: Look, wanted: Wanted) -> list[Recording]:
    return [read_entries(str(look.path), look.json, wanted)]


def read_entries(name: str, entries: list[Any], wanted: Wanted, listed: Iterable[int] = ()) -> Recording:
    """Read a list of people, each with its picture's `image_id` and its `keypoints`; `listed`: frames known besides.

    Raises:
        UserError: an entry is damaged (which one is named), or has other joints than those before.
    """
    by_frame: dict[int, list[tuple[np.ndarray, str | None]]] = {number: [] for number in listed}
    joints = 0
    for place, entry in enumerate(entries):
        try:
            number = number_in(entry["image_id"]) if isinstance(entry["image_id"], str) \
                else whole_number(entry["image_id"])
            pose = triples(entry["keypoints"])
            joints = joints or len(pose)
            if len(pose) != joints or not joints:
                raise ValueError(f"{len(pose)} joints, the entries before it have {joints}")
            by_frame.setdefault(number, []).append((pose, _id_of(entry)))
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            reason = f"has no {error}" if isinstance(error, KeyError) else f"{error!s:.120}"
            raise UserError(f"{name}: entry {place}: {reason}; {REMEDY}") from error
    if not joints:
        raise NothingToSee(f"{name}: nobody was seen in any of its {len(by_frame)} frames; leave it out")
    frames = []
    for number, people in by_frame.items():
        ids = tuple(word for _, word in people if word is not None)
        poses = np.stack([pose for pose, _ in people]) if people else np.zeros((0, 0, 3))
        frames.append(Frame(number, poses, ids if len(ids) == len(people) else None))
    skeleton = set_of(name, wanted, joints)
    return recording_of(name, frames, Facts(skeleton, fps=wanted.fps, image_size=wanted.image_size))


def _id_of(entry: Any) -> str | None:
    given = entry.get("idx", entry.get("track_id"))
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    if given is None or given == []:
        return None
    return str(whole_number(given))


FORMAT = Format("AlphaPose JSON", (".json",), _looks_like, _read)
