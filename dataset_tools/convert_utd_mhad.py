"""UTD-MHAD's skeletons to training files.

    python3 dataset_tools/convert_utd_mhad.py --input Skeleton --output Datasets/utd_mhad.npz

Reads aA_sS_tT_skeleton.mat (27 actions, 8 subjects; the odd subjects train) and writes x_train, y_train, x_test,
y_test: clips (N, C=3, T, V=20, M=1) float32 in metres, T the longest clip's frames and zeros behind shorter ones, and
class indices. A clip begins with the middle of the spine at the origin. The joints are those of UTD_MHAD_20 in
skeleton_lab/own_skeletons.py. With --msg3d, MS-G3D's files too. What to do with them:
docs/own_skeletons.md.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())))

from skeleton_lab.command.options import read_early
from skeleton_lab.data.prepare.options import read_convert_options
from skeleton_lab.errors import run_command

if __name__ == "__main__":
    OPTIONS = read_early(lambda: read_convert_options(__doc__, "UTD-MHAD"))  # before the libraries load

from skeleton_lab.data.formats.utd_mhad import UTD_MHAD
from skeleton_lab.data.prepare.clip_archive import convert_as_asked

if __name__ == "__main__":
    run_command(convert_as_asked, UTD_MHAD, OPTIONS)
