"""Class names: as many as classes, each once, by data set or from a file."""

from __future__ import annotations

import pytest

from skeleton_lab.class_names import (
    BY_DATA_SET,
    NTU_60,
    NTU_120,
    NW_UCLA,
    filled,
    read_class_names,
    short,
    usual_class_names,
)
from skeleton_lab.data.formats.msr_action3d import MSR_ACTION3D
from skeleton_lab.data.formats.ntu import NTU60, NTU120
from skeleton_lab.data.formats.nw_ucla import UCLA_ACTIONS
from skeleton_lab.data.formats.utd_mhad import UTD_MHAD
from skeleton_lab.data.generate.synthetic_actions import CLASS_NAMES
from skeleton_lab.errors import UserError
from skeleton_lab.own_skeletons import UTD_MHAD_20
from skeleton_lab.skeletons import NTU_25, UCLA_20


def test_every_class_has_a_name_of_its_own():
    assert (len(NTU_60), len(NTU_120), len(NW_UCLA)) == (NTU60.num_classes, NTU120.num_classes, len(UCLA_ACTIONS))
    for data_set in (UTD_MHAD, MSR_ACTION3D):
        assert len(data_set.class_names) == len(data_set.actions)
    for names in BY_DATA_SET.values():
        assert len(set(names)) == len(names)


def test_names_stand_at_their_actions_numbers():
    """Spot checks by the data sets' own numbers, from 1: A023, A060, A120; a08 of NW-UCLA is its seventh class."""
    assert (NTU_60[22], NTU_60[59], NTU_120[119]) == ("hand waving", "walk apart", "rock-paper-scissors")
    assert NW_UCLA[UCLA_ACTIONS.index(8)] == "put on" and NW_UCLA[UCLA_ACTIONS.index(12)] == "carry"


def test_of_models_that_say_nothing_the_classes_and_the_skeleton_tell_the_data_set():
    assert usual_class_names(60, NTU_25) == NTU_60 and usual_class_names(120, NTU_25) == NTU_120
    assert usual_class_names(10, UCLA_20) == NW_UCLA
    assert usual_class_names(10, UTD_MHAD_20) is None  # twenty joints as well, but other ones
    assert usual_class_names(10, NTU_25) is None and usual_class_names(60, None) is None
    assert filled(("wave", "bow"), 3) == ("wave", "bow", "class 2") and filled(None, 1) == ("class 0",)


def test_pictures_tell_classes_apart():
    for names in (NTU_120, NW_UCLA, CLASS_NAMES):
        assert len({short(name) for name in names}) == len(names)
    assert short("crouch and spread arms, together") == "crouch and spread arms, together"
    assert short("x" * 35) == "x" * 33 + "…"


def test_names_from_a_file(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("wave\n\n bow \n")
    assert read_class_names(str(path), 2) == ("wave", "bow")
    with pytest.raises(UserError, match="names 2 classes, the model has 3"):
        read_class_names(str(path), 3)
    with pytest.raises(UserError, match="cannot read class names"):
        read_class_names(str(tmp_path / "none"), 3)
