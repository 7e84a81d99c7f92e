"""ST-GCN++ as PYSKL and MMAction2 keep it, their `STGCN` with `mstcn`; see `skeleton_lab.foreign.network`.

Theirs sums over the other index of each topology, and has one batch norm over a unit's branches where this tree has one
for each: the same thing split.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from skeleton_lab.foreign.network import Misfit, Network, Theirs, Told, blocks_of, fitted, sizes, stages_of

MODEL = "model.stgcn.Model"
LAST_NORMS = ("0.3.bn", "1.3.bn", "2.3.bn", "3.3.bn", "4.4", "5.1")  # of each branch, where theirs has one for all
USUAL_BODIES = {21: 1}  # of hands; else 2
NORM_OF_ALL = re.compile(r"gcn\.(\d+)\.tcn\.transform\.0\.(\w+)")
RENAMED = (  # ours has l1 where theirs has gcn.0
    (r"gcn\.A", "gcn1.topology"), (r"gcn\.(.+)", r"gcn1.\1"),
    (r"tcn\.branches\.5\.(weight|bias)", r"tcn1.branches.branches.5.0.\1"),
    (r"tcn\.branches\.(.+)", r"tcn1.branches.branches.\1"), (r"tcn\.transform\.2\.(.+)", r"tcn1.mix.conv.\1"),
    (r"tcn\.bn\.(.+)", r"tcn1.mix.bn.\1"), (r"residual\.(.+)", r"residual.\1"))


def recognise(state: Mapping[str, Tensor]) -> bool:
    """Whether a checkpoint is of this network."""
    return "gcn.0.tcn.transform.0.weight" in state and "gcn.0.gcn.conv.weight" in state and "gcn.0.gcn.A" in state \
        and "gcn.0.gcn.PA" not in state


def network(state: Mapping[str, Tensor], told: Told) -> Network:
    """Return the model that the tensors are of."""
    joints, channels = state["gcn.0.gcn.A"].shape[-1], state["gcn.0.gcn.conv.weight"].shape[1]
    found = sizes(state, joints, channels, told)
    together = len(state["data_bn.weight"]) == joints * channels
    if together and not told.num_person:
        found["num_person"] = USUAL_BODIES.get(joints, 2)
    return Network(MODEL, {
        **found, "graph": "graph.pyskl.Graph", "graph_args": {"layout": told.layout_of(joints)},
        "data_bn_type": "VC" if together else "MVC",
        **blocks_of(state, r"gcn\.(\d+)\.gcn\.bn\.weight", "gcn.{}.residual.conv.weight", channels, told)})


def from_theirs(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return the weights for `model`, which `network` describes."""
    ours: dict[str, Tensor] = {}
    for key, value in state.items():
        if norm := NORM_OF_ALL.fullmatch(key):
            ours |= _split(int(norm[1]), norm[2], value, model)
        elif block := re.match(r"gcn\.(\d+)\.(.+)", key):
            name = f"l{int(block[1]) + 1}.{_renamed(block[2])}"
            ours[name] = value.transpose(1, 2).contiguous() if name.endswith(".topology") else value
        else:
            ours[key] = value
    return fitted(ours, model)


def _renamed(key: str) -> str:
    for theirs, own in RENAMED:
        if re.fullmatch(theirs, key):
            return re.sub(theirs, own, key)
    return key


def _split(block: int, part: str, value: Tensor, model: nn.Module) -> dict[str, Tensor]:
    """Return a tensor of the norm over all branches as those of each branch; a counter is each one's."""
    keys = [f"l{block + 1}.tcn1.branches.branches.{norm}.{part}" for norm in LAST_NORMS]
    own = model.state_dict()
    widths = [len(own[key]) if key in own and own[key].dim() else 0 for key in keys]
    if not value.dim():
        return {key: value.clone() for key in keys}
    if sum(widths) != len(value):
        raise Misfit(f"has a norm over {len(value)} channels in block {block + 1}, whose branches have {widths}")
    return dict(zip(keys, value.split(widths), strict=True))


def to_theirs(model: Any) -> Theirs:
    """Return the model as theirs; Misfit if their network cannot compute what it does."""
    shape = model.shape
    layout = Told().layout_of(shape.num_point)
    together = shape.same_moments or shape.num_person == 1
    theirs: dict[str, Tensor] = {}
    state = model.state_dict()
    for key, value in state.items():
        if not (block := re.match(r"l(\d+)\.(.+)", key)):
            theirs[key] = value
        elif not re.match(r"tcn1\.branches\.branches\.(" + "|".join(map(re.escape, LAST_NORMS)) + r")\.", block[2]):
            name = f"gcn.{int(block[1]) - 1}.{_their_name(block[2])}"
            theirs[name] = value.transpose(1, 2).contiguous() if name.endswith(".gcn.A") else value
    for number in range(model.num_blocks):
        for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            parts = [state[f"l{number + 1}.tcn1.branches.branches.{norm}.{part}"] for norm in LAST_NORMS]
            theirs[f"gcn.{number}.tcn.transform.0.{part}"] = torch.cat(parts) if parts[0].dim() else parts[0]
    backbone = {"type": "STGCN", "graph_cfg": {"layout": layout, "mode": "spatial"}, "gcn_adaptive": "init",
                "gcn_with_res": True, "tcn_type": "mstcn", "in_channels": shape.in_channels, **stages_of(model)}
    if not together:
        backbone |= {"data_bn_type": "MVC", "num_person": shape.num_person}
    return Theirs(backbone, theirs)


def _their_name(key: str) -> str:
    for ours, theirs in ((r"gcn1\.topology", "gcn.A"), (r"gcn1\.(.+)", r"gcn.\1"),
                         (r"tcn1\.branches\.branches\.5\.0\.(.+)", r"tcn.branches.5.\1"),
                         (r"tcn1\.branches\.branches\.(.+)", r"tcn.branches.\1"),
                         (r"tcn1\.mix\.conv\.(.+)", r"tcn.transform.2.\1"), (r"tcn1\.mix\.bn\.(.+)", r"tcn.bn.\1")):
        if re.fullmatch(ours, key):
            return re.sub(ours, theirs, key)
    return key
