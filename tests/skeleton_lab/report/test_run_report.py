"""The report of a run: what stands in it, from whole, old and unfinished work directories."""

from __future__ import annotations

import json

import numpy as np
import pytest

from skeleton_lab.errors import UserError
from skeleton_lab.pickles import dump_plain_pickle
from skeleton_lab.report.charts import thinned
from skeleton_lab.report.confusions import worst_confusions
from skeleton_lab.report.recipe import differences, settings_of
from skeleton_lab.report.results import read_run
from skeleton_lab.report.run_report import duration, write_report
from skeleton_lab.train import result_files
from tests.skeleton_lab.report.test_page import HOSTILE, Tags
from tests.skeleton_lab.report.work_dirs import PREDICTED, TRUE, ToyFeeder, make_run, scores_for

DEFAULTS = {"model": None, "num_epoch": 80, "base_lr": 0.1, "forward_batch_size": None, "batch_size": 256, "seed": 1}


@pytest.fixture
def run_folder(tmp_path):
    return make_run(tmp_path / "run")


def text_of(path) -> str:
    return " ".join(Tags(path.read_text()).text.split())


def test_everything_stands_in_it(run_folder):
    feeder = ToyFeeder()
    path = write_report(run_folder, DEFAULTS, feeder, ["walk", "run", "jump"])
    text = text_of(path)
    for said in ("60.00 %", "top-1, last epoch (3)", "70.00 %", "top-1, best epoch (2)", "300 MiB", "2 min 00 s",
                 "walk → run: 2 of 4 clips (50 %)", "run → walk: 1 of 4 clips (25 %)", "Abacus 9000", "PyTorch 2.3",
                 "python3 main.py --config toy.yaml", "best.pt (epoch 2)", "6 min 06 s"):
        assert said in text, said
    assert "75.00 %" in text  # precision of class "run" is 3 of 5, its recall 3 of 4
    assert feeder.asked[0] == 3 and "clip_3" in text  # the surer one of the two that were mistaken
    assert path.read_text().count("bone left") > 6


def test_the_class_table_sorts_by_numbers(run_folder):
    page = write_report(run_folder, DEFAULTS, ToyFeeder()).read_text()
    assert 'data-value="0.750000"' in page and 'data-value="0.600000"' in page and 'class="wide sortable"' in page


def test_worst_confusions_come_with_their_surest_clips():
    predictions = read_predictions_of(PREDICTED)
    pairs = worst_confusions(predictions)
    assert [(p.true, p.predicted, p.clips, p.total, p.wrong, p.right) for p in pairs] == [(0, 1, 2, 4, 3, 6),
                                                                                          (1, 0, 1, 4, 7, 1)]


def read_predictions_of(predicted):
    from skeleton_lab.report.results import Predictions
    scores = scores_for(predicted)
    return Predictions([str(i) for i in range(len(TRUE))], TRUE, predicted, scores.max(axis=1).astype(float),
                       np.ones(len(TRUE), int), 3)


def test_predictions_go_through_the_file(run_folder):
    run = read_run(run_folder)
    assert run.predictions.top_k(1) == 0.7 and run.predictions.top_k(2) == 1.0
    np.testing.assert_array_equal(run.predictions.predicted, PREDICTED)
    np.testing.assert_array_equal(run.counts, [[2, 2, 0], [1, 3, 0], [0, 0, 2]])


def test_a_long_history_is_thinned_out(tmp_path):
    folder = make_run(tmp_path / "long")
    row = {"learning_rate": 0.1, "train_loss": 1.0, "train_top1": 0.5, "test_loss": 1.0, "clips_per_s": 10.0}
    result_files.write_history(folder / "history.csv", [
        {**row, "epoch": number, "test_top1": 0.9 if number == 12_345 else 0.5, "test_top5": 1.0}
        for number in range(1, 30_001)])
    page = write_report(folder, {}, ToyFeeder()).read_text()
    assert len(page) < 2 << 20 and "of 30,000 epochs; history.csv has all." in page
    assert page.count("<tr") < 1_100 and "12345</td>" in page and "30000</td>" in page  # the best and the last one
    assert thinned([(x, 0.0) for x in range(2_000)]) == [(x, 0.0) for x in range(2_000)]
    peaked = thinned([(x, float(x == 77_777)) for x in range(100_000)])
    assert len(peaked) <= 2_002 and (77_777, 1.0) in peaked and peaked[0][0] == 0 and peaked[-1][0] == 99_999


def test_an_older_run_is_read_from_its_lists_and_scores(run_folder):
    (run_folder / "predictions.csv").unlink()
    (run_folder / "run.json").unlink()
    right, wrong = (run_folder / f"runs-2-8_{what}.txt" for what in ("right", "wrong"))
    result_files.write_sample_lists(right, wrong, PREDICTED, TRUE)
    text = text_of(write_report(run_folder, DEFAULTS, ToyFeeder()))
    assert "walk" not in text and "class 0 → class 1: 2 of 4" in text and "no record of its machine" in text
    assert read_run(run_folder).predictions.top_k(5) is None  # without scores there are no ranks
    dump_plain_pickle(run_folder / "epoch1_test_score.pkl",
                      dict(zip([f"clip_{i}" for i in range(10)], scores_for(PREDICTED), strict=True)))
    assert read_run(run_folder).predictions.top_k(2) == 1.0


def test_a_run_of_which_only_the_class_table_is_left(run_folder):
    (run_folder / "predictions.csv").unlink()
    counts = np.array([[2, 2, 0], [1, 3, 0], [0, 0, 2]])
    recalls = np.diag(counts) / counts.sum(axis=1)
    result_files.write_class_table(run_folder / "epoch2_test_each_class_acc.csv", recalls, counts)
    text = text_of(write_report(run_folder, DEFAULTS))
    assert "most often taken for" in text and "which ones were is not recorded" in text


def test_a_run_before_its_first_epoch(tmp_path):
    (tmp_path / "config.yaml").write_text("model: a.B\n")
    text = text_of(write_report(tmp_path, {}))
    assert "No evaluation in this folder yet" in text and "its defaults are not known" in text


@pytest.mark.parametrize(("feeder", "reason"), [
    (None, "has no recorded(index)"), (ToyFeeder(TRUE[::-1]), "no longer what the predictions were made of")])
def test_it_says_why_there_are_no_pictures(run_folder, feeder, reason):
    path = write_report(run_folder, DEFAULTS, feeder)
    assert reason in text_of(path) and "bone left" not in path.read_text().split("</style>")[1]


def test_a_clip_that_cannot_be_read_costs_its_picture_only(run_folder):
    class Broken(ToyFeeder):
        def recorded(self, index):
            raise UserError("clips.npz: damaged")

    assert "(no picture: clips.npz: damaged)" in text_of(write_report(run_folder, DEFAULTS, Broken()))


def test_hostile_content_stays_text(tmp_path):
    folder = make_run(tmp_path / "run", note=HOSTILE[:-1], weights="</style><script>x</script>")
    content = json.loads((folder / "run.json").read_text())
    content["train"]["machine"]["cpu"] = HOSTILE
    (folder / "run.json").write_text(json.dumps(content))
    feeder = ToyFeeder()
    feeder.sample_name = [HOSTILE] * len(TRUE)
    found = Tags(write_report(folder, DEFAULTS, feeder, [HOSTILE, "b", "c"]).read_text())
    assert found.tags.count("script") == 1 and "img" not in found.tags


@pytest.mark.parametrize("record", ["[]", "{", '{"train": 3, "predictions": []}',
                                    '{"train": {"epochs": [1, {"epoch": "x", "train_s": "y"}], "machine": 5}}',
                                    '{"train": {"epochs": [{"epoch": 1, "peak_mib": 1' + 400 * "0" + '}]}}'])
def test_a_damaged_record_counts_as_none(run_folder, record):
    (run_folder / "run.json").write_text(record)
    assert "Confusion matrix" in text_of(write_report(run_folder, DEFAULTS))


@pytest.mark.parametrize(("name", "content"), [
    ("history.csv", "epoch,test_top1\n1,high\n"), ("history.csv", "epoch,test_top1\n,0.5\n"),
    ("history.csv", "epoch,test_top1\nnan,0.5\n"), ("history.csv", "epoch,test_top1\n1e300,0.5\n"),
    ("predictions.csv", "sample,true\na,1\n"), ("predictions.csv", "sample,true,predicted,probability,rank\n"),
    ("predictions.csv", "sample,true,predicted,probability,rank\na,-1,0,0.5,1\n"),
    ("predictions.csv", "sample,true,predicted,probability,rank\na,1,9999999,0.5,1\n"),
    ("config.yaml", "a: [\n"), ("config.yaml", "- 1\n"),
    ("config.yaml", "".join(f"a{i}: &a{i} [{', '.join(9 * ([f'*a{i - 1}'] if i else ['x']))}]\n" for i in range(12)))])
def test_damaged_files_are_named(run_folder, name, content):
    (run_folder / name).write_text(content)
    with pytest.raises(UserError, match=name):
        write_report(run_folder, DEFAULTS)


def test_too_few_names_are_refused(run_folder):
    with pytest.raises(UserError, match="2 class names for 3 classes"):
        write_report(run_folder, DEFAULTS, None, ["a", "b"])


def test_settings_that_differ_come_first():
    settings = {"seed": 2, "base_lr": 0.1, "num_epoch": 3, "batch_size": 8, "forward_batch_size": 8, "num_worker": 4,
                "model_args": {"num_class": 3}}
    defaults = {"seed": 1, "base_lr": 0.1, "num_epoch": 80, "batch_size": 256, "forward_batch_size": None,
                "num_worker": None, "model_args": {}}
    rows = settings_of(settings, defaults, {"num_epoch": 3, "model_args": {"num_class": 3}, "seed": 1, "batch_size": 4})
    assert [(row.name, row.said_by) for row in rows if row.differs] == [
        ("batch_size", "command line"), ("seed", "command line"), ("model_args.num_class", "config"),
        ("num_epoch", "config")]
    assert [row.name for row in rows if not row.differs] == ["base_lr", "forward_batch_size", "num_worker"]


def test_differences_leave_out_what_is_the_same_and_where_it_was():
    runs = [{"seed": 1, "work_dir": "a", "model_args": {"x": [1, 2]}}, {"seed": 1, "work_dir": "b", "model_args": {}}]
    assert differences(runs) == {"model_args.x": ["1, 2", "–"]}


@pytest.mark.parametrize(("seconds", "said"), [(None, ""), (3.25, "3.2 s"), (59.94, "59.9 s"), (61, "1 min 01 s"),
                                               (7260, "2 h 01 min")])
def test_durations(seconds, said):
    assert duration(seconds) == said
