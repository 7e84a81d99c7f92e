"""Step 2 of 3: choose the one or two actors of each NTU RGB+D 120 recording.

    cd CTR-GCN/data/ntu120 && python3 get_raw_denoised_data.py

Reads raw_data/ and writes denoised_data/. Then run seq_transformation.py.
An interrupted run carries on. All three steps at once: dataset_tools/make_ctrgcn_archives.py.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())))

from skeleton_lab.data.prepare.ctrgcn_step import run_step

if __name__ == "__main__":
    run_step("denoise", "ntu120", __file__, __doc__)
