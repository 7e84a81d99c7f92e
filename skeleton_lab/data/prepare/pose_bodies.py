"""Who is in an NTU recording, as the 3D annotations of PYSKL and of MMAction2 have it.

The two differ, and both differ from CTR-GCN's archives (`skeleton_lab.data.prepare.actors`). PYSKL follows bodies by
their ids and drops frames without any; MMAction2 takes places in each frame for persons and keeps all frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.formats.ntu import (
    NTU60,
    NTU120,
    SUFFIX,
    SampleName,
    list_recordings,
    parse_name,
    read_missing_list,
)
from skeleton_lab.data.formats.pose_clips import PoseClip
from skeleton_lab.data.formats.sightings import Sightings
from skeleton_lab.data.formats.skeleton_file import read_recording
from skeleton_lab.data.prepare.actors import MAX_NOISE_FRAMES, NOISY_RATE, Body, collect_bodies, motion, upright_frames
from skeleton_lab.errors import UserError

MOST_SLOTS, MOST_PERSONS = 4, 2
SPINE_MIDDLE = 1


def as_pyskl(recording: Sightings) -> np.ndarray:
    """Return the persons (M, T, 25, 3) float16 of a recording in metres, M 1 or 2; ValueError if nobody is in it."""
    scene = collect_bodies(recording)
    if not scene.bodies:
        raise ValueError("a recording without bodies has no persons")
    if len(scene.bodies) == 1:
        return scene.bodies[0].joints[None].astype(np.float16)
    bodies = _people(scene.bodies)
    persons = _trimmed(bodies[0].joints[None] if len(bodies) == 1 else _placed(bodies))
    if len(persons) == MOST_PERSONS and not persons[0, 0, SPINE_MIDDLE].any() and persons[1, 0, SPINE_MIDDLE].any():
        persons = persons[::-1]
    return persons.astype(np.float16)


def _people(bodies: tuple[Body, ...]) -> list[Body]:
    """Return those of several bodies that look like people, the liveliest first."""
    long = [body for body in bodies if len(body.joints) > MAX_NOISE_FRAMES]
    if len(long) == 1:
        return long
    found = []
    for body in long:
        upright = upright_frames(body.joints)
        if (~upright).mean() < NOISY_RATE:
            moved = motion(body.joints)
            found.append((body, moved if upright.all() else min(moved, motion(body.joints[upright]))))
    if not found:  # they stop here; somebody is better than nobody
        return [max(bodies, key=lambda body: int(upright_frames(body.joints).sum()))]
    return [body for body, _ in sorted(found, key=lambda entry: entry[1], reverse=True)]


def _placed(bodies: list[Body]) -> np.ndarray:
    """Return (2, T, 25, 3): each body where the first person, or else the second, is free while it is there."""
    persons = np.zeros((MOST_PERSONS, max(body.last + 1 for body in bodies), *bodies[0].joints.shape[1:]), np.float32)
    busy = [(bodies[0].first, bodies[0].first), (0, 0)]  # from, until
    for body in bodies:
        first, until = body.first, body.last + 1
        for person, (start, end) in enumerate(busy):
            if max(start, first) >= min(end, until):
                persons[person, first:until] = body.joints
                busy[person] = min(start, first), max(end, until)
                break
    return persons


def _trimmed(persons: np.ndarray) -> np.ndarray:
    """Return the frames from the first to the last that is not empty."""
    seen = np.flatnonzero(persons.any(axis=(0, 2, 3)))
    return persons[:, seen[0]:seen[-1] + 1] if len(seen) else persons


def as_mmaction2(recording: Sightings) -> np.ndarray:
    """Return the persons (M, T, 25, 3) float16 of a recording in metres, M 1 or 2; ValueError if nobody is in it."""
    listed = recording.slots < MOST_SLOTS
    slots = np.zeros((MOST_SLOTS, recording.num_frames, *recording.joints.shape[1:]))
    slots[recording.slots[listed], recording.frames[listed]] = recording.joints[listed]
    energies = np.array([_energy(slot) for slot in slots])
    chosen = energies.argsort()[::-1][:MOST_PERSONS]
    persons = slots[[slot for slot in chosen if slots[slot].any()]]
    if not len(persons):
        raise ValueError("a recording without bodies has no persons")
    return persons.astype(np.float16)


def _energy(slot: np.ndarray) -> float:
    """Return the standard deviations of x, y and z, summed, in frames of (T, 25, 3) that are not empty."""
    seen = slot[slot.sum(axis=(1, 2)) != 0]
    return float(sum(seen[..., axis].std() for axis in range(3))) if len(seen) else 0.0


class RawClips(Sequence[PoseClip]):
    """The `.skeleton` recordings of a folder as annotations: names, splits and persons of either project, by name.

    names: of the recordings. splits: `xsub_train`, `xsub_val` and the like: places of the clips of each. empty: names
    of the recordings in which nobody is.
    """

    def __init__(self, folder: Path, like: str, missing_list: Path | None = None) -> None:
        """Read the folder.

        Raises:
            UserError: there is no recording in it, or a damaged one.
        """
        missing = read_missing_list(missing_list) if missing_list else frozenset()
        large = any(sample.action > NTU60.num_classes for sample in _samples(folder))
        benchmark = NTU120 if large else NTU60
        listing = list_recordings([folder], benchmark, missing)
        self.names: list[str] = []
        self.empty: list[str] = []
        self._persons: list[np.ndarray] = []
        for path in sorted(listing.paths, key=lambda path: path.name):
            try:
                self._persons.append(AS[like](read_recording(path)))
                self.names.append(path.stem)
            except ValueError:
                self.empty.append(path.stem)
        if not self.names:
            raise UserError(f"{folder}: nobody is in any of its recordings; give another folder")
        samples = [parse_name(name) for name in self.names]
        self.splits = {f"{protocol.name}_{part}": np.array(places, np.int64)
                       for protocol in benchmark.protocols for part, trained in (("train", True), ("val", False))
                       if (places := [place for place, sample in enumerate(samples)
                                      if protocol.is_train(sample) is trained])}
        self._labels = [sample.label for sample in samples]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, place: Any) -> Any:
        return PoseClip(self._persons[place], None, label=self._labels[place])


def _samples(folder: Path) -> Iterator[SampleName]:
    """Yield the numbers of the names in a folder that have some."""
    for path in folder.glob(f"*{SUFFIX}"):
        with suppress(UserError):
            yield parse_name(path.name)


AS = {"pyskl": as_pyskl, "mmaction2": as_mmaction2}
