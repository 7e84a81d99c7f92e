"""MSR-Action3D's skeletons to training files.

    python3 dataset_tools/convert_msr_action3d.py --input MSRAction3DSkeletonReal3D --output Datasets/msr_action3d.npz

Reads aAA_sSS_eEE_skeleton3D.txt (20 actions, 10 subjects; the odd subjects train) and writes x_train, y_train, x_test,
y_test: clips (N, C=3, T, V=20, M=1) float32 in metres, T the longest clip's frames and zeros behind shorter ones, and
class indices. A clip begins with the middle of the spine at the origin. The joints are those of MSR_ACTION3D_20 in
skeleton_lab/own_skeletons.py. With --msg3d, MS-G3D's files too. Not for the files in screen coordinates
(*_skeleton.txt). What to do with them: docs/own_skeletons.md.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())))

from skeleton_lab.command.options import read_early
from skeleton_lab.data.prepare.options import read_convert_options
from skeleton_lab.errors import run_command

if __name__ == "__main__":
    OPTIONS = read_early(lambda: read_convert_options(__doc__, "MSR-Action3D"))  # before the libraries load

from skeleton_lab.data.formats.msr_action3d import MSR_ACTION3D
from skeleton_lab.data.prepare.clip_archive import convert_as_asked

if __name__ == "__main__":
    run_command(convert_as_asked, MSR_ACTION3D, OPTIONS)
