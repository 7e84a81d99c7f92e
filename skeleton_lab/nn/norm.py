"""Batch norm as plain functions, for layers that recompute their activations in the backward pass.

The framework's batch norm keeps its input, and a ReLU behind it keeps its output as well. Here a layer keeps what it
chooses and the two vectors of moments, and gets the activation back from `normalize`.

Tensors are (B, C, ...) contiguous, float64, float32 or half; moments and affine parameters are (C), float64 or float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from skeleton_lab.errors import UserError
from skeleton_lab.nn.chunking import all_at_once
from skeleton_lab.nn.norm_kernels import gradient_sums, through_moments
from skeleton_lab.nn.recompute import recomputing
from skeleton_lab.nn.synchrony import averaged, num_processes, of_all_processes


class Moments(NamedTuple):
    """Mean and biased variance of every channel, each (C)."""

    mean: Tensor
    var: Tensor


class RowMoments(NamedTuple):
    """Mean and squared deviations from it, summed, of every row of some bodies, each (B, C)."""

    mean: Tensor
    deviations: Tensor


def row_moments(x: Tensor) -> RowMoments:
    """Return the moments of x (B, C, ...) for each of B and C, at least in float32."""
    rows = x.flatten(2)  # (B, C, P)
    dtype = torch.promote_types(x.dtype, torch.float32)
    if all_at_once(x):
        var, mean = torch.var_mean(rows.to(dtype), dim=2, unbiased=False)
        return RowMoments(mean, var.mul_(rows.shape[2]))
    mean = rows.mean(dim=2, dtype=dtype)
    # On a CPU `var` takes ten times as long as centring and a norm. It is as accurate: nothing cancels.
    return RowMoments(mean, torch.linalg.vector_norm(rows - mean.unsqueeze(-1), dim=2).square_())


def merge_moments(parts: Sequence[RowMoments], row_length: int) -> Moments:
    """Return the moments of all rows, which come in `parts` and have `row_length` values each, of all processes."""
    means, deviations = (torch.cat(tensors) for tensors in zip(*parts, strict=True))  # (B, C)
    mean = means.mean(dim=0)
    var = (deviations.mean(dim=0) / row_length).add_((means - mean).square_().mean(dim=0))
    return Moments(*of_all_processes(mean, var))


def batch_moments(x: Tensor) -> Moments:
    """Return the moments of x (B, C, ...) over all axes but C, and all processes, at least in float32."""
    return merge_moments([row_moments(x)], x[0, 0].numel())


def normalize(x: Tensor, weight: Tensor, bias: Tensor, moments: Moments, eps: float) -> Tensor:
    """Return (x - mean) / sqrt(var + eps) * weight + bias, in the dtype of x (B, C, ...)."""
    return torch.native_batch_norm(x, weight, bias, moments.mean, moments.var, False, 0.0, eps)[0]


def normalize_backward(grad: Tensor, x: Tensor, weight: Tensor, moments: Moments,
                       eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight and bias where `moments` are those of x (B, C, ...), of all processes."""
    if x.is_cuda:
        inverse = (moments.var + eps).rsqrt()
        sums, products = gradient_sums(grad, x, moments.mean, inverse)
        of_all = averaged(sums, products)
        grad_x = through_moments(grad, x, weight, moments.mean, inverse, of_all[0], of_all[1], x.numel() // x.shape[1])
        return grad_x, products * inverse, sums
    grads = torch.ops.aten.native_batch_norm_backward(grad, x, weight, None, None, moments.mean,
                                                      (moments.var + eps).rsqrt(), True, eps, [True, True, True])
    if num_processes() > 1:
        _add_other_processes(grads, x, weight, moments, eps)
    return grads


def _add_other_processes(grads: tuple[Tensor, Tensor, Tensor], x: Tensor, weight: Tensor, moments: Moments,
                         eps: float) -> None:
    """Correct the gradient of x, in place: through the moments it depends on the other processes' values as well.

    That of one process is weight * r * (dy - mean(dy) - xhat * mean(dy * xhat)) with r = (var + eps)^-1/2 and
    xhat = r * (x - mean of x); mean(dy) is dbias / n, mean(dy * xhat) is dweight / n.
    """
    grad_x, *own = grads
    count = x.numel() // x.shape[1]
    d_weight, d_bias = ((mine - mean) / count for mine, mean in zip(own, averaged(*own), strict=True))
    inverse = (moments.var + eps).rsqrt()
    slope = weight * inverse.square() * d_weight
    offset = weight * inverse * d_bias - slope * moments.mean
    shape = [-1, *[1] * (x.ndim - 2)]
    grad_x.add_((x * slope.view(shape)).add_(offset.view(shape)))


def relu_backward(grad: Tensor, activated: Tensor) -> Tensor:
    """Return the gradient in front of a ReLU whose output is `activated`."""
    return torch.ops.aten.threshold_backward(grad, activated, 0)


def relu_backward_(grad: Tensor, activated: Tensor) -> Tensor:
    """Turn `grad` into the gradient in front of a ReLU whose output is `activated`, in place; return it."""
    return torch.ops.aten.threshold_backward.grad_input(grad, activated, 0, grad_input=grad)


def update_running(norms: Sequence[nn.modules.batchnorm._BatchNorm], moments: Moments, count: int,
                   left_out: Tensor | None = None) -> None:
    """Move the running moments of `norms`, which share the channels of `moments` in order, towards this batch.

    Once per training step: a pass that recomputes a block for its gradients changes nothing.

    Args:
        count: this process's values per channel, for the unbiased variance.
        left_out: (C) what the layer did not add in front of the norm, since the norm takes it out again; it still
            belongs to the running mean.
    """
    if recomputing():
        return
    with torch.no_grad():
        count *= num_processes()
        mean = moments.mean if left_out is None else moments.mean + left_out
        var = moments.var * (count / max(count - 1, 1))
        widths = [norm.num_features for norm in norms]
        means, variances = zip(*map(running_moments, norms), strict=True)
        [momentum] = {norm.momentum for norm in norms}  # the published models have PyTorch's everywhere
        counts = [norm.num_batches_tracked for norm in norms if norm.num_batches_tracked is not None]
        assert momentum is not None
        torch._foreach_add_(counts, 1)  # a foreach operator is one kernel on a GPU, for all norms
        for old, new in ((means, mean), (variances, var)):
            torch._foreach_lerp_(old, new.to(old[0].dtype).split(widths), momentum)


def running_moments(norm: nn.modules.batchnorm._BatchNorm) -> Moments:
    """Return the moments that a norm uses in evaluation; a norm that keeps none is no part of these models."""
    assert norm.running_mean is not None and norm.running_var is not None
    return Moments(norm.running_mean, norm.running_var)


def affine(norms: Sequence[nn.modules.batchnorm._BatchNorm]) -> tuple[Tensor, Tensor]:
    """Return the weights and the biases of norms side by side, each (C)."""
    return torch.cat([norm.weight for norm in norms]), torch.cat([norm.bias for norm in norms])


def folded(norms: Sequence[nn.modules.batchnorm._BatchNorm]) -> tuple[Tensor, Tensor]:
    """Return (scale, shift), each (C): in evaluation mode, `norms` of neighbouring channels are x*scale + shift."""
    running = [running_moments(norm) for norm in norms]
    scales = [norm.weight * (moments.var + norm.eps).rsqrt() for norm, moments in zip(norms, running, strict=True)]
    shifts = [norm.bias - moments.mean * scale for norm, moments, scale in zip(norms, running, scales, strict=True)]
    return torch.cat(scales), torch.cat(shifts)


class NormActivation(torch.autograd.Function):
    """relu(batch norm(x) + residual), training mode: keeps x and the output, of which the output is the next layer's.

    apply(x (B, C, ...), weight (C), bias (C), mean (C), var (C), residual like x or None, eps) -> output like x;
    mean and var are the moments of x.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, residual: Tensor | None,
                eps: float) -> Tensor:
        out = normalize(x, weight, bias, Moments(mean, var), eps)
        if residual is not None:
            out += residual
        out.relu_()
        ctx.save_for_backward(x, out, weight, mean, var)
        ctx.eps, ctx.has_residual = eps, residual is not None
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, out, weight, mean, var = ctx.saved_tensors
        grad = relu_backward(grad, out)
        grad_x, grad_weight, grad_bias = normalize_backward(grad, x, weight, Moments(mean, var), ctx.eps)
        return grad_x, grad_weight, grad_bias, None, None, grad if ctx.has_residual else None, None


class SynchronisedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """A BatchNorm module whose moments, in training mode, are those of all processes' values (see `synchrony`).

    Unlike the framework's, it runs on CPUs as well.
    """

    def _check_input_dim(self, x: Tensor) -> None:
        """Take (B, C) and (B, C, ...), as all of the framework's do between them."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        out, *moments = _PlainNorm.apply(x.contiguous(), self.weight, self.bias, self.eps)
        update_running([self], Moments(*moments), x.numel() // x.shape[1])
        return out


class _PlainNorm(torch.autograd.Function):
    """batch norm(x), training mode: apply(x (B, C, ...), weight (C), bias (C), eps) -> (out like x, mean, var (C))."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        moments = batch_moments(x if x.ndim > 2 else x.unsqueeze(-1))
        ctx.save_for_backward(x, weight, *moments)
        ctx.mark_non_differentiable(*moments)
        ctx.eps = eps
        return normalize(x, weight, bias, moments, eps), *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight, *moments = ctx.saved_tensors
        return *normalize_backward(grad.contiguous(), x, weight, Moments(*moments), ctx.eps), None


def with_synchronised_norms(model: nn.Module) -> nn.Module:
    """Replace the framework's BatchNorm modules in `model` by synchronised ones with the same tensors; return it.

    Raises:
        UserError: one of them has no affine terms, no running moments, or averages them over all batches.
    """
    for name, module in list(model.named_modules()):
        for child_name, child in list(module.named_children()):
            if type(child) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
                setattr(module, child_name, _synchronised(child, f"{name}.{child_name}".removeprefix(".")))
    return model


def _synchronised(norm: nn.modules.batchnorm._BatchNorm, name: str) -> SynchronisedBatchNorm:
    if not norm.affine or not norm.track_running_stats or norm.momentum is None:
        raise UserError(f"--sync-bn: the model's '{name}' is a BatchNorm without affine terms, running moments or a "
                        "momentum, which cannot be synchronised; leave the switch out")
    new = SynchronisedBatchNorm(norm.num_features, norm.eps, norm.momentum)
    for key, tensor in (*norm.named_parameters(), *norm.named_buffers()):
        setattr(new, key, tensor)
    return new.train(norm.training)
