"""Make descriptors of known content for a data set, to try the fusion of a second modality (see docs/fusion.md).

    python3 dataset_tools/make_synthetic_descriptors.py --data demo/NTU60_CS_ctrgcn.npz --output demo/informative.h5
    python3 dataset_tools/make_synthetic_descriptors.py --data demo/NTU60_CS_ctrgcn.npz --output demo/noise.h5 \\
        --kind noise

Informative ones tell in which pair of classes (0 and 1, 2 and 3, ...) a sample is, not which of the two, and under so
much noise that they are often wrong. Noise tells nothing. The same options give the same vectors, and those of a sample
do not depend on which others there are. Not for real data: real descriptors come from a model of video or text.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())))

from skeleton_lab.command.options import Parser, input_path, read_early, require_within
from skeleton_lab.errors import run_command

INFORMATIVE, NOISE = "informative", "noise"


def read_options() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--input", "--data", dest="data", type=input_path, nargs="+", required=True, metavar="PATH",
                        help="archives (.npz), label pickles of MS-G3D, or the folder of NW-UCLA's recordings")
    parser.add_output("H5")
    parser.add_argument("--kind", choices=(INFORMATIVE, NOISE), default=INFORMATIVE, help="(default: %(default)s)")
    parser.add_argument("--group", type=int, default=2, metavar="CLASSES",
                        help="classes that have one code and cannot be told apart (default: 2)")
    parser.add_argument("--noise", type=float, default=3.0,
                        help="standard deviation of the noise; that of the codes is 1 (default: 3)")
    parser.add_argument("--width", type=int, default=32, help="D, the numbers of a vector (default: 32)")
    parser.add_argument("--moments", type=int, default=0,
                        help="T vectors for each sample, whose mean is as noisy as a single one (default: one, (D,))")
    parser.add_argument("--dtype", choices=("float16", "float32"), default="float32", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other codes and noise (default: 0)")
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

import numpy as np
from tqdm import tqdm

from skeleton_lab.data.feeders.samples import read_samples
from skeleton_lab.data.formats.class_indices import require_known
from skeleton_lab.data.formats.descriptors import MAX_VALUES, MAX_WIDTH, key_of
from skeleton_lab.data.formats.headers import import_h5py
from skeleton_lab.files import claim_new, replacing


def main(options: argparse.Namespace) -> None:
    check(options)
    claim_new(options.output, options.overwrite)
    samples = {}
    for path in options.data:
        for split, part in read_samples(path).items():
            require_known(part.labels, f"{path}: {split}")
            samples |= {key_of(name): int(label) for name, label in zip(part.names, part.labels, strict=True)}
    codes = group_codes(options, max(samples.values(), default=0) // options.group + 1)
    right = 0
    with replacing(options.output) as temporary, import_h5py(options.output).File(temporary, "w") as file:
        for name, vectors in describe(samples, codes, options):
            file[name] = (vectors if options.moments else vectors[0]).astype(options.dtype)
            distances = ((vectors.mean(axis=0) - codes) ** 2).sum(axis=1)
            right += distances.argmin() == samples[name] // options.group
    print(f"wrote {options.output}: {len(samples)} samples of {options.width} numbers, {options.kind}")
    if options.kind == INFORMATIVE:
        print(f"told by the nearest code: the right one of {len(codes)} groups of {options.group} classes for "
              f"{100 * right / len(samples):.1f} % of the samples")


def check(options: argparse.Namespace) -> None:
    """Refuse options that make no descriptors."""
    require_within(options, group=(1, 100_000), noise=(0, 1000), width=(1, MAX_WIDTH),
                   moments=(0, MAX_VALUES // options.width if options.width > 0 else 0), seed=(0, 2**32 - 1))


def group_codes(options: argparse.Namespace, num_groups: int) -> np.ndarray:
    """Return the groups' codes (G, D): standard normal, or all the same where descriptors are noise."""
    if options.kind == NOISE:
        return np.zeros((num_groups, options.width))
    return np.random.default_rng(options.seed).standard_normal((num_groups, options.width))


def describe(samples: dict[str, int], codes: np.ndarray,
             options: argparse.Namespace) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each sample's name and vectors (T, D): the code of its group and noise, drawn from seed and name alone."""
    moments = max(options.moments, 1)
    for name, label in tqdm(samples.items(), unit=" samples", disable=None):
        rng = np.random.default_rng((options.seed, zlib.crc32(name.encode())))
        noise = rng.standard_normal((moments, options.width)) * options.noise * np.sqrt(moments)
        yield name, codes[label // options.group] + noise


if __name__ == "__main__":
    run_command(main, OPTIONS)
