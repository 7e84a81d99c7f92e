"""Step 2 of 3: choose the one or two actors of each NTU RGB+D 120 recording.

    cd CTR-GCN/data/ntu120 && python3 get_raw_denoised_data.py

Reads raw_data/ and writes denoised_data/. Then run seq_transformation.py.
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

from skeleton_lab.data.formats.ntu import NTU120
from skeleton_lab.data.prepare.ctrgcn_commands import denoise_step, run

if __name__ == "__main__":
    run_command(lambda: run(OPTIONS, NTU120, HERE, (denoise_step,)))
