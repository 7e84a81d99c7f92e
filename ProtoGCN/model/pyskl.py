"""ProtoGCN as its authors keep it, on PYSKL's frame; see `skeleton_lab.foreign.network`.

Keys are this tree's but for their prefixes. What trains it alone, the prototypes for instance, is in their checkpoints;
the class memory is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from skeleton_lab.foreign.network import Misfit, Network, Theirs, Told, fitted, sizes

MODEL = "model.protogcn.Model"
USUAL_BODIES = 2
CSC_WEIGHTS = {400: 0.2, 100: 0.3}  # of the contrastive loss, by the number of prototypes; tensors do not tell it
RECIPE = {"num_epoch": 150, "repeat": 1, "base_lr": 0.2}  # 0.025 for 16 clips
SPATIAL = {"normalize": {"align_spine": False}, "decode": True}
FLAT = {"normalize": {"mode": "none"}, "decode": True, "middles": True}
SPATIAL_JOINTS, FLAT_JOINTS = 25, 20


def recognise(state: Mapping[str, Tensor]) -> bool:
    """Whether a checkpoint is of this network."""
    return "prn.query_matrix.weight" in state and "gcn.0.gcn.A" in state


def network(state: Mapping[str, Tensor], told: Told) -> Network:
    """Return the model that the tensors are of."""
    joints, channels = state["gcn.0.gcn.A"].shape[-1], state["gcn.0.gcn.pre.0.weight"].shape[1]
    if joints not in (SPATIAL_JOINTS, FLAT_JOINTS):
        raise Misfit(f"is of a skeleton of {joints} joints; known are {SPATIAL_JOINTS}, and {FLAT_JOINTS}, COCO's "
                     "and three more")
    found: dict[str, Any] = {**sizes(state, joints, channels, told)}
    if not told.num_person:
        found["num_person"] = USUAL_BODIES  # their first norm takes all bodies together
    prototypes = len(state["prn.query_matrix.weight"])
    found |= {"num_prototype": prototypes, "csc_weight": CSC_WEIGHTS.get(prototypes, 0.1)}
    return Network(MODEL, found, SPATIAL if joints == SPATIAL_JOINTS else FLAT, RECIPE)


def from_theirs(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return the weights for `model`, which `network` describes."""
    return fitted(state, model)


def to_theirs(model: Any) -> Theirs:
    """Refuse: what the classes of their config are called is not known here."""
    raise Misfit("PYSKL itself has no ProtoGCN, and the config of its authors' copy is not known here")
