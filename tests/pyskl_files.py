"""Annotation files as PYSKL writes them, made of golden inputs or invented."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.formats.pose_clips import write_pose_clips
from skeleton_lab.data.formats.pyskl_annotations import Annotations

PICTURE = (1080, 1920)


def annotation(name: str, keypoint: np.ndarray, label: int = 3, score: np.ndarray | None = None) -> dict[str, Any]:
    """One clip; 2D ones with a score tell the picture's size."""
    entry = {"frame_dir": name, "label": label, "total_frames": keypoint.shape[1], "keypoint": keypoint}
    return entry if score is None else {**entry, "keypoint_score": score, "img_shape": PICTURE,
                                        "original_shape": PICTURE}


def write_pickle(path: Path, entries: list[dict[str, Any]], splits: dict[str, list[str]] | None = None) -> Path:
    """Write a dict of splits and annotations, or without splits the bare list."""
    content = entries if splits is None else {"split": splits, "annotations": entries}
    path.write_bytes(pickle.dumps(content, protocol=2))
    return path


def converted(path: Path, entries: list[dict[str, Any]], splits: dict[str, list[str]] | None = None) -> Path:
    """Write an annotation file and its archive; return that."""
    annotations = Annotations(write_pickle(path.with_suffix(".pkl"), entries, splits))
    write_pose_clips(path, annotations, annotations.names, annotations.splits)
    return path


def made_clips(count: int, joints: int, flat: bool, classes: int = 4, seed: int = 0) -> list[dict[str, Any]]:
    """Invented clips of one or two persons of 12 to 40 frames; their class is how fast they move."""
    rng = np.random.default_rng(seed)
    entries = []
    for number in range(count):
        label, frames, persons = number % classes, int(rng.integers(12, 40)), int(rng.integers(1, 3))
        pose = rng.normal(0, 0.3, (persons, 1, joints, 2 if flat else 3))
        swing = np.sin(np.arange(frames)[:, None, None] * (label + 1) / 5) * rng.normal(0, 0.3, (1, joints, 1))
        x = pose + swing
        x = (x * 200 + np.array([960, 540]) if flat else x + np.array([0, 0, 3])).astype(np.float16)
        score = rng.uniform(0, 1, x.shape[:3]).astype(np.float16) if flat else None
        entries.append(annotation(f"clip{number:03d}", x, label, score))
    return entries
