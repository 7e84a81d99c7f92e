"""Texts of `.skeleton` files for tests, written the plain way."""

from __future__ import annotations

import tarfile
from pathlib import Path

GOLDEN = Path(__file__).resolve().parent / "golden" / "raw"
BODY_ID = "72057594037931101"
OTHER_ID = "72057594037931999"


def unpack(archive: str, folder: Path) -> Path:
    """Unpack one of the golden archives ("skeletons", "kinetics_raw") into `folder`; return the unpacked folder."""
    with tarfile.open(GOLDEN / f"{archive}.tar.xz") as tar:
        for member in tar.getmembers():  # by hand: tar filters came with Python 3.12
            if member.isfile():
                target = folder / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                content = tar.extractfile(member)
                assert content is not None
                target.write_bytes(content.read())
    return folder / archive


def joint_lines(shift: float = 0.0, joints: int = 25) -> list[str]:
    """Return the joint lines of one body: a thin upright figure, moved along x by `shift` metres."""
    return [f"{shift + 0.01 * (joint % 5):.7g} {0.1 * joint:.7g} {2 + 0.001 * joint:.7g} "
            "250.1 180.2 1000.5 450.5 0.1 0.2 0.3 0.4 2" for joint in range(joints)]


def body_lines(body_id: str = BODY_ID, shift: float = 0.0) -> list[str]:
    """Return the 27 lines of one body in one frame."""
    return [f"{body_id} 0 1 1 1 1 0 0.02 -0.01 2", "25", *joint_lines(shift)]


def recording_lines(*frames: list[list[str]]) -> list[str]:
    """Return the lines of a recording; each frame is a list of bodies."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines += [str(len(bodies)), *(line for body in bodies for line in body)]
    return lines


def one_body(num_frames: int = 3) -> list[str]:
    """Return the lines of a recording of one body that moves a little."""
    return recording_lines(*([body_lines(shift=0.01 * frame)] for frame in range(num_frames)))


def write_many(folder: Path, count: int) -> Path:
    """Write `count` recordings with valid NTU60 names into `folder`: the golden ones, over and over."""
    originals = [path.read_bytes() for path in sorted(unpack("skeletons", folder.parent / "originals").iterdir())]
    folder.mkdir(parents=True)
    for number in range(count):
        rest, action = divmod(number, 60)
        rest, performer = divmod(rest, 8)
        setup, camera = divmod(rest, 3)
        name = f"S{setup + 1:03d}C{camera + 1:03d}P{performer + 1:03d}R001A{action + 1:03d}.skeleton"
        (folder / name).write_bytes(originals[number * 7 % len(originals)])
    return folder
