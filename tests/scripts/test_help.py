"""Each script that users start begins from nothing, and says what it is for."""

from __future__ import annotations

import pytest

from tests.trees import ROOT

SCRIPTS = [path for folder in (".", "dataset_tools", "*-*", "MS-G3D/data_gen", "CTR-GCN/data/*")
           for path in sorted(ROOT.glob(f"{folder}/*.py")) if "__main__" in path.read_text()]


def test_there_are_scripts_of_all_kinds():
    names = {path.relative_to(ROOT).as_posix() for path in SCRIPTS}
    assert names >= {"benchmark_models.py", "CTR-GCN/main.py", "MS-G3D/main.py", "MS-G3D/ensemble.py",
                     "MS-G3D/data_gen/ntu_gendata.py", "CTR-GCN/data/ntu/seq_transformation.py",
                     "dataset_tools/inspect_npz.py"}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_help(run_script, script):
    done = run_script(script.name, "--help", cwd=script.parent, fresh=True)
    assert (done.returncode, done.stderr) == (0, "")
    usage, about, *_ = done.stdout.split("\n\n")
    assert usage.startswith("usage: ") and len(about) > 30
    assert "--help" in done.stdout
