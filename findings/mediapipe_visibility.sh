#!/usr/bin/env bash
# mediapipe 0.10.21, pose solution: joints below the lower edge of the picture are told as visible.
#
# The landmarks' `visibility` is documented as the likelihood that a landmark is visible, "present and not occluded", in
# the image. A video of a person is cut off below the hips, so that knees and feet are not in the picture. They are given
# all the same, up to a third of the picture's height below its edge, and some of them with a visibility above 0.5, the
# usual threshold. `presence`, the other figure of a landmark, is 0 for all joints of all frames.
# Consequence: to tell joints that were seen, look at their place too: 0 <= y <= 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check mediapipe==0.10.21 "numpy<2" 2>&1 | grep -v WARNING || true
"$folder/env/bin/pip" install --quiet --disable-pip-version-check --no-deps --target "$folder/videos" pose2sim==0.10.49 \
  2>&1 | grep -v WARNING || true
cat > "$folder/look.py" <<'PYTHON'
import sys

import cv2
import mediapipe
import numpy as np

print("mediapipe", mediapipe.__version__)
video = cv2.VideoCapture(sys.argv[1])
frames = [video.read()[1][..., ::-1] for _ in range(30)]
pose = mediapipe.solutions.pose.Pose(static_image_mode=False, model_complexity=1)
whole = pose.process(np.ascontiguousarray(frames[0])).pose_landmarks.landmark
rows = [mark.y for mark in whole]
edge = int(frames[0].shape[0] * (min(rows) + 0.6 * (max(rows) - min(rows))))
print(f"the person stands between {min(rows):.2f} and {max(rows):.2f} of the height; the picture is cut off at "
      f"{edge / frames[0].shape[0]:.2f}")
pose = mediapipe.solutions.pose.Pose(static_image_mode=False, model_complexity=1)
outside, presence = [], set()
for frame in frames:
    found = pose.process(np.ascontiguousarray(frame[:edge])).pose_landmarks
    if found is not None:
        presence |= {mark.presence for mark in found.landmark}
        outside += [(mark.y, mark.visibility) for mark in found.landmark[25:] if mark.y > 1]
y, visibility = np.array(outside).T
print(f"{len(y)} knees, ankles and feet lie below the edge of the picture, down to y = {y.max():.2f}")
print(f"their visibility: median {np.median(visibility):.2f}, highest {visibility.max():.2f}; "
      f"{(visibility > 0.5).sum()} of them above 0.5")
print("presence of all joints:", sorted(presence))
assert len(y) > 50 and y.max() > 1.2, "no joints outside the picture any more"
assert (visibility > 0.5).sum() >= 10, "joints outside the picture are told as not visible now"
assert presence == {0.0}, "presence is told now"
PYTHON
"$folder/env/bin/python" "$folder/look.py" "$folder/videos/Pose2Sim/Demo_SinglePerson/videos/cam01.mp4" 2> "$folder/log" \
  || { tail -5 "$folder/log"; exit 1; }
