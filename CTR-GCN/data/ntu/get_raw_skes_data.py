"""Step 1 of 3: read NTU RGB+D 60's raw recordings and gather their bodies.

    cd CTR-GCN/data/ntu && python3 get_raw_skes_data.py

Reads the .skeleton files of the official download and writes raw_data/: bodies by id, frame counts, dropped frames,
skipped recordings. Then run get_raw_denoised_data.py.
An interrupted run carries on. All three steps at once: dataset_tools/make_ctrgcn_archives.py.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())))

from skeleton_lab.data.prepare.ctrgcn_step import run_step

if __name__ == "__main__":
    run_step("collect", "ntu60", __file__, __doc__)
