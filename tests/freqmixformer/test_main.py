"""FreqMixFormer through its real command line, on a small archive: train, resume, test, fuse, refuse."""

from __future__ import annotations

import re

from tests.several import run_main
from tests.tree_cases import assert_fuses_what_it_trains, assert_refuses_weights, ntu_flags
from tests.trees import ROOT

TREE = ROOT / "FreqMixFormer"
CONFIGS = sorted((TREE / "config").glob("*/*.yaml"))


def flags(archive) -> list[str]:
    return ntu_flags(archive, "config/nturgbd-cross-subject/joint.yaml", "num_frame=8",
                     "blocks=[[40,1],[80,2],[80,2]]")


def test_the_configs_are_the_published_recipes():
    from yaml import safe_load

    found = {}
    for path in CONFIGS:
        config = safe_load(path.read_text())
        if path.parent.name != "demo":
            found[f"{path.parent.name}/{path.stem}"] = (
                config["model_args"]["num_class"], config["train_feeder_args"]["data_path"],
                config["test_feeder_args"].get("vel"), config["batch_size"], config["base_lr"], config["num_epoch"],
                config["model_args"]["hop"])
    assert found == {
        **{f"{name}/{stream}": (classes, f"data/{file}", stream == "motion", batch if stream == "joint" else 128, 0.1,
                                100, 8)
           for name, classes, file, batch in (
               ("nturgbd-cross-subject", 60, "ntu/NTU60_CS.npz", 128),
               ("nturgbd-cross-view", 60, "ntu/NTU60_CV.npz", 256),
               ("nturgbd120-cross-subject", 120, "ntu120/NTU120_CSub.npz", 128),
               ("nturgbd120-cross-set", 120, "ntu120/NTU120_CSet.npz", 128)) for stream in ("joint", "motion")},
        **{f"ucla/{stream}": (10, stream, None, 128, 0.2, 70, 6) for stream in ("joint", "motion")}}


def test_the_published_name_of_the_model_is_known(tiny_archive, tmp_path):
    done = run_main("FreqMixFormer", TREE, [*flags(tiny_archive), "--phase", "model_size", "--model",
                                            "model.skefreqmixformer.Model", "--work-dir", str(tmp_path)])
    assert done.status == 0, done.err


def test_resumed_tested_and_fused(tiny_archive, run_script, tmp_path):
    """Two epochs at once and in two runs end in the same weights; their scores are the test's.

    They are fused as all six streams.
    """
    others = (word for name, run in zip(("joint-motion", "bone-motion", "joint-k2", "joint-motion-k2"),
                                        ("whole", "tested") * 2, strict=True)
              for word in (f"--{name}-dir", tmp_path / run))
    _, printed = assert_fuses_what_it_trains("FreqMixFormer", flags(tiny_archive), tiny_archive, run_script, tmp_path,
                                             *others)
    assert re.findall(r"^([a-z0-9-]+) \(weight ([\d.]+)\)", printed, re.M) == [(name, "1") for name in (
        "joint", "bone", "joint-motion", "bone-motion", "joint-k2", "joint-motion-k2")]


def test_weights_of_another_model_are_refused_in_one_line(tiny_archive, tmp_path):
    assert_refuses_weights("FreqMixFormer", flags(tiny_archive), tmp_path, "l1.gcn1.alpha")
