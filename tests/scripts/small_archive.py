"""Small NTU archives in both layouts: classes that differ in motion, for the scripts that read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

NUM_FRAMES = 40


def kaggle_clips(num_clips: int, num_classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return clips (N, T, 150) float32 and labels (N,): one pose, swung at a rate and in directions of the class."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(100)
    pose, directions = fixed.standard_normal((25, 3)), fixed.standard_normal((num_classes, 25, 3))
    labels = np.arange(num_clips) % num_classes
    clips = np.zeros((num_clips, NUM_FRAMES, 2, 25, 3), np.float32)
    for clip, label in zip(clips, labels, strict=True):
        length = rng.integers(20, NUM_FRAMES + 1)
        swing = np.sin(np.arange(length) * 0.2 * (label + 1) + rng.uniform(0, 6))
        clip[:length, 0] = pose + swing[:, None, None] * directions[label] + rng.standard_normal(3)
        if label % 2:
            clip[:length, 1] = clip[:length, 0] + 1
    return clips.reshape(num_clips, NUM_FRAMES, 150), labels


def write_pair(folder: Path, num_train: int = 48, num_test: int = 24, num_classes: int = 4) -> tuple[Path, Path]:
    """Write the same clips to kaggle.npz (one-hot labels) and converted.npz (class indices); return both paths."""
    kaggle, converted = {}, {}
    for split, count, seed in (("train", num_train, 1), ("test", num_test, 2)):
        clips, labels = kaggle_clips(count, num_classes, seed)
        kaggle[f"x_{split}"], kaggle[f"y_{split}"] = clips, np.eye(num_classes, dtype=np.float32)[labels]
        five_axes = clips.reshape(count, NUM_FRAMES, 2, 25, 3).transpose(0, 4, 1, 3, 2)  # (N, C, T, V, M)
        converted[f"x_{split}"], converted[f"y_{split}"] = np.ascontiguousarray(five_axes), labels.astype(np.int64)
    np.savez(folder / "kaggle.npz", **kaggle)
    np.savez(folder / "converted.npz", **converted)
    return folder / "kaggle.npz", folder / "converted.npz"
