"""--compile: the same numbers, the same names, and a model that cannot be compiled runs as it is."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from skeleton_lab.layers import MultiScaleTemporalConv
from skeleton_lab.train.compiling import compile_in_place
from tests.skeleton_lab.train.conftest import run_here


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


def test_leaves_hand_written_operators_whole(pair):
    """Their gradients come out wrong otherwise."""
    torch.manual_seed(0)
    model, x = MultiScaleTemporalConv(4, 8, kernel_size=3, dilations=(1, 2), residual=True, activation=True), \
        torch.randn(2, 4, 6, 5)
    untouched = copy.deepcopy(model)
    graphs, said = [], []
    compile_in_place(model, said.append, lambda graph, inputs: graphs.append(graph) or graph.forward)
    torch.testing.assert_close(gradients(model, x), gradients(untouched, x))
    assert len(said) <= (torch.__version__ < "2.5")  # PyTorch 2.3 does not follow `torch.is_autocast_enabled("cpu")`
    assert not any("bmm" in str(node.target) for graph in graphs for node in graph.graph.nodes)


def test_a_run_without_a_c_compiler_trains_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (str(tmp_path / "none"),))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    done = run_here(tmp_path / "work", "--compile", "--model", "toy_model_plain.Model")
    torch._dynamo.reset()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("--compile:") == 1
    assert (tmp_path / "work" / "best.pt").exists()
