"""Fuzz the readers of pose estimators' and body trackers' files, through the registry, as `recordings` does.

    python -m tests.fuzz.pose_files --count 100000
"""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path

import numpy as np

from tests.fuzz.archives import npz
from tests.fuzz.mutations import BINARY, inserting, main, mutate
from tests.fuzz.recordings import check_content
from tests.pose_files import KINDS, POSE2SIM, Kind, trc


def _content(kind: Kind) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = kind.write(Path(folder, kind.name), kind.made(num_frames=9))
        return (sorted(path.iterdir())[0] if path.is_dir() else path).read_bytes()


def _trc() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return trc(Path(folder, "a.trc"), np.ones((3, len(POSE2SIM), 3))).read_bytes()


SEEDS = (*map(_content, KINDS.values()), _trc(), b"".join(b"%d" % row + b" 0.5" * 60 + b"\n" for row in (3, 5)),
         npz(False, poses=np.ones((3, 156)), trans=np.ones((3, 3)), mocap_framerate=np.array(60.0)),
         npz(False, picture=np.ones((2, 17, 3), np.float32), frame=np.array([0, 2]), person=np.array([0, 0]),
             times_s=np.arange(3.0), about=np.array('{"joints": "coco17", "fps": 25, "image_size": [640, 480]}')),
         json.dumps({"0.jpg": {"bodies": [{"joints": [0.5] * 54}]}}).encode())
WORDS = (b"-1", b"0", b"1e9", b"999999999", b"1e400", b"nan", b"NaN", b"Infinity", b"null", b"true", b"[]", b"{}",
         b"\"", b"[[[[[[[[", b",", b"\n", b"\t", b" ", b";", b"people", b"instances", b"keypoints", b"keypoint_scores",
         b"frames",
         b"frame", b"picture", b"times_s", b"frame_id",
         b"image_id", b"landmarks", b"visibility", b"idx", b"bodies", b"joint_positions",
         b"pose_keypoints_3d", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"PK\x03\x04", b"\x1b[31m",
         b"12345678901234567890")
MUTATIONS = (*BINARY, inserting(WORDS), inserting(WORDS), inserting(WORDS))


def check(rng: random.Random) -> bool:
    """Make an input and check it."""
    return check_content(mutate(SEEDS, MUTATIONS, rng))


if __name__ == "__main__":
    main(check, __doc__)
