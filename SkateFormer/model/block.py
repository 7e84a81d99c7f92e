"""A block of SkateFormer as one operator with gradients written out. As equations it is `Transformer` in
`model/reference.py`.

Axes: N clips, C channels, S = T*P tokens of a clip, Q = H/4 groups of the two convolutions, c = C/H channels of such a
group, h = H/8 heads of a kind of attention, d = C/H channels of a head, G groups of L tokens.

Activations are (N, C, T, P): then both convolutions are products of matrices with the tokens as they lie, and only the
attention has to bring its tokens together. What that makes, a score for each two tokens of a group, is by far the
widest, and is never kept: the backward pass computes it again from `mapping`'s output, and takes from a bit for each
which were dropped. Affine parts of the norms are folded into the layers behind them.

A few clips are computed at a time, on a CPU so that their activations stay in the cache; there a branch that drop path
leaves out of all of these is not computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from model.reference import Draws, Kind, Transformer
from skeleton_lab.nn.chunking import all_at_once
from skeleton_lab.nn.dropping import kept_weights
from skeleton_lab.nn.precision import without_autocast, working_dtype

_MOST_BYTES = 1 << 20  # of a block's input that is computed at a time on a CPU, in whole clips: it stays in the cache
_MOST_BYTES_ON_A_GPU = 1 << 25  # for the sake of its memory: what a block makes on the way is twenty times its input
_MOST_SCORES = 1 << 18  # of attention that are computed at a time on a CPU, for the same reason
_MOST_SCORES_ON_A_GPU = 1 << 26


class Parameters(NamedTuple):
    """A block's weights as the operator takes them; `biases` (h, L, L) of the four kinds of attention come last."""

    gconv: Tensor  # (Q, P, P)
    norm_1: Tensor  # (C)
    norm_1_bias: Tensor
    mapping: Tensor  # (2C, C)
    mapping_bias: Tensor
    tconv: Tensor  # (C/4, c, k, 1)
    tconv_bias: Tensor
    proj: Tensor  # (C, C)
    proj_bias: Tensor
    norm_2: Tensor
    norm_2_bias: Tensor
    fc1: Tensor  # (rC, C)
    fc1_bias: Tensor
    fc2: Tensor  # (C, rC)
    fc2_bias: Tensor

    @classmethod
    def of(cls, block: Transformer) -> Parameters:
        layers = (block.norm_1, block.mapping, block.tconv, block.proj, block.norm_2, block.mlp.fc1, block.mlp.fc2)
        return cls(block.gconv, *(tensor for layer in layers for tensor in (layer.weight, layer.bias)))


@dataclass(frozen=True)
class Plan:
    """What a block is told besides its weights.

    scale: of scores. rate: of dropped attention weights. eps: of both norms. keep: what the backward pass may find kept
    in place of computing it again.
    """

    kinds: tuple[Kind, ...]
    scale: float
    rate: float
    eps: float
    keep: bool


class Layer(NamedTuple):
    """A linear layer: weight (D, C), bias (D, 1)."""

    weight: Tensor
    bias: Tensor


class Folded(NamedTuple):
    """The weights in the type in which matrices are multiplied, norms' affine parts and biases folded in."""

    gconv: Tensor  # (Q, P, P)
    frames: Tensor  # (Q, c*T, c*T), the convolution over time as a matrix
    frames_bias: Tensor  # (Q, c*T, 1)
    mapping: Layer  # (2C, C)
    proj: Layer  # (C, C)
    fc1: Layer  # (rC, C)
    fc2: Layer  # (C, rC)
    biases: tuple[Tensor, ...]


class Kept(NamedTuple):
    """Activations of a pass, between the layers of a block: all that the backward pass needs besides its input."""

    f: Tensor  # (N, 2C, S), of `mapping`
    y: Tensor  # (N, C, S), of the six branches
    mid: Tensor  # (N, C, S), behind the first residual
    hidden: Tensor  # (N, rC, S), before GELU


def run_block(block: Transformer, x: Tensor, draws: Draws, keep: bool) -> Tensor:
    """Return what `block` makes of x (N, C, T, P), given what training leaves out."""
    biases = [attention.bias() for attention in block.attention] if block.shape.rel else []
    plan = Plan(block.shape.kinds, block.scale, block.drops.attention, block.norm_1.eps, keep)
    work = working_dtype(x)
    with without_autocast(x):
        return _Block.apply(plan, draws, work, x, *Parameters.of(block), *biases)


class _Block(torch.autograd.Function):
    """apply(plan, draws, working type, x (N, C, T, P), *weights, *biases) -> (N, C, T, P)."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, draws: Draws, work: torch.dtype, x: Tensor, *tensors: Tensor) -> Tensor:
        x = x.contiguous()
        weights = _fold(tensors, plan.scale, x.shape[2], work)
        out = torch.empty_like(x)
        kept = _room(x, weights, work) if plan.keep and any(ctx.needs_input_grad) else None
        for some, drawn in _parts(x, draws):
            own = None if kept is None else Kept(*(tensor[some] for tensor in kept))
            _forward(plan, weights, x[some], drawn, out[some], own)
        ctx.plan, ctx.draws, ctx.work, ctx.held = plan, draws, work, kept is not None
        ctx.save_for_backward(x, *tensors, *(kept or ()))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, *rest = ctx.saved_tensors
        tensors, kept = (rest[:-4], Kept(*rest[-4:])) if ctx.held else (rest, None)
        plan, grad = ctx.plan, grad.contiguous()
        weights = _fold(tensors, plan.scale, x.shape[2], ctx.work)
        sums = _zeros(weights)
        grad_x = torch.empty_like(x)
        with without_autocast(x):
            for some, drawn in _parts(x, ctx.draws):
                if kept is None:
                    own = _room(x[some], weights, ctx.work)
                    _forward(plan, weights, x[some], drawn, torch.empty_like(x[some]), own)
                else:
                    own = Kept(*(tensor[some] for tensor in kept))
                _backward(plan, weights, sums, (x[some], own, drawn), (grad[some], grad_x[some]))
        return None, None, None, grad_x, *_unfold(sums, plan.scale, tensors)


def _parts(x: Tensor, draws: Draws) -> Iterator[tuple[slice, Draws]]:
    """Yield which clips to work on in turn, and what was drawn for them."""
    most = _MOST_BYTES_ON_A_GPU if all_at_once(x) else _MOST_BYTES
    step = max(1, most // (x[0].numel() * x.element_size()))
    for some in (slice(start, start + step) for start in range(0, len(x), step)):
        yield some, Draws(*(tuple(None if drawn is None else drawn[some] for drawn in both) for both in draws))


def _room(x: Tensor, weights: Folded, work: torch.dtype) -> Kept:
    """Return empty tensors for what is kept of clips x (N, C, T, P)."""
    n, channels, tokens = x.shape[0], x.shape[1], x[0, 0].numel()
    f, y, hidden = (torch.empty(n, rows, tokens, dtype=work, device=x.device)
                    for rows in (2 * channels, channels, len(weights.fc1.weight)))
    return Kept(f, y, torch.empty(n, channels, tokens, dtype=x.dtype, device=x.device), hidden)


# ---- Weights ----

def _fold(tensors: Sequence[Tensor], scale: float, frames: int, work: torch.dtype) -> Folded:
    """Return the weights folded; `scale`, of the scores, goes into the rows of queries."""
    own, biases = Parameters(*tensors[:15]), tensors[15:]

    def layer(weight: Tensor, bias: Tensor) -> Layer:
        return Layer(weight.to(work), bias[:, None].to(work))

    def normed(norm: Tensor, shift: Tensor, weight: Tensor, bias: Tensor) -> Layer:
        return layer(weight * norm, torch.addmv(bias, weight, shift))

    groups = len(own.gconv)
    mapping = normed(own.norm_1, own.norm_1_bias, own.mapping, own.mapping_bias)
    mapping = Layer(*(tensor * _of_queries(tensor, scale) for tensor in mapping))
    return Folded(own.gconv.to(work), _over_frames(own.tconv, groups, frames).to(work),
                  own.tconv_bias.view(groups, -1, 1).repeat_interleave(frames, 1).to(work),
                  mapping, layer(own.proj, own.proj_bias),
                  normed(own.norm_2, own.norm_2_bias, own.fc1, own.fc1_bias),
                  layer(own.fc2, own.fc2_bias), tuple(bias.to(work) for bias in biases))


def _of_queries(mapping: Tensor, scale: float) -> Tensor:
    """Return factors (2C, 1) for the rows of `mapping`: `scale` for those that make queries, 1 for the others."""
    factors = mapping.new_ones(len(mapping), 1)
    factors[len(mapping) // 4:].unflatten(0, (4, 3, -1))[:, 0] = scale
    return factors


def _diagonals(taps: int, matrix: Tensor) -> list[Tensor]:
    """Return, for each tap, the part of (Q, c, T, c, T) that it stands in, (Q, c, c, places)."""
    reach, frames = (taps - 1) // 2, matrix.shape[-1]
    return [matrix.diagonal(tap - reach, 2, 4) if abs(tap - reach) < frames else matrix.new_empty(0)
            for tap in range(taps)]


def _over_frames(tconv: Tensor, groups: int, frames: int) -> Tensor:
    """Return a grouped convolution over time, (C/4, c, k, 1), as a matrix for each group, (Q, c*T, c*T)."""
    taps = tconv.view(groups, -1, *tconv.shape[1:3])  # (Q, c, c, k)
    matrix = tconv.new_zeros(groups, taps.shape[1], frames, taps.shape[2], frames)
    for tap, places in enumerate(_diagonals(taps.shape[3], matrix)):
        if places.numel():
            places.copy_(taps[..., tap:tap + 1].expand_as(places))
    return matrix.flatten(3).flatten(1, 2)


def _zeros(weights: Folded) -> Folded:
    """Return zeros in which gradients of the folded weights add up, in single precision at least."""
    def zeros(tensor: Tensor) -> Tensor:
        return torch.zeros_like(tensor, dtype=torch.promote_types(tensor.dtype, torch.float32))

    return Folded(*(Layer(*map(zeros, part)) if isinstance(part, Layer) else zeros(part) for part in weights[:-1]),
                  tuple(map(zeros, weights.biases)))


def _unfold(sums: Folded, scale: float, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradients of the weights, given those of the folded ones."""
    own = Parameters(*tensors[:15])

    def normed(grad: Layer, norm: Tensor, shift: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        grad_weight, grad_bias = grad.weight, grad.bias[:, 0]
        return ((grad_weight * weight).sum(dim=0), weight.t().to(grad_bias.dtype) @ grad_bias,
                torch.addr(grad_weight * norm, grad_bias, shift.to(grad_bias.dtype)), grad_bias)

    mapping = Layer(*(tensor * _of_queries(tensor, scale) for tensor in sums.mapping))
    groups, taps = len(own.gconv), own.tconv.shape[2]
    matrix = sums.frames.view(groups, own.tconv.shape[1], -1, own.tconv.shape[1], sums.frames.shape[1]
                              // own.tconv.shape[1])
    tconv = torch.stack([places.sum(dim=-1) if places.numel() else matrix.new_zeros(matrix.shape[0], matrix.shape[1],
                                                                                    matrix.shape[3])
                         for places in _diagonals(taps, matrix)], dim=-1)
    grads = (sums.gconv, *normed(mapping, own.norm_1, own.norm_1_bias, own.mapping),
             tconv.view_as(own.tconv), sums.frames_bias.view(len(own.tconv), -1).sum(dim=1),
             sums.proj.weight, sums.proj.bias[:, 0],
             *normed(sums.fc1, own.norm_2, own.norm_2_bias, own.fc1), sums.fc2.weight, sums.fc2.bias[:, 0],
             *sums.biases)
    return [grad.to(tensor.dtype) for grad, tensor in zip(grads, tensors, strict=True)]


# ---- A pass over some clips ----

def _forward(plan: Plan, weights: Folded, x: Tensor, drawn: Draws, out: Tensor, kept: Kept | None) -> None:
    """Compute a block of x (n, C, T, P) into `out`, and into what is kept."""
    kept = kept or _room(x, weights, weights.mapping.weight.dtype)
    flat, result = x.flatten(2), out.flatten(2)  # (n, C, S)
    first, second = drawn.paths
    if _is_left_out(first):
        kept.mid.copy_(flat)
    else:
        normed, _ = _normalise(flat, plan.eps, kept.f.dtype)
        _layer(weights.mapping, normed, kept.f)
        _mix(plan, weights, kept, drawn, x.shape[2:])
        _add_layer(flat, weights.proj, kept.y, first, kept.mid)
    if _is_left_out(second):
        result.copy_(kept.mid)
        return
    normed, _ = _normalise(kept.mid, plan.eps, kept.f.dtype)
    _layer(weights.fc1, normed, kept.hidden)
    _add_layer(kept.mid, weights.fc2, functional.gelu(kept.hidden), second, result)


def _backward(plan: Plan, weights: Folded, sums: Folded, pass_: tuple[Tensor, Kept, Draws],
              grads: tuple[Tensor, Tensor]) -> None:
    """Compute the gradient of x (n, C, T, P) into `grads[1]`, given that of the block's result; add up the weights'."""
    x, kept, drawn = pass_
    grad, grad_x = (tensor.flatten(2) for tensor in grads)  # (n, C, S)
    work = kept.f.dtype
    first, second = drawn.paths
    grad_mid = grad
    if not _is_left_out(second):
        scaled = _scaled(grad, second, work)
        _add_outer(sums.fc2, scaled, functional.gelu(kept.hidden))
        grad_hidden = torch.ops.aten.gelu_backward(_product(weights.fc2.weight.t(), scaled), kept.hidden)
        normed, spread = _normalise(kept.mid, plan.eps, work)
        _add_outer(sums.fc1, grad_hidden, normed)
        grad_mid = _normalise_backward(_product(weights.fc1.weight.t(), grad_hidden), normed, spread).add_(grad)
    if _is_left_out(first):
        grad_x.copy_(grad_mid)
        return
    scaled = _scaled(grad_mid, first, work)
    _add_outer(sums.proj, scaled, kept.y)
    grad_f = torch.empty_like(kept.f)
    _mix_backward(plan, weights, sums, (kept, drawn, x.shape[2:]), (_product(weights.proj.weight.t(), scaled), grad_f))
    normed, spread = _normalise(x.flatten(2), plan.eps, work)
    _add_outer(sums.mapping, grad_f, normed)
    torch.add(_normalise_backward(_product(weights.mapping.weight.t(), grad_f), normed, spread), grad_mid, out=grad_x)


def _is_left_out(factors: Tensor | None) -> bool:
    """Whether drop path leaves a branch out of all these clips; on a GPU nobody waits for the answer."""
    return factors is not None and not all_at_once(factors) and not bool(factors.any())


def _scaled(grad: Tensor, factors: Tensor | None, work: torch.dtype) -> Tensor:
    return (grad if factors is None else grad * factors.view(-1, 1, 1)).to(work)


def _product(weight: Tensor, x: Tensor) -> Tensor:
    """(D, C), (n, C, S) -> (n, D, S)."""
    if all_at_once(x):
        return torch.bmm(weight.expand(len(x), -1, -1), x)
    out = x.new_empty(len(x), len(weight), x.shape[2])
    for clip, result in zip(x, out, strict=True):  # faster on a CPU than a batch of large products
        torch.mm(weight, clip, out=result)
    return out


def _layer(layer: Layer, x: Tensor, out: Tensor) -> None:
    """Write weight x + bias, (n, D, S), into `out`."""
    if all_at_once(x):
        torch.baddbmm(layer.bias.expand_as(out), layer.weight.expand(len(x), -1, -1), x, out=out)
        return
    for clip, result in zip(x, out, strict=True):
        torch.addmm(layer.bias.expand_as(result), layer.weight, clip, out=result)


def _add_layer(x: Tensor, layer: Layer, y: Tensor, factors: Tensor | None, out: Tensor) -> None:
    """Write x + factor * (weight y + bias), (n, C, S), into `out`."""
    weight, bias = (tensor.expand(len(x), -1, -1) for tensor in layer)
    if factors is not None:
        weight, bias = (tensor * factors.view(-1, 1, 1).to(tensor.dtype) for tensor in (weight, bias))
    torch.add(x, bias, out=out)
    if x.dtype != y.dtype:
        out.add_(torch.bmm(weight, y))
    elif all_at_once(x):
        out.baddbmm_(weight, y)
    else:
        for own, clip, result in zip(weight, y, out, strict=True):
            result.addmm_(own, clip)


def _add_outer(total: Layer, grad: Tensor, x: Tensor) -> None:
    """Add to `total` the gradients of a layer: sums over clips and tokens of grad (n, D, S), times x (n, C, S)."""
    if all_at_once(x) or total.weight.dtype != x.dtype:
        total.weight.add_(torch.bmm(grad, x.transpose(1, 2)).sum(dim=0, dtype=total.weight.dtype))
    else:
        for one, clip in zip(grad, x, strict=True):
            total.weight.addmm_(one, clip.t())
    total.bias.add_(grad.sum(dim=(0, 2), dtype=total.bias.dtype)[:, None])


def _normalise(x: Tensor, eps: float, work: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return x (n, C, S) with mean 0 and variance 1 over its channels, and 1 / its deviation, (n, 1, S)."""
    exact = torch.promote_types(x.dtype, torch.float32)
    centred = x.to(exact) - x.mean(dim=1, keepdim=True, dtype=exact)
    spread = centred.square().mean(dim=1, keepdim=True).add_(eps).rsqrt_()
    return centred.mul_(spread).to(work), spread


def _normalise_backward(grad: Tensor, normed: Tensor, spread: Tensor) -> Tensor:
    """Return the gradient of x, given that of the normalised x, (n, C, S)."""
    grad, normed = grad.to(spread.dtype), normed.to(spread.dtype)
    along = (grad * normed).mean(dim=1, keepdim=True)
    return grad.sub_(grad.mean(dim=1, keepdim=True)).addcmul_(normed, along, value=-1).mul_(spread)


# ---- The six branches ----

def _mix(plan: Plan, weights: Folded, kept: Kept, drawn: Draws, shape: torch.Size) -> None:
    """Compute what the branches make of their parts of f (n, 2C, S) into y (n, C, S); shape: (T, P)."""
    quarter = kept.y.shape[1] // 4
    over_points, over_frames = (_grouped(part, weights, shape) for part in
                                kept.f[:, :2 * quarter].split(quarter, dim=1))
    y_points, y_frames = (_grouped(part, weights, shape) for part in kept.y[:, :2 * quarter].split(quarter, dim=1))
    for clip in range(len(kept.f)):
        torch.bmm(over_points[clip], weights.gconv.transpose(1, 2), out=y_points[clip])
        torch.baddbmm(weights.frames_bias.expand_as(y_frames[clip]), weights.frames, over_frames[clip],
                      out=y_frames[clip])
    for number, (kind, part, result) in enumerate(_attended(plan, kept.f, kept.y, quarter)):
        q, k, v = _gather(part, kind, shape, weights)  # (n, h, G, d, L) each
        o = torch.empty(q.shape, dtype=q.dtype, device=q.device)
        for at, dropped in _score_parts(q, drawn.weights[number], plan.rate):
            some_q, some_k, some_v, some_o = (tensor[at].flatten(0, 2) for tensor in (q, k, v, o))
            scores = _weights(some_q, some_k, weights.biases[number][at[1]] if weights.biases else None, q.shape[2])
            torch.bmm(some_v, (scores if dropped is None else scores.mul_(dropped)).transpose(1, 2), out=some_o)
        _scatter(o, result, kind, shape)


def _mix_backward(plan: Plan, weights: Folded, sums: Folded, pass_: tuple[Kept, Draws, torch.Size],
                  grads: tuple[Tensor, Tensor]) -> None:
    """Compute the gradient of f (n, 2C, S) into `grads[1]`, given that of y (n, C, S); add up the weights'."""
    (kept, drawn, shape), (grad_y, grad_f) = pass_, grads
    quarter = grad_y.shape[1] // 4
    parts = [[_grouped(part, weights, shape) for part in tensor[:, :2 * quarter].split(quarter, dim=1)]
             for tensor in (kept.f, grad_y, grad_f)]
    for clip in range(len(grad_y)):
        (points, frames), (grad_points, grad_frames), (into_points, into_frames) = (
            (first[clip], second[clip]) for first, second in parts)
        torch.bmm(grad_points, weights.gconv, out=into_points)
        torch.bmm(weights.frames.transpose(1, 2), grad_frames, out=into_frames)
        sums.gconv.add_(torch.bmm(grad_points.transpose(1, 2), points))
        sums.frames.add_(torch.bmm(grad_frames, frames.transpose(1, 2)))
        sums.frames_bias.add_(grad_frames.sum(dim=2, keepdim=True))
    both = zip(_attended(plan, kept.f, kept.y, quarter), _attended(plan, grad_f, grad_y, quarter), strict=True)
    for number, ((kind, part, result), (_, into, grad_result)) in enumerate(both):
        q, k, v = _gather(part, kind, shape, weights)
        o, grad_o = (_bring_together(tensor, kind, shape, weights) for tensor in (result, grad_result))
        grad_parts = torch.empty(3, *q.shape, dtype=q.dtype, device=q.device)
        along = (o * grad_o).sum(dim=-2).unsqueeze(-1)  # (n, h, G, L, 1)
        for at, dropped in _score_parts(q, drawn.weights[number], plan.rate):
            some_q, some_k, some_v, some_grad, some_along, grad_q, grad_k, grad_v = (
                tensor[at].flatten(0, 2) for tensor in (q, k, v, grad_o, along, *grad_parts))
            scores = _weights(some_q, some_k, weights.biases[number][at[1]] if weights.biases else None, q.shape[2])
            torch.bmm(some_grad, scores if dropped is None else scores * dropped, out=grad_v)
            grad_scores = torch.bmm(some_grad.transpose(1, 2), some_v)
            if dropped is not None:
                grad_scores.mul_(dropped)
            grad_scores.sub_(some_along).mul_(scores)
            if weights.biases:
                total = sums.biases[number][at[1]]
                total.add_(grad_scores.unflatten(0, (-1, len(total), q.shape[2])).sum(dim=(0, 2)))
            torch.bmm(some_k, grad_scores.transpose(1, 2), out=grad_q)
            torch.bmm(some_q, grad_scores, out=grad_k)
        _scatter(grad_parts, into, kind, shape)


def _grouped(part: Tensor, weights: Folded, shape: torch.Size) -> Tensor:
    """(n, C/4, S) -> (n, Q, c*T, P), a view."""
    return part.reshape(len(part), len(weights.gconv), -1, shape[1])


def _attended(plan: Plan, f: Tensor, y: Tensor, quarter: int) -> Iterator[tuple[Kind, Tensor, Tensor]]:
    """Yield the kinds of attention, their parts of f, (n, 3*h*d, S), and of y, (n, h*d, S)."""
    eighth = quarter // 2
    for number, kind in enumerate(plan.kinds):
        at_f, at_y = 2 * quarter + 3 * eighth * number, 2 * quarter + eighth * number
        yield kind, f[:, at_f:at_f + 3 * eighth], y[:, at_y:at_y + eighth]


def _gather(part: Tensor, kind: Kind, shape: torch.Size, weights: Folded) -> tuple[Tensor, Tensor, Tensor]:
    """(n, 3*h*d, S) -> queries, keys and values, (n, h, G, d, L) each."""
    return tuple(_bring_together(some, kind, shape, weights)  # type: ignore[return-value]
                 for some in part.chunk(3, dim=1))


def _split(part: Tensor, kind: Kind, shape: torch.Size, heads: int) -> Tensor:
    """(n, h*d, S) -> (n, h, G0, G1, d, a, b), a view."""
    split, groups, tokens = kind.split(*shape)
    parts = part.unflatten(1, (heads, -1)).unflatten(3, split)  # (n, h, d, T0, T1, P0, P1)
    return parts.permute(0, 1, *(3 + axis for axis in groups), 2, *(3 + axis for axis in tokens))


def _bring_together(part: Tensor, kind: Kind, shape: torch.Size, weights: Folded) -> Tensor:
    """(n, h*d, S) -> (n, h, G, d, L)."""
    return _split(part, kind, shape, len(weights.gconv) // 2).flatten(5).flatten(2, 3)


def _scatter(groups: Tensor, into: Tensor, kind: Kind, shape: torch.Size) -> None:
    """Write (n, h, G, d, L), or three of these, where their tokens stand in (n, h*d, S), or (n, 3*h*d, S)."""
    several = groups if groups.dim() == 6 else groups.unsqueeze(0)
    for own, part in zip(several, into.chunk(len(several), dim=1), strict=True):
        places = _split(part, kind, shape, own.shape[1])
        places.copy_(own.view(places.shape))


def _score_parts(q: Tensor, bits: Tensor | None, rate: float) -> Iterator[tuple[tuple[slice, slice], Tensor | None]]:
    """Yield what to compute scores of in turn, clips and heads of q (n, h, G, d, L), and what dropout leaves of them.

    The latter is (n'*h'*G, L, L), 0 for what it drops and 1 / (1 - rate) for the rest. Either it is one clip or all
    heads.
    """
    n, heads, groups, _, tokens = q.shape
    most, scores = _MOST_SCORES_ON_A_GPU if all_at_once(q) else _MOST_SCORES, groups * tokens**2  # of a clip's head
    clips, step = max(1, most // (heads * scores)), max(1, most // scores)
    for first in range(0, n, clips):
        some, left = slice(first, first + clips), None
        if bits is not None:
            own = bits[some]
            left = kept_weights(own, (len(own), heads, groups, tokens, tokens), q.dtype, 1 / (1 - rate))
        for start in range(0, heads, step):
            at = slice(start, start + step)
            yield (some, at), None if left is None else left[:, at].flatten(0, 2)


def _weights(q: Tensor, k: Tensor, bias: Tensor | None, groups: int) -> Tensor:
    """Return the weights of attention (n*h*G, L, L) of scaled queries and of keys (n*h*G, d, L); bias: (h, L, L)."""
    scores = torch.bmm(q.transpose(1, 2), k)
    if bias is not None:
        scores.unflatten(0, (-1, len(bias), groups)).add_(bias.unsqueeze(1))
    return scores.softmax(dim=-1)
