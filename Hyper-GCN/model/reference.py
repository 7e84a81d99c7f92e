"""Hyper-GCN as its paper has it: Zhou et al., "Adaptive Hyper-Graph Convolution Network for Skeleton-based Human Action
Recognition with Virtual Connections", ICCV 2025. A line for an equation; nothing fused, nothing recomputed.

`model/hypergcn.py` computes the same, from the same parameters, in a fraction of the time and memory. This form is what
it is tested against, and what is exported. `--model model.reference.Model` trains it.

Axes: B bodies, C channels, K heads, T frames, V joints, h virtual joints, U = V + h vertices; in a topology [target,
source], both of them vertices; in an incidence matrix [vertex, hyper-edge], and there are as many of these as vertices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from skeleton_lab.errors import UserError
from skeleton_lab.imports import construct
from skeleton_lab.nn.blocks import Block, ClipShape, shortcut
from skeleton_lab.nn.layers import init_batch_norm, init_he_fan_out, init_temporal
from skeleton_lab.nn.reference import MultiScaleTemporalConv

HEADS = 8
NEIGHBOURS = 9  # vertices that a row of the incidence matrix has, itself among them
POINT_REDUCTION = 4
EMBEDDED = 128  # channels of the first block
# (output channels, stride over time) of l1 ... l9
PLANS = {"base": ((128, 1), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1), (256, 2), (256, 1), (256, 1)),
         "large": ((128, 1), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1), (512, 2), (512, 1), (512, 1))}
NUM_BLOCKS = 9
STAGES = ((1, 2, 3), (4, 5, 6), (7, 8, 9))  # the first block's output skips the second one
TEMPORAL_BRANCHES: dict[str, Any] = {"kernel_size": 5, "dilations": (1, 2), "residual": False, "activation": True,
                                     "repeat_ends": True}
SMALL = 1e-8  # what keeps a divisor from being zero


class SpatialUnit(nn.Module):
    """Graph convolution over joints and virtual joints, batch norm, shortcut, ReLU.

    (B, C_in, T, V) -> (B, C_out, T, V). Each head has channels of its own, from the input to the output.

    Args:
        topology: (K, U, U), the static one. hyper_joints: h. independent_starts: whether these start apart.
    """

    def __init__(self, in_channels: int, out_channels: int, topology: np.ndarray, hyper_joints: int,
                 independent_starts: bool) -> None:
        super().__init__()
        points = HEADS * (in_channels // HEADS // POINT_REDUCTION)
        start = torch.randn(hyper_joints if independent_starts else 1, in_channels)
        self.hyper_joint = nn.Parameter(start.expand(hyper_joints, -1).clone())
        self.alpha = nn.Parameter(torch.ones(1))
        # A constant, but published checkpoints have it here, among the parameters.
        self.PA = nn.Parameter(torch.from_numpy(topology.astype(np.float32)), requires_grad=False)
        self.edge_importance = nn.Parameter(torch.ones_like(self.PA))
        self.to_V = nn.Conv1d(in_channels, points, 1, groups=HEADS)
        self.to_W = nn.Sequential(nn.Conv1d(in_channels, points, 1, groups=HEADS), nn.LeakyReLU(),
                                  nn.Conv1d(points, HEADS, 1))
        self.conv_d = nn.Conv2d(in_channels, out_channels, 1, groups=HEADS)
        self.down = shortcut(in_channels, out_channels)
        self.bn = nn.BatchNorm2d(out_channels)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d):
                init_he_fan_out(module)
        init_batch_norm(self.bn, scale=1e-6)  # a unit starts as its shortcut: deep stacks learn at once

    def forward(self, x: Tensor) -> Tensor:
        b, _, t, v = x.shape
        virtual = self.hyper_joint.t().expand(b, -1, -1)  # (B, C_in, h)
        topology = self.topology(torch.cat([x.mean(dim=2), virtual], dim=2))
        every = torch.cat([x, virtual.unsqueeze(2).expand(-1, -1, t, -1)], dim=3)  # (B, C_in, T, U): at each frame
        features = self.conv_d(every).unflatten(1, (HEADS, -1))  # (B, K, C_out/K, T, U)
        out = torch.einsum("bkuv,bkctv->bkctu", topology, features).flatten(1, 2)[..., :v]
        return torch.relu(self.bn(out) + self.down(x))

    def topology(self, vertices: Tensor) -> Tensor:
        """Return A = S + relu(alpha) G, (B, K, U, U), of vertices (B, C_in, U), features without time."""
        return self.static_topology() + torch.relu(self.alpha) * self.dynamic_topology(vertices)

    def static_topology(self) -> Tensor:
        """Return S, (K, U, U): the skeleton's links, weighted; absolute values of a row add up to one."""
        links = self.PA * self.edge_importance
        return links / (links.abs().sum(dim=2, keepdim=True) + SMALL)

    def dynamic_topology(self, vertices: Tensor) -> Tensor:
        """Return G, (B, K, U, U): the ways from vertex to vertex through the hyper-edges H.

        w enters twice, once before and once after G is normalised: its sign has no effect.
        """
        incidence = self.incidence(vertices)
        weight = torch.tanh(self.to_W(vertices)).unsqueeze(2)  # w, (B, K, 1, U): of each hyper-edge
        vertex_degree = (weight.abs() * incidence).sum(dim=3, keepdim=True) + SMALL  # (B, K, U, 1)
        edge_degree = incidence.sum(dim=2, keepdim=True) + SMALL  # (B, K, 1, U)
        ways = (incidence * (weight.square() / edge_degree)) @ incidence.transpose(2, 3)  # sum over the hyper-edges
        return ways / vertex_degree

    def incidence(self, vertices: Tensor) -> Tensor:
        """Return H, (B, K, U, U): each vertex in the hyper-edges of its nearest ones, the nearer the more."""
        points = self.to_V(vertices).unflatten(1, (HEADS, -1))  # (B, K, C, U)
        # Differences, no product of matrices: of two vertices that are close nothing else leaves more than rounding.
        distance = torch.linalg.vector_norm(points.unsqueeze(4) - points.unsqueeze(3), dim=2)  # (B, K, U, U)
        nearest, places = distance.topk(NEIGHBOURS, dim=3, largest=False)
        return torch.zeros_like(distance).scatter(3, places, torch.softmax(-nearest, dim=3))


class TemporalUnit(MultiScaleTemporalConv):
    """relu(four branches side by side + shortcut): (B, C, T, V) -> (B, C, ceil(T / stride), V).

    In front of the first frame and behind the last one, convolutions see these again.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, channels, **TEMPORAL_BRANCHES, stride=stride)
        init_temporal(self)


class Model(nn.Module):
    """Hyper-GCN: clips (N, C, T, V, M) float -> logits (N, num_class).

    Args:
        graph: dotted path of a class with `A` (K, U, U), called with `hyper_joints`. graph_args: more arguments of it.
        hyper_joints: h, virtual joints of each block; 3 in the paper.
        drop_out: probability, in front of the classifier.
        size: "base" or "large": 256 or 512 channels in the last three blocks.
        independent_starts: start the virtual joints of a block apart; published models start them at one place, where
            the divergence loss has no gradient and neighbours are tied.

    Raises:
        UserError: no graph, one that does not have `num_point` joints, too few vertices, another size.
    """

    spatial_unit: ClassVar[type[SpatialUnit]] = SpatialUnit
    temporal_unit: ClassVar[type[nn.Module]] = TemporalUnit
    fused: ClassVar[bool] = False  # the fast form, whose units take (B, C, V, T)

    def __init__(self, num_class: int = 60, num_point: int = 25, num_person: int = 2, graph: str | None = None,
                 graph_args: Mapping[str, Any] | None = None, in_channels: int = 3, hyper_joints: int = 0,
                 drop_out: float = 0, size: str = "base", independent_starts: bool = False) -> None:
        super().__init__()
        topology = _graph_topology(graph, graph_args, num_point, hyper_joints)
        if size not in PLANS:
            raise UserError(f"model_args: size {size!r} does not exist; choose base or large")
        self.shape = ClipShape(in_channels, num_point, num_person, num_class)
        self.pos_embedding = nn.Parameter(torch.randn(1, num_point, EMBEDDED))
        self.data_bn = nn.BatchNorm1d(num_person * num_point * EMBEDDED)
        self.to_joint_embedding = nn.Linear(in_channels, EMBEDDED)
        channels = EMBEDDED
        for number, (out_channels, stride) in enumerate(PLANS[size], start=1):
            setattr(self, f"l{number}", Block(
                self.spatial_unit(channels, out_channels, topology, hyper_joints, independent_starts),
                self.temporal_unit(out_channels, stride), (channels, out_channels), stride, use_residual=True,
                time_axis=3 if self.fused else 2, fused=self.fused))
            channels = out_channels
        self.drop_out = nn.Dropout(drop_out)
        self.fc = nn.Linear(channels, num_class)
        nn.init.normal_(self.fc.weight, 0, math.sqrt(2 / num_class))

    def forward(self, clips: Tensor) -> Tensor:
        return self.fc(self.features(clips))

    def features(self, clips: Tensor) -> Tensor:
        """Return what the classifier `fc` takes, (N, C): the mean over frames, joints and bodies, after dropout."""
        self._check(clips)
        x = self.embedded(clips)
        for stage in STAGES:
            x = self.stage(x, *(getattr(self, f"l{number}") for number in stage))
        x = x.mean(dim=(2, 3)).view(clips.shape[0], clips.shape[4], -1).mean(dim=1)  # (N, C)
        return self.drop_out(x)

    def embedded(self, clips: Tensor) -> Tensor:
        """Return the clips' joints, embedded and normalised: (N*M, 128, T, V), the body fastest in the batch axis."""
        n, _, t, v, m = clips.shape
        x = self.to_joint_embedding(clips.permute(0, 4, 2, 3, 1))  # (N, M, T, V, 128)
        x = torch.tanh(x + self.pos_embedding)
        x = self.data_bn(x.permute(0, 1, 3, 4, 2).reshape(n, -1, t))  # (N, M*V*128, T)
        return x.view(n * m, v, EMBEDDED, t).permute(0, 2, 3, 1)

    def stage(self, x: Tensor, first: nn.Module, second: nn.Module, third: nn.Module) -> Tensor:
        """Three blocks; what the first one gives skips the second."""
        x = first(x)
        return third(second(x) + x)

    def auxiliary_loss(self) -> Tensor:
        """Return the divergence loss: how alike the virtual joints of a block are, 1 at most, the mean of all blocks.

        That is the mean positive cosine of two different ones, and 0 of fewer than two. Of the parameters alone.
        """
        return torch.stack([_alikeness(getattr(self, f"l{number}").gcn1.hyper_joint)
                            for number in range(1, NUM_BLOCKS + 1)]).mean()

    def _check(self, clips: Tensor) -> None:
        """Raise a UserError unless the clips (N, C, T, V, M) are of the shape that the model is built for."""
        shape = self.shape
        if clips.ndim != 5:
            raise UserError(f"clips have 5 axes (N, C, T, V, M), these have {clips.ndim}: {tuple(clips.shape)}; "
                            "check the feeder")
        _, c, _, v, m = clips.shape
        if (c, v, m) != (shape.in_channels, shape.num_point, shape.num_person):
            raise UserError(f"clips of {c} coordinates, {v} joints and {m} bodies do not fit a model of "
                            f"{shape.in_channels}, {shape.num_point} and {shape.num_person}; check in_channels, "
                            "num_point and num_person")


def _graph_topology(graph: str | None, graph_args: Mapping[str, Any] | None, num_point: int,
                    hyper_joints: int) -> np.ndarray:
    """Build the graph at a dotted path and return its `A`, (K, U, U), after making sure that it fits."""
    if graph is None:
        raise UserError("model_args: 'graph' is missing; name a graph class, such as graph.ntu_rgb_d.Graph")
    if type(hyper_joints) is not int or hyper_joints < 0:
        raise UserError(f"model_args: hyper_joints {hyper_joints!r} is no number of virtual joints; give 3, or 0")
    vertices = num_point + hyper_joints
    topology = np.asarray(construct(graph, {"hyper_joints": hyper_joints, **(graph_args or {})},
                                    "model_args.graph_args").A)
    if topology.shape != (HEADS, vertices, vertices):
        raise UserError(f"model_args: graph '{graph}' has A of shape {topology.shape}, num_point {num_point} with "
                        f"{hyper_joints} virtual joints needs {(HEADS, vertices, vertices)}; give num_point the number "
                        "of joints of that graph")
    if vertices < NEIGHBOURS:
        raise UserError(f"model_args: {num_point} joints and {hyper_joints} virtual ones are {vertices} vertices, and "
                        f"each looks for its {NEIGHBOURS} nearest; give hyper_joints {NEIGHBOURS - num_point} or more")
    return topology


def _alikeness(points: Tensor) -> Tensor:
    """Return the mean positive cosine of two different rows of (h, C); 0 if there are no two."""
    count = len(points)
    if count < 2:
        return points.new_zeros(())
    norms = torch.linalg.vector_norm(points, dim=1)
    products = (points.unsqueeze(0) * points.unsqueeze(1)).sum(dim=2)  # no matrix product, whose precision may be low
    cosines = torch.relu(products / (norms.unsqueeze(0) * norms.unsqueeze(1) + SMALL))
    return (cosines.sum() - count) / (count * (count - 1))
