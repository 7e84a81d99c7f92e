"""Make procedural recordings in NTU RGB+D's raw format: one .skeleton file for each sample.

    python3 dataset_tools/make_synthetic_skeletons.py --output demo/nturgb+d_skeletons --count 500

They go through the same commands as the official download (dataset_tools/make_ctrgcn_archives.py, MS-G3D/data_gen), to
try these without the licensed data. Some show what real ones do: frames in which the sensor has lost everyone, a
short-lived ghost body, a person who comes back under another id. The same options give the same files, byte for byte.
To train on made-up data, make an archive at once: make_synthetic_ntu60.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())))

from skeleton_lab.command.options import Parser, read_early
from skeleton_lab.data.prepare.options import add_jobs_option
from skeleton_lab.errors import UserError, run_command


def read_options() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--count", type=int, default=500, help="recordings (default: %(default)s)")
    parser.add_argument("--classes", type=int, default=10, help="actions, at most 60 (default: %(default)s)")
    parser.add_argument("--trouble", type=float, default=0.2,
                        help="share of recordings with lost frames, ghosts or changed ids (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another one gives other recordings (default: %(default)s)")
    add_jobs_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

import numpy as np
from tqdm import tqdm

from skeleton_lab.data.formats.ntu import NTU60, SUFFIX, SampleName
from skeleton_lab.data.formats.sightings import TRACKED, Sightings
from skeleton_lab.data.formats.skeleton_file import format_recording
from skeleton_lab.data.generate import synthetic
from skeleton_lab.data.prepare.workers import Crew, advance
from skeleton_lab.files import size_text, write_text

FIRST_BODY_ID = 72057594037927936
GHOST_FRAMES = 9  # fewer than any pipeline takes for a person


def main(options: argparse.Namespace) -> None:
    most = NTU60.num_setups * 3 * NTU60.num_performers * 2 * options.classes
    for name, least, limit in (("count", 1, most), ("classes", 1, NTU60.num_classes), ("trouble", 0, 1),
                               ("seed", 0, 2**32 - 1)):
        if not least <= getattr(options, name) <= limit:
            raise UserError(f"--{name} {getattr(options, name)}: must be between {least} and {limit}")
    tasks = [(options.output, sample, options.seed, options.trouble)
             for sample in choose_samples(options.count, options.classes)]
    with Crew(options.jobs) as crew, tqdm(total=len(tasks), unit="file") as progress:
        num_bytes = sum(crew.run(write_one, tasks, progress))
    print(f"wrote {len(tasks):,} recordings ({size_text(num_bytes)}) to {options.output}")


def choose_samples(count: int, num_classes: int) -> list[SampleName]:
    """Return `count` sample names, spread over actions first, then performers, cameras, setups, replications."""
    samples = []
    for number in range(count):
        rest, action = divmod(number, num_classes)
        rest, performer = divmod(rest, NTU60.num_performers)
        rest, camera = divmod(rest, 3)
        replication, setup = divmod(rest, NTU60.num_setups)
        samples.append(SampleName(setup + 1, camera + 1, performer + 1, replication + 1, action + 1))
    return samples


def write_one(task: tuple[Path, SampleName, int, float]) -> int:
    """Write one recording; return its size in bytes."""
    folder, sample, seed, trouble = task
    rng = np.random.default_rng((seed, 77, *sample))
    clip = synthetic.make_clip(sample, seed).transpose(1, 0, 2, 3)  # (T, M, V, C) -> (M, T, V, C)
    bodies = [(str(FIRST_BODY_ID + int(rng.integers(1 << 30))), 0, joints) for joints in clip]
    gap = 0
    if rng.random() < trouble:
        kind = rng.integers(3)
        if kind == 0:
            gap = int(rng.integers(1, 6))
        elif kind == 1:
            bodies.append((str(FIRST_BODY_ID + 1), 3, clip[0, :GHOST_FRAMES] + np.array([1.5, 0, 0.5])))
        else:
            name, _, joints = bodies[0]
            half = len(joints) // 2
            bodies[0] = (name, 0, joints[:half])
            bodies.append((str(FIRST_BODY_ID + 2), half, joints[half:]))
    text = format_recording(assemble(bodies, clip.shape[1], gap))
    write_text(folder / f"{sample}{SUFFIX}", text)
    advance()
    return len(text)


def assemble(bodies: list[tuple[str, int, np.ndarray]], num_frames: int, gap: int) -> Sightings:
    """Return the recording of bodies (id, first frame, joints (f, V, C)), with `gap` empty frames in front."""
    entries = [(gap + first + frame, slot, name, pose) for slot, (name, first, joints) in enumerate(bodies)
               for frame, pose in enumerate(joints)]
    entries.sort(key=lambda entry: entry[:2])
    frames = np.array([entry[0] for entry in entries])
    slots = np.arange(len(entries)) - np.searchsorted(frames, frames)  # those present move up
    joints = np.stack([entry[3] for entry in entries]).astype(np.float64)
    return Sightings(gap + num_frames, frames, slots, tuple(entry[2] for entry in entries), joints,
                     np.full(joints.shape[:2], TRACKED, np.uint8))


if __name__ == "__main__":
    run_command(main, OPTIONS)
