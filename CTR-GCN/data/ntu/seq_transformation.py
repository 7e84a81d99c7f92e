"""Step 3 of 3: write the NTU RGB+D 60 archives that the configurations train on.

    cd CTR-GCN/data/ntu && python3 seq_transformation.py

Reads denoised_data/ and writes NTU60_CS.npz and NTU60_CV.npz, about 10 GB each.
An interrupted run carries on. All three steps at once: dataset_tools/make_ctrgcn_archives.py.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(next(p for p in Path(__file__).resolve().parents if (p / "skeleton_lab").is_dir())))

from skeleton_lab.data.prepare.ctrgcn_step import run_step

if __name__ == "__main__":
    run_step("archive", "ntu60", __file__, __doc__)
