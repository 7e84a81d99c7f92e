"""SkateFormer as its paper has it (Do and Kim, "SkateFormer: Skeletal-Temporal Transformer for Human Action
Recognition", ECCV 2024), of standard operators: what the fast form is tested against, and what is exported.

Axes: N clips, T frames, P = M*V points of a frame (the joints of body 0, then of body 1), C channels, H heads, h = H/8
heads of a kind of attention, d = C/H channels of a head. A group has a frames and b points, L = a*b tokens, the points
fastest; G groups. Activations are (N, T, P, C).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from skeleton_lab.errors import UserError
from skeleton_lab.nn.dropping import draw_kept_clips, draw_kept_weights, kept_weights, rising_rates

CHANNELS = (96, 192, 192, 192)  # of the stages
BLOCKS = 2  # of each
KINDS = 4  # of attention: near or far frames, near or far points
WAVELENGTH = 10_000


class Kind(NamedTuple):
    """A kind of attention: which tokens form a group, in order.

    a: frames of a group, the near ones (consecutive) or the far ones (T/a apart). b: its points, likewise.
    """

    a: int
    b: int
    far_frames: bool
    far_points: bool

    @property
    def tokens(self) -> int:
        return self.a * self.b

    def split(self, frames: int, points: int) -> tuple[tuple[int, int, int, int], tuple[int, int], tuple[int, int]]:
        """Return (T, P) as (T0, T1, P0, P1), which of the four count the groups, and which the tokens of a group."""
        t = (self.a, frames // self.a) if self.far_frames else (frames // self.a, self.a)
        p = (self.b, points // self.b) if self.far_points else (points // self.b, self.b)
        groups = int(self.far_frames), 2 + int(self.far_points)
        return (*t, *p), groups, (1 - groups[0], 5 - groups[1])


@dataclass(frozen=True)
class Shape:
    """What all blocks share: P points, k taps over time, H heads, the kinds of attention, and the quirks kept.

    rel: attention has a bias by relative position. time_bias: for near points it goes by the distance in time, as the
    paper says, and not by token number. width_scale: scores are scaled by d ** -0.5, and not by h ** -0.5.
    """

    points: int
    taps: int
    heads: int
    kinds: tuple[Kind, ...]
    rel: bool = True
    time_bias: bool = False
    width_scale: bool = False


@dataclass(frozen=True)
class Drops:
    """Rates of what training leaves out: attention weights, activations, and a block's branches."""

    attention: float = 0.0
    activations: float = 0.0
    path: float = 0.0


class Draws(NamedTuple):
    """What one pass of a block leaves out: factors (N,) of its branches and bits of its attention weights, or None."""

    paths: tuple[Tensor | None, Tensor | None]
    weights: tuple[Tensor | None, ...]


class Attention(nn.Module):
    """The bias of one kind of attention, which has no other weights of its own."""

    relative_position_index: Tensor

    def __init__(self, kind: Kind, shape: Shape) -> None:
        super().__init__()
        self.kind, self.shape = kind, shape
        self.heads = shape.heads // (2 * KINDS)
        if shape.rel:
            span = (kind.b, kind.b) if kind.far_points else ()
            self.relative_position_bias_table = nn.Parameter(torch.empty(2 * kind.a - 1, *span, self.heads))
            nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
            steps = torch.arange(kind.a)
            self.register_buffer("relative_position_index", steps[:, None] - steps + kind.a - 1)  # (a, a)

    def bias(self) -> Tensor:
        """Return what is added to the scores of each head, (h, L, L).

        For near points the published code repeats the (a, a) numbers of time steps whole, b by b times. So the bias
        goes by token numbers modulo a, and not by the distance in time (a = b: by the joints). Published weights are
        trained with it.
        """
        index, b = self.relative_position_index, self.kind.b
        if self.kind.far_points:
            table = self.relative_position_bias_table[index]  # (a, a, b, b, h)
            return table.permute(4, 0, 2, 1, 3).reshape(self.heads, self.kind.tokens, self.kind.tokens)
        repeated = (index.repeat_interleave(b, 0).repeat_interleave(b, 1) if self.shape.time_bias
                    else index.repeat(b, b))  # (L, L)
        return self.relative_position_bias_table[repeated].permute(2, 0, 1)

    def forward(self, x: Tensor, scale: float, kept: Tensor | None, rate: float) -> Tensor:
        """Queries, keys and values (N, T, P, 3*h*d) -> (N, T, P, h*d); `kept`: bits of the weights that stay."""
        n, t, p, width = x.shape
        split, groups, tokens = self.kind.split(t, p)
        parts = x.view(n, *split, 3, self.heads, -1)  # (N, T0, T1, P0, P1, 3, h, d)
        order = [1 + axis for axis in (*groups, *tokens)]
        q, k, v = parts.permute(5, 0, 6, *order, 7).reshape(3, n, self.heads, -1, self.kind.tokens, parts.shape[-1])
        scores = scale * q @ k.transpose(-1, -2)  # (N, h, G, L, L)
        if self.shape.rel:
            scores = scores + self.bias().unsqueeze(1)
        weights = scores.softmax(dim=-1)
        if kept is not None:
            weights = weights * kept_weights(kept, weights.shape, weights.dtype) / (1 - rate)
        out = (weights @ v).view(n, self.heads, *(split[axis] for axis in (*groups, *tokens)), -1)
        back = sorted(range(4), key=lambda place: (*groups, *tokens)[place])
        return out.permute(0, *(2 + place for place in back), 1, 6).reshape(n, t, p, width // 3)


class Mlp(nn.Module):
    """Linear, GELU, Linear, with dropout behind each of the latter."""

    def __init__(self, channels: int, ratio: float, drop: float) -> None:
        super().__init__()
        hidden = int(ratio * channels)
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.fc2(self.drop(functional.gelu(self.fc1(x)))))


class Transformer(nn.Module):
    """A block: convolutions over points and over frames and four kinds of attention side by side, then an MLP."""

    def __init__(self, channels: int, shape: Shape, mlp_ratio: float, drops: Drops) -> None:
        super().__init__()
        self.shape, self.drops, self.channels = shape, drops, channels
        self.heads = shape.heads // 4  # of each of the two convolutions
        self.scale = (channels // shape.heads if shape.width_scale else shape.heads // (2 * KINDS)) ** -0.5
        self.gconv = nn.Parameter(torch.empty(self.heads, shape.points, shape.points))
        nn.init.trunc_normal_(self.gconv, std=0.02)
        self.norm_1 = nn.LayerNorm(channels)
        self.mapping = nn.Linear(channels, 2 * channels)
        self.tconv = nn.Conv2d(channels // 4, channels // 4, (shape.taps, 1), padding=((shape.taps - 1) // 2, 0),
                               groups=self.heads)
        self.attention = nn.ModuleList(Attention(kind, shape) for kind in shape.kinds)
        self.proj = nn.Linear(channels, channels)
        self.norm_2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, mlp_ratio, drops.activations)

    def draw(self, x: Tensor) -> Draws:
        """Draw what a training pass over x (N, T, P, C) leaves out; nothing in evaluation."""
        if not self.training:
            return Draws((None, None), (None,) * KINDS)
        n, points = len(x), x.shape[1:3].numel()
        first, second = (draw_kept_clips(n, self.drops.path, x) if self.drops.path else None for _ in range(2))
        rate, heads = self.drops.attention, self.shape.heads // (2 * KINDS)
        return Draws((first, second), tuple(
            draw_kept_weights((n, heads, points, kind.tokens), rate, x.device) if rate else None
            for kind in self.shape.kinds))

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, P, C) -> the same."""
        draws = self.draw(x)
        mixed = self.mlp.drop(self.proj(self._branches(self.mapping(self.norm_1(x)), draws.weights)))
        x = x + _scaled(mixed, draws.paths[0])
        return x + _scaled(self.mlp(self.norm_2(x)), draws.paths[1])

    def _branches(self, f: Tensor, kept: Sequence[Tensor | None]) -> Tensor:
        """(N, T, P, 2C) -> what the six branches make of their parts, (N, T, P, C)."""
        quarter = self.channels // 4
        g, u, *inputs = f.split([quarter, quarter, *[3 * self.channels // 8] * KINDS], dim=-1)
        grouped = g.unflatten(-1, (self.heads, -1))  # (N, T, P, H/4, d)
        over_points = torch.einsum("qij,ntjqd->ntiqd", self.gconv, grouped).flatten(3)
        over_frames = self.tconv(u.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        attended = [attention(part, self.scale, some, self.drops.attention)
                    for attention, part, some in zip(self.attention, inputs, kept, strict=True)]
        return torch.cat([over_points, over_frames, *attended], dim=-1)


def _scaled(branch: Tensor, factors: Tensor | None) -> Tensor:
    return branch if factors is None else branch * factors.view(-1, 1, 1, 1)


class Downsample(nn.Module):
    """A convolution over time with a stride of 2, and a batch norm: (N, T, P, C_in) -> (N, ceil(T/2), P, C_out)."""

    def __init__(self, in_channels: int, channels: int, taps: int) -> None:
        super().__init__()
        self.reduction = nn.Conv2d(in_channels, channels, (taps, 1), (2, 1), ((taps - 1) // 2, 0))
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.reduction(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)


class Block(nn.Module):
    """A transformer, behind a downsampling in the first block of all stages but the first."""

    def __init__(self, downsample: Downsample | None, transformer: Transformer) -> None:
        super().__init__()
        if downsample is not None:
            self.downsample = downsample
        self.transformer = transformer

    def forward(self, x: Tensor) -> Tensor:
        return self.transformer(self.downsample(x) if hasattr(self, "downsample") else x)


class Stage(nn.Module):
    """Blocks of the same length and width."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)


class Model(nn.Module):
    """Clips (N, C, T, V, M) float -> logits (N, num_class).

    Args:
        num_class, num_point, num_person, in_channels: K, V, M, C.
        num_frames: T, where `index_t` is off.
        kernel_size: taps of the convolutions over time. num_heads: H, a multiple of 8 that divides 96.
        type_1_size ... type_4_size: frames and points of a group (a, b): near frames and points; near frames, far
            points; far frames, near points; far frames and points.
        mlp_ratio: hidden units of an MLP, as a multiple of its channels.
        attn_drop, drop, head_drop, drop_path: rates of what training leaves out: attention weights, activations, inputs
            of the classifier, branches of a clip in the last block (rising from 0 in the first).
        rel: attention has a bias by relative position.
        index_t: frames are embedded by where they stand in their recording, and not by number.
        global_pool: avg or max, over frames and points.
        time_bias, width_scale: see `Shape`.

    Raises:
        UserError: sizes that do not divide.
    """

    def __init__(self, num_class: int = 60, num_point: int = 50, num_person: int = 2, in_channels: int = 3,
                 num_frames: int = 64, kernel_size: int = 7, num_heads: int = 32,
                 type_1_size: Sequence[int] = (1, 1), type_2_size: Sequence[int] = (1, 1),
                 type_3_size: Sequence[int] = (1, 1), type_4_size: Sequence[int] = (1, 1), mlp_ratio: float = 4.0,
                 attn_drop: float = 0.0, drop: float = 0.0, head_drop: float = 0.0, drop_path: float = 0.0,
                 rel: bool = True, index_t: bool = False, global_pool: str = "avg", time_bias: bool = False,
                 width_scale: bool = False) -> None:
        super().__init__()
        points = num_point * num_person
        sizes = type_1_size, type_2_size, type_3_size, type_4_size
        kinds = tuple(Kind(*size, far_frames=number >= 2, far_points=number % 2 == 1)
                      for number, size in enumerate(_checked(sizes, points, num_heads)))
        if global_pool not in ("avg", "max"):
            raise UserError(f"model_args: global_pool '{global_pool}' does not exist; choose avg or max")
        shape = Shape(points, kernel_size, num_heads, kinds, rel, time_bias, width_scale)
        self.shape, self.index_t, self.global_pool, self.head_drop = shape, index_t, global_pool, head_drop
        if index_t:
            self.joint_person_embedding = nn.Parameter(torch.empty(CHANNELS[0], points))
            nn.init.trunc_normal_(self.joint_person_embedding, std=0.02)
        else:
            self.joint_person_temporal_embedding = nn.Parameter(torch.empty(1, CHANNELS[0], num_frames, points))
            nn.init.trunc_normal_(self.joint_person_temporal_embedding, std=0.02)
        self.stem = nn.ModuleList([nn.Conv2d(in_channels, 2 * in_channels, 1), nn.GELU(),
                                   nn.Conv2d(2 * in_channels, 3 * in_channels, 1), nn.GELU(),
                                   nn.Conv2d(3 * in_channels, CHANNELS[0], 1)])
        rates = iter(rising_rates(drop_path, BLOCKS * len(CHANNELS)))
        self.stages = nn.ModuleList()
        before = CHANNELS[0]
        for number, channels in enumerate(CHANNELS):
            blocks = []
            for place in range(BLOCKS):
                down = Downsample(before, channels, kernel_size) if number and not place else None
                drops = Drops(attn_drop, drop, next(rates))
                blocks.append(Block(down, self.make_transformer(channels, shape, mlp_ratio, drops)))
            self.stages.append(Stage(blocks))
            before = channels
        self.head = nn.Linear(before, num_class)

    def make_transformer(self, channels: int, shape: Shape, mlp_ratio: float, drops: Drops) -> Transformer:
        return Transformer(channels, shape, mlp_ratio, drops)

    @property
    def fc(self) -> nn.Linear:
        """The classifier, by the name that the lab asks for."""
        return self.head

    def forward(self, clips: Tensor, frame_index: Tensor | None = None) -> Tensor:
        """frame_index: (N, T) in [-1, 1], where in its recording each frame comes from; None: of a whole one."""
        return self.head(self.features(clips, frame_index))

    def features(self, clips: Tensor, frame_index: Tensor | None = None) -> Tensor:
        """Return what the classifier takes: the mean (or maximum) over all tokens, after dropout, (N, C)."""
        x = self.tokens(clips, frame_index)
        pooled = x.amax(dim=(1, 2)) if self.global_pool == "max" else x.mean(dim=(1, 2))
        return functional.dropout(pooled, self.head_drop, self.training)

    def tokens(self, clips: Tensor, frame_index: Tensor | None) -> Tensor:
        """Return the last stage's tokens, (N, T, P, C)."""
        self._require_lengths(clips)
        x = self.embedded(clips, frame_index)
        for stage in self.stages:
            for block in stage.blocks:
                x = block(x)
        return x

    def embedded(self, clips: Tensor, frame_index: Tensor | None) -> Tensor:
        """Return the tokens of the clips before the first block, (N, T, P, C)."""
        x = clips.permute(0, 1, 2, 4, 3).flatten(3)  # (N, C, T, V, M) -> (N, C, T, P)
        for layer in self.stem:
            x = layer(x)
        x = x.permute(0, 2, 3, 1)  # (N, T, P, C)
        if not self.index_t:
            return x + self.joint_person_temporal_embedding.permute(0, 2, 3, 1)
        waves = self.waves(clips, frame_index)
        return x + (waves.unsqueeze(2) * self.joint_person_embedding.t()).to(x.dtype)

    def waves(self, clips: Tensor, frame_index: Tensor | None) -> Tensor:
        """Return the sinusoids of the frames' positions (N, T, C), in single precision at least."""
        exact = torch.promote_types(self.joint_person_embedding.dtype, torch.float32)
        if frame_index is None:
            t = clips.shape[2]
            frame_index = (2 * torch.arange(t, dtype=exact, device=clips.device) / t - 1).expand(len(clips), t)
        half = torch.arange(CHANNELS[0] // 2, dtype=exact, device=clips.device)
        angles = frame_index.to(exact).unsqueeze(-1) * torch.exp(-2 * half * (math.log(WAVELENGTH) / CHANNELS[0]))
        return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(2)

    def _require_lengths(self, clips: Tensor) -> None:
        """Refuse clips whose points are not the model's, or whose frames the groups do not divide in every stage."""
        t = int(clips.shape[2])  # a number, so that exported files fix it
        points, taps = clips.shape[3] * clips.shape[4], self.shape.taps
        if points != self.shape.points:
            raise UserError(f"clips of {clips.shape[3]} joints and {clips.shape[4]} bodies do not fit a model of "
                            f"{self.shape.points} points; check num_point and num_person (NTU RGB+D: 24 of 25 joints)")
        if not self.index_t and t != self.joint_person_temporal_embedding.shape[2]:
            raise UserError(f"clips of {t} frames do not fit a model with num_frames: "
                            f"{self.joint_person_temporal_embedding.shape[2]}; give it T, or index_t: True")
        length = t
        for number in range(len(CHANNELS)):
            if number:
                length = (length + 2 * ((taps - 1) // 2) - taps) // 2 + 1
            for kind in self.shape.kinds:
                if length % kind.a:
                    raise UserError(f"clips of {t} frames: stage {number + 1} has {length}, which groups of {kind.a} "
                                    "do not divide; take a multiple of 8 times that (64 as published), or other sizes "
                                    "of type_1_size to type_4_size")


def _checked(sizes: Sequence[Sequence[int]], points: int, heads: int) -> Sequence[Sequence[int]]:
    """Return the sizes of groups; refuse those that are none, or that do not divide what they should."""
    if heads < 8 or heads % 8 or any(channels % heads for channels in CHANNELS):
        raise UserError(f"model_args: num_heads {heads} is no multiple of 8 that divides {CHANNELS[0]}; take 8, 16, "
                        "24, 32, 48 or 96")
    for number, size in enumerate(sizes, 1):
        if len(size) != 2 or not all(isinstance(length, int) and length > 0 for length in size):
            raise UserError(f"model_args: type_{number}_size {size} is not a number of frames and one of points; give "
                            "two, such as [8, 8]")
        if points % size[1]:
            raise UserError(f"model_args: type_{number}_size {list(size)}: groups of {size[1]} points do not divide "
                            f"the {points} of num_point times num_person; choose a divisor")
    return sizes
