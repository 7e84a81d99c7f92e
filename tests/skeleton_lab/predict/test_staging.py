"""Which format a run's feeder reads, and how its clips came about."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from skeleton_lab.data.formats.labels import write_labels
from skeleton_lab.data.formats.recording import Made, Recording
from skeleton_lab.errors import UserError
from skeleton_lab.predict.predictor import Prediction
from skeleton_lab.predict.recordings import Archived, ClipFile
from skeleton_lab.predict.results import Wording, as_json, captions, lines, span_table
from skeleton_lab.predict.staging import ArchiveStage, FileStage, FolderStage, StageOptions, alike, stage_for


def feeder(data_path: str, label_path: str = "") -> None:
    """Stand for a feeder of archives or .npy files; the stages look at its signature only."""


def named_feeder(data_path: str, names: list[str], root: str) -> None:
    """Stand for a feeder of named recordings."""


def trained(root: Path, num_classes: int = 60, feeder: str = "feeder", **options: object) -> SimpleNamespace:
    config = SimpleNamespace(feeder=f"{__name__}.{feeder}", test_feeder_args=options)
    return SimpleNamespace(config=config, num_classes=num_classes, spec=SimpleNamespace(root=root))


def test_archives_and_the_second_body_of_ntu_120(tmp_path: Path) -> None:
    stage = stage_for(trained(tmp_path, data_path="x.npz", window_size=64, debug=True), StageOptions())
    assert stage == ArchiveStage({"data_path": "x.npz", "window_size": 64}, twin=False)
    assert stage_for(trained(tmp_path, 120, data_path="x.npz"), StageOptions()).twin
    assert not stage_for(trained(tmp_path, 120, data_path="x.npz"), StageOptions(twin=False)).twin
    options = stage.write([np.ones((3, 4, 25, 2), np.float32), np.ones((3, 6, 25, 2), np.float32)], tmp_path)
    assert options["split"] == "test" and options["window_size"] == 64
    with np.load(options["data_path"]) as arrays:
        assert arrays["x_test"].shape == (2, 3, 6, 25, 2) and not arrays["x_test"][0, :, 4:].any()


def test_files_tell_how_their_clips_came_about(tmp_path: Path) -> None:
    run = trained(tmp_path, data_path="val_data_bone.npy", label_path="val_label.pkl")
    assert stage_for(run, StageOptions()).rules == ClipFile(bones=True)
    assert stage_for(run, StageOptions(resized=64)).rules == ClipFile(True, 64, bones=True)
    np.save(tmp_path / "val_data_bone.npy", np.zeros((1, 3, 64, 25, 2), np.float32))
    write_labels(tmp_path / "val_label.pkl", ["S001C001P001R001A001.skeleton"], [0])
    assert stage_for(run, StageOptions()).rules == ClipFile(padded=64, bones=True)
    write_labels(tmp_path / "val_label.pkl", ["test_0"], [0])
    with pytest.raises(UserError, match="holds clips of 64 frames; if"):
        stage_for(run, StageOptions())
    assert stage_for(run, StageOptions(resized=64)).rules == ClipFile(True, 64, 64, True)
    assert stage_for(run, StageOptions(resized=0)).rules == ClipFile(True, None, 64, True)
    with pytest.raises(UserError, match="--frames: clips are resized on their way from an archive only"):
        stage_for(run, StageOptions(resized=64, from_archive=False))


def test_a_feeder_of_named_recordings(tmp_path: Path) -> None:
    stage = stage_for(trained(tmp_path, feeder="named_feeder", data_path="joint"), StageOptions())
    assert isinstance(stage, FolderStage)
    options = stage.write([np.arange(120.0).reshape(2, 20, 3)], tmp_path)
    assert options["names"] == ["take0"] and (tmp_path / "take0.json").is_file()


@pytest.mark.parametrize(("options", "given", "complaint"), [
    ({"data_path": "x.h5"}, {}, "is neither an archive"), ({"data_path": "x.npz"}, {"resized": 3}, "--frames: "),
    ({"data_path": "x.npy"}, {"twin": True}, "--twin: "), ({"data_path": "x.npz"}, {"from_archive": True}, "--from-a"),
    ({"data_path": "x.npy", "normalization": True}, {}, "normalization=True takes the mean of a whole data set")])
def test_what_does_not_fit_is_said(tmp_path: Path, options, given, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        stage_for(trained(tmp_path, **options), StageOptions(**given))


def test_clips_of_one_length_share_a_file() -> None:
    clips = [np.zeros((3, frames, 25, 2), np.float32) for frames in (300, 64, 300)]
    assert sorted(map(sorted, alike(clips, FileStage({}, ClipFile())))) == [[0, 2], [1]]
    assert alike(clips, ArchiveStage({}, False)) == [[0, 1, 2]]


def prediction(logits: list[float] | None, truth: int | None, start: int = 0) -> Prediction:
    take = Archived(Recording("clip", np.ones((4, 1, 20, 3), np.float32), made=Made.ARCHIVED), start)
    return Prediction(take, None if logits is None else np.array(logits, np.float32), truth)


def test_results_in_words_and_data() -> None:
    wording = Wording(("wave", "bow", "jump"), 2, 30.0)
    right, wrong, nobody = prediction([0, 2, 0], 1), prediction([0, 2, 1], 0, 4), prediction(None, 1, 8)
    shown = lines([right, wrong, nobody], wording)
    assert shown[0] == "clip: bow 78.7 %, wave 10.7 %" and shown[1].endswith("jump 24.5 %  (is: wave)")
    assert shown[2] == "clip: nobody in sight"
    assert shown[3] == "top-1: 50.00 % of the 2 recordings whose class is known"
    assert span_table([wrong, nobody], wording)[1].split()[:3] == ["4-7", "0.13-0.27", "bow"]
    data = as_json([wrong, nobody], wording)
    assert data[0]["first_frame"] == 4 and data[0]["last_frame"] == 7 and data[0]["top"][1]["name"] == "jump"
    assert sum(share for _, share in right.top(3)) == pytest.approx(1)
    assert data[1]["logits"] is None and data[1]["top"] == []
    assert captions([right, wrong], 8, wording) == [wording.labels(right)] * 4 + [wording.labels(wrong)] * 4
    unknown = prediction([0, 1], None)
    assert lines([unknown] * 2, wording) == ["clip: bow 73.1 %, wave 26.9 %"] * 2
    assert as_json([unknown], wording)[0]["true_class"] is None
