"""The order in which SkateFormer takes joints: four to a part of the body, so that groups of near joints are parts."""

from __future__ import annotations

import numpy as np

_NTU = ((7, 8, 22, 23), (11, 12, 24, 25), (13, 14, 15, 16), (17, 18, 19, 20), (5, 9, 6, 10), (2, 3, 1, 4))
_UCLA = ((5, 6, 7, 8), (9, 10, 11, 12), (13, 14, 15, 16), (17, 18, 19, 20), (2, 3, 1, 4))

NTU_ORDER = np.array(_NTU).ravel() - 1  # 24 of 25: the neck, joint 21, belongs to no part
UCLA_ORDER = np.array(_UCLA).ravel() - 1
