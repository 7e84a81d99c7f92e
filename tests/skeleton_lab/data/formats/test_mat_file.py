"""MATLAB files: what SciPy writes, packed or not, is read; what is damaged is one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.data.formats.mat_file import read_mat_array
from skeleton_lab.errors import UserError

savemat = pytest.importorskip("scipy.io", reason="needs SciPy to write .mat files").savemat


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i2", "u1"])
def test_arrays_are_read_as_written(tmp_path: Path, packed: bool, dtype: str) -> None:
    joints = (np.random.default_rng(0).random((20, 3, 7)) * 100).astype(dtype)
    savemat(tmp_path / "x.mat", {"other": "text", "d_skel": joints}, do_compression=packed)
    found = read_mat_array(tmp_path / "x.mat", "d_skel")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, joints)
    assert read_mat_array(tmp_path / "x.mat", "nothing") is None


@pytest.mark.parametrize(("value", "what"), [(np.ones((2, 2), complex), "holds no real numbers"),
                                             ("text", "holds no real numbers")])
def test_what_is_no_array_of_numbers_is_said(tmp_path: Path, value: object, what: str) -> None:
    savemat(tmp_path / "x.mat", {"d_skel": value})
    with pytest.raises(UserError, match=what):
        read_mat_array(tmp_path / "x.mat", "d_skel")


def test_every_cut_of_a_file_is_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "x.mat", {"d_skel": np.ones((2, 3, 2))})
    whole = (tmp_path / "x.mat").read_bytes()
    for length in range(len(whole) - 1):
        (tmp_path / "cut.mat").write_bytes(whole[:length])
        if length == 128:  # a file that holds nothing
            continue
        with pytest.raises(UserError, match=r"cut\.mat: is no readable \.mat file"):
            read_mat_array(tmp_path / "cut.mat", "d_skel")
