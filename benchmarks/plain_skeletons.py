"""NTU's raw recordings processed the straightforward way: line by line, frame by frame, everything in memory.

What one writes down first, and what the pipelines are measured against. It has no checks and skips nothing. Bodies and
actors are chosen by the lab's own functions, so that the results are the same and only the rest differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skeleton_lab.data.formats.ntu import NTU60, parse_name
from skeleton_lab.data.prepare.actors import ACTOR_VALUES, Body, Scene, choose_actors


def read_plain(path: Path) -> tuple[int, dict[str, dict[str, np.ndarray]], list[int]]:
    """Return the number of frames with bodies, body id -> its arrays and frames, and the frames without."""
    bodies: dict[str, dict[str, np.ndarray]] = {}
    dropped = []
    with open(path) as file:
        num_frames = int(file.readline())
        used = 0
        for frame in range(num_frames):
            num_bodies = int(file.readline())
            if num_bodies == 0:
                dropped.append(frame)
                continue
            for _ in range(num_bodies):
                body_id = file.readline().split()[0]
                num_joints = int(file.readline())
                joints = np.zeros((num_joints, 3), np.float32)
                colours = np.zeros((num_joints, 2), np.float32)
                states = np.zeros(num_joints, np.uint8)
                for joint in range(num_joints):
                    words = file.readline().split()
                    joints[joint] = np.array(words[:3], dtype=np.float32)
                    colours[joint] = np.array(words[5:7], dtype=np.float32)
                    states[joint] = int(words[11])
                if body_id not in bodies:
                    bodies[body_id] = {"joints": joints, "colours": colours[None], "states": states[None],
                                       "frames": np.array([used])}
                else:
                    body = bodies[body_id]
                    body["joints"] = np.vstack((body["joints"], joints))
                    body["colours"] = np.vstack((body["colours"], colours[None]))
                    body["states"] = np.vstack((body["states"], states[None]))
                    body["frames"] = np.append(body["frames"], used)
            used += 1
    return used, bodies, dropped


def make_archives_plain(paths: Sequence[Path], folder: Path) -> None:
    """Write NTU60_CS.npz and NTU60_CV.npz from recordings, sorted by name."""
    clips = []
    for path in paths:
        num_frames, bodies, dropped = read_plain(path)
        scene = Scene(num_frames, tuple(Body(name, int(body["frames"][0]), body["joints"].reshape(-1, 25, 3))
                                        for name, body in bodies.items()), np.array(dropped))
        clips.append(_translate_plain(choose_actors(scene)))
    most_frames = max(map(len, clips))
    aligned = np.zeros((len(clips), most_frames, 2 * ACTOR_VALUES), np.float32)
    for row, clip in zip(aligned, clips, strict=True):
        row[:len(clip), :clip.shape[1]] = clip
    samples = [parse_name(path.name) for path in paths]
    labels = np.zeros((len(clips), NTU60.num_classes))
    labels[np.arange(len(clips)), [sample.label for sample in samples]] = 1
    for name, protocol in zip(("NTU60_CS", "NTU60_CV"), NTU60.protocols, strict=True):
        rows = {part: [row for group in getattr(protocol, part) for row, sample in enumerate(samples)
                       if protocol.group(sample) == group] for part in ("train", "test")}
        np.savez(folder / f"{name}.npz", x_train=aligned[rows["train"]], y_train=labels[rows["train"]],
                 x_test=aligned[rows["test"]], y_test=labels[rows["test"]])


def _translate_plain(rows: np.ndarray) -> np.ndarray:
    """Move a scene to the origin of its first actor, frame by frame."""
    frame = 0
    while not np.any(rows[frame, :ACTOR_VALUES] != 0):
        frame += 1
    origin = np.copy(rows[frame, 3:6])
    moved = np.zeros_like(rows)
    for frame, row in enumerate(rows):
        moved[frame] = row - np.tile(origin, rows.shape[1] // 3)
        for start in range(0, rows.shape[1], ACTOR_VALUES):
            if rows.shape[1] > ACTOR_VALUES and row[start:start + ACTOR_VALUES].sum() == 0:
                moved[frame, start:start + ACTOR_VALUES] = 0
    return moved
