"""import_checkpoint.py through its command line: the golden networks of PYSKL compute the same here."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
import yaml
from torch.nn import functional as F

from skeleton_lab.errors import UserError
from skeleton_lab.foreign.checkpoint_file import as_theirs
from skeleton_lab.foreign.network import Misfit, Told
from tests.golden_models import GRAD_NORM_FLOOR, SGD_OPTIONS, assert_close, assert_each_close
from tests.pyskl_golden import Case, load_case
from tests.trees import ROOT, open_tree

SCRIPT = ROOT / "import_checkpoint.py"
TREES = {"CTRGCN": "CTR-GCN", "MSG3D": "MS-G3D", "STGCN": "ST-GCN"}


def imported(run_script, case: Case, folder: Path, state=None) -> Path:
    """Write a case's checkpoint and import it; return the work directory."""
    folder.mkdir(exist_ok=True)
    torch.save(case.state if state is None else state, folder / "j.pth")
    done = run_script(SCRIPT, "--input", folder / "j.pth", "--output", folder / "run")
    assert done.returncode == 0, done.stderr
    return folder / "run"


def opened(run: Path, tree):
    """The model of a work directory, in double precision, its weights in it."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    model = tree.load(config["model"])(**config["model_args"]).double()
    model.load_state_dict(torch.load(run / "best.pt", weights_only=True))
    return model


def check_eval(model, case: Case) -> None:
    with torch.no_grad():
        assert_close(model.eval()(case.clips()), case.figures["eval_logits"], 1e-10)


def check_warm(model, case: Case) -> None:
    """After one training pass whose moments become the running ones."""
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(case.clips())
        assert_close(model.eval()(case.clips(case.about["input_seed"] + 1000)), case.figures["warm_eval_logits"], 1e-10)


def check_training(model, case: Case) -> dict[str, float]:
    """Logits and loss of a training pass; return the norms of its gradients."""
    logits = model.train()(case.clips())
    loss = F.cross_entropy(logits, torch.arange(len(logits)))
    loss.backward()
    assert_close(logits, case.figures["train_logits"], 1e-10)
    assert_close(loss.item(), case.figures["loss"], 1e-10)
    return {name: parameter.grad.norm().item() for name, parameter in model.named_parameters()}


def their_norms(case: Case) -> dict[str, float]:
    return dict(zip(map(str, case.figures["grad_names"]), case.figures["grad_norms"].tolist(), strict=True))


def sgd_losses(model, case: Case, steps: int = 5) -> list[float]:
    optimizer = torch.optim.SGD(model.train().parameters(), **SGD_OPTIONS)
    losses = []
    for step in range(steps):
        clips = case.clips(100 + step)
        loss = F.cross_entropy(model(clips), torch.arange(len(clips)))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses


def check_case(run: Path, case: Case, thorough: bool) -> None:
    """Everything that a case's figures tell, or what takes seconds."""
    backbone = case.about["model_args"]["backbone"]["type"]
    with open_tree(TREES[backbone]) as tree:
        model = opened(run, tree)
        check_eval(model, case)
        if thorough or backbone == "STGCN":
            check_warm(copy.deepcopy(model), case)
        norms, theirs = check_training(copy.deepcopy(model), case), their_norms(case)
        if backbone != "STGCN":  # there one norm of theirs is six of ours
            assert_each_close(sorted(norms.values()), sorted(theirs.values()), 1e-6, GRAD_NORM_FLOOR)
        if thorough and backbone == "CTRGCN":
            assert_each_close(sgd_losses(model, case), case.figures["sgd_losses"], 1e-6)


@pytest.mark.parametrize("name", ["ctrgcn_coco17", "msg3d_coco17", "stgcnpp_coco17"])
def test_golden_networks_compute_the_same(run_script, tmp_path, name):
    case = load_case(name)
    check_case(imported(run_script, case, tmp_path), case, thorough=False)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["imported"]["of"] == "PYSKL" and len(record["imported"]["sha256"]) == 64
    back = tmp_path / "back.pth"
    done = run_script("export.py", "--run", tmp_path / "run", "--format", "pyskl", "--output", back)
    assert done.returncode == 0, done.stderr
    written, state = torch.load(back, weights_only=True)["state_dict"], case.state
    assert written.keys() == state.keys()
    for key, value in state.items():
        torch.testing.assert_close(written[key].double(), value.double(), rtol=0, atol=2e-6)  # opened in float32


def hands(keys_of=lambda key: key) -> dict[str, torch.Tensor]:
    """A small ST-GCN++ of one hand: two blocks, the second one wider, at PYSKL's keys."""
    with open_tree("ST-GCN") as tree:
        torch.manual_seed(0)
        model = tree.load("model.stgcn.Model")(
            num_class=5, num_point=21, num_person=1, graph="graph.pyskl.Graph", graph_args={"layout": "handmp"},
            in_channels=2, blocks=[[12, 1], [12, 1], [24, 2]], data_bn_type="VC")
        theirs = tree.load("model.pyskl.to_theirs")(model).state
    return {keys_of(key): value for key, value in as_theirs(theirs).items()}


def test_sizes_are_read_off_the_tensors_whoever_wrapped_them(run_script, tmp_path):
    """Compiled and parallel models' prefixes, MMAction2's name of the classifier, averages beside the weights."""
    state = hands(lambda key: f"module._orig_mod.{key}".replace("fc_cls", "fc"))
    averages = {"ema_backbone_data_bn_weight": torch.zeros(42)}
    run = imported(run_script, None, tmp_path, {"meta": {"epoch": 7}, "state_dict": {**state, **averages}})
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["model_args"] == {
        "num_class": 5, "num_point": 21, "num_person": 1, "in_channels": 2, "graph": "graph.pyskl.Graph",
        "graph_args": {"layout": "handmp"}, "data_bn_type": "VC", "blocks": [[12, 1], [12, 1], [24, 2]]}
    assert config["test_feeder_args"]["like"] == "mmaction2"
    assert (config["num_epoch"], config["train_feeder_args"]["repeat"], config["base_lr"]) == (16, 5, 0.1)
    assert json.loads((run / "run.json").read_text())["imported"] | {"sha256": 0, "on": 0} == {
        "file": "j.pth", "sha256": 0, "epoch": 7, "of": "MMAction2", "on": 0}


class Foreign:
    """What an mmengine training keeps beside the weights: an object of its own."""

    def __init__(self) -> None:
        self.history = [1.0]


def test_training_files_with_objects_of_other_code_are_read_without_it(run_script, tmp_path):
    content = {"meta": {"cfg": CONFIG, "seed": 1}, "state_dict": hands(), "message_hub": {"loss": Foreign()}}
    run = imported(run_script, None, tmp_path, content)
    options = yaml.safe_load((run / "config.yaml").read_text())["test_feeder_args"]
    assert (options["clip_len"], options["feats"], options["num_clips"], options["split"]) == (20, ["b", "jm"], 3, "te")
    assert options["normalize"] == {"mode": "auto", "threshold": 0.5} and options["data_path"] == "data/pyskl/mine.npz"
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert [config[name] for name in ("num_epoch", "base_lr", "weight_decay", "nesterov")] == [24, 0.2, 0.0005, False]
    own = {"repeat": 5, "p_interval": [0.5, 1], "person_mode": "loop", "random_scale": 0.1, "random_noise": 0.01}
    assert {name: config["train_feeder_args"].get(name) for name in own} == own
    assert not {"p_interval", "random_scale", "random_noise"} & options.keys() and options["person_mode"] == "loop"


CONFIG = """
feats = ['b', 'jm']
model = dict(type='RecognizerGCN', backbone=dict(type='STGCN', num_stages=3, inflate_stages=[3], down_stages=[3]))
train_pipeline = [dict(type='PreNormalize2D', mode='auto', threshold=0.5), dict(type='GenSkeFeat', feats=feats),
                  dict(type='RandomScale', scale=0.1), dict(type='RandomGaussianNoise'),
                  dict(type='UniformSample', clip_len=20, p_interval=(0.5, 1)),
                  dict(type='FormatGCNInput', num_person=1, mode='loop')]
optimizer = dict(type='SGD', lr=0.2, momentum=0.9, weight_decay=0.0005, nesterov=False)
total_epochs = 24
test_pipeline = [dict(type='UniformSample', clip_len=20, num_clips=3)]
data = dict(train=dict(type='RepeatDataset', times=5, dataset=dict(ann_file='data/mine.pkl', split='tr')),
            val=dict(ann_file='data/mine.pkl', split='te'))
data['test'] = data['val']
"""


def refused(run_script, tmp_path: Path, state, *more) -> str:
    torch.save(state, tmp_path / "j.pth")
    done = run_script(SCRIPT, "--input", tmp_path / "j.pth", "--output", tmp_path / "run", *more)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and not (tmp_path / "run" / "config.yaml").exists()
    return done.stderr


def test_other_networks_are_named_and_damage_is_told(run_script, tmp_path):
    one = torch.zeros(3)
    for key, name in (("gcn.0.gcn.beta", "DG-STGCN"), ("gcn.0.gcn.conv_ta.weight", "AAGCN"), ("gcn.0.gcn.PA", "ST-GCN"),
                      ("layer1.0.conv1.conv.weight", "PoseC3D"), ("what", "no network that is known")):
        assert name in refused(run_script, tmp_path, {f"backbone.{key}": one, "cls_head.fc_cls.weight": one})
    state = hands()
    lacking = {key: value for key, value in state.items() if "gcn.1.tcn.bn.weight" not in key}
    assert "lacks weights: l2.tcn1.mix.bn.weight" in refused(run_script, tmp_path, lacking)
    more = {**state, "backbone.gcn.1.gcn.extra": one}
    assert "has weights that this lab's has not: l2.gcn1.extra" in refused(run_script, tmp_path, more)
    joints = {key: torch.zeros(3, 20, 20) if key.endswith("gcn.A") else value for key, value in state.items()}
    assert "20 joints" in refused(run_script, tmp_path, joints)
    nan = {**state, "cls_head.fc_cls.bias": torch.tensor([float("nan")] * 5)}
    assert "NaN" in refused(run_script, tmp_path, nan)
    (tmp_path / "c.py").write_text("import os\nos.system('touch ran')\n")
    said = refused(run_script, tmp_path, state, "--config", tmp_path / "c.py")
    assert "c.py: line 1: more than a literal (Import)" in said


NARROW = {  # networks of other widths than the published ones: a tree, and a model of it
    "MS-G3D": ("model.msg3d.Model", {"num_gcn_scales": 13, "num_g3d_scales": 6, "graph": "graph.pyskl.Coco",
                                     "base_channels": 12}),
    "CTR-GCN": ("model.ctrgcn.Model", {"graph": "graph.pyskl.Graph", "graph_args": {"layout": "coco"},
                                       "in_channels": 12, "tcn_relu": True, "blocks": [[12, 1], [24, 2]]}),
    "ST-GCN": ("model.stgcn.Model", {"graph": "graph.pyskl.Graph", "graph_args": {"layout": "coco"}, "in_channels": 12,
                                     "data_bn_type": "VC", "blocks": [[12, 1], [24, 2], [24, 1]]})}


@pytest.mark.parametrize("name", NARROW)
def test_other_widths_and_networks_without_a_first_block(name):
    """Where the input is as wide as the first block, theirs has not got that block: all that it has have shortcuts."""
    path, args = NARROW[name]
    with open_tree(name) as tree:
        torch.manual_seed(0)
        args = {"num_class": 5, "num_point": 17, "num_person": 2, "in_channels": 3, **args}
        model = tree.load(path)(**args).eval()
        theirs = tree.load("model.pyskl.to_theirs")(model)
        found = tree.load("model.pyskl.network")(theirs.state, Told(num_person=2))
        assert (found.model, found.args) == (path, args)
        again = tree.load(path)(**found.args).eval()
        again.load_state_dict(tree.load("model.pyskl.from_theirs")(theirs.state, again))
        clips = torch.randn(2, args["in_channels"], 8, 17, 2)
        with torch.no_grad():
            torch.testing.assert_close(again(clips), model(clips))
        if "blocks" in args:
            assert model.l1.use_residual and theirs.backbone["num_stages"] == len(args["blocks"]) + 1
            assert theirs.backbone["inflate_stages"] == theirs.backbone["down_stages"] == [3]
            theirs.state[f"{'net' if name == 'CTR-GCN' else 'gcn'}.0.residual.conv.weight"] = torch.zeros(1)
            wider = {**theirs.state, **{key: torch.zeros(30) for key in theirs.state if key.endswith(
                ("net.0.gcn1.bn.weight", "gcn.0.gcn.bn.weight"))}}
            with pytest.raises(Misfit, match="that has a shortcut"):
                tree.load("model.pyskl.network")(wider, Told())
        else:
            assert theirs.backbone["base_channels"] == 12
            with pytest.raises(UserError, match="base_channels=10 is no multiple of 6"):
                tree.load(path)(**{**args, "base_channels": 10})
