"""What the classes of the data sets are called, in class order.

Sources: NTU RGB+D (Shahroudy et al., CVPR 2016) and NTU RGB+D 120 (Liu et al., TPAMI 2019), with the list of actions
on the data sets' page; Northwestern-UCLA Multiview Action 3D (Wang et al., CVPR 2014); UTD-MHAD (Chen et al., ICIP
2015); MSR-Action3D (Li et al., CVPR workshops 2010).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from skeleton_lab.errors import UserError
from skeleton_lab.skeleton_names import same_joints
from skeleton_lab.skeletons import HAND_21, NTU_25, UCLA_20, Skeleton

NTU_120 = (
    "drink water", "eat meal", "brush teeth", "brush hair", "drop", "pick up", "throw", "sit down", "stand up", "clap",
    "read", "write", "tear up paper", "put on jacket", "take off jacket", "put on a shoe", "take off a shoe",
    "put on glasses", "take off glasses", "put on a hat/cap", "take off a hat/cap", "cheer up", "hand waving",
    "kick something", "reach into pocket", "hop (on one foot)", "jump up", "phone call", "play with phone/tablet",
    "type on a keyboard", "point to something", "take a selfie", "check time (from watch)", "rub two hands",
    "nod head/bow", "shake head", "wipe face", "salute", "put palms together", "cross hands in front", "sneeze/cough",
    "stagger", "fall down", "headache", "chest pain", "back pain", "neck pain", "nausea/vomiting", "fan self",
    "punch/slap", "kick", "push", "pat on the back", "point finger at someone", "hug", "give object",
    "touch someone's pocket", "shake hands", "walk towards", "walk apart",
    "put on headphone", "take off headphone", "shoot at basket", "bounce ball", "tennis bat swing",
    "juggle table tennis ball", "hush", "flick hair", "thumb up", "thumb down", "make OK sign", "make victory sign",
    "staple book", "count money", "cut nails", "cut paper", "snap fingers", "open bottle", "sniff/smell", "squat down",
    "toss a coin", "fold paper", "ball up paper", "play magic cube", "apply cream on face", "apply cream on hand",
    "put on bag", "take off bag", "put object into bag", "take object out of bag", "open a box", "move heavy objects",
    "shake fist", "throw up cap/hat", "capitulate (both hands up)", "cross arms", "arm circles", "arm swings",
    "run on the spot", "butt kicks", "cross toe touch", "side kick", "yawn", "stretch oneself", "blow nose",
    "hit with object", "wield knife", "knock over", "grab stuff", "shoot with gun", "step on foot", "high-five",
    "cheers and drink", "carry object", "take a photo", "follow", "whisper", "exchange things", "support somebody",
    "rock-paper-scissors",
)
NTU_60 = NTU_120[:60]
NW_UCLA = ("pick up with one hand", "pick up with two hands", "drop trash", "walk around", "sit down", "stand up",
           "put on", "take off", "throw", "carry")
UTD_MHAD = (
    "swipe left", "swipe right", "wave", "clap", "throw", "cross arms", "shoot at basket", "draw x",
    "draw circle clockwise", "draw circle counter-clockwise", "draw triangle", "bowl", "box", "swing baseball bat",
    "swing tennis racket forehand", "curl arms", "serve at tennis", "push with two hands", "knock on door", "catch",
    "pick up and throw", "jog", "walk", "sit to stand", "stand to sit", "lunge", "squat",
)
MSR_ACTION3D = (
    "high arm wave", "horizontal arm wave", "hammer", "hand catch", "forward punch", "high throw", "draw x",
    "draw tick", "draw circle", "hand clap", "two hand wave", "side boxing", "bend", "forward kick", "side kick",
    "jogging", "tennis swing", "tennis serve", "golf swing", "pick up and throw",
)

# PYSKL's gesture network (HaGRID and Jester): classes 14, 19, 20 and from 27 on are those that were trained.
HAND_GESTURES_40 = (
    "doing other things", "drumming fingers", "no gesture", "pulling hand in", "pulling two fingers in",
    "pushing hand away", "pushing two fingers away", "rolling hand backward", "rolling hand forward", "shaking hand",
    *(f"sliding two fingers {way}" for way in ("down", "left", "right", "up")), "stop sign",
    *(f"swiping {way}" for way in ("down", "left", "right", "up")), "dislike", "like", "turning hand clockwise",
    "turning hand counterclockwise", "zooming in with full hand", "zooming in with two fingers",
    "zooming out with full hand", "zooming out with two fingers", "call", "fist", "four", "mute", "ok", "one", "palm",
    "peace", "rock", "three middle", "three left", "two up", "no gesture (still)",
)

BY_DATA_SET = {"ntu60": NTU_60, "ntu120": NTU_120, "nw-ucla": NW_UCLA, "utd-mhad": UTD_MHAD,
               "msr-action3d": MSR_ACTION3D, "hand-gestures": HAND_GESTURES_40}
_MOST_BYTES = 1 << 20
_LONGEST_SHOWN = 34  # characters


def read_class_names(choice: str, num_classes: int, known: Mapping[str, tuple[str, ...]] = BY_DATA_SET) \
        -> tuple[str, ...]:
    """Return the names that a user chose for a model's classes: a key of `known`, or a text with one name a line.

    Raises:
        UserError: the file cannot be read, or there are fewer names than classes.
    """
    names = known[choice] if choice in known else _read(Path(choice), known)
    if len(names) < num_classes:
        raise UserError(f"{choice}: names {len(names)} classes, the model has {num_classes}; choose one of "
                        f"{', '.join(known)}, or give a text file with one name a line")
    return names[:num_classes]


def usual_class_names(num_classes: int, skeleton: Skeleton | None) -> tuple[str, ...] | None:
    """Return the names of the published data set that has so many classes, of this skeleton; None where there is none.

    For models of which nothing else is known. Data that name their own classes are called by those names.
    """
    if skeleton is None:
        return None
    for names, joints in ((NTU_60, NTU_25), (NTU_120, NTU_25), (NW_UCLA, UCLA_20), (HAND_GESTURES_40, HAND_21)):
        if len(names) == num_classes and same_joints(joints, skeleton):
            return names
    return None


def numbered(num_classes: int) -> tuple[str, ...]:
    """Return "class 0", "class 1", ...: what classes are called of which nothing is known."""
    return tuple(f"class {label}" for label in range(num_classes))


def filled(names: Sequence[str] | None, num_classes: int) -> tuple[str, ...]:
    """Return a name for each class, a number where `names` has none: models may have more outputs than classes."""
    names = tuple(names or ())[:num_classes]
    return names + numbered(num_classes)[len(names):]


def short(name: str) -> str:
    """Return a class's name as a picture has room for it, cut names with an ellipsis."""
    return name if len(name) <= _LONGEST_SHOWN else name[:_LONGEST_SHOWN - 1] + "…"


def _read(path: Path, known: Iterable[str]) -> tuple[str, ...]:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_MOST_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise UserError(f"{path}: cannot read class names ({reason}); choose one of {', '.join(known)}, or give "
                        "a text file with one name a line") from None
    return tuple(line.strip() for line in text.splitlines() if line.strip())
