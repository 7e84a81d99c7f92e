"""What BlockGCN reads off the shape of a clip's skeleton: the topology of its joints' distances (section 3.3).

Persistent homology of dimension 0 of a Vietoris-Rips complex: all points are born at 0, and the deaths are the lengths
of the edges of a minimum spanning tree. No library of topology is needed: a few operators find them, for whole batches
and on any device.

Axes: N clips, C coordinates, T frames, V joints, M bodies, E elements.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

ELEMENTS = 64
START_SHARPNESS = 3.0


def joint_distances(joints: Tensor, per_clip: bool) -> Tensor:
    """Return how far the mean positions of joints (N, C, T, V, M) are apart, scaled to [0, 1]: (N, V, V).

    The mean is over frames and bodies. Where all positions are one, distances are 0.

    Args:
        per_clip: scale each clip by itself; else, as published, all by the batch's largest distance, so that a clip's
            features depend on the others of its batch.
    """
    positions = joints.mean(dim=(2, 4)).transpose(1, 2)  # (N, V, C)
    distances = _distances(positions)
    axes = (1, 2) if per_clip else (0, 1, 2)
    low, high = distances.amin(axes, keepdim=True), distances.amax(axes, keepdim=True)
    span = high - low
    return (distances - low) / torch.where(span > 0, span, 1)


def deaths(points: Tensor) -> Tensor:
    """Return the edges' lengths of a minimum spanning tree of points (N, V, D), the Euclidean one: (N, V - 1).

    A way is as long as its longest step. Of the shortest ways between all pairs (Floyd and Warshall), those from each
    point to the nearest of the points before it are as long as the tree's edges, ties included.
    """
    ways = _distances(points)  # (N, V, V)
    for via in range(ways.shape[1]):
        ways = torch.minimum(ways, torch.maximum(ways[:, :, via, None], ways[:, None, via]))
    not_before = torch.ones_like(ways[0], dtype=torch.bool).triu()
    return ways.masked_fill(not_before, torch.inf).amin(dim=2)[:, 1:]


def _distances(points: Tensor) -> Tensor:
    """Return (N, V, V) Euclidean distances of points (N, V, D), from their differences: products would lose digits."""
    return torch.linalg.vector_norm(points.unsqueeze(2) - points.unsqueeze(1), dim=3)


class StructureElements(nn.Module):
    """Deaths (N, V - 1) -> (N, E): how near they are to each of E points of the persistence diagram.

    S_e = sum over deaths d of exp(-s_e0^2 c_e0^2 - s_e1^2 (c_e1 - d)^2), with centres c and sharpness s (Hofer et al.,
    "Deep Learning with Topological Signatures", NIPS 2017); the births are 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.rand(ELEMENTS, 2))
        self.sharpness = nn.Parameter(torch.full((ELEMENTS, 2), START_SHARPNESS))

    def forward(self, deaths: Tensor) -> Tensor:
        (births_at, deaths_at), (births_scale, deaths_scale) = self.centres.unbind(1), self.sharpness.unbind(1)
        offsets = deaths_scale * (deaths_at - deaths.unsqueeze(2))  # (N, V - 1, E)
        return torch.exp(-(births_scale * births_at).square() - offsets.square()).sum(dim=1)


class Topology(nn.Module):
    """Joints (N, C, T, V, M) -> features of their topology (N, E); no gradient goes to the joints.

    Rows of the distances are taken for points of V coordinates, which is odd, and published.
    """

    def __init__(self, per_clip: bool) -> None:
        super().__init__()
        self.pl = StructureElements()
        self.per_clip = per_clip

    def forward(self, joints: Tensor) -> Tensor:
        with torch.no_grad():
            found = deaths(joint_distances(joints, self.per_clip))
            found = found.float().to(self.pl.centres.dtype)  # the published library of topology computes in float32
        return self.pl(found)


class TopologyBias(nn.Module):
    """Features (N, E) -> what a block adds to its input at all frames and joints, (N*M, C).

    Rows of x are ordered clip by clip. Those of the result are, as published, all clips for the first body, then all
    for the next, so that x gets other clips' topology in batches of more than one clip and body.

    Args:
        own_clip: give each clip's bodies their own clip's topology instead.
    """

    def __init__(self, channels: int, own_clip: bool) -> None:
        super().__init__()
        self.mlp = nn.Linear(ELEMENTS, channels)
        self.bn = nn.BatchNorm1d(channels)
        self.own_clip = own_clip

    def forward(self, features: Tensor, bodies: int) -> Tensor:
        return torch.relu(self.bn(self.to_bodies(self.mlp(features), bodies)))

    def to_bodies(self, rows: Tensor, bodies: int) -> Tensor:
        """Return rows (N, C) for all bodies, (N*M, C)."""
        return rows.repeat_interleave(bodies, 0) if self.own_clip else rows.repeat(bodies, 1)
