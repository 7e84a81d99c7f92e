"""Small writers of pose files of each kind, for tests: people over time in, a file or folder out.

`People` are what was really there; a writer lists those of a frame in any order, leaves frames out, and marks absence
as its format does.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.own_skeletons import AZURE_32, BODY_25, HALPE_26, MEDIAPIPE_33
from skeleton_lab.skeletons import COCO_17, HAND_21, Skeleton

SIZE = (640, 480)


@dataclass(frozen=True, eq=False)
class People:
    """(T, M, V, C + 1): coordinates and confidence, zeros where absent; the frames that a file lists; their order."""

    truth: np.ndarray
    listed: tuple[int, ...]
    order: tuple[tuple[int, ...], ...]  # of each listed frame: the people in it

    @property
    def frames(self) -> list[tuple[int, np.ndarray, tuple[int, ...]]]:
        """Number, (P, V, C + 1), and who they are."""
        return [(number, self.truth[number, list(who)], who)
                for number, who in zip(self.listed, self.order, strict=True)]


def people(joints: int, channels: int = 2, num_frames: int = 12, scale: float = 100.0, one: bool = False,
           numbered: bool = True, seed: int = 0) -> People:
    """Two people who walk: their order changes, one is away for a while, a frame is not listed, a joint is missing."""
    rng = np.random.default_rng(seed)
    shape = rng.uniform(0.1, 1.5, (1 if one else 2, joints, channels)) * scale
    shape[-1, :, 0] += 3 * scale
    steps = rng.uniform(0.01, 0.03, (len(shape), 1, channels)) * scale
    truth = np.zeros((num_frames, len(shape), joints, channels + 1))
    for frame in range(num_frames):
        truth[frame, ..., :channels] = shape + steps * frame + rng.normal(0, 0.004 * scale, shape.shape)
        truth[frame, ..., channels] = rng.uniform(0.4, 1, shape.shape[:2])
    truth = np.round(truth, 6)
    if not one:
        truth[4:6, 1] = 0  # away
    truth[7, 0, 3] = 0  # a joint that is not seen
    listed = [frame for frame in range(num_frames) if not (numbered and frame == 8)]
    truth[[frame for frame in range(num_frames) if frame not in listed]] = 0
    truth[2] = 0  # nobody at all
    order = [tuple(int(who) for who in rng.permutation(np.flatnonzero(truth[frame].any(axis=(1, 2)))))
             for frame in listed]
    return People(truth, tuple(listed), tuple(order))


def triples(person: np.ndarray) -> list[float]:
    return [float(value) for value in person.ravel()]


def openpose(folder: Path, made: People, key: str = "pose_keypoints_2d", clip: str = "clip") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, poses, _ in made.frames:
        listed = [{"person_id": [-1], key: triples(pose), "face_keypoints_2d": [0.5] * 210,
                   "hand_left_keypoints_2d": [], "hand_right_keypoints_2d": []} for pose in poses]
        (folder / f"{clip}_{number:012d}_keypoints.json").write_text(json.dumps({"version": 1.3, "people": listed}))
    return folder


def _json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def alphapose(path: Path, made: People, tracked: bool = False) -> Path:
    entries = [{"image_id": f"{number}.jpg", "category_id": 1, "keypoints": triples(pose), "score": 2.9,
                "box": [0, 0, 9, 9], **({"idx": [7 + 5 * person]} if tracked else {})}
               for number, poses, who in made.frames for pose, person in zip(poses, who, strict=True)]
    return _json(path, sorted(entries, key=lambda entry: entry["image_id"]))  # "10.jpg" before "2.jpg"


def coco_results(path: Path, made: People) -> Path:
    return _json(path, [{"image_id": number, "category_id": 1, "keypoints": triples(pose), "score": 0.9}
                        for number, poses, _ in made.frames for pose in poses])


def coco_annotations(path: Path, made: People) -> Path:
    images = [{"id": 900 - number, "file_name": f"clip_{number:06d}.jpg", "width": SIZE[0], "height": SIZE[1]}
              for number in made.listed]
    return _json(path, {"images": images, "categories": [], "annotations": [
        {"image_id": 900 - number, "id": 1, "keypoints": triples(pose), "num_keypoints": 17}
        for number, poses, _ in made.frames for pose in poses]})


def mmpose(path: Path, made: People, meta: bool = False) -> Path:
    frames = []
    for number, poses, _ in made.frames:
        instances = [{"keypoints": pose[:, :-1].tolist(), "keypoint_scores": pose[:, -1].tolist(),
                      "bbox": [[0, 0, 9, 9]], "bbox_score": 0.8} for pose in poses]
        if not len(poses):  # what a top-down model gives for an empty picture
            count = made.truth.shape[2]
            instances = [{"keypoints": [[5.0, 5.0]] * count, "keypoint_scores": [0.05] * count,
                          "bbox": [[0, 0, *SIZE]], "bbox_score": 1.0}]
        frames.append({"frame_id": number, "instances": instances})
    if not meta:
        return _json(path, frames)
    names = {str(place): name.replace(" ", "_") for place, name in enumerate(COCO_17.joint_names)}
    return _json(path, {"meta_info": {"dataset_name": "coco", "keypoint_id2name": names}, "instance_info": frames})


def mediapipe(path: Path, made: People, key: str = "landmarks") -> Path:
    names = ("x", "y", "z", "visibility")
    return _json(path, [{"frame": number, key: [[dict(zip(names, map(float, point), strict=True)) for point in pose]
                                                for pose in poses]} for number, poses, _ in made.frames])


def mediapipe_csv(path: Path, made: People, header: bool = True, visible: bool = True) -> Path:
    axes = ("x", "y", "z", "visibility")[:4 if visible else 3]
    rows = [["frame", *(f"{name.replace(' ', '_')}_{axis}" for name in MEDIAPIPE_33.joint_names for axis in axes)]]
    for number, poses, _ in made.frames:
        point = poses[0][:, :len(axes)].ravel() if len(poses) else [""] * (33 * len(axes))
        rows.append([str(number), *map(str, point)])
    path.write_text("\n".join(",".join(row) for row in rows[0 if header else 1:]) + "\n")
    return path


def arrays(path: Path, made: People, **more: Any) -> Path:
    most = made.truth.shape[1]
    keypoints = np.zeros((len(made.listed), most, *made.truth.shape[2:]))
    for place, (_, poses, _) in enumerate(made.frames):
        keypoints[place, :len(poses)] = poses
    np.savez(path, keypoints=keypoints[..., :-1], scores=keypoints[..., -1], frame_numbers=np.array(made.listed),
             **more)
    return path


def azure(path: Path, made: People) -> Path:
    frames = [{"timestamp_usec": 40_000 + 33_333 * number, "frame_id": 101 + number, "num_bodies": len(poses),
               "bodies": [{"body_id": 3 + person, "joint_positions": (1000 * pose[:, :3]).tolist(),
                           "joint_orientations": [[1, 0, 0, 0]] * 32, "joint_confidences": pose[:, 3].tolist()}
                          for pose, person in zip(poses, who, strict=True)]} for number, poses, who in made.frames]
    return _json(path, {"k4abt_sdk_version": "1.1.2", "source_file": "a.mkv", "bone_list": [], "frames": frames,
                        "joint_names": [name.upper().replace(" ", "_") for name in AZURE_32.joint_names]})


def pose_file(path: Path, made: People, skeleton: Skeleton = BODY_25, fps: float = 25.0) -> Path:
    def text(word: str) -> bytes:
        return struct.pack("<H", len(word)) + word.encode()

    names = [name.replace(" ", "_").upper() for name in skeleton.joint_names]
    header = struct.pack("<fHHHH", 0.2, *SIZE, 0, 2)
    for component, points in (("EXTRA", ["A", "B"]), ("BODY", names)):
        header += text(component) + text("XYC") + struct.pack("<HHH", len(points), 1, 1)
        header += b"".join(map(text, points)) + struct.pack("<HHHHH", 0, 1, 255, 0, 0)
    most = made.truth.shape[1]
    body = np.full((len(made.truth), most, len(names) + 2, 3), 7.0, np.float32)
    body[..., 2] = 0
    for number, poses, _ in made.frames:
        body[number, :len(poses), 2:] = np.where(poses[..., 2:] > 0, poses, (9.0, 9.0, 0.0))
    path.write_bytes(header + struct.pack("<fIH", fps, len(body), most) + body[..., :2].tobytes()
                     + np.ascontiguousarray(body[..., 2]).tobytes())
    return path


POSE2SIM = ("Hip", "RHip", "RKnee", "RAnkle", "RBigToe", "RSmallToe", "RHeel", "LHip", "LKnee", "LAnkle", "LBigToe",
            "LSmallToe", "LHeel", "Neck", "Head", "Nose", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow",
            "LWrist")


def trc(path: Path, points: np.ndarray, names: tuple[str, ...] = POSE2SIM, unit: str = "m") -> Path:
    """Write (T, markers, 3), empty fields for NaN, frames counted from 1; one that is all NaN gets no row."""
    header = ["PathFileType\t4\t(X/Y/Z)\t" + path.name,
              "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
              f"60\t60\t{len(points)}\t{len(names)}\t{unit}\t60\t1\t{len(points)}",
              "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t",
              "\t\t" + "\t".join(f"{axis}{number + 1}" for number in range(len(names)) for axis in "XYZ")]
    rows = [f"{number + 1}\t{number / 60}\t" + "\t".join("" if np.isnan(value) else repr(float(value))
                                                        for value in frame.ravel())
            for number, frame in enumerate(points) if not np.isnan(frame).all()]
    path.write_text("\n".join([*header, "", *rows]) + "\n")
    return path


@dataclass(frozen=True)
class Kind:
    """A format: what writes it, and what it can tell. tracked: it gives ids. flat, one, numbered: see `people`."""

    write: Callable[..., Path]
    name: str
    skeleton: Skeleton
    channels: int = 2
    scale: float = 100.0
    one: bool = False
    numbered: bool = True
    precision: float = 1e-6

    def made(self, seed: int = 0, num_frames: int = 12) -> People:
        return people(self.skeleton.num_joints, self.channels, num_frames, self.scale, self.one, self.numbered, seed)


KINDS = {
    "openpose": Kind(openpose, "openpose", BODY_25),
    "pose2sim": Kind(openpose, "pose2sim", HALPE_26),
    "alphapose": Kind(alphapose, "alphapose-results.json", COCO_17),
    "alphapose tracked": Kind(lambda path, made: alphapose(path, made, True), "alphapose-results.json", HALPE_26),
    "coco results": Kind(coco_results, "results.json", COCO_17),
    "coco annotations": Kind(coco_annotations, "annotations.json", COCO_17),
    "mmpose": Kind(mmpose, "predictions.json", COCO_17),
    "mmpose demo": Kind(lambda path, made: mmpose(path, made, True), "predictions.json", COCO_17),
    "mediapipe image": Kind(mediapipe, "landmarks.json", MEDIAPIPE_33, 3, 0.3),
    "mediapipe world": Kind(lambda path, made: mediapipe(path, made, "pose_world_landmarks"), "landmarks.json",
                            MEDIAPIPE_33, 3, 1.0),
    "mediapipe csv": Kind(mediapipe_csv, "landmarks.csv", MEDIAPIPE_33, 3, 0.3, one=True),
    "mediapipe numbers": Kind(lambda path, made: mediapipe_csv(path, made, header=False), "landmarks.csv",
                              MEDIAPIPE_33, 3, 0.3, one=True),
    "arrays": Kind(arrays, "poses.npz", HALPE_26),
    "hands": Kind(arrays, "hands.npz", HAND_21, 2, 0.3),
    "azure": Kind(azure, "azure.json", AZURE_32, 3, 1.0),
    "pose": Kind(pose_file, "clip.pose", BODY_25, numbered=False, precision=2e-5),
}
