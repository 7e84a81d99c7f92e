"""CTR-GCN as PYSKL and MMAction2 keep it, their `CTRGCN`; see `skeleton_lab.foreign.network`.

Theirs sums over the other index of each topology, which exchanges the roles of phi and psi and turns the sign of their
difference, and ends each temporal unit in a ReLU (`tcn_relu`). With that the outputs are the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from skeleton_lab.foreign.network import (
    Misfit,
    Network,
    Theirs,
    Told,
    blocks_of,
    fitted,
    for_each_body,
    sizes,
    stages_of,
)
from skeleton_lab.own_skeletons import PYSKL_LAYOUTS
from skeleton_lab.skeletons import spatial_adjacency

MODEL = "model.ctrgcn.Model"
PHI_PSI = re.compile(r"(?<=\.convs\.\d\.)conv[12](?=\.)")
NEGATED = re.compile(r"\.convs\.\d\.conv4\.weight$")


def recognise(state: Mapping[str, Tensor]) -> bool:
    """Whether a checkpoint is of this network."""
    return "net.0.gcn1.convs.0.conv1.weight" in state and "net.0.gcn1.A" in state


def network(state: Mapping[str, Tensor], told: Told) -> Network:
    """Return the model that the tensors are of."""
    joints, channels = state["net.0.gcn1.A"].shape[-1], state["net.0.gcn1.convs.0.conv1.weight"].shape[1]
    return Network(MODEL, {
        **sizes(state, joints, channels, told), "graph": "graph.pyskl.Graph",
        "graph_args": {"layout": told.layout_of(joints)}, "tcn_relu": True,
        **blocks_of(state, r"net\.(\d+)\.gcn1\.bn\.weight", "net.{}.residual.conv.weight", channels, told)})


def from_theirs(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return the weights for `model`, which `network` describes."""
    ours = {}
    for key, value in state.items():
        if key.startswith("data_bn."):
            ours[key] = for_each_body(value, len(model.state_dict()["data_bn.weight"]))
        elif key != "A":  # their graph, which the learnt topologies started from
            name = re.sub(r"^net\.(\d+)\.", lambda found: f"l{int(found[1]) + 1}.", key)
            ours[_exchanged(name).replace(".gcn1.A", ".gcn1.PA")] = _turned(key, value)
    return fitted(ours, model)


def to_theirs(model: Any) -> Theirs:
    """Return the model as theirs; Misfit if their network cannot compute what it does."""
    if not model.l1.inner_relu or not model.l1.gcn1.adaptive:
        raise Misfit("their temporal units end in a ReLU and their topologies are learnt: the model would have to be "
                     "trained with tcn_relu=True and adaptive=True")
    shape = model.shape
    layout = Told().layout_of(shape.num_point)
    theirs = {"A": torch.from_numpy(spatial_adjacency(PYSKL_LAYOUTS[layout])).float()}
    for key, value in model.state_dict().items():
        name = re.sub(r"^l(\d+)\.", lambda found: f"net.{int(found[1]) - 1}.", _exchanged(key))
        name = name.replace(".gcn1.PA", ".gcn1.A")
        theirs[name] = _turned(name, value)
    return Theirs({"type": "CTRGCN", "graph_cfg": {"layout": layout, "mode": "spatial"},
                   "in_channels": shape.in_channels, "num_person": shape.num_person, **stages_of(model)}, theirs)


def _exchanged(name: str) -> str:
    """Exchange phi and psi."""
    return PHI_PSI.sub(lambda found: {"conv1": "conv2", "conv2": "conv1"}[found[0]], name)


def _turned(key: str, value: Tensor) -> Tensor:
    """Transpose topologies; negate what the difference with the exchanged sign, behind an odd function, is mixed by."""
    if key.endswith(".gcn1.A"):
        return value.transpose(1, 2).contiguous()
    return -value if NEGATED.search(key) else value
