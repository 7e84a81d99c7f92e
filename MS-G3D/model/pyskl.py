"""MS-G3D as PYSKL and MMAction2 keep it, their `MSG3D`; see `skeleton_lab.foreign.network`.

The same layers over other constants: their adjacencies are normalised by column and summed over the other index. What
is learnt is added to a constant in both, so that the difference of the constants goes into what is learnt here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skeleton_lab.foreign.network import Misfit, Network, Theirs, Told, fitted, for_each_body, sizes
from skeleton_lab.own_skeletons import PYSKL_LAYOUTS
from skeleton_lab.skeletons import hop_distance, normalize_columns, symmetric_adjacency

MODEL = "model.msg3d.Model"
GRAPHS = {"nturgb+d": "graph.ntu_rgb_d.AdjMatrixGraph", "coco": "graph.pyskl.Coco",
          "openpose": "graph.kinetics.AdjMatrixGraph", "handmp": "graph.pyskl.Hand"}
USUAL_WIDTH = 96
THEIR_SCALES, THEIR_CHANNELS = 13, 3


def recognise(state: Mapping[str, Tensor]) -> bool:
    """Whether a checkpoint is of this network."""
    return "gcn3d1.gcn3d.0.gcn3d.1.PA" in state and "sgcn1.0.PA" in state


def network(state: Mapping[str, Tensor], told: Told) -> Network:
    """Return the model that the tensors are of."""
    scales, joints, _ = state["sgcn1.0.PA"].shape
    window_scales = len(state["gcn3d1.gcn3d.0.gcn3d.1.PA"])
    channels, left = divmod(state["sgcn1.0.mlp.layers.0.weight"].shape[1], scales)
    widths = tuple(len(state[f"tcn{stage}.branches.5.1.weight"]) * 6 for stage in (1, 2, 3))
    if left or widths[1:] != (2 * widths[0], 4 * widths[0]):
        raise Misfit(f"has stages of {widths} channels; each should be twice as wide as the one before")
    width = {} if widths[0] == USUAL_WIDTH else {"base_channels": widths[0]}
    return Network(MODEL, {
        **sizes(state, joints, channels, told), "num_gcn_scales": scales, "num_g3d_scales": window_scales,
        "graph": GRAPHS[told.layout_of(joints)], **width})


def from_theirs(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return the weights for `model`, which `network` describes."""
    ours = {}
    for key, value in state.items():
        unit, _, part = key.rpartition(".")
        if part == "PA":
            constant = model.get_submodule(unit).A_powers
            learnt = (state[f"{unit}.A"].double() + value.double()).transpose(1, 2).flatten(0, 1)  # (K*W, W)
            ours[f"{unit}.A_res"] = (learnt - constant.double()).to(value.dtype)
        elif key.startswith("data_bn."):
            ours[key] = for_each_body(value, len(model.state_dict()["data_bn.weight"]))
        elif part != "A":
            ours[key] = value
    return fitted(ours, model)


def to_theirs(model: Any) -> Theirs:
    """Return the model as theirs; Misfit if their network cannot compute what it does."""
    joints = model.sgcn1[0].A_powers.shape[1]
    layout = Told().layout_of(joints)
    scales = len(model.sgcn1[0].A_powers) // joints
    if (scales, model.sgcn1[0].mlp.layers[0].in_channels) != (THEIR_SCALES, THEIR_SCALES * THEIR_CHANNELS):
        raise Misfit(f"theirs has {THEIR_SCALES} scales and takes {THEIR_CHANNELS} coordinates")
    adjacency = symmetric_adjacency(PYSKL_LAYOUTS[layout])
    theirs = {"A": torch.from_numpy(adjacency).float()}
    for key, value in model.state_dict().items():
        unit, _, part = key.rpartition(".")
        if part != "A_res":
            theirs[key] = value
            continue
        size = value.shape[1]  # W: of a window, or V
        window = adjacency if size == joints else np.tile(adjacency + np.eye(joints), (size // joints, size // joints))
        constant = _their_scales(window, len(value) // size)
        learnt = (model.get_submodule(unit).A_powers.double() + value.double()).view(-1, size, size).transpose(1, 2)
        theirs[f"{unit}.PA"] = (learnt - constant.double()).to(value.dtype)
        theirs[f"{unit}.A"] = constant
    persons, width = model.data_bn.num_features // (joints * THEIR_CHANNELS), model.sgcn1[0].mlp.layers[0].out_channels
    return Theirs({"type": "MSG3D", "graph_cfg": {"layout": layout, "mode": "binary_adj"}, "num_person": persons,
                   **({} if width == USUAL_WIDTH else {"base_channels": width})}, theirs)


def _their_scales(adjacency: np.ndarray, num_scales: int) -> Tensor:
    """Return (K, W, W) float32: for each k the links to oneself and to nodes k hops away, normalised by column."""
    distance, itself = hop_distance(adjacency), np.eye(len(adjacency), dtype=bool)
    scales = [normalize_columns(((distance == k) | itself).astype(np.float32)) for k in range(num_scales)]
    return torch.from_numpy(np.stack(scales))
