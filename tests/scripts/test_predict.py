"""predict.py through its command line: a recording's logits are those of testing the archive made of it."""

from __future__ import annotations

import importlib.util
import json
import pickle
import re
import shutil
import sys
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from skeleton_lab.class_names import NW_UCLA
from skeleton_lab.data.formats.face import Wanted
from skeleton_lab.data.formats.labels import write_labels
from skeleton_lab.errors import UserError
from skeleton_lab.predict.predictor import cut
from skeleton_lab.predict.recordings import ClipFile, open_takes
from tests.skeleton_texts import GOLDEN, one_body, unpack
from tests.trees import ROOT, open_tree

SCRIPT = ROOT / "predict.py"
ENOUGH = {"OMP_NUM_THREADS": "1"}
# The golden recordings of NTU-60's cross-subject test split, in the order of the archives' rows.
TEST_NAMES = ("S001C002P003R001A050", "S004C002P003R001A055", "S003C001P007R001A023")


def write_run(folder: Path, tree: str, config: str, changes: dict) -> Path:
    """Write a work directory with a tree's config and fresh weights, named as several GPUs used to name them."""
    settings = yaml.safe_load((ROOT / tree / "config" / config).read_text())
    settings["model_args"].update(changes.pop("model_args", {}))
    settings.update(changes)
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    torch.manual_seed(0)
    with open_tree(tree) as opened:
        model = opened.load(settings["model"])(**settings["model_args"])
        for name, tensor in model.state_dict().items():
            if name.endswith("alpha"):
                tensor.fill_(0.3)  # it starts at 0, where CTR-GCN's relations play no part
    weights = OrderedDict((f"module.{key}", value) for key, value in model.state_dict().items())
    torch.save(weights, folder / "best.pt")
    return folder


@pytest.fixture(scope="module")
def ntu(tmp_path_factory) -> SimpleNamespace:
    """The golden recordings, the archive and the MS-G3D files made of them, and a run of each tree."""
    folder = tmp_path_factory.mktemp("predict")
    with np.load(GOLDEN / "expected.npz") as golden:
        np.savez(folder / "NTU60_CS.npz", **{key.partition("/")[2]: golden[key] for key in golden
                                             if key.startswith("NTU60_CS/")})
        np.save(folder / "val_data_joint.npy", golden["msg3d_xsub/val_data_joint"])
        write_labels(folder / "val_label.pkl", golden["msg3d_xsub/val_names"].tolist(),
                     golden["msg3d_xsub/val_labels"].tolist())
    feeder = {"data_path": str(folder / "NTU60_CS.npz"), "split": "test", "window_size": 16, "p_interval": [0.95]}
    write_run(folder / "ctrgcn", "CTR-GCN", "nturgbd-cross-subject/default.yaml", {"test_feeder_args": feeder})
    feeder = {"data_path": str(folder / "val_data_joint.npy"), "label_path": str(folder / "val_label.pkl")}
    write_run(folder / "msg3d", "MS-G3D", "nturgbd-cross-subject/test_joint.yaml", {
        "test_feeder_args": feeder, "weights": None, "model": "tests.msg3d.small_model.Model"})
    return SimpleNamespace(folder=folder, skeletons=unpack("skeletons", folder))


@pytest.fixture(scope="module")
def script():
    """The script as a module: most tests call it in this process, which saves starting one each time."""
    spec = importlib.util.spec_from_file_location("predict_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def predict(script, monkeypatch, capsys):
    """Return a function that runs the script with some arguments for a tree and returns what it prints."""
    def run(*arguments: str | Path, tree: str = "CTR-GCN") -> str:
        with monkeypatch.context() as patch, open_tree(tree):
            patch.setattr(sys, "argv", ["predict.py", *map(str, arguments), "--device", "cpu"])
            patch.setattr(sys, "path", list(sys.path))
            script.main(script.read_options())
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize(("tree", "run", "order", "rounding"), [
    ("CTR-GCN", "ctrgcn", (0, 1, 2), 0), ("MS-G3D", "msg3d", (0, 2, 1), 1e-6)])
def test_a_recordings_logits_are_those_of_testing_the_archive(ntu, run_script, tmp_path, tree, run, order, rounding):
    """To the bit; but for the rounding of MS-G3D's golden files, which are another machine's."""
    done = run_script(SCRIPT, "--run", ntu.folder / run, "--tree", ROOT / tree, "--json", "--device", "cpu",
                      *(ntu.skeletons / f"{TEST_NAMES[row]}.skeleton" for row in order), env=ENOUGH)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    done = run_script("main.py", "--config", ntu.folder / run / "config.yaml", "--phase", "test", "--save-score", 1,
                      "--weights", ntu.folder / run / "best.pt", "--work-dir", tmp_path, "--device", "cpu",
                      "--num-worker", "0", cwd=ROOT / tree, env=ENOUGH)
    assert done.returncode == 0, done.stderr
    scores = pickle.loads((tmp_path / "epoch1_test_score.pkl").read_bytes())
    expected = np.stack(list(scores.values()))
    np.testing.assert_allclose(np.array([entry["logits"] for entry in found], np.float32), expected, rtol=0,
                               atol=rounding)
    assert np.ptp(expected, axis=0).max() > 1e-3  # the clips differ, and the model sees it
    assert [entry["true_class"] for entry in found] == [int(TEST_NAMES[row][-3:]) - 1 for row in order]


def test_clips_of_the_archive_give_the_same(ntu, predict):
    recordings = json.loads(predict("--run", ntu.folder / "ctrgcn", "--json",
                                    *(ntu.skeletons / f"{name}.skeleton" for name in TEST_NAMES)))
    rows = json.loads(predict("--run", ntu.folder / "ctrgcn", "--json", ntu.folder / "NTU60_CS.npz"))
    assert [row["logits"] for row in rows] == [entry["logits"] for entry in recordings]
    assert sum(label["probability"] for label in rows[0]["top"]) <= 1
    assert [row["true_class"] for row in rows] == [49, 54, 22]


def test_nw_ucla_recordings_go_through_their_feeder(tmp_path, predict):
    run = write_run(tmp_path / "run", "CTR-GCN", "ucla/default.yaml", {})
    rng = np.random.default_rng(0)
    root = tmp_path / "all_sqe"
    root.mkdir()
    with open_tree("CTR-GCN") as tree:
        for recording in tree.load("feeders.ucla_split.recordings")("val")[:100]:
            frames = rng.standard_normal((int(rng.integers(1, 90)), 20, 3)).round(4)
            content = {"skeletons": frames.tolist(), "label": recording.label + 1}
            (root / f"{recording.name}.json").write_text(json.dumps(content))
        feeder = tree.load("feeders.feeder_ucla.Feeder")("joint", "val", debug=True, root=str(root))
        data, labels, _ = feeder.get_batch([0, 40])
        settings = yaml.safe_load((run / "config.yaml").read_text())
        model = tree.load(settings["model"])(**settings["model_args"]).eval()
        model.load_state_dict({key.removeprefix("module."): value
                               for key, value in torch.load(run / "best.pt", weights_only=True).items()})
        with torch.inference_mode():
            expected = model(data).numpy()
    names = [feeder.sample_name[place] for place in (0, 40)]
    found = json.loads(predict("--run", run, "--json", *(root / f"{name}.json" for name in names)))
    np.testing.assert_allclose([entry["logits"] for entry in found], expected, atol=1e-5)
    assert [entry["true_class"] for entry in found] == labels.tolist()
    assert found[0]["top"][0]["name"] == NW_UCLA[int(np.argmax(found[0]["logits"]))]


def test_text_table_and_gif(ntu, predict, tmp_path):
    path = tmp_path / "wave.skeleton"
    path.write_text("\n".join(one_body(4)))
    text = predict("--run", ntu.folder / "ctrgcn", path, "--top-k", 2, "--gif", tmp_path / "x.gif")
    assert text.startswith(f"{path}: ") and text.count("%") == 2
    with Image.open(tmp_path / "x.gif") as picture:
        assert picture.n_frames == 4
    path = ntu.skeletons / f"{TEST_NAMES[0]}.skeleton"
    text = predict("--run", ntu.folder / "ctrgcn", path, "--window-frames", 12, "--stride-frames", 6)
    lines = text.splitlines()
    assert lines[0] == str(path) and lines[1].split() == ["frames", "seconds", "label"]
    assert lines[2].split()[:2] == ["0-11", "0.00-0.40"] and lines[3].split()[0] == "6-17"


def test_published_weights_with_a_trees_own_config(ntu, predict, tmp_path):
    shutil.copy(ntu.folder / "ctrgcn" / "best.pt", tmp_path / "runs-64-40064.pt")
    path = ntu.skeletons / f"{TEST_NAMES[0]}.skeleton"
    found = json.loads(predict("--config", ROOT / "CTR-GCN/config/nturgbd-cross-subject/default.yaml",
                               "--weights", tmp_path / "runs-64-40064.pt", path, "--json"))
    assert len(found[0]["logits"]) == 60 and found[0]["last_frame"] > 10


@pytest.fixture(scope="module")
def utd(tmp_path_factory) -> Path:
    """A run on UTD-MHAD's twenty joints, with words of its own: three classes, moved away from its checkout."""
    skeleton = "skeleton_lab.own_skeletons.UTD_MHAD_20"
    feeder = {"data_path": "gone.npz", "split": "test", "skeleton": skeleton, "p_interval": [0.95], "window_size": 16}
    run = write_run(tmp_path_factory.mktemp("utd") / "run", "CTR-GCN", "nturgbd-cross-subject/default.yaml", {
        "feeder": "feeders.feeder_clips.Feeder", "train_feeder_args": feeder, "test_feeder_args": feeder,
        "model_args": {"num_class": 3, "num_point": 20, "num_person": 1, "graph": "graph.utd_mhad.Graph"}})
    words = {"tree": "/elsewhere/CTR-GCN", "skeleton": skeleton, "class_names": ["wave", "bow"]}
    (run / "run.json").write_text(json.dumps(words))
    return run


def clips(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, 3, 12, 20, 1)).astype(np.float32)


def test_a_runs_own_skeleton_and_names(utd, predict, tmp_path):
    np.savez(tmp_path / "silent.npz", x_test=clips(), y_test=[0, -1])
    found = json.loads(predict("--run", utd, tmp_path / "silent.npz", "--json"))
    assert [entry["true_class"] for entry in found] == [0, None]  # -1: not known
    assert {label["name"] for label in found[0]["top"]} == {"wave", "bow", "class 2"}
    np.savez(tmp_path / "named.npz", x_test=clips(), y_test=[0, 1], class_names=np.array(["jump", "wave"]))
    found = json.loads(predict("--run", utd, tmp_path / "named.npz", "--json"))
    assert [entry["true_class"] for entry in found] == [None, 0]  # by name, and no other set's number


def test_clips_without_labels_of_one_split_and_deflated(utd, predict, tmp_path):
    np.savez(tmp_path / "whole.npz", x_test=clips(), y_test=[0, 1])
    expected = [entry["logits"] for entry in json.loads(predict("--run", utd, tmp_path / "whole.npz", "--json"))]
    for save, key in ((np.savez, "x_test"), (np.savez, "x"), (np.savez_compressed, "x_train")):
        save(tmp_path / "part.npz", **{key: clips()})
        found = json.loads(predict("--run", utd, tmp_path / "part.npz", "--json"))
        assert [entry["logits"] for entry in found] == expected
        assert [entry["true_class"] for entry in found] == [None, None]
    assert predict("--run", utd, tmp_path / "part.npz").count("is:") == 0


def test_another_skeleton_of_as_many_joints_is_refused(utd, predict, tmp_path):
    ucla = tmp_path / "a02_s01_e00_v01.json"
    ucla.write_text(json.dumps({"skeletons": clips()[0, :, :, :, 0].transpose(1, 2, 0).tolist(), "label": 2}))
    np.savez(tmp_path / "says.npz", x_test=clips(), skeleton=np.array("MSR_ACTION3D_20"))
    for path, other in ((ucla, "NW-UCLA (20 joints)"), (tmp_path / "says.npz", "MSR-Action3D (20 joints)")):
        with pytest.raises(UserError, match=re.escape(f"its skeleton is {other}, the model was trained on UTD-MHAD")):
            predict("--run", utd, path)
    told = "skeleton_lab.own_skeletons.UTD_MHAD_20"
    found = json.loads(predict("--run", utd, tmp_path / "says.npz", "--skeleton", told, "--json"))
    assert len(found) == 2 and found[0]["true_class"] is None


def test_pku_mmd_and_long_kinetics_recordings_are_cut_into_windows(ntu, predict, tmp_path):
    (tmp_path / "0002-L.txt").write_text("\n".join(" ".join(f"{value:.4f}" for value in row) for row in
                                         np.random.default_rng(0).normal(0, 0.3, (20, 150))))
    text = predict("--run", ntu.folder / "ctrgcn", tmp_path / "0002-L.txt", "--window-frames", 12)
    assert [line.split()[0] for line in text.splitlines()[2:]] == ["0-11", "6-17", "8-19"]
    person = {"pose": [0.4] * 36, "score": [0.9] * 18}
    frames = [{"frame_index": index, "skeleton": [person]} for index in range(0, 400, 10)]
    (tmp_path / "long.json").write_text(json.dumps({"data": frames, "label": "jumping", "label_index": 7}))
    take, = open_takes(tmp_path / "long.json", Wanted())
    with pytest.raises(UserError, match="391 frames, but MS-G3D's files hold 300; cut it into windows with --window"):
        take.file_clip(ClipFile())
    assert cut(take, 100, 100)[-1].file_clip(ClipFile()).shape == (3, 300, 18, 2)


@pytest.mark.parametrize(("arguments", "complaint"), [
    (("{run}", "missing.skeleton"), "missing.skeleton: no such file or folder"),
    (("{run}", "README.md"), "README.md: is no recording that is read here, but looks like a text that begins with"),
    (("{run}", "{long}"), "301 frames, but MS-G3D's files hold 300"),
    (("{run}", "CTR-GCN"), "CTR-GCN: holds no recording"),
    (("{run}", "{one}", "--class-names", "nowhere"), "nowhere: cannot read class names"),
    (("{run}", "{one}", "--twin"), "--twin: this run was trained on clips of .npy files"),
    (("{run}", "{one}", "{one}", "--gif", "x.gif"), "--gif: draws one recording"),
    (("{run}", "{one}", "--gif", "x.png"), "ends in .gif"),
    (("{run}", "{one}", "--weights", "none.pt"), "none.pt: no such file"),
    (("--run", "nowhere", "{one}"), "nowhere: no such file or folder"),
    (("{one}",), "which model?"),
])
def test_a_wrong_file_or_option_is_one_line(ntu, predict, capsys, arguments, complaint):
    long = ntu.folder / "long.skeleton"
    long.write_text("\n".join(one_body(301)))
    words: list[str] = []
    for argument in arguments:
        if argument == "{run}":
            words += ["--run", str(ntu.folder / "msg3d"), "--tree", str(ROOT / "MS-G3D")]
        else:
            words.append(argument.format(one=ntu.skeletons / f"{TEST_NAMES[0]}.skeleton", long=long))
    with pytest.raises(UserError, match=re.escape(complaint)) as refusal:
        predict(*words, tree="MS-G3D")
    assert "\n" not in str(refusal.value) and not capsys.readouterr().out


def test_a_wrong_file_ends_the_command_with_status_2(ntu, run_script):
    done = run_script(SCRIPT, "--run", ntu.folder / "ctrgcn", "missing.skeleton", env=ENOUGH)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: missing.skeleton: no such file or folder")
