"""Turn an NTU archive, in either layout, into the files that MS-G3D trains on.

    python3 convert_ctr_npz_to_msg3d.py --input NTU60_CS.npz --output MS-G3D/data/ntu/xsub

writes train_data_joint.npy, train_label.pkl, val_data_joint.npy and val_label.pkl (from the archive's test split), with
--bone also train_data_bone.npy and val_data_bone.npy. Clips are pre-normalised as MS-G3D expects. It needs little
memory, and as much disk space as the archive, with --bone twice that. Run again, it keeps the files that are there and
right; it never replaces others unasked.

It is not for raw .skeleton files: MS-G3D/data_gen/ntu_gendata.py reads those. Accuracies on its output need not equal
the published ones: the archive holds the bodies that CTR-GCN's preprocessing chose.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "skeleton_lab").is_dir())
sys.path.insert(0, str(ROOT))

from skeleton_lab.command.options import Parser, input_path, read_early
from skeleton_lab.errors import UserError, run_command

DEFAULT_FOLDER = ROOT / "MS-G3D" / "data" / "ntu"


def read_options() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--input", type=input_path, default=DEFAULT_FOLDER / "NTU60_CS.npz", metavar="FILE",
                        help="archive with x_train and y_train, x_test and y_test, or one of both; clips (N, T, 150) "
                             "or (N, C, T, V, M) (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=DEFAULT_FOLDER / "xsub", metavar="FOLDER",
                        help="where the files go (default: %(default)s)")
    parser.add_argument("--frames", type=int, metavar="T",
                        help="resize the valid frames of each clip to T, linearly as CTR-GCN's feeder does, instead of "
                             "keeping them and their padding: a fraction of the time and memory, for small machines "
                             "and first tries; published accuracies are for 300 unresized frames")
    parser.add_argument("--no-pre-normalize", dest="pre_normalize", action="store_false",
                        help="copy the clips as they are, without padding, centring and rotation")
    parser.add_argument("--bone", action="store_true", help="also write the bone files")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    options = parser.parse_args()
    if options.frames is not None and options.frames < 1:
        parser.error(f"argument --frames: {options.frames} is no number of frames; give 1 or more")
    return options


if __name__ == "__main__":
    OPTIONS = read_early(read_options)  # before the libraries load, which takes seconds

import numpy as np
from tqdm import tqdm

from skeleton_lab.data.formats import archive, layouts
from skeleton_lab.data.formats.about import read_about, write_beside
from skeleton_lab.data.formats.labels import read_labels, write_labels
from skeleton_lab.data.prepare.bones import joints_to_bones, write_bone
from skeleton_lab.data.prepare.prenormalize import pre_normalize
from skeleton_lab.files import claim
from skeleton_lab.skeletons import NTU_25

PARTS = {"train": "train", "test": "val"}  # the archive's splits -> MS-G3D's names
LABEL, JOINT, BONE = "label.pkl", "data_joint.npy", "data_bone.npy"
ROUNDING = 1e-5  # what another numpy or processor may change, in metres


@dataclass(frozen=True)
class SplitFiles:
    """One split of the archive on its way into `folder`; `labels` (N,) int64.

    `num_frames`: what each clip's valid frames are resized to; None leaves clips at their length.
    """

    source: layouts.SplitHeader
    labels: np.ndarray
    folder: Path
    pre_normalize: bool
    num_frames: int | None

    @property
    def names(self) -> list[str]:
        """The archive has no clip names; these are those of CTR-GCN's feeder, so that scores of both models match."""
        return [f"{self.source.split}_{row}" for row in range(len(self.labels))]

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, T, V, M)"""
        return (len(self.labels), layouts.NUM_COORDINATES, self.num_frames or self.source.num_frames,
                layouts.NUM_JOINTS, layouts.NUM_BODIES)

    def path(self, kind: str) -> Path:
        return self.folder / f"{PARTS[self.source.split]}_{kind}"

    def joints(self) -> Iterator[np.ndarray]:
        """Yield the clips as they are to be written, block by block: (n, C, T, V, M) float32."""
        for rows, block in archive.read_blocks(self.source.path, self.source.data.key):
            if not layouts.all_finite(block):
                for row, clip in enumerate(block, rows.start):
                    layouts.require_finite(clip, self.source.path, self.source.split, row)
            frames = layouts.as_frames(block, self.source.layout)
            if self.num_frames:
                from skeleton_lab.data.feeders.transforms import (
                    resize_valid,  # loads PyTorch, which nothing else here needs
                )

                frames = resize_valid(frames, self.num_frames)
            clips = np.ascontiguousarray(frames.transpose(0, 4, 1, 3, 2), np.float32)  # -> (n, C, T, V, M)
            yield pre_normalize(clips) if self.pre_normalize else clips

    def write(self, kind: str) -> None:
        """Write one of the three files."""
        if kind == LABEL:
            write_labels(self.path(kind), self.names, self.labels.tolist())
        elif kind == BONE:
            write_bone(self.path(JOINT), self.path(BONE), NTU_25)
        else:
            with (archive.create_npy(self.path(kind), self.shape, np.float32) as sink,
                  tqdm(total=len(self.labels), unit="clip", desc=self.path(kind).name, disable=None) as progress):
                for clips in self.joints():
                    sink.append(clips)
                    progress.update(len(clips))

    def is_written(self, kind: str) -> bool:
        """Whether the file is there and right, as far as its size and first clips tell.

        Raises:
            UserError: it is there and holds something else.
        """
        path = self.path(kind)
        if not path.exists():
            return False
        if not (self._same_labels(path) if kind == LABEL else self._same_clips(path, kind)):
            raise UserError(f"{path}: exists, and is not what this archive and these options give; add --overwrite to "
                            "replace it, or choose another --output")
        return True

    def _same_labels(self, path: Path) -> bool:
        try:
            return read_labels(path) == (self.names, self.labels.tolist())
        except UserError:  # damaged
            return False

    def _same_clips(self, path: Path, kind: str) -> bool:
        expected = next(self.joints())
        if kind == BONE:
            expected = joints_to_bones(expected, NTU_25)
        try:
            if archive.find_array(path, "").shape != self.shape:
                return False
            _, found = next(archive.read_blocks(path))
        except UserError:  # damaged
            return False
        clips = min(len(found), len(expected))
        return np.allclose(found[:clips], expected[:clips], rtol=0, atol=ROUNDING)


def open_part(options: argparse.Namespace, split: str) -> SplitFiles:
    """Recognise one split of the archive and read its labels."""
    source = layouts.read_header(options.input, split)
    if source.num_clips == 0:
        raise UserError(f"{options.input}: the {split} split holds no clips; choose another archive")
    return SplitFiles(source, layouts.read_labels(source), options.output, options.pre_normalize, options.frames)


def main(options: argparse.Namespace) -> None:
    claim(options.output)
    parts = [open_part(options, split) for split in layouts.main_splits(options.input)]
    about = read_about(options.input).without_clips()
    kinds = [JOINT, LABEL, BONE] if options.bone else [JOINT, LABEL]
    files = [(part, kind) for part in parts for kind in kinds]
    written = {part.path(kind) for part, kind in files if not options.overwrite and part.is_written(kind)}
    for part, kind in files:  # nothing is touched before all that exists has been looked at
        if part.path(kind) in written:
            print(f"kept   {part.path(kind)}")
        else:
            part.write(kind)
            print(f"wrote  {part.path(kind)}")
    for part in parts:
        write_beside(part.path(LABEL), about)
    for part in parts:
        print(f"{PARTS[part.source.split]}: {len(part.labels):,} clips of {part.shape[2]} frames, "
              f"{len(np.unique(part.labels[part.labels >= 0]))} classes")


if __name__ == "__main__":
    run_command(main, OPTIONS)
