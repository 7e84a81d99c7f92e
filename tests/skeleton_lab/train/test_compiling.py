"""--compile: the same numbers, the same names, and a model that cannot be compiled runs as it is."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from skeleton_lab.nn.layers import MultiScaleTemporalConv
from skeleton_lab.train.compiling import compile_in_place, is_written_by_hand
from tests.skeleton_lab.train.conftest import run_here
from tests.trees import open_tree


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, x):
        return self.second(self.first(x).relu())


@pytest.fixture
def pair():
    """A model, an untouched copy of it, and an input."""
    torch.manual_seed(0)
    model = Net()
    yield model, copy.deepcopy(model), torch.randn(3, 4)
    torch._dynamo.reset()


def gradients(model, x):
    model.zero_grad()
    model(x).square().sum().backward()
    return [p.grad for p in model.parameters()]


def test_compiles_each_graph_and_keeps_the_names(pair):
    model, untouched, x = pair
    graphs = []
    compile_in_place(model, pytest.fail, lambda graph, inputs: graphs.append(graph) or graph.forward)
    torch.testing.assert_close(gradients(model, x), gradients(untouched, x))
    assert len(graphs) == 1
    assert list(model.state_dict()) == list(untouched.state_dict())


def test_says_once_that_it_goes_on_without(pair):
    model, untouched, x = pair
    said = []

    def compiler(graph, inputs):
        raise RuntimeError("no\ncompiler")

    compile_in_place(model, said.append, compiler)
    torch.testing.assert_close(gradients(model, x), gradients(untouched, x))
    with torch.no_grad():  # another graph
        torch.testing.assert_close(model.eval()(x), untouched(x))
    assert said == ["--compile: torch.compile cannot compile this model here (no compiler); going on without."]


def test_leaves_models_with_operators_written_by_hand_alone():
    model, said = MultiScaleTemporalConv(4, 8, kernel_size=3, dilations=(1, 2), residual=False, activation=True), []
    forward = model.forward
    compile_in_place(nn.Sequential(model), said.append, pytest.fail)
    assert model.forward == forward
    assert said == ["--compile: this model's operators are written by hand and leave torch.compile nothing to gain; "
                    "going on without."]


@pytest.mark.parametrize(("tree", "model", "arguments"), [
    ("CTR-GCN", "model.ctrgcn.Model", {"graph": "graph.ntu_rgb_d.Graph"}),
    ("CTR-GCN", "model.baseline.Model", {"graph": "graph.ntu_rgb_d.Graph"}),
    ("MS-G3D", "model.msg3d.Model", {"num_class": 60, "num_point": 25, "num_person": 2, "num_gcn_scales": 13,
                                     "num_g3d_scales": 6, "graph": "graph.ntu_rgb_d.AdjMatrixGraph"}),
    ("ProtoGCN", "model.protogcn.Model", {}),
    ("Hyper-GCN", "model.hypergcn.Model", {"graph": "graph.ntu_rgb_d.Graph"}),
    ("ST-GCN", "model.stgcn.Model", {"graph": "graph.ntu_rgb_d.Graph"}),
    ("BlockGCN", "model.blockgcn.Model", {"graph": "graph.ntu_rgb_d.Graph"})])
def test_the_bundled_models_say_so(tree, model, arguments):
    with open_tree(tree) as opened:
        assert is_written_by_hand(opened.load(model)(**arguments))


def test_a_run_without_a_c_compiler_trains_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (str(tmp_path / "none"),))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    done = run_here(tmp_path / "work", "--compile", "--model", "toy_model_plain.Model")
    torch._dynamo.reset()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("--compile:") == 1
    assert (tmp_path / "work" / "best.pt").exists()
