"""BlockGCN through its real command line, on a small archive: train, resume, test, fuse, refuse."""

from __future__ import annotations

from tests.several import run_main
from tests.tree_cases import assert_fuses_what_it_trains, assert_refuses_weights, ntu_flags
from tests.trees import ROOT

TREE = ROOT / "BlockGCN"
CONFIGS = sorted((TREE / "config").glob("*/*.yaml"))


def test_the_configs_are_the_data_sets_and_streams():
    from yaml import safe_load

    found = {}
    for path in CONFIGS:
        config = safe_load(path.read_text())
        train, test = config["train_feeder_args"], config["test_feeder_args"]
        if "ntu" in path.parent.name:
            assert [train[key] == test[key] for key in ("data_path", "bone", "vel")] == [True] * 3
            found[f"{path.parent.name}/{path.stem}"] = (config["model_args"]["num_class"], train["data_path"],
                                                        train["bone"], train["vel"])
    assert found == {f"{name}/{stream}": (classes, f"data/{file}", "bone" in stream, "vel" in stream)
                     for name, classes, file in (
                         ("nturgbd-cross-subject", 60, "ntu/NTU60_CS.npz"),
                         ("nturgbd-cross-view", 60, "ntu/NTU60_CV.npz"),
                         ("nturgbd120-cross-subject", 120, "ntu120/NTU120_CSub.npz"),
                         ("nturgbd120-cross-set", 120, "ntu120/NTU120_CSet.npz"))
                     for stream in ("default", "bone", "vel", "bone_vel")}


def test_the_published_names_of_the_model_are_known(tiny_archive, tmp_path):
    """Published configs name `model.ctrgcn.Model`, with options that nothing reads; commands `model.BlockGCN.Model`."""
    for name in ("model.ctrgcn.Model", "model.BlockGCN.Model"):
        done = run_main("BlockGCN", TREE, [*ntu_flags(tiny_archive), "--phase", "model_size", "--model", name,
                                           "--model-args", "joint_label=[0,0,1],num_class=60", "--work-dir",
                                           str(tmp_path)])
        assert done.status == 0, done.err
        assert "1372780" in done.out


def test_resumed_tested_and_fused(tiny_archive, run_script, tmp_path):
    """Two epochs at once and in two runs end in the same weights; their scores are the test's, and are fused."""
    assert_fuses_what_it_trains("BlockGCN", ntu_flags(tiny_archive), tiny_archive, run_script, tmp_path)


def test_weights_of_another_model_are_refused_in_one_line(tiny_archive, tmp_path):
    assert_refuses_weights("BlockGCN", ntu_flags(tiny_archive), tmp_path, "l1.gcn1.alpha")
