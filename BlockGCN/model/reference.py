"""BlockGCN as its paper writes it, a line for an equation; nothing fused, nothing recomputed.

Zhou et al., "BlockGCN: Redefine Topology Awareness for Skeleton-Based Action Recognition", CVPR 2024. Eight groups of
channels ("blocks" of a block-diagonal weight) have a topology each, trained from nothing but a code of the joints' hop
distances; a clip's own topology enters as a bias of each unit (`model/topology.py`).

`model/blockgcn.py` computes the same, from the same parameters, in a fraction of the time and memory. This form is what
it is tested against, and what is exported. `--model model.reference.Model` trains it.

Axes: N clips, M bodies, B = N*M, C channels, K groups of channels, R relations, T frames, V and W joints; a topology
leads from joints v to w and is indexed [v, w].
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from model.topology import Topology, TopologyBias
from skeleton_lab.errors import UserError
from skeleton_lab.imports import construct
from skeleton_lab.nn.blocks import Block, shortcut
from skeleton_lab.nn.layers import init_he_fan_out, init_temporal
from skeleton_lab.nn.recompute import recomputed
from skeleton_lab.nn.reference import MultiScaleTemporalConv

GROUPS = 8
RELATIONS = 3
EMBEDDING = 128
PLAN = ((128, 1), (128, 1), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1), (256, 2), (256, 1), (256, 1))
TEMPORAL_BRANCHES: dict[str, Any] = {"kernel_size": 5, "dilations": (1, 2), "residual": False, "activation": True}
COLUMN_EPS = 1e-4
CLIPS_MATTER = ("as published, a clip's logits depend on the clips beside it; give the file one clip at a time "
                "for those of the clip alone (with fix_topology=True and clip_topology=True a model has no such limit)")


def unit_columns(matrices: Tensor) -> Tensor:
    """Return matrices (..., V, W) with columns of unit length, but for an epsilon; columns of zeros stay zero.

    There the gradient is 1/epsilon, 10,000 times that of other columns: `rpe` starts at zero, and begins with a leap.
    """
    return matrices / (torch.linalg.vector_norm(matrices, dim=-2, keepdim=True) + COLUMN_EPS)


class SpatialUnit(nn.Module):
    """relu(batch norm(sum over relations r of F_r (x A_r)) + shortcut): (B, C_in, T, V) -> (B, C_out, T, V).

    F_r is a 1x1 convolution in groups, A_r a topology of each group: trained, plus a code of the joints' hops.

    Args:
        hops: (V, V) int64, see `graph.tools`. alpha: hold a tensor of this name, as the published option does, which
            nothing uses.
    """

    hops: Tensor

    def __init__(self, in_channels: int, out_channels: int, hops: Tensor, alpha: bool = False) -> None:
        super().__init__()
        self.fc1 = nn.Parameter(torch.eye(len(hops)).repeat(RELATIONS, GROUPS, 1, 1))  # (R, K, V, W)
        self.rpe = nn.Parameter(torch.zeros(RELATIONS, GROUPS, int(hops.max()) + 1))
        if alpha:
            self.register_buffer("alpha", torch.ones(1, GROUPS, 1, 1, 1))
        self.register_buffer("hops", hops, persistent=False)
        self.fc2 = nn.ModuleList([nn.Conv2d(in_channels, out_channels, 1, groups=GROUPS) for _ in range(RELATIONS)])
        self.down = shortcut(in_channels, out_channels)
        self.bn = nn.BatchNorm2d(out_channels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                init_he_fan_out(module)

    def topologies(self) -> Tensor:
        """Return A, (R, K, V, W)."""
        return unit_columns(self.fc1) + unit_columns(self.rpe[:, :, self.hops])

    def forward(self, x: Tensor) -> Tensor:
        groups = x.unflatten(1, (GROUPS, -1))  # (B, K, C_in/K, T, V)
        gathered = ((groups @ topology.unsqueeze(1)).flatten(1, 2) for topology in self.topologies())
        first, *others = (conv(z) for conv, z in zip(self.fc2, gathered, strict=True))  # (B, C_out, T, W)
        return torch.relu(self.bn(sum(others, first)) + self.down(x))


class TemporalUnit(MultiScaleTemporalConv):
    """relu(four branches side by side + shortcut), as CTR-GCN's: (B, C, T, V) -> (B, C, ceil(T / stride), V)."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, channels, **TEMPORAL_BRANCHES, stride=stride)
        init_temporal(self)


class Model(nn.Module):
    """BlockGCN: clips (N, C, T, V, M) float -> logits (N, num_class).

    The topology is that of joint positions, whatever stream the clips are: the tree's feeders give these as well, and
    they are the second argument. Without it they are taken to be the clips.

    Args:
        graph: dotted path of a class with `hops` (V, V). graph_args: its keyword arguments.
        drop_out: probability, in front of the classifier.
        alpha: whether units hold the tensor of this name, which nothing uses.
        fix_topology: give each clip its own topology; as published, a batch's clips are mixed up.
        clip_topology: scale joints' distances clip by clip; as published, by the largest of the batch.
        adaptive, num_set, window_size, joint_label: of published configurations; without effect there and here.

    Raises:
        UserError: no graph, or one that does not have `num_point` joints.
    """

    block: ClassVar[type[Block]] = Block
    spatial_unit: ClassVar[type[SpatialUnit]] = SpatialUnit
    temporal_unit: ClassVar[type[nn.Module]] = TemporalUnit
    fused: ClassVar[bool] = False  # the fast form, whose units take (B, C, V, T)
    capturable = True  # see `train.cuda_graph`
    further_inputs: ClassVar[Mapping[str, str]] = {"joints": "NCTVM"}

    def __init__(self, num_class: int = 60, num_point: int = 25, num_person: int = 2, graph: str | None = None,
                 graph_args: Mapping[str, Any] | None = None, in_channels: int = 3, drop_out: float = 0,
                 alpha: bool = False, adaptive: object = None, num_set: object = None, window_size: object = None,
                 joint_label: object = None, fix_topology: bool = False, clip_topology: bool = False) -> None:
        super().__init__()
        hops = _hops(graph, graph_args, num_point)
        self.in_channels, self.bodies, self.joints = in_channels, num_person, num_point
        self.memory_friendly = False
        self.pos_embedding = nn.Parameter(torch.randn(1, num_point, EMBEDDING))
        self.data_bn = nn.BatchNorm1d(num_person * num_point * EMBEDDING)
        self.to_joint_embedding = nn.Linear(in_channels, EMBEDDING)
        channels = EMBEDDING
        for number, (out_channels, stride) in enumerate(PLAN, start=1):
            setattr(self, f"l{number}", self.block(
                self.spatial_unit(channels, out_channels, hops, alpha), self.temporal_unit(out_channels, stride),
                (channels, out_channels), stride, use_residual=True, time_axis=3 if self.fused else 2,
                fused=self.fused))
            channels = out_channels
        for number, (inputs, _) in enumerate(((EMBEDDING, 1), *PLAN[:-1])):
            setattr(self, f"t{number}", TopologyBias(inputs, fix_topology))
        self.topo = Topology(per_clip=clip_topology)
        self.export_note = "" if fix_topology and clip_topology else CLIPS_MATTER
        self.fc = nn.Linear(channels, num_class)
        nn.init.normal_(self.fc.weight, 0, math.sqrt(2 / num_class))
        self.drop_out = nn.Dropout(drop_out)

    def forward(self, clips: Tensor, joints: Tensor | None = None) -> Tensor:
        return self.fc(self.features(clips, joints))

    def features(self, clips: Tensor, joints: Tensor | None = None) -> Tensor:
        """Return what the classifier `fc` takes, (N, C): the mean over frames, joints and bodies, after dropout.

        Args:
            joints: positions (N, C, T, V, M); the clips by default.
        """
        self._check(clips)
        x = self.embed(clips)
        for number, bias in enumerate(self.biases(clips if joints is None else joints), start=1):
            x = self.run(getattr(self, f"l{number}"), x, bias)
        x = x.mean(dim=(2, 3)).unflatten(0, (-1, self.bodies)).mean(dim=1)  # (N, C)
        return self.drop_out(x)

    def run(self, block: nn.Module, x: Tensor, bias: Tensor) -> Tensor:
        """Return a block's output for x (B, C, T, V) plus a bias (B, C)."""
        x = x + bias[:, :, None, None]
        return recomputed(block, x) if self.memory_friendly else block(x)

    def embed(self, clips: Tensor) -> Tensor:
        """Embed the joints, and normalise every (body, joint, channel) over batch and time: (B, C, T, V)."""
        n, _, t, v, m = clips.shape
        embedded = self.to_joint_embedding(clips.permute(0, 4, 2, 3, 1)) + self.pos_embedding  # (N, M, T, V, C)
        features = embedded.permute(0, 1, 3, 4, 2).reshape(n, -1, t)  # (N, M*V*C, T)
        return self.data_bn(features).view(n * m, v, -1, t).permute(0, 2, 3, 1)

    def biases(self, joints: Tensor) -> list[Tensor]:
        """Return what the topology of joints (N, C, T, V, M) adds to the input of each block, (B, C)."""
        features = self.topo(joints)
        return [getattr(self, f"t{number}")(features, self.bodies) for number in range(len(PLAN))]

    def set_memory_friendly(self, on: bool) -> None:
        """Whether training keeps only the input of each block and computes the block again for its gradients."""
        self.memory_friendly = on

    def _check(self, clips: Tensor) -> None:
        expected = (self.in_channels, self.joints, self.bodies)
        found = (*clips.shape[1:2], *clips.shape[3:])
        if found != expected:
            raise UserError(f"clips (N, C, T, V, M) of shape {tuple(clips.shape)} do not fit a model of {expected[0]} "
                            f"coordinates, {expected[1]} joints and {expected[2]} bodies; check in_channels, num_point "
                            "and num_person")


def _hops(graph: str | None, graph_args: Mapping[str, Any] | None, num_point: int) -> Tensor:
    """Return the `hops` (V, V) of the graph at a dotted path."""
    if graph is None:
        raise UserError("model_args: 'graph' is missing; name a graph class, such as graph.ntu_rgb_d.Graph")
    hops = torch.as_tensor(construct(graph, graph_args or {}, "model_args.graph_args").hops)
    if len(hops) != num_point:
        raise UserError(f"model_args: graph '{graph}' has {len(hops)} joints, num_point is {num_point}; give num_point "
                        "the number of joints of that graph")
    return hops
