"""MMPose's predictions (1.x): instances of a picture, or of each frame of a video.

    [{"frame_id": 0, "instances": [{"keypoints": [[x, y], ...], "keypoint_scores": [...], "bbox": ...}, ...]}, ...]

Older demo scripts wrote {"meta_info": ..., "instance_info": [the same]}, which names the joints. Pixels, y down, no
ids. Top-down models find a person as large as the picture (its box scores 1) where there is none: the scores of its
joints tell.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from skeleton_lab.data.formats.estimates import (
    REMEDY,
    Facts,
    Frame,
    kind_of,
    numbers,
    recording_of,
    set_of,
    whole_number,
    without_phantom,
)
from skeleton_lab.data.formats.face import Format, Look, Wanted
from skeleton_lab.data.formats.joint_names import skeleton_of_names
from skeleton_lab.data.formats.recording import Recording, Unit
from skeleton_lab.errors import UserError


def _looks_like(look: Look) -> bool:
    content = look.json
    if isinstance(content, dict):
        return isinstance(content.get("instance_info"), list)
    first = content[0] if isinstance(content, list) and content else None
    return isinstance(first, dict) and ("instances" in first or {"keypoints", "keypoint_scores"} <= first.keys())


def _read(look: Look, wanted: Wanted) -> list[Recording]:
    path, content = look.path, look.json
    own = skeleton_of_names(_names(content.get("meta_info"))) if isinstance(content, dict) else None
    listed = content["instance_info"] if isinstance(content, dict) else content
    if listed and isinstance(listed[0], dict) and "keypoints" in listed[0]:  # a picture
        listed = [{"frame_id": 0, "instances": listed}]
    frames = []
    for place, frame in enumerate(listed):
        try:
            frames.append(Frame(whole_number(frame["frame_id"]), _people(frame["instances"])))
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            reason = f"has no {error}" if isinstance(error, KeyError) else f"{error!s:.120}"
            raise UserError(f"{path}: frame {place} of its list: {reason}; {REMEDY}") from error
    joints, values = kind_of(str(path), frames)
    if own is None and wanted.skeleton is None and isinstance(content, dict) and _names(content.get("meta_info")):
        raise UserError(f"{path}: names its {joints} joints otherwise than any set that is known here; say with "
                        "--joints which one they are")
    flat = values == 3
    skeleton = set_of(path, wanted, joints, own, flat)
    return [recording_of(str(path), frames, Facts(skeleton, Unit.PIXELS if flat else None, wanted.fps,
                                                  wanted.image_size, y_down=flat))]


def _names(meta: Any) -> list[str]:
    """Return what a file calls its joints, in their order; [] where it does not."""
    names = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if not isinstance(names, dict):
        return []
    listed = [names.get(str(number), names.get(number)) for number in range(len(names))]
    texts = [name for name in listed if isinstance(name, str)]
    return texts if len(texts) == len(listed) else []


def _people(instances: Any) -> np.ndarray:
    """Return (P, V, C + 1). Raises ValueError and the like."""
    poses = []
    for person in instances:
        joints, scores = numbers(person["keypoints"]), numbers(person["keypoint_scores"])
        if joints.ndim != 2 or joints.shape[1] not in (2, 3) or scores.shape != joints.shape[:1] or not len(scores):
            raise ValueError(f"keypoints {joints.shape} and keypoint_scores {scores.shape} do not belong together")
        poses.append(np.concatenate([joints, scores[:, None]], axis=1))
    if not poses:
        return np.zeros((0, 0, 3))
    people = np.stack(poses)
    whole_picture = instances[0].get("bbox_score", 1.0) == 1.0
    return without_phantom(people) if whole_picture else people


FORMAT = Format("MMPose JSON", (".json",), _looks_like, _read)
