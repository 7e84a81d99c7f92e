"""What the trees' `model/pyskl.py` have in common: sizes read off a checkpoint's tensors, and checks of what was made.

Such a module is found by its name and says how the tree's network is kept there:

- `MODEL`: dotted path of the model;
- `recognise(state) -> bool`: whether a checkpoint is of this network;
- `network(state, told) -> Network`: the model, and its options, that compute the same;
- `from_theirs(state, model) -> state`: its weights for that model;
- `to_theirs(model) -> Theirs`: the other way.

It imports nothing of its tree, since no tree is chosen yet when it is asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from skeleton_lab.errors import UserError
from skeleton_lab.nn.blocks import PLAN
from skeleton_lab.own_skeletons import PYSKL_LAYOUTS

_SHOWN = 3
_COUNTERS = "num_batches_tracked"


class Misfit(UserError):
    """A checkpoint that looks like a known network, but is none that this lab has; the message lacks the file."""


@dataclass(frozen=True)
class Told:
    """What a config tells of a network; None where there is no config, or it does not say.

    down_stages: the blocks, from 1, that halve the frames. num_person: M. layout: of the skeleton.
    """

    down_stages: Sequence[int] | None = None
    num_person: int | None = None
    layout: str | None = None

    def layout_of(self, joints: int) -> str:
        """Return the layout of a checkpoint with V joints.

        Raises:
            Misfit: no layout has so many.
        """
        by_size = {skeleton.num_joints: name for name, skeleton in PYSKL_LAYOUTS.items()}
        if joints not in by_size:
            known = ", ".join(f"{size} ({name})" for size, name in by_size.items())
            raise Misfit(f"is of a skeleton of {joints} joints; known are {known}")
        return by_size[joints]


@dataclass(frozen=True)
class Network:
    """A model that computes what a checkpoint's network does. model: dotted path; args: all its options; data, recipe:
    options of the feeder and settings of training that are usual for it, where a config does not tell.
    """

    model: str
    args: dict[str, Any]
    data: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Theirs:
    """A model as theirs: the arguments of their backbone, and its state with the keys of `from_theirs`."""

    backbone: dict[str, Any]
    state: dict[str, Tensor] = field(repr=False)


def sizes(state: Mapping[str, Tensor], joints: int, channels: int, told: Told) -> dict[str, int]:
    """Return `num_class`, `num_point`, `num_person` and `in_channels`; of one set of moments for all persons,
    `num_person` is what the config says, or else 1.

    Raises:
        Misfit: the first batch norm does not fit them, or there is no classifier.
    """
    classifier, norm = state.get("fc.weight"), state.get("data_bn.weight")
    if classifier is None or classifier.dim() != 2 or norm is None:
        raise Misfit("has no data_bn or no classifier (cls_head); give a whole checkpoint")
    persons, left = divmod(len(norm), joints * channels)
    if left or not persons:
        raise Misfit(f"has a data_bn over {len(norm)} numbers, which {joints} joints of {channels} coordinates do not "
                     "make up")
    if persons == 1 and told.num_person:
        persons = told.num_person
    return {"num_class": len(classifier), "num_point": joints, "num_person": persons, "in_channels": channels}


def blocks_of(state: Mapping[str, Tensor], width: str, residual: str, channels: int, told: Told) -> dict[str, Any]:
    """Return `{"blocks": [[channels, stride], ...]}`, or nothing where that is the usual plan.

    Tensors do not tell a stride where a block widens: it is 2 there, as usual, unless a config says else. A network
    whose first block would keep the channels of its input has not got that block: it begins with the second.

    Args:
        width: pattern of the key, with the block's number from 0 in a group, of something as long as the block is wide.
        residual: key, with {} for that number, that is there where the shortcut is a convolution.
        channels: of the input.

    Raises:
        Misfit: blocks are missing in between, or the first has a shortcut although it widens.
    """
    widths = {int(found[1]): len(value) for key, value in state.items() if (found := re.fullmatch(width, key))}
    if sorted(widths) != list(range(len(widths))) or not widths:
        raise Misfit(f"has blocks {sorted(widths)[:20]}, of which some are missing")
    second = widths[0] == channels
    if not second and residual.format(0) in state:
        raise Misfit(f"begins with a block from {channels} to {widths[0]} channels that has a shortcut")
    plan = []
    for number in range(len(widths)):
        convolved = residual.format(number) in state
        halves = convolved and (told.down_stages is None or number + 1 + second in told.down_stages)
        plan.append((widths[number], 2 if halves else 1))
    return {} if tuple(plan) == PLAN else {"blocks": [list(pair) for pair in plan]}


def stages_of(model: Any) -> dict[str, Any]:
    """Return their arguments for the blocks of a `BlockStack`: nothing where these are the usual ones.

    Raises:
        Misfit: theirs cannot be so wide or strided.
    """
    plan = [(model.get_submodule(f"l{number}.gcn1.bn").num_features, model.get_submodule(f"l{number}").stride)
            for number in range(1, model.num_blocks + 1)]
    if tuple(plan) == PLAN:
        return {}
    if plan[0][0] == model.shape.in_channels:  # with them the first block is then left out
        plan.insert(0, (plan[0][0], 1))
    inflate, down = [], []
    for number, (before, here) in enumerate(pairwise(plan), start=2):
        if here[0] not in (before[0], 2 * before[0]) or here[1] > 2:
            raise Misfit(f"their blocks double their width and halve the frames or keep them, block {number} does "
                         "something else")
        inflate += [number] * (here[0] != before[0])
        down += [number] * (here[1] == 2)
    if plan[0][1] != 1:
        raise Misfit("their first block keeps all frames")
    return {"base_channels": plan[0][0], "num_stages": len(plan), "inflate_stages": inflate, "down_stages": down}


def for_each_body(value: Tensor, length: int) -> Tensor:
    """Return what one set of moments for all persons is as one for each of them: repeated up to `length`."""
    return value.repeat(length // len(value)) if value.dim() == 1 and length % len(value) == 0 else value


def fitted(weights: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return the weights in the model's order, with counters that are not there at zero.

    Raises:
        Misfit: keys or shapes are not the model's.
    """
    own = model.state_dict()
    unknown = [key for key in weights if key not in own]
    missing = [key for key in own if key not in weights and not key.endswith(_COUNTERS)]
    other = [f"{key} {tuple(weights[key].shape)}, not {tuple(own[key].shape)}" for key in own
             if key in weights and weights[key].shape != own[key].shape]
    for problem, keys in (("has weights that this lab's has not", unknown), ("lacks weights", missing),
                          ("has weights of another size", other)):
        if keys:
            more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
            raise Misfit(f"{problem}: {', '.join(keys[:_SHOWN])}{more} (named as they are here); it is a variant of "
                         "the network that is not known")
    return {key: weights.get(key, torch.zeros_like(value)) for key, value in own.items()}
