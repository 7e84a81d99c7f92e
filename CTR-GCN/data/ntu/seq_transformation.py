"""Step 3 of 3: write the NTU RGB+D 60 archives that the configurations train on.

    cd CTR-GCN/data/ntu && python3 seq_transformation.py

Reads denoised_data/ and writes NTU60_CS.npz and NTU60_CV.npz, about 10 GB each.
An interrupted run carries on. All three steps at once: dataset_tools/make_ctrgcn_archives.py.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(next(folder for folder in HERE.parents if (folder / "skeleton_lab").is_dir())))

from skeleton_lab.command.options import read_early
from skeleton_lab.data.prepare.options import read_step_options
from skeleton_lab.errors import run_command

if __name__ == "__main__":
    OPTIONS = read_early(lambda: read_step_options(__doc__, HERE, reads_recordings=False))

from skeleton_lab.data.formats.ntu import NTU60
from skeleton_lab.data.prepare.ctrgcn_commands import archive_step, run

if __name__ == "__main__":
    run_command(lambda: run(OPTIONS, NTU60, HERE, (archive_step,)))
