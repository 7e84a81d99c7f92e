"""Working as on a GPU: the layout of a GPU's memory, and the same results."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from skeleton_lab.nn.chunking import all_at_once, as_on_a_gpu
from tests.golden_models import fill_golden
from tests.trees import open_tree

MODELS = {"CTR-GCN": ("model.ctrgcn.Model", {"graph": "graph.ntu_rgb_d.Graph"}),
          "ST-GCN": ("model.stgcn.Model", {"graph": "graph.ntu_rgb_d.Graph"}),
          "Hyper-GCN": ("model.hypergcn.Model", {"graph": "graph.ntu_rgb_d.Graph", "hyper_joints": 3}),
          "BlockGCN": ("model.blockgcn.Model", {"graph": "graph.ntu_rgb_d.Graph"}),
          "ProtoGCN": ("model.protogcn.Model", {"blocks": [[24, 1], [48, 2]]}),
          "MS-G3D": ("model.msg3d.Model", {"num_class": 60, "num_point": 25, "num_person": 2, "num_gcn_scales": 13,
                                           "num_g3d_scales": 6, "graph": "graph.ntu_rgb_d.AdjMatrixGraph"})}


@pytest.fixture(params=MODELS)
def model(request):
    """A filled float64 model."""
    dotted, arguments = MODELS[request.param]
    with open_tree(request.param) as tree:
        yield fill_golden(tree.load(dotted)(**arguments).double())


def outcome(model):
    """Logits in training and in evaluation, gradients and running moments of a pass."""
    clips = torch.randn(2, 3, 6, 25, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    state = {key: value.clone() for key, value in model.state_dict().items()}
    model.train().zero_grad()
    torch.manual_seed(0)  # of dropout
    logits = model(clips)
    F.cross_entropy(logits, torch.arange(2)).backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]  # some are of an auxiliary loss alone
    found = [logits.detach(), *grads, *(b.clone() for b in model.buffers())]
    with torch.no_grad():
        found.append(model.eval()(clips))
    model.load_state_dict(state)
    return found


def test_the_same_results(model):
    in_pieces = outcome(model)
    with as_on_a_gpu():
        at_once = outcome(model)
    largest = max(tensor.abs().max() for tensor in in_pieces)
    for a, b in zip(at_once, in_pieces, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-12 * largest.item())


def test_only_inside_the_block():
    x = torch.zeros(1)
    with as_on_a_gpu(), as_on_a_gpu():
        assert all_at_once(x)
    assert not all_at_once(x)
