"""The `.skeleton` reader: what it reads, and how it refuses what breaks the format."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.data.formats.skeleton_file import MAX_BYTES, format_recording, parse_recording, read_recording
from skeleton_lab.errors import UserError
from tests.skeleton_texts import BODY_ID, OTHER_ID, body_lines, one_body, recording_lines, unpack


def parse(lines: list[str], newline: str = "\n"):
    return parse_recording((newline.join(lines) + newline).encode(), "clip")


def refusal(text: bytes) -> str:
    with pytest.raises(UserError) as caught:
        parse_recording(text, "clip")
    message = str(caught.value)
    assert "\n" not in message and message.isprintable()
    return message


def test_reads_frames_bodies_joints_and_tracking() -> None:
    lines = recording_lines([body_lines(shift=0.5), body_lines(OTHER_ID)], [], [body_lines(OTHER_ID, -1.25)])
    lines[5] = lines[5][:-1] + "1"  # the second joint of the first body is inferred
    recording = parse(lines)
    assert recording.num_frames == 3
    assert recording.frames.tolist() == [0, 0, 2]
    assert recording.slots.tolist() == [0, 1, 0]
    assert recording.body_ids == (BODY_ID, OTHER_ID, OTHER_ID)
    assert recording.joints.shape == (3, 25, 3) and recording.joints.dtype == np.float64
    expected = np.array([[float(word) for word in line.split()[:3]] for line in body_lines(shift=0.5)[2:]])
    np.testing.assert_array_equal(recording.joints[0], expected)
    np.testing.assert_array_equal(recording.joints[2, :, 0] - recording.joints[1, :, 0], [-1.25] * 25)
    assert recording.tracking.dtype == np.uint8
    assert recording.tracking[0].tolist() == [2, 1] + [2] * 23


def test_reads_the_golden_recordings_like_float(tmp_path: Path) -> None:
    for path in sorted(unpack("skeletons", tmp_path).iterdir()):
        rows = [line.split() for line in path.read_text().splitlines()]
        expected = np.array([[float(word) for word in row[:3]] for row in rows if len(row) == 12])
        np.testing.assert_array_equal(read_recording(path).joints.reshape(-1, 3), expected)


def test_tolerates_spacing_and_line_ends() -> None:
    expected = parse(one_body())
    for lines, newline in ((one_body(), "\r\n"), ([f"  {line.replace(' ', chr(9))} " for line in one_body()], "\n"),
                           ([*one_body(), "", "  ", ""], "\r\n")):
        found = parse(lines, newline)
        np.testing.assert_array_equal(found.joints, expected.joints)
        assert found.body_ids == expected.body_ids
    np.testing.assert_array_equal(parse_recording("\n".join(one_body()).encode(), "x").joints, expected.joints)


def test_fields_that_are_not_read_may_be_infinite_and_have_exponents() -> None:
    lines = one_body()
    lines[4] = lines[4].replace("250.1", "-Infinity").replace("180.2", "NaN").replace("0.1 0.2", "1E-05 -1.5e+3")
    lines[5] = " ".join(["-1.5E-05", *lines[5].split()[1:]])
    recording = parse(lines)
    np.testing.assert_array_equal(recording.joints[0, 1, 0], -1.5e-05)


def test_a_recording_without_bodies_is_a_recording() -> None:
    recording = parse(["2", "0", "0"])
    assert recording.num_frames == 2 and recording.body_ids == () and recording.joints.shape == (0, 25, 3)


def test_what_is_written_reads_the_same(tmp_path: Path) -> None:
    recording = parse(recording_lines([body_lines(), body_lines(OTHER_ID, 1)], [], [body_lines()]))
    again = parse_recording(format_recording(recording).encode(), "again")
    assert again.num_frames == 3 and again.body_ids == recording.body_ids
    for name in ("frames", "slots", "joints", "tracking"):
        np.testing.assert_array_equal(getattr(again, name), getattr(recording, name))


def replaced(line: int, text: str) -> bytes:
    lines = one_body()
    lines[line - 1] = text
    return ("\n".join(lines) + "\n").encode()


def with_word(line: int, word: int, text: str) -> bytes:
    words = one_body()[line - 1].split()
    words[word] = text
    return replaced(line, " ".join(words))


DAMAGE = {
    "empty file": (b"", "clip:1: the file is empty"),
    "blank file": (b" \r\n\n ", "clip:1: the file is empty"),
    "no frames": (b"0\n", "clip:1: the recording has no frames"),
    "negative frames": (replaced(1, "-3"), "clip:1: the number of frames is '-3'"),
    "fractional frames": (replaced(1, "3.0"), "clip:1: the number of frames is '3.0'"),
    "huge frames": (replaced(1, "9" * 40), "clip:1: the number of frames is '9999"),
    "too many frames": (replaced(1, "4"), "clip:85: the file ends here, before the number of bodies of frame 4"),
    "too few frames": (replaced(1, "2"), "clip:58: text after the last of 2 frames"),
    "negative bodies": (replaced(2, "-1"), "clip:2: the number of bodies of frame 1 is '-1'"),
    "bodies in words": (replaced(2, "one"), "clip:2: the number of bodies of frame 1 is 'one'"),
    "two counts": (replaced(2, "1 1"), "clip:2: the number of bodies of frame 1 was expected alone, found 2 words"),
    "a million bodies": (replaced(58, "1000000"), "clip:85: the file ends here, before the header of a body"),
    "short header": (replaced(3, BODY_ID), "clip:3: 10 words were expected"),
    "odd body id": (with_word(3, 0, "12.5"), "clip:3: '12.5' is no body id"),
    "text in header": (with_word(3, 5, "left"), "clip:3: 'left' is not a number"),
    "other joints": (replaced(4, "20"), "clip:4: 20 joints where 25 were expected"),
    "negative joints": (replaced(4, "-25"), "clip:4: the number of joints of a body of frame 1 is '-25'"),
    "text in joint": (with_word(7, 4, "abc"), "clip:7: 'abc' is not a number (joint 3)"),
    "two dots": (with_word(7, 1, "1.2.3"), "clip:7: '1.2.3' is not a number"),
    "control characters": (with_word(7, 1, "\x1b[2J"), "clip:7: '?[2J' is not a number"),
    "not ascii": (with_word(7, 1, "٣"), "is not a number"),
    "short joint": (replaced(9, "1 2 3"), "clip:9: 12 words were expected (joint 5), found 3"),
    "missing joint": ("\n".join(one_body()[:8] + one_body()[9:]).encode(),
                      "clip:29: 12 words were expected (joint 25), found 1"),
    "blank line": (replaced(9, ""), "clip:9: 12 words were expected (joint 5), found 0"),
    "infinite coordinate": (with_word(10, 2, "inf"), "clip:10: coordinate 'inf' of joint 6 is not finite"),
    "overflowing coordinate": (with_word(10, 0, "1e999"), "clip:10: coordinate '1e999' of joint 6"),
    "tracking state": (with_word(10, 11, "3"), "clip:10: tracking state '3' of joint 6 is not 0, 1 or 2"),
    "cut short in a frame": ("\n".join(one_body()[:40]).encode(), "clip:40: the file ends here, before joint 9"),
    "cut short in a word": ("\n".join(one_body()).encode()[:-30], "clip:85: "),
    "trailing text": (("\n".join([*one_body(), "", "end"])).encode(), "clip:86: text after the last of 3 frames"),
    "too many frames to be true": (b"20001\n" + b"0\n" * 20001,
                                   "clip:1: 20001 frames, more than the 20000 that are read"),
    "a long line": (with_word(9, 3, "1" * 5000), "clip:9: the line has 5052 bytes; no recording has more than 4096"),
    "an endless first line": (b"1 " * 4_000_000, "clip:1: the line has 7999999 bytes"),
    "zeros": (bytes(4095), "clip:1: the number of frames is '????"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_refused_by_line(name: str) -> None:
    text, expected = DAMAGE[name]
    message = refusal(text)
    assert expected in message
    assert len(message) < 250


def test_a_file_far_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "S001C001P001R001A001.skeleton"
    with open(path, "wb") as file:
        file.truncate(1 << 30)  # one line of a gigabyte, sparse on disk
    with pytest.raises(UserError, match=rf"{path.name}: is larger than {MAX_BYTES >> 20} MiB"):
        read_recording(path)


def test_a_pipe_is_refused_unopened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.skeleton")
    with pytest.raises(UserError, match="is no regular file"):
        read_recording(tmp_path / "pipe.skeleton")


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.skeleton: cannot read it"):
        read_recording(tmp_path / "gone.skeleton")
