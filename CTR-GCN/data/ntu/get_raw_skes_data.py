"""Step 1 of 3: read NTU RGB+D 60's raw recordings and gather their bodies.

    cd CTR-GCN/data/ntu && python3 get_raw_skes_data.py

Reads the .skeleton files of the official download and writes raw_data/: bodies by id, frame counts, dropped frames,
skipped recordings. Then run get_raw_denoised_data.py.
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
    OPTIONS = read_early(lambda: read_step_options(__doc__, HERE, reads_recordings=True))

from skeleton_lab.data.formats.ntu import NTU60
from skeleton_lab.data.prepare.ctrgcn_commands import collect_step, run

if __name__ == "__main__":
    run_command(lambda: run(OPTIONS, NTU60, HERE, (collect_step,)))
