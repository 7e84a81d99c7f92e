"""What the classes of the data sets are called, in class order.

Sources: NTU RGB+D (Shahroudy et al., CVPR 2016) and NTU RGB+D 120 (Liu et al., TPAMI 2019), with the list of actions
on the data sets' page; Northwestern-UCLA Multiview Action 3D (Wang et al., CVPR 2014).
"""

from __future__ import annotations

from pathlib import Path

from skeleton_lab.data.generate.synthetic_actions import ACTIONS
from skeleton_lab.errors import UserError

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
SYNTHETIC = tuple(action.name for action in ACTIONS)

BY_DATA_SET = {"ntu60": NTU_60, "ntu120": NTU_120, "nw-ucla": NW_UCLA, "synthetic": SYNTHETIC}
_MOST_BYTES = 1 << 20


def class_names(choice: str | None, num_classes: int, num_joints: int) -> tuple[str, ...]:
    """Return the names of a model's classes.

    Args:
        choice: a key of `BY_DATA_SET`, or a text file with one name a line; None: as the number of classes and joints
            suggests (60 or 120 with 25 joints: NTU RGB+D; 10 with 20 joints: NW-UCLA), else "class 0", "class 1", ...

    Raises:
        UserError: the file cannot be read, or there are fewer names than classes.
    """
    if choice is None:
        by_size = {(60, 25): NTU_60, (120, 25): NTU_120, (10, 20): NW_UCLA}
        return by_size.get((num_classes, num_joints)) or tuple(f"class {label}" for label in range(num_classes))
    names = BY_DATA_SET[choice] if choice in BY_DATA_SET else _read(Path(choice))
    if len(names) < num_classes:
        raise UserError(f"{choice}: names {len(names)} classes, the model has {num_classes}; choose one of "
                        f"{', '.join(BY_DATA_SET)}, or give a text file with one name a line")
    return names[:num_classes]


def _read(path: Path) -> tuple[str, ...]:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_MOST_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise UserError(f"{path}: cannot read class names ({reason}); choose one of {', '.join(BY_DATA_SET)}, or give "
                        "a text file with one name a line") from None
    return tuple(line.strip() for line in text.splitlines() if line.strip())
