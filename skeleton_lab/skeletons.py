"""The skeletons the lab knows, and the adjacency matrices its models are built on.

All joint numbers are 0-based. Adjacency matrices are indexed [target joint, source joint].
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from skeleton_lab.errors import UserError

Edge = tuple[int, int]


@dataclass(frozen=True)
class Skeleton:
    """A tree of joints.

    name: what messages call it. joint_names: one per joint, "left ..." and "right ..." where it has a side.
    edges: (child, parent) pairs, one for every joint but `root`. flat: its joints lie in a picture; a third number of
    theirs is a score or 0, no depth.
    """

    name: str
    joint_names: tuple[str, ...]
    edges: tuple[Edge, ...]
    root: int
    flat: bool = False

    @property
    def num_joints(self) -> int:
        """V."""
        return len(self.joint_names)

    @property
    def bones(self) -> tuple[Edge, ...]:
        """(joint, reference) for every joint, ordered by joint; the root is its own reference, so its bone is zero."""
        return tuple(sorted((*self.edges, (self.root, self.root))))

    @property
    def parents(self) -> tuple[int, ...]:
        """The parent of each joint; the root is its own."""
        return tuple(parent for _, parent in self.bones)

    @property
    def left(self) -> tuple[int, ...]:
        """The joints of the left side, in the order of their partners in `right`."""
        return self._side("left ")

    @property
    def right(self) -> tuple[int, ...]:
        """The joints of the right side, in the order of their partners in `left`."""
        return self._side("right ")

    def _side(self, prefix: str) -> tuple[int, ...]:
        part_to_joint = {name.removeprefix(prefix): joint for joint, name in enumerate(self.joint_names)
                         if name.startswith(prefix)}
        return tuple(part_to_joint[part] for part in sorted(part_to_joint))


def _from_one(edges: Iterable[Edge]) -> tuple[Edge, ...]:
    """Return 1-based edges, as data sets publish them, 0-based."""
    return tuple((child - 1, parent - 1) for child, parent in edges)


# Microsoft Kinect v2, as in NTU RGB+D 60 and 120.
NTU_25 = Skeleton(
    name="NTU RGB+D (25 joints)",
    joint_names=(
        "spine base", "spine middle", "neck", "head",
        "left shoulder", "left elbow", "left wrist", "left hand",
        "right shoulder", "right elbow", "right wrist", "right hand",
        "left hip", "left knee", "left ankle", "left foot",
        "right hip", "right knee", "right ankle", "right foot",
        "spine top", "left hand tip", "left thumb", "right hand tip", "right thumb",
    ),
    edges=_from_one((
        (1, 2), (2, 21), (3, 21), (4, 3), (5, 21), (6, 5), (7, 6), (8, 7), (9, 21), (10, 9), (11, 10), (12, 11),
        (13, 1), (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18), (20, 19),
        (22, 23), (23, 8), (24, 25), (25, 12),
    )),
    root=20,
)

# Microsoft Kinect v1, as in Northwestern-UCLA.
UCLA_20 = Skeleton(
    name="NW-UCLA (20 joints)",
    joint_names=(
        "hip centre", "spine", "shoulder centre", "head",
        "left shoulder", "left elbow", "left wrist", "left hand",
        "right shoulder", "right elbow", "right wrist", "right hand",
        "left hip", "left knee", "left ankle", "left foot",
        "right hip", "right knee", "right ankle", "right foot",
    ),
    edges=_from_one((
        (1, 2), (2, 3), (4, 3), (5, 3), (6, 5), (7, 6), (8, 7), (9, 3), (10, 9), (11, 10), (12, 11),
        (13, 1), (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18), (20, 19),
    )),
    root=2,
)

# OpenPose, as in Kinetics-Skeleton. The nose is the reference of the neck: its bone is the zero one.
OPENPOSE_18 = Skeleton(
    name="OpenPose (18 joints)",
    joint_names=(
        "nose", "neck",
        "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
        "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle",
        "right eye", "left eye", "right ear", "left ear",
    ),
    edges=(
        (1, 0), (2, 1), (3, 2), (4, 3), (5, 1), (6, 5), (7, 6), (8, 2), (9, 8), (10, 9), (11, 5), (12, 11), (13, 12),
        (14, 0), (15, 0), (16, 14), (17, 15),
    ),
    root=0,
    flat=True,
)

# COCO's keypoints, as HRNet and most 2D pose estimators give them.
COCO_17 = Skeleton(
    name="COCO (17 joints)",
    joint_names=(
        "nose", "left eye", "right eye", "left ear", "right ear",
        "left shoulder", "right shoulder", "left elbow", "right elbow", "left wrist", "right wrist",
        "left hip", "right hip", "left knee", "right knee", "left ankle", "right ankle",
    ),
    edges=(
        (1, 0), (2, 0), (3, 1), (4, 2), (5, 0), (6, 0), (7, 5), (8, 6), (9, 7), (10, 8), (11, 5), (12, 6), (13, 11),
        (14, 12), (15, 13), (16, 14),
    ),
    root=0,
    flat=True,
)

# One hand, as MediaPipe gives it.
HAND_21 = Skeleton(
    name="hand (21 joints)",
    joint_names=("wrist", *(f"{finger} {joint}" for finger in ("thumb", "index", "middle", "ring", "little")
                            for joint in ("base", "knuckle", "joint", "tip"))),
    edges=tuple((joint, 0 if joint % 4 == 1 else joint - 1) for joint in range(1, 21)),
    root=0,
)

SKELETONS = (NTU_25, UCLA_20, OPENPOSE_18, COCO_17, HAND_21)

# Degrees whose inverse root in the published figures is not the nearest float32 but its neighbour, and on which side.
# Of the degrees that occur in MS-G3D's graphs it is these two.
PUBLISHED_ROUNDING = {6: 0, 7: 1}


def skeleton_with(num_joints: int) -> Skeleton:
    """Return the skeleton that has `num_joints` joints; UserError if there is none."""
    for skeleton in SKELETONS:
        if skeleton.num_joints == num_joints:
            return skeleton
    known = ", ".join(str(skeleton.num_joints) for skeleton in SKELETONS)
    raise UserError(f"no known skeleton has {num_joints} joints; known are {known}")


def edge_matrix(edges: Iterable[Edge], num_joints: int) -> np.ndarray:
    """Return (V, V) float64 with a one at [target, source] for every edge (source, target)."""
    matrix = np.zeros((num_joints, num_joints))
    for source, target in edges:
        matrix[target, source] = 1
    return matrix


def normalize_columns(adjacency: np.ndarray) -> np.ndarray:
    """Divide each column of (V, V) by its sum, A D^-1; a column of zeros stays zero. Keeps the dtype."""
    sums = adjacency.sum(axis=0)
    return adjacency / np.where(sums > 0, sums, 1)


def normalize_symmetric(adjacency: np.ndarray) -> np.ndarray:
    """Return D^-1/2 A D^-1/2, D the row sums of (V, V); a row of zeros stays zero. Keeps the dtype."""
    scale = inverse_roots(adjacency.sum(axis=1))
    return scale[:, None] * adjacency * scale[None, :]


def inverse_roots(degrees: np.ndarray) -> np.ndarray:
    """Return degrees^-1/2, (V), with 1 for a degree of zero. Keeps the dtype.

    NumPy's powers in single precision differ between processors in the last place. Here they are the same everywhere,
    those of the machine that made the published figures.
    """
    roots = (np.where(degrees > 0, degrees, 1).astype(np.float64) ** -0.5).astype(degrees.dtype)
    if degrees.dtype == np.float32:
        for degree, towards in PUBLISHED_ROUNDING.items():
            roots[degrees == degree] = np.nextafter(np.float32(degree**-0.5), np.float32(towards))
    return roots


def spatial_adjacency(skeleton: Skeleton) -> np.ndarray:
    """Return (3, V, V) float64: each joint itself, children to parents, parents to children.

    The last two are normalised by column (CTR-GCN; ST-GCN's spatial configuration with the root for a centre).
    """
    towards_root = edge_matrix(skeleton.edges, skeleton.num_joints)
    return np.stack([np.eye(skeleton.num_joints), normalize_columns(towards_root), normalize_columns(towards_root.T)])


def symmetric_adjacency(skeleton: Skeleton) -> np.ndarray:
    """Return (V, V) float64: ones where two joints are linked, either way; no self-links."""
    towards_root = edge_matrix(skeleton.edges, skeleton.num_joints)
    return towards_root + towards_root.T


def hop_distance(adjacency: np.ndarray) -> np.ndarray:
    """Return (V, V) float64: the number of links on the shortest way from source to target; infinity if there is none.

    Any non-zero entry of `adjacency` is a link.
    """
    num_joints = len(adjacency)
    links = (adjacency != 0).astype(np.float64)
    distance = np.full((num_joints, num_joints), np.inf)
    reached, hops = np.eye(num_joints), 0
    while ((reached > 0) & np.isinf(distance)).any():
        distance[(reached > 0) & np.isinf(distance)] = hops
        reached, hops = np.minimum(links @ reached, 1), hops + 1
    return distance


def k_adjacency(adjacency: np.ndarray, k: int, with_self: bool = True) -> np.ndarray:
    """Return (V, V): ones where source and target are exactly `k` links apart; keeps the dtype of `adjacency`.

    with_self adds each joint itself for k >= 1 (MS-G3D's disentangled neighbourhoods, section 3.1 of its paper);
    k = 0 is the identity in any case.
    """
    apart = (hop_distance(adjacency) == k).astype(adjacency.dtype)
    return np.maximum(apart, np.eye(len(adjacency), dtype=adjacency.dtype)) if with_self else apart
