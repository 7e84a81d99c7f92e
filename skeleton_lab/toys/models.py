"""The two baselines: a perceptron over whole clips and a small spatio-temporal graph network.

Both take clips (N, C, T, V, M) and return logits (N, classes), as every model of the lab does.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from skeleton_lab.nn.layers import bodies_to_batch
from skeleton_lab.skeletons import skeleton_with, spatial_adjacency


class SkeletonMLP(nn.Module):
    """Three linear layers over all coordinates of a clip; knows nothing of joints or time.

    num_frames: T, fixed since the first layer has a weight for every frame.
    """

    def __init__(self, num_class: int, num_frames: int = 32, num_point: int = 25, num_person: int = 2,
                 hidden: int = 512) -> None:
        super().__init__()
        features = 3 * num_frames * num_point * num_person
        self.layers = nn.Sequential(
            nn.BatchNorm1d(features),
            nn.Linear(features, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(hidden, num_class))

    def forward(self, clips: Tensor) -> Tensor:
        return self.layers(clips.flatten(1))  # (N, C*T*V*M) -> (N, classes)


class GraphBlock(nn.Module):
    """Graph convolution over joints, then convolution over time, around a residual (ST-GCN, section 3).

    The graph convolution sums, over the three subsets of each joint's neighbourhood (itself, towards the root, away
    from it), a 1x1 convolution of the neighbours; each edge has a learned importance (section 3.4). Both steps are
    linear, so the neighbours are gathered first, while channels are few.
    """

    adjacency: Tensor

    def __init__(self, in_channels: int, channels: int, adjacency: Tensor, stride: int, kernel: int = 5) -> None:
        super().__init__()
        subsets = len(adjacency)
        self.register_buffer("adjacency", adjacency, persistent=False)  # (subsets, V, V)
        self.importance = nn.Parameter(torch.ones_like(adjacency))
        self.over_joints = nn.Sequential(
            nn.Conv2d(subsets * in_channels, channels, 1), nn.BatchNorm2d(channels), nn.ReLU())
        self.over_time = nn.Sequential(
            nn.Conv2d(channels, channels, (kernel, 1), (stride, 1), (kernel // 2, 0)), nn.BatchNorm2d(channels))
        if in_channels == channels and stride == 1:
            self.shortcut: nn.Module = nn.Identity()
        else:
            self.shortcut = nn.Sequential(nn.Conv2d(in_channels, channels, 1, (stride, 1)), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N*M, C, T, V) to (N*M, channels, ceil(T / stride), V)."""
        gathered = torch.einsum("nctv,kwv->nkctw", x, self.adjacency * self.importance).flatten(1, 2)
        return torch.relu(self.over_time(self.over_joints(gathered)) + self.shortcut(x))


class SkeletonGCN(nn.Module):
    """A small ST-GCN (Yan et al., AAAI 2018): three graph blocks, each halving time, then means over frames and bodies.

    channels: output channels of each block.
    """

    def __init__(self, num_class: int, num_point: int = 25, num_person: int = 2,
                 channels: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__()
        adjacency = torch.tensor(spatial_adjacency(skeleton_with(num_point)), dtype=torch.float32)
        self.normalise = nn.BatchNorm1d(3 * num_point * num_person)
        self.blocks = nn.Sequential(*(GraphBlock(inputs, outputs, adjacency, stride=2)
                                      for inputs, outputs in pairwise((3, *channels))))
        self.classify = nn.Linear(channels[-1], num_class)

    def forward(self, clips: Tensor) -> Tensor:
        x = self.blocks(bodies_to_batch(clips, self.normalise))  # (N*M, channels, T / 8, V)
        return self.classify(x.mean((2, 3)).view(len(clips), -1, x.shape[1]).mean(1))
