"""Clips as ProtoGCN trains on them, of PYSKL's annotations: its features, and what it changes at random.

Axes: N recordings, S rows (one person in one frame), V joints, C coordinates.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch

from skeleton_lab.data.feeders import feeder_pyskl
from skeleton_lab.data.feeders.feeder_pyskl import USUAL_SIZE
from skeleton_lab.data.feeders.pyskl_rows import Rows
from skeleton_lab.errors import UserError
from skeleton_lab.imports import and_options_of_its_base
from skeleton_lab.own_skeletons import PYSKL_LAYOUTS
from skeleton_lab.skeletons import COCO_17, NTU_25

LIMBS = ((4, 5, 6, 7, 21, 22), (12, 13, 14, 15), (8, 9, 10, 11, 23, 24), (16, 17, 18, 19))  # of NTU RGB+D
HIPS, SHOULDERS = (11, 12), (5, 6)  # of COCO


class Change(NamedTuple):
    """What is done to a recording. dropped: joints that are put to zero."""

    swapped: bool
    dropped: tuple[int, ...]
    mirrored: bool


@and_options_of_its_base
class Feeder(feeder_pyskl.Feeder):
    """PYSKL's clips with the features and random changes of ProtoGCN.

    Args:
        feats: of "j", "b", "k" (joints from their grandparents), and of their motions "jm", "bm", "km".
        middles: whether COCO's 17 joints get three more, of which features are made too: the middle of the hips, of the
            shoulders, and of both.
        random_swap: probability that left and right joints change places, their coordinates staying as they are.
        random_drop: probability that a limb, one of four, is at zero throughout; 25 joints only.
        random_mirror: probability that a picture is mirrored: sides change places, and x; 2D only.

    The others are those of `skeleton_lab.data.feeders.feeder_pyskl.Feeder`.
    """

    FEATS: ClassVar[tuple[str, ...]] = ("j", "b", "k", "jm", "bm", "km")

    def __init__(self, data_path: str, split: str | None = None, *, middles: bool = False, random_swap: float = 0,
                 random_drop: float = 0, random_mirror: float = 0, **others: Any) -> None:
        super().__init__(data_path, split, **others)
        self.middles = middles
        self.random_swap, self.random_drop, self.random_mirror = random_swap, random_drop, random_mirror
        spatial = self.joints == NTU_25.num_joints
        with_grandparents = spatial or (middles and self.joints == COCO_17.num_joints)
        for name, wanted, fits in (("middles", middles, self.joints == COCO_17.num_joints),
                                   ("feats: k", any("k" in feat for feat in self.feats), with_grandparents),
                                   ("random_drop", random_drop, spatial), ("random_mirror", random_mirror, self.flat)):
            if wanted and not fits:
                raise UserError(f"{feeder_pyskl.WHOSE}: {name} is not for clips of {self.joints} joints"
                                f"{'' if spatial or middles else ' without middles'}; leave it out")
        for name in ("random_swap", "random_drop", "random_mirror"):
            probability = getattr(self, name)
            if not isinstance(probability, int | float) or not 0 <= probability <= 1:
                raise UserError(f"{feeder_pyskl.WHOSE}: {name}={probability!r} is no probability; give a number "
                                "from 0 to 1")
        skeleton = next(skeleton for skeleton in PYSKL_LAYOUTS.values() if skeleton.num_joints == self.joints)
        self._partners = np.arange(self.joints)
        self._partners[[*skeleton.left, *skeleton.right]] = [*skeleton.right, *skeleton.left]
        self._changes: list[Change] = []

    def get_batch(self, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the clips as the base does, changed at random."""
        self._changes = [self._draw_change() for _ in indices]
        return super().get_batch(indices)

    def _draw_change(self) -> Change:
        swapped = bool(self.random_swap) and random.random() < self.random_swap
        dropped = LIMBS[random.randrange(len(LIMBS))] if self.random_drop and random.random() < self.random_drop else ()
        mirrored = bool(self.random_mirror) and random.random() < self.random_mirror
        return Change(swapped, dropped, mirrored)

    def _changed(self, places: np.ndarray, x: np.ndarray, rows: Rows) -> np.ndarray:
        x = x.copy()
        for place, change, begin, end in zip(places, self._changes, rows.bounds[:-1], rows.bounds[1:], strict=True):
            own = x[begin:end]  # (S, V, C), a view
            if change.mirrored:
                width = self._clips.clips[place, 5] or USUAL_SIZE[1]
                own[..., 0] = np.where(own[..., 0] != 0, width - own[..., 0], 0)
            if change.mirrored != change.swapped:
                own[...] = own[:, self._partners]
            own[:, change.dropped] = 0
        return with_middles(x) if self.middles else x


def with_middles(x: np.ndarray) -> np.ndarray:
    """Return (..., 20, C) of COCO's joints (..., 17, C): the middles of hips, of both middles, and of shoulders behind.

    Scores are taken as coordinates are.
    """
    hips, shoulders = (x[..., pair, :].mean(axis=-2, keepdims=True) for pair in (HIPS, SHOULDERS))
    return np.concatenate([x, hips, (hips + shoulders) / 2, shoulders], axis=-2)
