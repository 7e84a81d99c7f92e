"""MediaPipe's 33 joints, in the picture and in space: one person by 0.10's solution, several by the pose landmarker.

The package of 0.10.21 holds the networks of both. Those of the solution are wrapped for the landmarker here, with the
ranges of their inputs as metadata, so that several people need no download; `--model pose.task` takes another bundle,
which newer packages need.
"""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

import mediapipe
import numpy as np

from skeleton_lab.capture.estimators import Estimate, Estimator, Settings
from skeleton_lab.errors import UserError

JOINTS = "mediapipe33"
NUM_JOINTS = 33
# Network in the package -> its name in a bundle, the mean and the deviation of its input.
_NETWORKS = {
    "pose_detection/pose_detection.tflite": ("pose_detector.tflite", 127.5, 127.5),
    "pose_landmark/pose_landmark_full.tflite": ("pose_landmarks_detector.tflite", 0.0, 255.0),
}


def open_estimator(settings: Settings) -> Estimator:
    """Return the solution for one person, the landmarker for several or for a model of one's own."""
    if settings.model is None and settings.people == 1:
        if not hasattr(mediapipe, "solutions"):
            raise UserError(f"mediapipe {mediapipe.__version__} has no network inside; give --model pose.task, or "
                            "install mediapipe 0.10.21 (make pose)")
        return Solution()
    return Landmarker(settings)


class Solution:
    """The pose solution: one person, whom it follows from frame to frame."""

    joints, version = JOINTS, mediapipe.__version__

    def __init__(self) -> None:
        self._pose = mediapipe.solutions.pose.Pose(static_image_mode=False, model_complexity=1)

    def see(self, picture: np.ndarray, time_ms: int) -> Estimate:
        """See `Estimator`."""
        found = self._pose.process(picture)
        if found.pose_landmarks is None:
            return _estimate([], [], picture)
        return _estimate([found.pose_landmarks.landmark], [found.pose_world_landmarks.landmark], picture)

    def close(self) -> None:
        """See `Estimator`."""
        self._pose.close()


class Landmarker:
    """The pose landmarker: up to so many people, in an order that changes."""

    joints, version = JOINTS, mediapipe.__version__

    def __init__(self, settings: Settings) -> None:
        from mediapipe.tasks.python import BaseOptions, vision

        bundle = Path(settings.model).read_bytes() if settings.model else bundled()
        options = vision.PoseLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=bundle), running_mode=vision.RunningMode.VIDEO,
            num_poses=settings.people)
        try:
            self._landmarker = vision.PoseLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            raise UserError(f"{settings.model}: mediapipe {self.version} cannot load it ({str(error)[:200]}); give a "
                            "pose landmarker's .task file") from error

    def see(self, picture: np.ndarray, time_ms: int) -> Estimate:
        """See `Estimator`."""
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(picture))
        found = self._landmarker.detect_for_video(image, time_ms)
        return _estimate(found.pose_landmarks, found.pose_world_landmarks, picture)

    def close(self) -> None:
        """See `Estimator`."""
        self._landmarker.close()


def bundled() -> bytes:
    """Return the package's own networks as the bundle that a landmarker loads.

    Raises:
        UserError: this version has none.
    """
    inside = Path(mediapipe.__file__).parent / "modules"
    if not all((inside / name).is_file() for name in _NETWORKS):
        raise UserError(f"mediapipe {mediapipe.__version__} has no network inside; give --model pose.task, or install "
                        "mediapipe 0.10.21 (make pose)")
    from mediapipe.tasks.python.metadata.metadata_writers.metadata_writer import MetadataWriter

    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as bundle:
            for name, (called, mean, deviation) in _NETWORKS.items():
                writer = MetadataWriter.create(bytearray((inside / name).read_bytes()))
                writer.add_image_input([mean] * 3, [deviation] * 3)
                bundle.writestr(called, bytes(writer.populate()[0]))
        file.seek(0)
        return file.read()


def _estimate(people: list, in_space: list, picture: np.ndarray) -> Estimate:
    """Return landmarks, which are shares of width and height in the picture, in pixels and metres."""
    height, width = picture.shape[:2]
    flat = [[(mark.x * width, mark.y * height, mark.visibility) for mark in person] for person in people]
    space = [[(mark.x, mark.y, mark.z) for mark in person] for person in in_space]
    return Estimate(np.array(flat, np.float32).reshape(-1, NUM_JOINTS, 3),
                    np.array(space, np.float32).reshape(-1, NUM_JOINTS, 3))
