"""Sample names, protocols, missing-skeleton lists and listings of NTU RGB+D."""

from __future__ import annotations

from pathlib import Path

import pytest

from skeleton_lab.data.formats.ntu import NTU60, NTU120, SampleName, list_recordings, parse_name, read_missing_list
from skeleton_lab.errors import UserError

NAME = "S017C002P040R002A060"


def test_a_name_says_five_numbers() -> None:
    sample = parse_name(f"{NAME}.skeleton")
    assert sample == SampleName(setup=17, camera=2, performer=40, replication=2, action=60)
    assert sample.label == 59 and str(sample) == NAME and parse_name(NAME) == sample


@pytest.mark.parametrize("name", ["", "a01_s01_e00_v01", "S1C1P1R1A1", "S001C001P001R001A001_rgb",
                                  "s001C001P001R001A001", "S000C001P001R001A001", "S001C001P001R001A000",
                                  "S٠٠١C001P001R001A001"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="is no sample name"):
        parse_name(name)


def test_protocols_are_the_published_ones() -> None:
    xsub, xview = NTU60.protocols
    assert len(xsub.train) == len(xsub.test) == 20 and xsub.test[:5] == (3, 6, 7, 10, 11)
    assert (xview.train, xview.test) == ((2, 3), (1,))
    xsub, xset = NTU120.protocols
    assert len(xsub.train) == 53 and len(xsub.test) == 53
    assert {40, 48, 51, 106} <= set(xsub.test) and {38, 45, 59, 103} <= set(xsub.train)
    assert xset.train == tuple(range(2, 33, 2)) and xset.test == tuple(range(1, 32, 2))
    for benchmark in (NTU60, NTU120):
        for protocol in benchmark.protocols:
            assert not set(protocol.train) & set(protocol.test)
            assert list(protocol.train) == sorted(protocol.train)


def test_a_sample_goes_to_one_part() -> None:
    sample = parse_name("S002C001P003R001A001")
    protocols = (*NTU60.protocols, *NTU120.protocols)
    assert [protocol.is_train(sample) for protocol in protocols] == [False, False, False, True]


@pytest.mark.parametrize(
    ("name", "what"), [("S018C001P001R001A001", "setup 18"), ("S001C004P001R001A001", "camera 4"),
                       ("S001C001P041R001A001", "performer 41"), ("S001C001P001R001A061", "action 61")])
def test_a_sample_of_another_benchmark_is_refused(name: str, what: str) -> None:
    with pytest.raises(UserError, match=what):
        NTU60.check(parse_name(name))
    if "C004" not in name:
        NTU120.check(parse_name(name))


def test_a_missing_list_is_read_past_its_prose(tmp_path: Path) -> None:
    path = tmp_path / "missing.txt"
    path.write_text("The following samples have missing\r\nor incomplete skeletons.\r\n\r\n"
                    f"{NAME}\r\nS001C002P005R002A008\r\n")
    assert read_missing_list(path) == {NAME, "S001C002P005R002A008"}


def test_a_missing_list_without_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("nothing\n")
    with pytest.raises(UserError, match="names no sample"):
        read_missing_list(tmp_path / "list.txt")
    with pytest.raises(UserError, match="cannot read it"):
        read_missing_list(tmp_path / "none.txt")


@pytest.mark.parametrize("content", ["", "\n \r\n", "\ufeff"])
def test_an_empty_missing_list_leaves_nothing_out(tmp_path: Path, content: str) -> None:
    (tmp_path / "none.txt").write_text(content, encoding="utf-8")
    assert read_missing_list(tmp_path / "none.txt") == frozenset()


@pytest.mark.parametrize("how", ["folder twice", "link to the folder", "link to the file", "hard link"])
def test_one_file_that_is_reached_twice_is_taken_once(tmp_path: Path, how: str) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    for name in (NAME, "S001C001P001R001A005", "notes"):
        (first / f"{name}.skeleton").touch()
    if how == "folder twice":
        second = first
    elif how == "link to the folder":
        second.symlink_to(first, target_is_directory=True)
    else:
        second.mkdir()
        for path in first.iterdir():
            link = (second / path.name).hardlink_to if how == "hard link" else (second / path.name).symlink_to
            link(path)
    listing = list_recordings([first, second], NTU120, frozenset({"S001C001P001R001A005"}))
    assert listing.paths == (first / f"{NAME}.skeleton",)
    assert listing.num_ignored == 1 and len(listing.misnamed) == 1


def test_a_listing_is_sorted_and_says_what_it_left_out(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    for name in ("S002C001P001R001A001", "S001C001P001R001A002", "S001C001P001R001A001", "S001C001P001R001A121",
                 "notes"):
        (first / f"{name}.skeleton").touch()
    (first / "S001C001P001R001A003.txt").touch()
    (second / "S001C001P001R001A009.skeleton").touch()
    listing = list_recordings([first, second], NTU120, frozenset({"S001C001P001R001A002"}))
    assert [path.stem for path in listing.paths] == ["S001C001P001R001A001", "S002C001P001R001A001",
                                                     "S001C001P001R001A009"]
    assert listing.num_ignored == 1
    assert [Path(path).name for path, _ in listing.misnamed] == ["S001C001P001R001A121.skeleton", "notes.skeleton"]
    assert "action 121" in listing.misnamed[0][1] and "no sample name" in listing.misnamed[1][1]


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.skeleton").touch()
    with pytest.raises(UserError, match=r"no \.skeleton file named after a sample of NTU60"):
        list_recordings([tmp_path], NTU60)
    with pytest.raises(UserError, match="cannot list it"):
        list_recordings([tmp_path / "none"], NTU60)


def test_a_recording_in_two_folders_is_refused(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{NAME}.skeleton").touch()
    with pytest.raises(UserError, match=f"{NAME}.skeleton: stands in .*first too"):
        list_recordings([tmp_path / "first", tmp_path / "second"], NTU120)
