"""Make a procedural data set for next-action prediction: several actions in a row, and the label is what follows them.

    python3 dataset_tools/make_next_action_set.py --output demo/next_action.npz

The layout is that of the Kaggle NTU-60 archive, x (N, T, 150) float32 and one-hot y, so that the models train on it as
on any other. Which action follows which is a Markov chain: the chance level and the best possible accuracy are known,
and printed. Subjects of the test clips are never seen in training. See docs/anticipation.md. It serves to try a
method; accuracy on it says nothing about real people.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())))

from skeleton_lab.command.options import Parser, read_early, require_within
from skeleton_lab.data.generate.synthetic_actions import MAX_FRAMES
from skeleton_lab.errors import UserError, run_command


def read_options() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_output("NPZ", "archive to write")
    parser.add_argument("--actions", type=int, default=10,
                        help="number of actions, 3 to 60 (default: 10); every fifth is done by two people")
    parser.add_argument("--shown", type=int, default=2, help="actions in a row in each clip (default: 2)")
    parser.add_argument("--likely", type=float, default=0.85, metavar="PROBABILITY",
                        help="of the likely successor of each action: the best possible accuracy (default: 0.85)")
    parser.add_argument("--train", type=int, default=400, metavar="CLIPS", help="training clips (default: 400)")
    parser.add_argument("--test", type=int, default=200, metavar="CLIPS", help="test clips (default: 200)")
    parser.add_argument("--frames", type=int, metavar="T", help="the frames of each row; clips are shorter, zeros "
                        f"follow (default: {MAX_FRAMES} for each action shown, which is the least)")
    parser.add_argument("--seed", type=int, default=0,
                        help="another seed gives another chain and other clips (default: 0)")
    options = parser.parse_args()
    if options.frames is None:
        options.frames = options.shown * MAX_FRAMES
    return options


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

import numpy as np
from tqdm import tqdm

from skeleton_lab.data.formats.about import NTU_FPS, About, write_about
from skeleton_lab.data.formats.archive import NpzWriter
from skeleton_lab.data.formats.layouts import FRAME_VALUES, NUM_BODIES, NUM_COORDINATES, NUM_JOINTS
from skeleton_lab.data.formats.ntu import NTU60, SampleName
from skeleton_lab.data.generate import synthetic, synthetic_actions
from skeleton_lab.data.generate.next_action import Chain, concatenate
from skeleton_lab.files import claim_new, size_text
from skeleton_lab.skeletons import NTU_25

CENTRE_JOINT = 1  # the middle of the spine
BLOCK_CLIPS = 64


@dataclass(frozen=True)
class Sequence:
    """The clips to show one after the other, and the action that comes next, from 0."""

    shown: tuple[SampleName, ...]
    next_action: int

    @property
    def last_action(self) -> int:
        """The last action that is shown, from 0."""
        return self.shown[-1].label


def main(options: argparse.Namespace) -> None:
    check(options)
    claim_new(options.output, options.overwrite)
    chain = Chain.make(options.actions, options.likely, options.seed)
    protocol = next(protocol for protocol in NTU60.protocols if protocol.name == "xsub")
    parts = {"train": plan(options.train, protocol.train, chain, options),
             "test": plan(options.test, protocol.test, chain, options)}
    with NpzWriter(options.output) as writer, tqdm(total=options.train + options.test, unit=" clips",
                                                  disable=None) as progress:
        for part, sequences in parts.items():
            with writer.member(f"x_{part}", (len(sequences), options.frames, FRAME_VALUES), np.float32) as sink:
                for block in blocks(sequences, options):
                    sink.append(block)
                    progress.update(len(block))
            writer.write(f"y_{part}", np.eye(NTU60.num_classes)[[sequence.next_action for sequence in sequences]])
        write_about(writer, About(synthetic_actions.CLASS_NAMES[:options.actions], NTU_25, NTU_FPS))
    report(parts["test"], chain, options)


def check(options: argparse.Namespace) -> None:
    """Refuse options that make no data set."""
    require_within(options, actions=(3, synthetic.NUM_ACTIONS), shown=(1, 60), train=(1, 1_000_000),
                   test=(1, 1_000_000), seed=(0, 2**32 - 1), frames=(options.shown * MAX_FRAMES, 10_000))
    if not 1 / options.actions < options.likely <= 1:
        raise UserError(f"--likely {options.likely}: must be more than 1 in {options.actions}, which is chance, and at "
                        "most 1")


def plan(num_clips: int, performers: tuple[int, ...], chain: Chain, options: argparse.Namespace) -> list[Sequence]:
    """Draw the sequences of one part: who, before which camera, does what; no clip is shown twice."""
    rng = np.random.default_rng((options.seed, 6, performers[0]))
    sequences = []
    for number in range(num_clips):
        setup, camera = int(rng.integers(NTU60.num_setups)) + 1, int(rng.integers(len(synthetic.CAMERA_YAW_DEG))) + 1
        performer, actions = int(rng.choice(performers)), chain.draw(options.shown + 1, rng).tolist()
        shown = (SampleName(setup, camera, performer, number * options.shown + place + 1, action + 1)
                 for place, action in enumerate(actions[:-1]))
        sequences.append(Sequence(tuple(shown), actions[-1]))
    return sequences


def blocks(sequences: list[Sequence], options: argparse.Namespace) -> Iterator[np.ndarray]:
    """Yield the rows (n, T, 150) float32: the origin is the first person's spine in the first frame."""
    for start in range(0, len(sequences), BLOCK_CLIPS):
        some = sequences[start:start + BLOCK_CLIPS]
        block = np.zeros((len(some), options.frames, NUM_BODIES, NUM_JOINTS, NUM_COORDINATES), np.float32)
        for row, sequence in zip(block, some, strict=True):
            clip = concatenate([synthetic.make_clip(sample, options.seed) for sample in sequence.shown], CENTRE_JOINT)
            present = clip.any(axis=(2, 3), keepdims=True)
            row[:len(clip), :clip.shape[1]] = (clip - clip[0, 0, CENTRE_JOINT]) * present
        yield block.reshape(len(some), options.frames, FRAME_VALUES)


def report(test: list[Sequence], chain: Chain, options: argparse.Namespace) -> None:
    """Print what accuracies mean on the test clips."""
    right = [int(chain.successor[sequence.last_action] == sequence.next_action) for sequence in test]
    most = np.bincount([sequence.next_action for sequence in test]).max() / len(test)
    print(f"{options.train} + {options.test} clips of {options.shown} action(s) in a row, of {options.actions}; the "
          "label is the next one")
    print(f"chance: {100 / options.actions:.1f} % (always the test's most frequent label: {100 * most:.1f} %)")
    print(f"best possible: {100 * chain.best_accuracy():.1f} % (on this test: {100 * np.mean(right):.1f} %)")
    if options.shown > 1:
        blind = [int(chain.successor[chain.successor[sequence.shown[-2].label]] == sequence.next_action)
                 for sequence in test]
        print(f"best possible without the last action shown: {100 * chain.best_accuracy(2):.1f} % (on this test: "
              f"{100 * np.mean(blind):.1f} %)")
    print(f"wrote {options.output} ({size_text(options.output.stat().st_size)})")


if __name__ == "__main__":
    run_command(main, OPTIONS)
