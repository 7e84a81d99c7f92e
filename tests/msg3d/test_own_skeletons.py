"""MS-G3D on other skeletons: graphs and bone files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.own_skeletons import MSR_ACTION3D_20
from tests.trees import ROOT


@pytest.mark.parametrize("name", ["utd_mhad", "msr_action3d", "ucla"])
def test_graphs(tree, name: str) -> None:
    adjacency = tree.load(f"graph.{name}.AdjMatrixGraph")().A_binary
    assert adjacency.shape == (20, 20) and adjacency.sum() == 2 * 19 and (adjacency == adjacency.T).all()


def test_bones_of_an_own_skeleton(tmp_path: Path, run_script) -> None:
    joints = np.random.default_rng(0).standard_normal((2, 3, 4, 20, 1)).astype(np.float32)
    for part in ("train", "val"):
        np.save(tmp_path / f"{part}_data_joint.npy", joints)
    script = ROOT / "MS-G3D" / "data_gen" / "gen_bone_data.py"
    result = run_script(script, "--dataset", "own", "--data-folder", tmp_path, "--skeleton",
                        "skeleton_lab.own_skeletons.MSR_ACTION3D_20")
    assert result.returncode == 0, result.stderr
    expected = joints - joints[:, :, :, list(MSR_ACTION3D_20.parents)]
    np.testing.assert_array_equal(np.load(tmp_path / "val_data_bone.npy"), expected)
    result = run_script(script, "--dataset", "own", "--data-folder", tmp_path)
    assert result.returncode == 2 and result.stderr.startswith("error: --skeleton: is needed")
