"""The topologies of Hyper-GCN, of each clip and head, as one operator.
As equations they are `SpatialUnit.topology` and what it calls in `model/reference.py`.

Axes: B bodies, K heads, Q channels of a point, V joints, U vertices (joints, then virtual ones), E hyper-edges, as many
as vertices. Everything here is small, but of many steps: they are written out, and computed again for the gradients.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from model.reference import NEIGHBOURS, SMALL
from skeleton_lab.nn.precision import without_autocast


def nearest(distance: Tensor) -> Tensor:
    """Return which vertices are the nearest ones of each, (B, K, U, U) bool: exactly as many in every row.

    Of vertices that are equally far the first ones are taken, on every device.
    """
    order = distance.argsort(dim=3, stable=True)[..., :NEIGHBOURS]
    return torch.zeros_like(distance, dtype=torch.bool).scatter_(3, order, True)


class _Ways(NamedTuple):
    """What leads from the points to G: see `_ways`."""

    distance: Tensor  # (B, K, U, U)
    incidence: Tensor  # H, (B, K, U, E)
    degree: Tensor  # of the joints, (B, K, V, 1)
    edge_share: Tensor  # w^2 / degree of the hyper-edges, (B, K, 1, E)
    edge_degree: Tensor  # (B, K, 1, E)
    shared: Tensor  # H of the joints times `edge_share`, (B, K, V, E)
    dynamic: Tensor  # G of the joints, (B, K, V, U)


def _distances(points: Tensor) -> Tensor:
    """Return how far points (B, K, U, Q) are from each other, by differences: (B, K, U, U), 0 on the diagonal."""
    return torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")


def _ways(points: Tensor, weight: Tensor, near: Tensor, joints: int) -> _Ways:
    """Return G of points (B, K, U, Q) and of hyper-edges' weights (B, K, E), and what its gradient needs."""
    distance = _distances(points)
    closeness = torch.exp(-distance).mul_(near)  # a point is at 0 from itself: no sum is below 1
    incidence = closeness.div_(closeness.sum(dim=3, keepdim=True))
    weight = weight.unsqueeze(2)  # (B, K, 1, E)
    of_joints = incidence[:, :, :joints]
    degree = torch.matmul(of_joints, weight.abs().transpose(2, 3)).add_(SMALL)
    edge_degree = incidence.sum(dim=2, keepdim=True).add_(SMALL)
    edge_share = weight.square().div_(edge_degree)
    shared = of_joints * edge_share
    dynamic = torch.matmul(shared, incidence.transpose(2, 3)).div_(degree)
    return _Ways(distance, incidence, degree, edge_share, edge_degree, shared, dynamic)


class JointTopology(torch.autograd.Function):
    """S + gate * G of the rows that lead to joints, in single precision at least: keeps its arguments, and which points
    are near.

    apply(points (B, K, U, Q), weight (B, K, E), static (K, V, U), gate (1)) -> (B, K, V, U).
    """

    @staticmethod
    def forward(ctx: Any, points: Tensor, weight: Tensor, static: Tensor, gate: Tensor) -> Tensor:
        with without_autocast(points):
            near = nearest(_distances(points))
            ways = _ways(points, weight, near, static.shape[1])
        ctx.save_for_backward(points, weight, static, gate, near)
        return torch.addcmul(static, ways.dynamic, gate)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        points, weight, static, gate, near = ctx.saved_tensors
        joints = static.shape[1]
        with without_autocast(points):
            ways = _ways(points, weight, near, joints)
            grad_gate = (grad * ways.dynamic).sum().view_as(gate)
            scaled = (grad * gate).div_(ways.degree)  # gradient of G in front of the division by degrees
            grad_degree = (scaled * ways.dynamic).sum(dim=3, keepdim=True).neg_()  # (B, K, V, 1)
            grad_shared = torch.matmul(scaled, ways.incidence)
            of_joints = ways.incidence[:, :, :joints]
            grad_share = (grad_shared * of_joints).sum(dim=2, keepdim=True)  # (B, K, 1, E)
            weight = weight.unsqueeze(2)
            grad_weight = (2 * grad_share).mul_(weight).div_(ways.edge_degree)
            grad_weight.addcmul_(weight.sign(), torch.matmul(grad_degree.transpose(2, 3), of_joints))
            grad_incidence = torch.matmul(scaled.transpose(2, 3), ways.shared)  # (B, K, U, E)
            grad_incidence -= grad_share.mul_(ways.edge_share).div_(ways.edge_degree)
            grad_incidence[:, :, :joints] += grad_shared.mul_(ways.edge_share).addcmul_(grad_degree, weight.abs())
            grad_points = _points_grad(grad_incidence, ways, points)
        return grad_points, grad_weight.squeeze(2), grad.sum(dim=0), grad_gate


def _points_grad(grad: Tensor, ways: _Ways, points: Tensor) -> Tensor:
    """Take the gradient of H back to the points (B, K, U, Q); that of a distance of 0 is 0."""
    mean = (grad * ways.incidence).sum(dim=3, keepdim=True)
    pull = (mean - grad).mul_(ways.incidence)  # of the distances: H is a softmax of their negatives
    pull = pull + pull.transpose(2, 3)
    pull = torch.where(ways.distance > 0, pull / ways.distance, 0)
    return pull.sum(dim=3, keepdim=True) * points - torch.matmul(pull, points)
