"""Tests that need a CUDA GPU; without one they say so and skip."""

from __future__ import annotations

import functools

import pytest
import torch

from tests.trees import open_tree

CUDA = torch.device("cuda", 0)
MODELS = {"CTR-GCN": ("model.ctrgcn.Model", {"graph": "graph.ntu_rgb_d.Graph"}),
          "ST-GCN": ("model.stgcn.Model", {"graph": "graph.ntu_rgb_d.Graph"}),
          "Hyper-GCN": ("model.hypergcn.Model", {"graph": "graph.ntu_rgb_d.Graph", "hyper_joints": 3}),
          "BlockGCN": ("model.blockgcn.Model", {"graph": "graph.ntu_rgb_d.Graph"}),
          "ProtoGCN": ("model.protogcn.Model", {"num_prototype": 400}),
          "MS-G3D": ("model.msg3d.Model", {"num_class": 60, "num_point": 25, "num_person": 2, "num_gcn_scales": 13,
                                           "num_g3d_scales": 6, "graph": "graph.ntu_rgb_d.AdjMatrixGraph"})}
BASELINE = "CTR-GCN", ("model.baseline.Model", {"graph": "graph.ntu_rgb_d.Graph"})  # it has no other form


@pytest.fixture(scope="session", autouse=True)
def gpu():
    """The name of the GPU that is computed on."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA GPU")
    return torch.cuda.get_device_name(0)


@pytest.fixture(params=[*MODELS.items(), BASELINE], ids=lambda entry: entry[1][0])
def model(request):
    """A model as training starts with it, float32, on the GPU."""
    tree_name, (dotted, arguments) = request.param
    torch.manual_seed(0)
    with open_tree(tree_name) as tree:
        yield tree.load(dotted)(**arguments).to(CUDA)


@pytest.fixture
def full_precision(monkeypatch):
    """Multiply float32 in float32, in matrix products and in cuDNN's convolutions, where a run would take TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    yield
    torch.set_float32_matmul_precision(before)


@pytest.fixture(scope="session")
def run_script(run_script):
    """The same, but always `fresh`: a forked process has no CUDA where PyTorch's import has asked for GPUs."""
    return functools.partial(run_script, fresh=True)
