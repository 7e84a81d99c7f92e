"""Make a procedural data set in the layout of the Kaggle NTU-60 archive: x (N, T, 150) float32 and one-hot y.

    python3 dataset_tools/make_synthetic_ntu60.py --output demo/NTU60_CS.npz

Up to 60 made-up actions by up to 40 subjects, filmed by three cameras, split by subject as in NTU's cross-subject
protocol: those of the test clips are never seen in training. The actions differ in how the body moves (see
skeleton_lab/data/generate/synthetic_actions.py). The same options give the same file, byte for byte. It serves to try
the lab without the licensed data; accuracy on it says nothing about real people.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())))

from skeleton_lab.command.options import Parser, read_early, require_within
from skeleton_lab.data.generate.synthetic_actions import MAX_FRAMES
from skeleton_lab.errors import run_command


def read_options() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_output("NPZ", "archive to write")
    parser.add_argument("--classes", type=int, default=10,
                        help="number of actions, at most 60 (default: 10); every fifth is done by two people")
    parser.add_argument("--train", type=int, default=400, metavar="CLIPS", help="training clips (default: 400)")
    parser.add_argument("--test", type=int, default=200, metavar="CLIPS", help="test clips (default: 200)")
    parser.add_argument("--subjects", type=int, default=40, help="subjects, 4 to 40 (default: 40); about half train")
    parser.add_argument("--frames", type=int, default=300,
                        help=f"T, the frames of each row, at least {MAX_FRAMES}; clips are shorter, zeros follow "
                        "(default: 300)")
    parser.add_argument("--noise", type=float, default=0.01, metavar="METRES",
                        help="standard deviation of the sensor's noise (default: 0.01)")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other clips (default: 0)")
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

import numpy as np
from tqdm import tqdm

from skeleton_lab.data.formats.about import NTU_FPS, About, write_about
from skeleton_lab.data.formats.archive import NpzWriter
from skeleton_lab.data.formats.layouts import FRAME_VALUES, NUM_BODIES, NUM_COORDINATES, NUM_JOINTS
from skeleton_lab.data.formats.ntu import NTU60, SampleName
from skeleton_lab.data.generate import synthetic, synthetic_actions
from skeleton_lab.files import claim_new, size_text
from skeleton_lab.skeletons import NTU_25

CENTRE_JOINT = 1  # the middle of the spine
BLOCK_CLIPS = 64


def main(options: argparse.Namespace) -> None:
    check(options)
    claim_new(options.output, options.overwrite)
    protocol = next(protocol for protocol in NTU60.protocols if protocol.name == "xsub")
    parts = {"train": plan(options.train, protocol.train, options), "test": plan(options.test, protocol.test, options)}
    sensor = synthetic.Sensor(noise_m=options.noise)
    with NpzWriter(options.output) as writer, tqdm(total=options.train + options.test, unit=" clips",
                                                  disable=None) as progress:
        for part, samples in parts.items():
            with writer.member(f"x_{part}", (len(samples), options.frames, FRAME_VALUES), np.float32) as sink:
                for block in blocks(samples, options, sensor):
                    sink.append(block)
                    progress.update(len(block))
            writer.write(f"y_{part}", np.eye(NTU60.num_classes)[[sample.label for sample in samples]])
        write_about(writer, About(synthetic_actions.CLASS_NAMES[:options.classes], NTU_25, NTU_FPS,
                                  {part: tuple(map(str, samples)) for part, samples in parts.items()}))
    for part, samples in parts.items():
        print(f"{part}: {len(samples)} clips of {options.classes} actions by "
              f"{len({sample.performer for sample in samples})} subjects")
    print(f"wrote {options.output} ({size_text(options.output.stat().st_size)})")


def check(options: argparse.Namespace) -> None:
    """Refuse options that make no data set."""
    require_within(options, classes=(2, synthetic.NUM_ACTIONS), subjects=(4, NTU60.num_performers),
                   frames=(MAX_FRAMES, 10_000), train=(options.classes, 1_000_000), test=(options.classes, 1_000_000),
                   seed=(0, 2**32 - 1), noise=(0, 1))


def plan(num_clips: int, performers: tuple[int, ...], options: argparse.Namespace) -> list[SampleName]:
    """Choose the samples of one part, evenly over the actions, each once; in the order of NTU's archives: by subject.

    Subjects, setups, cameras and repetitions are dealt at random; there are as many repetitions as are needed.
    """
    performers = tuple(performer for performer in performers if performer <= options.subjects)
    rng = np.random.default_rng((options.seed, len(performers), performers[0]))
    sides = (NTU60.num_setups, len(synthetic.CAMERA_YAW_DEG), len(performers))
    most_per_action = -(-num_clips // options.classes)
    sides = (*sides, max(2, -(-most_per_action // int(np.prod(sides)))))
    samples = []
    for action in range(options.classes):
        share = num_clips // options.classes + (action < num_clips % options.classes)
        for place in rng.permutation(int(np.prod(sides)))[:share]:
            setup, camera, performer, repetition = map(int, np.unravel_index(place, sides))
            samples.append(SampleName(setup + 1, camera + 1, performers[performer], repetition + 1, action + 1))
    return sorted(samples, key=lambda sample: (sample.performer, sample))


def blocks(samples: list[SampleName], options: argparse.Namespace, sensor: synthetic.Sensor) -> Iterator[np.ndarray]:
    """Yield the samples' rows (n, T, 150) float32: the origin is the first person's spine in the first frame."""
    for start in range(0, len(samples), BLOCK_CLIPS):
        some = samples[start:start + BLOCK_CLIPS]
        block = np.zeros((len(some), options.frames, NUM_BODIES, NUM_JOINTS, NUM_COORDINATES), np.float32)
        for row, sample in zip(block, some, strict=True):
            clip = synthetic.make_clip(sample, options.seed, sensor)  # (T, M, V, C)
            row[:len(clip), :clip.shape[1]] = clip - clip[0, 0, CENTRE_JOINT]
        yield block.reshape(len(some), options.frames, FRAME_VALUES)


if __name__ == "__main__":
    run_command(main, OPTIONS)
