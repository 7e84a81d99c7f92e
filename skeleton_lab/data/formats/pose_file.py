"""`.pose` files (pose-format, versions 0.1 and 0.2): a header that names the joints, then coordinates and confidences.

Little-endian. Header: version (float32); width, height, depth (uint16); components, each with a name, a format such as
XYC, and names of points, limbs and colours. Body: frames a second, frames, people; data (frames, people, points, dims)
and confidence (frames, people, points), float32. Confidence 0 is nobody or no joint, whatever number stands there. The
joints of a person are found by their names; hands and faces of other components are left out. Pixels, y down. Places of
people tell nothing of who is who.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skeleton_lab.data.formats.estimates import MAX_FRAMES, MAX_VALUES, Facts, Frame, recording_of
from skeleton_lab.data.formats.face import REMEDY, Format, Look, Wanted
from skeleton_lab.data.formats.joint_names import places_of_names
from skeleton_lab.data.formats.recording import Recording, Unit
from skeleton_lab.errors import UserError
from skeleton_lab.skeletons import HAND_21

_VERSIONS = {0.1, 0.2}
_MAX_BYTES = 1 << 30


@dataclass
class _Bytes:
    """The bytes of a file, read from front to back; struct.error where they end."""

    content: bytes
    at: int = 0

    def take(self, form: str) -> tuple:
        values = struct.unpack_from("<" + form, self.content, self.at)
        self.at += struct.calcsize("<" + form)
        return values

    def text(self) -> str:
        length, = self.take("H")
        word, = self.take(f"{length}s")
        return word.decode("utf-8", "replace")

    def floats(self, shape: tuple[int, ...]) -> np.ndarray:
        count = int(np.prod([int(side) for side in shape], dtype=object))
        if count > MAX_VALUES or 4 * count > len(self.content) - self.at:
            raise struct.error("it ends too early")
        values = np.frombuffer(self.content, "<f4", count, self.at).reshape(shape)
        self.at += 4 * count
        return values


def _looks_like(look: Look) -> bool:
    if len(look.head) < 12 or look.head[:4] not in (struct.pack("<f", version) for version in _VERSIONS):
        return False
    count, length = struct.unpack_from("<HH", look.head, 10)
    return 0 < count < 64 and 0 < length < 256


def _read(look: Look, wanted: Wanted) -> list[Recording]:
    path = look.path
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UserError(f"{path}: is larger than {_MAX_BYTES >> 30} GiB; cut it into parts")
        source = _Bytes(path.read_bytes())
        version = round(source.take("f")[0], 3)
        width, height, _ = source.take("HHH")
        components = [_component(source) for _ in range(source.take("H")[0])]
        dims = max(len(form) for _, form, _ in components) - 1
        points = sum(len(names) for _, _, names in components)
        rate, frames, people = source.take("fIH" if version == 0.2 else "HHH")
        if version == 0.1 and people and points:  # two bytes do not hold the number of frames
            frames = (len(source.content) - source.at) // (4 * people * points * (dims + 1))
        if frames > MAX_FRAMES:  # which take no bytes where nobody is in them
            raise UserError(f"{path}: tells of {frames} frames, more than {MAX_FRAMES}; cut it into parts")
        data = source.floats((frames, people, points, dims))
        confidence = source.floats((frames, people, points))
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror}); {REMEDY}") from error
    except (struct.error, ValueError, OverflowError) as error:
        raise UserError(f"{path}: is damaged: {error!s:.80}; {REMEDY}") from error
    return [_recording(path, wanted, (width, height), rate, components, data, confidence)]


def _component(source: _Bytes) -> tuple[str, str, list[str]]:
    """Return a component's name, the letters of its format, and the names of its points."""
    name, form = source.text(), source.text()
    points, limbs, colours = source.take("HHH")
    names = [source.text() for _ in range(points)]
    source.take(f"{2 * limbs + 3 * colours}H")
    return name, form, names


def _recording(path: Path, wanted: Wanted, size: tuple[int, int], rate: float,
               components: list[tuple[str, str, list[str]]], data: np.ndarray, confidence: np.ndarray) -> Recording:
    """Return the body's joints, or a hand's where there is no body.

    Raises:
        UserError: no component has joints that are known.
    """
    start = 0
    found = None
    for name, _, names in components:
        body = places_of_names(names)
        hand = (HAND_21, np.arange(HAND_21.num_joints)) if len(names) == HAND_21.num_joints and "hand" in name.lower() \
            else None
        if body or (hand and found is None):
            skeleton, places = body or hand  # type: ignore[misc]
            found = skeleton, np.where(places >= 0, places + start, -1)
            if body:
                break
        start += len(names)
    if found is None:
        raise UserError(f"{path}: its points ({', '.join(name for name, _, _ in components)[:80]}) are no joints of a "
                        "person that are known here; name them as COCO, OpenPose or MediaPipe does")
    skeleton, places = found
    if data.shape[3] not in (2, 3):
        raise UserError(f"{path}: its points have {data.shape[3]} coordinates; expected 2 or 3")
    keep = 2 if skeleton.flat else data.shape[3]
    sure = np.where(places >= 0, confidence[..., places], 0)
    people = np.concatenate([data[..., places, :keep], sure[..., None]], axis=3).astype(np.float64)
    frames = [Frame(number, people[number]) for number in range(len(people))]
    fps = wanted.fps or (float(rate) if 0 < rate < 1e6 else None)
    image_size = wanted.image_size or (size if all(size) else None)
    return recording_of(str(path), frames, Facts(skeleton, Unit.PIXELS, fps, image_size))


FORMAT = Format(".pose (pose-format)", (".pose",), _looks_like, _read)
