"""CTR-GCN beyond the golden figures: sizes, the reference, options, initialisation, refusals."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from skeleton_lab.errors import UserError
from skeleton_lab.nn import blocks
from skeleton_lab.nn.chunking import as_on_a_gpu
from tests.golden_models import fill_golden


@pytest.mark.parametrize(("num_class", "expected"), [(60, 1_446_672), (120, 1_462_092)])
def test_parameter_counts(tree, num_class, expected):
    model = tree.load("model.ctrgcn.Model")(num_class=num_class, graph="graph.ntu_rgb_d.Graph")
    assert sum(p.numel() for p in model.parameters()) == expected
    assert len(model.state_dict()) == 822 and len(list(model.parameters())) == 564


def fill_by_position(model: nn.Module, scale: float) -> nn.Module:
    """Fill a model from a second published rule: by the position of each key among the sorted keys."""
    state = model.double().state_dict()
    for position, key in enumerate(sorted(state)):
        shape, part = state[key].shape, key.rpartition(".")[2]
        j = torch.arange(state[key].numel(), dtype=torch.int64)
        u = (((7 * j * j + 31 * j + 101 * position) % 1009).double() / 1009 - 0.5).reshape(shape)
        if part == "num_batches_tracked":
            u = torch.zeros(shape)
        elif part == "running_mean":
            u = 0.2 * u
        elif part == "running_var" or (part == "weight" and len(shape) == 1):
            u = 1 + 0.4 * u
        elif part == "alpha":
            u = torch.full(shape, 0.5)
        elif len(shape) >= 2:
            u = scale * u / math.sqrt(math.prod(shape[1:]))
        else:
            u = 0.2 * u
        state[key] = u
    model.load_state_dict(state)
    return model.eval()


def waves(shape: tuple[int, ...]) -> torch.Tensor:
    """sin(0.1(t+1)(c+1) + 0.2v + 0.5m + 0.3n), (N, C, T, V, M) float64."""
    n, c, t, v, m = torch.meshgrid(*(torch.arange(s, dtype=torch.float64) for s in shape), indexing="ij")
    return torch.sin(0.1 * (t + 1) * (c + 1) + 0.2 * v + 0.5 * m + 0.3 * n)


NTU_CLIPS, UCLA_CLIPS = (2, 3, 20, 25, 2), (2, 3, 52, 20, 1)
NTU, UCLA = {"graph": "graph.ntu_rgb_d.Graph"}, {"graph": "graph.ucla.Graph", "num_point": 20, "num_person": 1}
WAVES = [
    ("ctrgcn", {**NTU, "num_class": 60}, 2, NTU_CLIPS, [[4.261646, 2.513761, 0.310815, -0.918506],
                                                       [3.819277, 2.191834, 0.100370, -0.721540]], 74.459753),
    ("ctrgcn", {**NTU, "num_class": 120}, 2, NTU_CLIPS, [[4.261646, 2.513761, 0.310815, -0.918506],
                                                        [3.819277, 2.191834, 0.100370, -0.721540]], 155.858434),
    ("ctrgcn", {**UCLA, "num_class": 10}, 2, UCLA_CLIPS, [[0.751755, 0.291296, -0.052933, 0.044422],
                                                         [0.746511, 0.288523, -0.051008, 0.044347]], 3.759906),
    ("baseline", {**NTU, "num_class": 60}, 4, NTU_CLIPS, [[24.992353, 18.927633, -5.155909, 3.909269],
                                                         [25.179806, 18.250097, -4.550382, 4.205867]], 826.512919),
]


@pytest.mark.parametrize(("module", "arguments", "scale", "shape", "first_four", "total"), WAVES)
def test_second_reference(tree, module, arguments, scale, shape, first_four, total):
    model = fill_by_position(tree.load(f"model.{module}.Model")(**arguments), scale)
    with torch.no_grad():
        logits = model(waves(shape))
    torch.testing.assert_close(logits[:, :4], torch.tensor(first_four, dtype=torch.float64), rtol=0, atol=1e-6)
    assert logits.sum().item() == pytest.approx(total, abs=1e-5)


def small(tree, **changes) -> nn.Module:
    return tree.load("model.ctrgcn.Model")(**{**UCLA, "num_class": 10, **changes})


def test_equals_the_reference(tree):
    ours = fill_golden(small(tree).double())
    plain = ours.reference(**UCLA, num_class=10).double()
    assert list(plain.state_dict()) == list(ours.state_dict())
    plain.load_state_dict(ours.state_dict())
    clips = torch.randn(2, 3, 9, 20, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for training in (True, False):
        got, expected = (model.train(training)(clips) for model in (ours, plain))
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-9 * expected.abs().max().item())


def test_evaluation_without_gradients(tree, monkeypatch):
    """Odd lengths, absent bodies, weights that change, pieces of a body."""
    arguments = {**UCLA, "num_class": 10, "num_person": 2}
    ours = fill_golden(tree.load("model.ctrgcn.Model")(**arguments).double()).eval()
    plain = ours.reference(**arguments).double().eval()
    clips = torch.randn(3, 3, 9, 20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    clips[1, ..., 1] = 0
    with torch.no_grad():
        for limit in (blocks.EVALUATION_BYTES, 1):
            monkeypatch.setattr(blocks, "EVALUATION_BYTES", limit)
            torch._foreach_mul_(list(ours.parameters()), 1.01)
            plain.load_state_dict(ours.state_dict())
            got, expected = ours(clips), plain(clips)
            with as_on_a_gpu():
                whole = ours(clips)
            for logits in (got, whole):
                torch.testing.assert_close(logits, expected, rtol=0, atol=1e-10 * expected.abs().max().item())


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_any_number_of_frames(tree, frames):
    assert small(tree).eval()(torch.randn(2, 3, frames, 20, 1)).shape == (2, 10)


def test_flat_clips_are_joint_major(tree):
    model = fill_golden(small(tree).double()).eval()
    clips = torch.randn(2, 3, 6, 20, 1, dtype=torch.float64)
    flat = clips[..., 0].permute(0, 2, 3, 1).reshape(2, 6, 60)  # (N, T, V*C)
    with torch.no_grad():
        torch.testing.assert_close(model(flat), model(clips))


def test_without_adaptive_topologies(tree):
    model = small(tree, adaptive=False).double()
    assert not any("PA" in key or "adjacency" in key for key in model.state_dict())
    clips = torch.randn(2, 3, 6, 20, 1, dtype=torch.float64)
    adaptive = small(tree).double()
    adaptive.load_state_dict(model.state_dict(), strict=False)  # PA still is the adjacency
    torch.testing.assert_close(model.train()(clips), adaptive.train()(clips))


def test_drop_out(tree):
    model = small(tree, drop_out=0.5)
    clips = torch.randn(4, 3, 6, 20, 1)
    model.eval()
    assert torch.equal(model(clips), model(clips))
    features = []
    model.fc.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    model.train()(clips)
    assert 0.3 < (features[0] == 0).float().mean() < 0.7


def test_initialisation_layer_by_layer(tree):
    torch.manual_seed(3)
    model = tree.load("model.ctrgcn.Model")(num_class=60, graph="graph.ntu_rgb_d.Graph")
    adjacency = torch.from_numpy(tree.load("graph.ntu_rgb_d.Graph")().A).float()
    state = model.state_dict()
    for key, tensor in state.items():
        owner, part = key.rpartition(".")[0], key.rpartition(".")[2]
        if part == "PA":
            assert torch.equal(tensor, adjacency)
        elif part == "alpha":
            assert tensor.item() == 0
        elif part in ("running_mean", "num_batches_tracked"):
            assert not tensor.any()
        elif part == "running_var":
            assert (tensor == 1).all()
        elif key == "fc.weight":
            check_spread(key, tensor, math.sqrt(2 / 60))
        elif key == "fc.bias":
            assert tensor.abs().max() <= 1 / 16 and tensor.std().item() == pytest.approx(1 / 16 / math.sqrt(3), rel=0.3)
        elif part == "bias":
            assert not tensor.any(), key
        elif tensor.dim() == 4:
            check_spread(key, tensor, math.sqrt(2 / (tensor.shape[0] * tensor.shape[2])))
        elif owner.endswith("gcn1.bn"):
            assert (tensor == 1e-6).all()
        elif ".tcn1." in key:
            assert (tensor - 1).abs().max() < 0.12 and 0.005 < tensor.std() < 0.04, key
        else:
            assert (tensor == 1).all(), key
    jitter = torch.cat([t for k, t in state.items() if ".tcn1." in k and k.endswith("weight") and t.dim() == 1])
    assert jitter.mean().item() == pytest.approx(1, abs=0.002) and jitter.std().item() == pytest.approx(0.02, rel=0.05)


def check_spread(key: str, tensor: torch.Tensor, std: float) -> None:
    """A centred normal of that standard deviation, within five standard errors of an estimate from so many draws."""
    error = 5 / math.sqrt(2 * tensor.numel())
    assert tensor.std().item() == pytest.approx(std, rel=error), key
    assert abs(tensor.mean().item()) < 5 * std / math.sqrt(tensor.numel()), key


@pytest.mark.parametrize(("changes", "message"), [
    ({"graph": None}, "'graph' is missing"),
    ({"num_point": 25}, "num_point 25"),
    ({"graph": "graph.nowhere.Graph"}, "graph.nowhere"),
    ({"graph_args": {"mode": "spatial"}}, "mode"),
    ({"graph_args": {"labeling_mode": "distance"}}, "distance"),
])
def test_bad_arguments_are_one_line(tree, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        small(tree, **changes)
    assert "\n" not in str(caught.value)


def test_clips_of_another_skeleton_are_refused(tree):
    with pytest.raises(UserError, match="25 joints"):
        small(tree)(torch.zeros(1, 3, 4, 25, 1))
    with pytest.raises(UserError, match="61"):
        small(tree)(torch.zeros(1, 4, 61))
