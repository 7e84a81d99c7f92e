"""Each script that users start says what it is for, and answers typos, before it loads a library."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.early import answers
from tests.trees import ROOT

SCRIPTS = [path for folder in (".", "dataset_tools", "*-*", "ProtoGCN", "MS-G3D/data_gen", "CTR-GCN/data/*")
           for path in sorted(ROOT.glob(f"{folder}/*.py")) if "__main__" in path.read_text()]
NAMES = [path.relative_to(ROOT).as_posix() for path in SCRIPTS]
# An input that is not there, but for one letter; what else each script needs to get as far as looking at it.
MISSING = {
    "anticipate.py": ("--output", "out", "--run", "{missing}"),
    "compare_runs.py": ("{missing}", "{missing}"),
    "convert_ctr_npz_to_msg3d.py": ("--input", "{missing}"),
    "convert_ntu60_kaggle_to_ctrgcn.py": ("--input", "{missing}"),
    "export.py": ("--format", "onnx", "--output", "out", "--run", "{missing}"),
    "extract_poses.py": ("--output", "out.npz", "--video", "{missing}"),
    "predict.py": ("{missing}",),
    "report.py": ("{missing}",),
    "skeleton_dataset_ctrgcn.py": ("--npz-path", "{missing}"),
    "train_npz_mlp.py": ("--npz-path", "{missing}"),
    "train_skeleton_gcn.py": ("--npz-path", "{missing}"),
    "dataset_tools/check_descriptors.py": ("--data", "{missing}", "--descriptors", "{there}"),
    "dataset_tools/convert_msr_action3d.py": ("--output", "out.npz", "--input", "{missing}"),
    "dataset_tools/convert_nw_ucla.py": ("--output", "out.npz", "--input", "{missing}"),
    "dataset_tools/convert_utd_mhad.py": ("--output", "out.npz", "--input", "{missing}"),
    "dataset_tools/inspect_npz.py": ("--path", "{missing}"),
    "dataset_tools/make_ctrgcn_archives.py": ("ntu60", "--skeletons", "{missing}"),
    "dataset_tools/make_synthetic_descriptors.py": ("--output", "out.h5", "--data", "{missing}"),
    "dataset_tools/pack_npz.py": ("--input", "{missing}"),
    "dataset_tools/view_skeleton.py": ("--input", "{missing}"),
    "CTR-GCN/main.py": ("--config", "{missing}"),
    "MS-G3D/main.py": ("--weights", "{missing}"),
    "ST-GCN/main.py": ("--config", "{missing}"),
    "Hyper-GCN/main.py": ("--config", "{missing}"),
    "ProtoGCN/main.py": ("--config", "{missing}"),
    "MS-G3D/data_gen/gen_bone_data.py": ("--dataset", "ntu", "--input", "{missing}"),
    "MS-G3D/data_gen/kinetics_gendata.py": ("--input", "{missing}"),
    "MS-G3D/data_gen/ntu120_gendata.py": ("--input", "{there}", "{missing}"),
    "MS-G3D/data_gen/ntu_gendata.py": ("--data_path", "{missing}"),
    "CTR-GCN/data/ntu/get_raw_skes_data.py": ("--skeletons", "{missing}"),
    "CTR-GCN/data/ntu120/get_raw_skes_data.py": ("--skeletons", "{missing}"),
}


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """What each script answers to --help, to an unknown option, and to a missing input where it has one."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "NTU60_CS.npz").write_text("")
    words = {"{missing}": str(folder / "NTU60_SC.npz"), "{there}": str(folder / "NTU60_CS.npz")}
    asked = {(name, "help"): ["--help"] for name in NAMES}
    asked |= {(name, "typo"): ["--hlep", "3"] for name in NAMES}
    asked |= {(name, "missing"): [words.get(word, word) for word in MISSING[name]] for name in MISSING}
    commands = [[str((ROOT / name).parent), (ROOT / name).name, *arguments] for (name, _), arguments in asked.items()]
    return dict(zip(asked, answers(commands), strict=True))


def test_there_are_scripts_of_all_kinds():
    assert set(NAMES) >= {"benchmark_models.py", "CTR-GCN/main.py", "MS-G3D/main.py", "MS-G3D/ensemble.py",
                          "MS-G3D/data_gen/ntu_gendata.py", "CTR-GCN/data/ntu/seq_transformation.py",
                          "dataset_tools/inspect_npz.py"}


@pytest.mark.parametrize("script", NAMES)
def test_help(answered, script):
    answer = answered[script, "help"]
    assert (answer.status, answer.err, answer.loaded) == (0, "", [])
    usage, about, *_ = answer.out.split("\n\n")
    assert usage.startswith("usage: ") and len(about) > 30
    assert "--help" in answer.out


@pytest.mark.parametrize("script", NAMES)
def test_a_typo_is_answered_at_once_with_the_nearest_option(answered, script):
    answer = answered[script, "typo"]
    assert (answer.status, answer.out, answer.loaded) == (2, "", [])
    assert "unknown option --hlep; did you mean '--help'?" in answer.err and answer.err.count("\n") == 1


@pytest.mark.parametrize("script", MISSING)
def test_a_missing_input_is_told_at_once_with_its_neighbour(answered, script):
    answer = answered[script, "missing"]
    assert (answer.status, answer.out, answer.loaded) == (2, "", [])
    assert answer.err.startswith("error: ") and answer.err.count("\n") == 1
    assert "NTU60_SC.npz: no such file or folder; did you mean '" in answer.err and "NTU60_CS.npz'?" in answer.err


def test_what_the_scripts_import_is_there():
    """From the very start: elsewhere they run in processes that have the engine already."""
    code = "import os, runpy, sys\nfor path in sys.argv[1:]:\n    sys.path[:0] = [os.path.dirname(path)]\n" \
           "    runpy.run_path(path)\n    del sys.path[0]"
    done = subprocess.run([sys.executable, "-c", code, *map(str, SCRIPTS)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
