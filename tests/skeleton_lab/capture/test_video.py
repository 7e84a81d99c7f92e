"""Videos: size, rate and frames; those that are damaged, lie on their side, or are none."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.capture.video import open_video
from skeleton_lab.errors import UserError
from tests.skeleton_lab.capture.films import SIZE, write_film


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    return write_film(tmp_path_factory.mktemp("films") / "a.mp4")


def test_frames_come_with_their_times(film):
    with open_video(film) as video:
        frames = list(video.frames())
    assert (video.fps, video.announced, len(frames)) == (25, 12, 12)
    np.testing.assert_allclose([time_s for time_s, _ in frames], np.arange(12) / 25, atol=1e-6)
    picture = frames[3][1]
    assert picture.shape == (SIZE[1], SIZE[0], 3) and picture.dtype == np.uint8
    assert picture[28, 24].argmax() == 0 and picture[38, 72].argmax() == 1  # red and green where they were drawn


def test_a_telephones_pictures_are_set_upright(film, tmp_path):
    """The header says to turn them by 90 degrees clockwise."""
    content = bytearray(film.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40  # behind version, flags, times, ids, layer and volume
    assert struct.unpack(">9i", content[matrix:matrix + 36])[0] == 1 << 16
    content[matrix:matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    (tmp_path / "b.mp4").write_bytes(content)
    with open_video(film) as lying, open_video(tmp_path / "b.mp4") as upright:
        for (_, before), (_, after) in zip(lying.frames(), upright.frames(), strict=True):
            np.testing.assert_array_equal(after, np.rot90(before, -1))


def cut_off(content: bytes) -> bytes:
    """Frames away at the end; the index, which tells how many there are, in front."""
    at = content.index(b"moov") - 4
    size = struct.unpack(">I", content[at:at + 4])[0]
    index, rest = bytearray(content[at:at + size]), content[:at]
    table = index.index(b"stco") + 12
    head = rest.index(b"mdat") - 4
    struct.pack_into(">I", index, table, struct.unpack_from(">I", index, table)[0] + size)
    return rest[:head] + bytes(index) + rest[head:head + (len(rest) - head) // 2]


@pytest.mark.parametrize(("damage", "line"), [
    (lambda content: content[:200], "no video that can be read"),
    (lambda content: b"", "no video that can be read"),
    (lambda content: b"not a video at all, but text" * 99, "no video that can be read"),
    (cut_off, r"damaged at frame|ends after \d+ of the 40 frames"),
])
def test_what_is_damaged_is_told_in_a_line(tmp_path, damage, line):
    path = write_film(tmp_path / "a.mp4", 40)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=line) as found:
        with open_video(path) as video:
            list(video.frames())
    assert str(found.value).startswith(str(path))


def test_without_pyav_it_is_said_how_to_get_it(film, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match="pip install av"), open_video(film):
        pass
