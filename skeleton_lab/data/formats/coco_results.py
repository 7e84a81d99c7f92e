"""COCO's keypoints: results, a list of people by `image_id`, and annotations, with a table of pictures beside them.

    [{"image_id": 3, "category_id": 1, "keypoints": [x, y, score, ...], "score": 0.9}, ...]
    {"images": [{"id": 3, "file_name": "000003.jpg", "width": 640, "height": 480}, ...], "annotations": [...]}

Of results, `image_id` is taken for the frame's number. Annotations order frames by their pictures: `frame_id` where
there is one, else the number in the name. Their third number is a visibility, 0 (not there), 1 or 2.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from skeleton_lab.data.formats.alphapose import read_entries
from skeleton_lab.data.formats.estimates import REMEDY, number_in, whole_number
from skeleton_lab.data.formats.face import Format, Look, Wanted
from skeleton_lab.data.formats.recording import Recording
from skeleton_lab.errors import UserError


def _looks_like(look: Look) -> bool:
    if isinstance(look.json, dict):
        return isinstance(look.json.get("images"), list) and isinstance(look.json.get("annotations"), list)
    return isinstance(look.json, list) and bool(look.json) and isinstance(look.json[0], dict) \
        and {"image_id", "keypoints"} <= look.json[0].keys()


def _read(look: Look, wanted: Wanted) -> list[Recording]:
    if isinstance(look.json, list):
        return [read_entries(str(look.path), look.json, wanted)]
    return [_annotated(str(look.path), look.json, wanted)]


def _annotated(name: str, content: Any, wanted: Wanted) -> Recording:
    """Read annotations, their pictures' numbers in place of the ids."""
    frame_of: dict[int, int] = {}
    sizes: set[tuple[Any, Any]] = set()
    try:
        for picture in content["images"]:
            number = whole_number(picture["frame_id"]) if "frame_id" in picture else number_in(picture["file_name"])
            frame_of[whole_number(picture["id"])] = number
            sizes.add((picture.get("width"), picture.get("height")))
        entries = [{**entry, "image_id": frame_of[whole_number(entry["image_id"])]} for entry in content["annotations"]
                   if "keypoints" in entry]
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{name}: 'images' and 'annotations' do not fit each other ({error!r:.80}); "
                        f"{REMEDY}") from error
    width, height = sizes.pop() if len(sizes) == 1 else (None, None)
    if wanted.image_size is None and isinstance(width, int) and isinstance(height, int) and min(width, height) > 0:
        wanted = replace(wanted, image_size=(width, height))
    return read_entries(name, entries, wanted, frame_of.values())


FORMAT = Format("COCO keypoints JSON", (".json",), _looks_like, _read)
