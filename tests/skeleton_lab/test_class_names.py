"""Class names: as many as classes, each once, by data set or from a file."""

from __future__ import annotations

import pytest

from skeleton_lab.class_names import BY_DATA_SET, NTU_60, NTU_120, NW_UCLA, class_names
from skeleton_lab.data.formats.ntu import NTU60, NTU120
from skeleton_lab.data.formats.small_sets import UCLA_ACTIONS
from skeleton_lab.errors import UserError


def test_every_class_has_a_name_of_its_own():
    assert (len(NTU_60), len(NTU_120), len(NW_UCLA)) == (NTU60.num_classes, NTU120.num_classes, len(UCLA_ACTIONS))
    for names in BY_DATA_SET.values():
        assert len(set(names)) == len(names)


def test_names_stand_at_their_actions_numbers():
    """Spot checks by the data sets' own numbers, from 1: A023, A060, A120; a08 of NW-UCLA is its seventh class."""
    assert (NTU_60[22], NTU_60[59], NTU_120[119]) == ("hand waving", "walk apart", "rock-paper-scissors")
    assert NW_UCLA[UCLA_ACTIONS.index(8)] == "put on" and NW_UCLA[UCLA_ACTIONS.index(12)] == "carry"


def test_the_number_of_classes_and_joints_tells_the_data_set():
    assert class_names(None, 60, 25) == NTU_60 and class_names(None, 120, 25) == NTU_120
    assert class_names(None, 10, 20) == NW_UCLA
    assert class_names(None, 10, 25)[3] == "class 3"  # ten classes of some other set


def test_names_from_a_file(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("wave\n\n bow \n")
    assert class_names(str(path), 2, 25) == ("wave", "bow")
    with pytest.raises(UserError, match="names 2 classes, the model has 3"):
        class_names(str(path), 3, 25)
    with pytest.raises(UserError, match="cannot read class names"):
        class_names(str(tmp_path / "none"), 3, 25)
