"""The skeletons of PYSKL and MMAction2, as MS-G3D reads skeletons: `graph.pyskl.Coco` and others."""

from __future__ import annotations

from graph.tools import SymmetricGraph
from skeleton_lab.own_skeletons import PYSKL_LAYOUTS


class NTU(SymmetricGraph):
    """Their layout nturgb+d: 25 joints, hand tips on the hands."""

    skeleton = PYSKL_LAYOUTS["nturgb+d"]


class Coco(SymmetricGraph):
    """Their layout coco: 17 joints."""

    skeleton = PYSKL_LAYOUTS["coco"]


class OpenPose(SymmetricGraph):
    """Their layout openpose: 18 joints."""

    skeleton = PYSKL_LAYOUTS["openpose"]


class Hand(SymmetricGraph):
    """Their layout handmp: 21 joints."""

    skeleton = PYSKL_LAYOUTS["handmp"]
