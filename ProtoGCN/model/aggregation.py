"""Aggregation over a graph that each clip makes, with the layers in front of it and behind it, as one operator.
As an equation it is `SpatialUnit` in `model/reference.py`, but for its last norm and ReLU.

Axes: B bodies, C channels in, K subsets of m channels each, V source joint, W target joint, T frames. Activations are
(B, C, V, T): frames innermost.

A graph has a matrix for each channel, (B, K*m, V, W), and is as wide as an activation. It is never kept, nor is what is
aggregated: the backward pass computes them again. On a CPU graphs exist for a few bodies at a time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from skeleton_lab.nn.norm import (
    Moments,
    batch_moments,
    merge_moments,
    normalize,
    normalize_backward,
    relu_backward_,
    row_moments,
)
from skeleton_lab.nn.pointwise import add_pointwise_weight_grad, body_chunks, pointwise, pointwise_weight_grad
from skeleton_lab.nn.precision import without_autocast


class GraphWeights(NamedTuple):
    """What makes a graph of a clip: `conv1` and `conv2` one on top of the other, weight (2*K*m, C) and bias (2*K*m);
    topology (K, V, W); alpha and beta, one number each.
    """

    weight: Tensor
    bias: Tensor
    topology: Tensor
    alpha: Tensor
    beta: Tensor


class Graphs:
    """The graphs of some bodies, from the means over time of their clips (B, C, V); with gradients, by hand."""

    def __init__(self, mean: Tensor, weights: GraphWeights) -> None:
        self.mean, self.weights = mean, weights
        subsets = len(weights.topology)
        projected = torch.matmul(weights.weight, mean) + weights.bias.unsqueeze(1)  # (B, 2*K*m, V)
        self.a, self.b = projected.view(len(mean), 2, subsets, -1, mean.shape[2]).unbind(1)  # (B, K, m, V)
        self.products = torch.softmax(self.a.transpose(2, 3) @ self.b, dim=2)  # (B, K, V, W)
        self.shared = torch.addcmul(weights.topology, weights.beta, self.products)

    def differences(self, bodies: slice) -> Tensor:
        """Return what is each channel's own in the graphs of some bodies, but for alpha: (B, K, m, V, W)."""
        return (self.a[bodies].unsqueeze(4) - self.b[bodies].unsqueeze(3)).tanh_()

    def of(self, bodies: slice, differences: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the graphs of some bodies with these `differences`, (B*K*m, V, W)."""
        shared = self.shared[bodies].unsqueeze(2)  # by the channels of a subset
        return torch.addcmul(shared, differences, self.weights.alpha).flatten(0, 2).to(dtype)

    def start_grads(self) -> None:
        """Make room for the gradients, which `add_grads` of all bodies fills."""
        self.grad_a, self.grad_b = torch.empty_like(self.a), torch.empty_like(self.b)
        self.grad_shared = torch.empty_like(self.products)
        self.grad_alpha = torch.zeros_like(self.weights.alpha)

    def add_grads(self, bodies: slice, differences: Tensor, grad: Tensor) -> None:
        """Take the gradient of some bodies' graphs (B*K*m, V, W); it and the `differences` are overwritten."""
        grad = grad.view_as(differences)
        torch.sum(grad, dim=2, out=self.grad_shared[bodies])
        self.grad_alpha += torch.dot(grad.flatten(), differences.flatten())
        grad.mul_(differences.square_().neg_().add_(1)).mul_(self.weights.alpha)  # tanh' = 1 - tanh^2
        torch.sum(grad, dim=4, out=self.grad_a[bodies])
        torch.sum(grad, dim=3, out=self.grad_b[bodies]).neg_()

    def finish_grads(self) -> tuple[Tensor, GraphWeights]:
        """Return the gradients of the means and of the weights."""
        grad_topology = self.grad_shared.sum(dim=0)
        weighted = self.grad_shared * self.products
        grad_scores = (weighted - self.products * weighted.sum(dim=2, keepdim=True)) * self.weights.beta
        self.grad_a += self.b @ grad_scores.transpose(2, 3)
        self.grad_b += self.a @ grad_scores
        grad = torch.stack([self.grad_a, self.grad_b], dim=1).flatten(1, 3)  # (B, 2*K*m, V)
        grads = GraphWeights(pointwise_weight_grad(grad, self.mean), grad.sum(dim=(0, 2)), grad_topology,
                             self.grad_alpha, weighted.sum())
        return torch.matmul(self.weights.weight.t(), grad), grads


class GraphMixing(torch.autograd.Function):
    """post y, y[b,c,w,t] = sum over v of graph[b,c,v,w] p[b,c,v,t], p = relu(batch norm(pre x)), in training mode.

    Keeps x and pre x; x alone where that is narrower, since pre is little work then. The biases in front of a norm are
    left out, since it takes them out again; their gradients are zero.

    apply(x (B, C, V, T), pre (K*m, C), its bias, norm weight and norm bias (K*m), eps, post (C_out, K*m), its bias
    (C_out), *GraphWeights) -> (post y (B, C_out, W, T), mean, var (K*m) of pre x, mean, var (C_out) of post y).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, pre: Tensor, bias: Tensor, norm_weight: Tensor, norm_bias: Tensor, eps: float,
                post: Tensor, post_bias: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        with without_autocast(x):
            hidden = pointwise(pre, x)
            moments = batch_moments(hidden)
            active = normalize(hidden, norm_weight, norm_bias, moments, eps).relu_()
            graphs = graphs_of(x, GraphWeights(*tensors))
            out, rows = x.new_empty(len(x), len(post), *x.shape[2:]), []
            for bodies in body_chunks(active):
                gathered = _gathered(graphs.of(bodies, graphs.differences(bodies), x.dtype), active[bodies])
                rows.append(row_moments(pointwise(post, gathered, out=out[bodies])))
            out_moments = merge_moments(rows, out[0, 0].numel())
        ctx.save_for_backward(x, hidden if x.shape[1] == len(pre) else None, pre, bias, norm_weight, norm_bias, post,
                              post_bias, *moments, *tensors)
        ctx.mark_non_differentiable(*moments, *out_moments)
        ctx.eps = eps
        return out, *moments, *out_moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        x, hidden, pre, bias, norm_weight, norm_bias, post, post_bias, mean, var, *tensors = ctx.saved_tensors
        moments = Moments(mean, var)
        with without_autocast(x):
            hidden = pointwise(pre, x) if hidden is None else hidden
            active = normalize(hidden, norm_weight, norm_bias, moments, ctx.eps).relu_()
            graphs = graphs_of(x, GraphWeights(*tensors))
            grad_active, grad_post = _mixed_backward(grad.contiguous(), active, graphs, post)
            relu_backward_(grad_active, active)
            grad_hidden, *grad_norm = normalize_backward(grad_active, hidden, norm_weight, moments, ctx.eps)
            grad_mean, grads = graphs.finish_grads()
            grad_x = pointwise(pre.t(), grad_hidden)
            grad_x += grad_mean.div_(x.shape[3]).to(x.dtype).unsqueeze(-1)
            grad_pre = pointwise_weight_grad(grad_hidden, x)
        return (grad_x, grad_pre, torch.zeros_like(bias), *grad_norm, None, grad_post.to(post.dtype),
                torch.zeros_like(post_bias), *grads)


def graphs_of(x: Tensor, weights: GraphWeights) -> Graphs:
    """Return the graphs of clips x (B, C, V, T), in single precision at least: their arguments are tiny."""
    return Graphs(x.mean(dim=3, dtype=weights.weight.dtype), weights)


def _gathered(graph: Tensor, active: Tensor) -> Tensor:
    """Return sum over v of graph[(b,c),v,w] active[b,c,v,t]: (B, K*m, W, T)."""
    return torch.bmm(graph.transpose(1, 2), active.flatten(0, 1)).view_as(active)


def _mixed_backward(grad: Tensor, active: Tensor, graphs: Graphs, post: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of `active` and of `post`, and have `graphs` take theirs."""
    grad_active = torch.empty_like(active)
    grad_post = torch.zeros_like(post, dtype=torch.promote_types(post.dtype, torch.float32))
    graphs.start_grads()
    for bodies in body_chunks(active):
        some, here = grad[bodies], active[bodies]
        differences = graphs.differences(bodies)
        graph = graphs.of(bodies, differences, active.dtype)
        add_pointwise_weight_grad(grad_post, some.flatten(2), _gathered(graph, here).flatten(2))
        own = pointwise(post.t(), some).flatten(0, 1)  # (B*K*m, W, T)
        torch.bmm(graph, own, out=grad_active[bodies].flatten(0, 1))
        graphs.add_grads(bodies, differences, torch.bmm(here.flatten(0, 1), own.transpose(1, 2)).to(graphs.a.dtype))
    return grad_active, grad_post
