"""A trained model as standard operators, for inference only: what an exporter can follow.

The models compute with operators of their own (buffers, pieces, written-out gradients), which no exporter traces with
lengths left open. What is exported is their reference: the class that a model's `reference` names, with the model's
arguments and weights. Elsewhere the engine's units, which derive from references, compute as these do; units of any
other kind stay as they are. Batch norms that follow a convolution are folded into it once the graph is there.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from skeleton_lab.nn.model import is_memory_friendly, reference_of

_CONVOLUTIONS = {getattr(torch.ops.aten, name).default for name in ("conv1d", "conv2d", "conv3d")}
_BATCH_NORM = torch.ops.aten.batch_norm.default


def inference_form(model: nn.Module, model_args: Mapping[str, Any]) -> nn.Module:
    """Return `model`, built with `model_args`, as standard operators: in evaluation mode and without gradients.

    The same results up to rounding; `model` stays as it is.
    """
    form: Any
    make = reference_of(model)
    if make is None:
        form = copy.deepcopy(model)
        if is_memory_friendly(form):
            form.set_memory_friendly(False)
    else:
        first = next(model.parameters())
        form = make(**model_args).to(first.device, first.dtype)
        form.load_state_dict(model.state_dict())
    for unit in form.modules():
        if hasattr(unit, "standard_forward"):
            unit.forward = unit.standard_forward  # of this instance alone
    return form.eval().requires_grad_(False)


def fold_batch_norms(program: Any) -> Any:
    """Fold each batch norm of an ExportedProgram whose input is a convolution, and nothing else's, into that.

    In evaluation a batch norm is x * scale + shift by channel, and a convolution is linear. Changes the program, whose
    tensors become its own, and returns it. (Graphs of PyTorch before 2.5 say it with other operators, and stay.)
    """
    signature = program.graph_signature
    keys = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    for norm in [node for node in program.graph.nodes if node.target is _BATCH_NORM]:
        conv, scale_node, shift_node, mean, variance, training, _, eps = norm.args[:8]
        alone = (conv.target in _CONVOLUTIONS and len(conv.users) == 1 and not training
                 and all(len(node.users) == 1 for node in (conv.args[1], shift_node)))  # weights that are shared stay
        if not alone:
            continue
        image, weight_node, bias_node, *geometry = (*conv.args, None)[:max(3, len(conv.args))]
        state = program.state_dict
        weight, scale, shift, mean, variance = (
            state[keys[node.name]].detach() for node in (weight_node, scale_node, shift_node, mean, variance))
        bias = 0 if bias_node is None else state[keys[bias_node.name]].detach()
        scale = scale * (variance + eps).rsqrt()
        for node, folded in ((weight_node, weight * scale.view(-1, *[1] * (weight.dim() - 1))),
                             (shift_node, (bias - mean) * scale + shift)):
            state[keys[node.name]] = nn.Parameter(folded, requires_grad=False)
        conv.args = (image, weight_node, shift_node, *geometry)
        norm.replace_all_uses_with(conv)
        program.graph.erase_node(norm)
    program.graph_module.recompile()
    return program
