"""Row files: filled in any order, kept through an interruption, whole or absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.data.formats.row_file import RowFile
from skeleton_lab.errors import UserError


def test_rows_in_any_order_make_the_array(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((7, 2, 3)).astype(np.float32)
    file = RowFile(tmp_path / "deep" / "rows.npy", rows.shape)
    assert not file.prepare()
    for start, stop in ((5, 7), (0, 2), (2, 5)):
        file.write(start, rows[start:stop])
        assert not file.path.exists()
        assert file.prepare()  # it is there, and stays
    file.commit()
    np.testing.assert_array_equal(np.load(file.path), rows)
    assert not file.partial.exists()


def test_a_leftover_of_another_shape_is_replaced(tmp_path: Path) -> None:
    RowFile(tmp_path / "rows.npy", (4, 3)).prepare()
    assert not RowFile(tmp_path / "rows.npy", (3, 4)).prepare()
    assert RowFile(tmp_path / "rows.npy", (3, 4)).prepare()


def test_no_rows(tmp_path: Path) -> None:
    file = RowFile(tmp_path / "rows.npy", (0, 3))
    file.prepare()
    file.commit()
    assert np.load(file.path).shape == (0, 3)


def test_rows_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    file = RowFile(tmp_path / "rows.npy", (4, 3))
    file.prepare()
    for start, shape in ((3, (2, 3)), (-1, (1, 3)), (0, (1, 4))):
        with pytest.raises(ValueError, match="do not fit"):
            file.write(start, np.zeros(shape, np.float32))


def test_an_unwritable_place_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write it"):
        RowFile(tmp_path / "file" / "rows.npy", (1, 1)).prepare()
