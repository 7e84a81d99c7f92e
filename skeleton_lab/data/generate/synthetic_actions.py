"""Sixty made-up actions, told apart by how the body moves: which limbs, how often, in phase or not, in which order.

Every swing goes as far one way as the other from the same upright stance, so that a clip's mean pose says little of
its action. A limb pair swings in phase ("together") or in antiphase ("in turns"), several times, or quickly, or one
limb after the other. Every fifth action is done by two people who face each other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

MIN_FRAMES, MAX_FRAMES = 32, 150  # of a clip
SWING, PULSE, GLIDE = "swing", "pulse", "glide"

# What a body can do. Angles in radians, positive as the name says; steps and jumps in metres.
CHANNELS = (
    "right arm forward", "right arm out", "right elbow", "left arm forward", "left arm out", "left elbow",
    "right leg forward", "right leg out", "right knee", "left leg forward", "left leg out", "left knee",
    "trunk forward", "trunk right", "trunk turn", "head forward", "head turn",
    "crouch", "jump", "step forward", "step right",
)


@dataclass(frozen=True)
class Move:
    """One channel's part in an action.

    Attributes:
        channel: one of CHANNELS.
        amplitude: radians or metres.
        cycles: repetitions between `begin` and `end`.
        phase: of the repetitions, in cycles.
        begin, end: when, as shares of the clip.
        shape: "swing" goes to both sides, "pulse" out and back on one side, "glide" moves over and stays.
    """

    channel: str
    amplitude: float
    cycles: float = 3
    phase: float = 0
    begin: float = 0
    end: float = 1
    shape: str = SWING


@dataclass(frozen=True)
class Action:
    """What the first person does and, if there is one, the second."""

    name: str
    moves: tuple[Move, ...]
    partner_moves: tuple[Move, ...] | None = None


@dataclass(frozen=True)
class _Family:
    """Two groups of channels that take part in an action, each with amplitudes."""

    name: str
    first: dict[str, float]
    second: dict[str, float]


_FAMILIES = (
    _Family("swing arms sideways", {"right arm out": 0.9}, {"left arm out": 0.9}),
    _Family("swing legs", {"right leg forward": 0.6}, {"left leg forward": 0.6}),
    _Family("bow and twist", {"trunk forward": 0.5}, {"trunk turn": 0.8}),
    _Family("crouch and spread arms", {"crouch": 0.5}, {"right arm out": 0.8, "left arm out": -0.8}),
    _Family("step aside and wave", {"step right": 0.35}, {"right arm out": 0.9}),
    _Family("hop and shake head", {"jump": 0.25}, {"head turn": 0.7}),
    _Family("swing left arm and leg", {"left arm forward": 1.0}, {"left leg out": 0.5}),
    _Family("bend elbows", {"right elbow": 1.1}, {"left elbow": 1.1}),
    _Family("swing arms forward", {"right arm forward": 1.0}, {"left arm forward": 1.0}),
    _Family("swing right arm and leg", {"right arm forward": 1.0}, {"right leg out": 0.5}),
    _Family("step and reach", {"step forward": 0.3}, {"left arm forward": 0.9}),
    _Family("sway and nod", {"trunk right": 0.35}, {"head forward": 0.5}),
)


def _moves(amplitudes: dict[str, float], cycles: float = 3, phase: float = 0, begin: float = 0,
           end: float = 1) -> tuple[Move, ...]:
    return tuple(Move(channel, amplitude, cycles, phase, begin, end) for channel, amplitude in amplitudes.items())


def _variants(family: _Family) -> dict[str, Action]:
    """Return the four ways of doing a family's action."""
    together = _moves(family.first) + _moves(family.second)
    return {
        "together": Action(f"{family.name}, together", together),
        "in turns": Action(f"{family.name}, in turns", _moves(family.first) + _moves(family.second, phase=0.5)),
        "quickly": Action(f"{family.name}, quickly", tuple(replace(move, cycles=6) for move in together)),
        "one by one": Action(f"{family.name}, one by one", _moves(family.first, cycles=2, end=0.5)
                             + _moves(family.second, cycles=2, begin=0.5)),
    }


def _alone() -> tuple[Action, ...]:
    """Return the 48 actions of one person: one variant of every family, then the next, so that a few are easy."""
    variants = [_variants(family) for family in _FAMILIES]
    return tuple(variant[way] for way in ("together", "in turns", "one by one", "quickly") for variant in variants)


_TOGETHER = (
    Action("shake hands", (Move("right arm forward", 1.0, 1, shape=PULSE), Move("right elbow", 0.4, 5)),
           (Move("right arm forward", 1.0, 1, shape=PULSE), Move("right elbow", 0.4, 5))),
    Action("walk up and back", (Move("step forward", 0.4, 2, shape=PULSE), Move("right leg forward", 0.5, 4),
                                Move("left leg forward", 0.5, 4, 0.5)), (Move("trunk turn", 0.15, 2),)),
    Action("push away", (Move("right arm forward", 1.2, 2, shape=PULSE), Move("left arm forward", 1.2, 2, shape=PULSE)),
           (Move("step forward", -0.5, 1, begin=0.2, shape=GLIDE), Move("trunk forward", -0.3, 2, shape=PULSE))),
    Action("kick and dodge", (Move("right leg forward", 1.1, 2, shape=PULSE),),
           (Move("step right", 0.4, 2, begin=0.1, shape=PULSE),)),
    Action("part", (Move("step forward", -0.7, 1, shape=GLIDE), Move("right leg forward", 0.5, 4),
                    Move("left leg forward", 0.5, 4, 0.5)),
           (Move("step forward", -0.7, 1, shape=GLIDE), Move("right leg forward", 0.5, 4),
            Move("left leg forward", 0.5, 4, 0.5))),
    Action("clap each other's hands", (Move("right arm forward", 1.3, 4, shape=PULSE),
                                       Move("left arm forward", 1.3, 4, shape=PULSE)),
           (Move("right arm forward", 1.3, 4, shape=PULSE), Move("left arm forward", 1.3, 4, shape=PULSE))),
    Action("clap hands crosswise", (Move("right arm forward", 1.3, 4, shape=PULSE),
                                    Move("left arm forward", 1.3, 4, 0.5, shape=PULSE)),
           (Move("right arm forward", 1.3, 4, shape=PULSE), Move("left arm forward", 1.3, 4, 0.5, shape=PULSE))),
    Action("bow to each other", (Move("trunk forward", 0.7, 2, shape=PULSE),),
           (Move("trunk forward", 0.7, 2, shape=PULSE),)),
    Action("bow in turns", (Move("trunk forward", 0.7, 1, end=0.5, shape=PULSE),),
           (Move("trunk forward", 0.7, 1, begin=0.5, shape=PULSE),)),
    Action("sidestep side by side", (Move("step right", 0.4, 2),), (Move("step right", -0.4, 2),)),
    Action("sidestep apart", (Move("step right", 0.4, 2),), (Move("step right", 0.4, 2),)),
    Action("follow", (Move("step forward", 0.6, 1, shape=GLIDE), Move("left arm forward", 0.8, 3)),
           (Move("step forward", -0.6, 1, shape=GLIDE), Move("left arm forward", 0.8, 3, 0.5))),
)


def _ordered() -> tuple[Action, ...]:
    """Return all actions: four of one person, then one of two, and so on."""
    alone, together = iter(_alone()), iter(_TOGETHER)
    return tuple(next(together) if number % 5 == 0 else next(alone)
                 for number in range(1, len(_TOGETHER) + len(_alone()) + 1))


ACTIONS = _ordered()
CLASS_NAMES = tuple(action.name for action in ACTIONS)
