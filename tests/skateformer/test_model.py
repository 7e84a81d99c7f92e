"""SkateFormer: the fast form against the paper's equations, what training drops, its quirks, what it refuses."""

from __future__ import annotations

import math
from contextlib import nullcontext

import pytest
import torch
from torch.nn import functional as F

from skeleton_lab.errors import UserError
from skeleton_lab.nn.chunking import as_on_a_gpu

NUM_CLASS = 4
SMALL = {"num_class": NUM_CLASS, "num_point": 8, "num_person": 2, "type_1_size": [2, 4], "type_2_size": [2, 8],
         "type_3_size": [2, 4], "type_4_size": [2, 8], "mlp_ratio": 1.5, "index_t": True}
PUBLISHED = {"num_point": 24, "type_1_size": [8, 8], "type_2_size": [8, 12], "type_3_size": [8, 8],
             "type_4_size": [8, 12], "index_t": True}
DROPS = {"attn_drop": 0.5, "drop_path": 0.6, "head_drop": 0.3}


def pair(tree, **more):
    """The model and its reference, float64, with the same weights, none of them zero."""
    torch.manual_seed(0)
    model = tree.load("model.skateformer.Model")(**SMALL | more).double()
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    plain = model.reference(**SMALL | more).double()
    plain.load_state_dict(model.state_dict())
    return model, plain


def clips(count: int = 3, frames: int = 16) -> torch.Tensor:
    return torch.randn(count, 3, frames, 8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def step(model, x):
    """The logits, and the gradients with respect to the clips and all parameters, of a pass with seeded draws."""
    torch.manual_seed(3)
    x = x.clone().requires_grad_()
    logits = model(x)
    loss = F.cross_entropy(logits, torch.arange(len(x)) % NUM_CLASS)
    return logits, torch.autograd.grad(loss, [x, *model.parameters()], allow_unused=True)


def assert_equal_steps(ours, plain, x=None):
    found, expected = step(ours, clips() if x is None else x), step(plain, clips() if x is None else x)
    torch.testing.assert_close(found[0], expected[0], rtol=1e-8, atol=1e-8)
    for name, mine, theirs in zip(["clips", *dict(ours.named_parameters())], found[1], expected[1], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-8, msg=lambda text, name=name: f"{name}: {text}")


def assert_nothing_unset_is_read(ours, plain):
    """The same where new memory is filled with NaN."""
    torch.use_deterministic_algorithms(True)
    try:
        assert_equal_steps(ours, plain)
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(("more", "memory_friendly", "pieces"), [
    ({}, False, "all"), (DROPS, False, "one"), (DROPS, True, "gpu"), ({**DROPS, "attn_drop": 0.3, "rel": False}, True,
                                                                       "all"),
    ({"num_heads": 8, "kernel_size": 3, "time_bias": True, "width_scale": True, "global_pool": "max"}, False, "one")])
def test_a_training_step_is_the_equations(tree, more, memory_friendly, pieces, monkeypatch):
    """Whatever is dropped, in pieces of a clip, of all clips, and as on a GPU."""
    import model.block  # the tree's, which is open

    if pieces == "one":
        monkeypatch.setattr(model.block, "_MOST_BYTES", 1)
        monkeypatch.setattr(model.block, "_MOST_SCORES", 1)
    ours, plain = pair(tree, **more)
    ours.set_memory_friendly(memory_friendly)
    with as_on_a_gpu() if pieces == "gpu" else nullcontext():
        assert_nothing_unset_is_read(ours, plain)
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value, rtol=1e-8, atol=1e-8)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(clips()), plain.eval()(clips()), rtol=1e-8, atol=1e-8)


def test_dropped_activations_and_frames_by_number(tree):
    """What no published config asks for is computed as the equations say, too."""
    ours, plain = pair(tree, drop=0.4, index_t=False, num_frames=16)
    assert_equal_steps(ours, plain)


def test_parameters_and_starting_values(tree):
    make = tree.load("model.skateformer.Model")
    with torch.device("meta"):
        counts = [sum(p.numel() for p in make(**PUBLISHED | more).parameters()) for more in (
            {}, {"num_class": 120}, {"num_class": 11}, {"num_class": 26}, {"index_t": False}, {"mlp_ratio": 1.0})]
    assert counts == [3_616_083, 3_627_663, 3_606_626, 3_609_521, 3_906_387, 2_174_355]
    model = make(**SMALL)
    for kind in ("gconv", "embedding", "table"):
        values = torch.cat([p.flatten() for name, p in model.named_parameters() if name.endswith(kind)])
        assert values.std().item() == pytest.approx(0.02, rel=0.1)
    rates = [block.transformer.drops.path for stage in make(**SMALL, drop_path=0.2).stages for block in stage.blocks]
    assert rates == pytest.approx([0.2 * number / 7 for number in range(8)])


def test_mixed_precision_stays_close(tree):
    ours, _ = pair(tree)
    ours, x = ours.float().eval(), clips().float()
    with torch.no_grad():
        exact = ours(x)
        with torch.autocast("cpu", torch.bfloat16):
            assert (ours(x) - exact).abs().max() < 0.1 * exact.abs().max()
    with torch.autocast("cpu", torch.bfloat16):
        F.cross_entropy(ours.train()(x).float(), torch.arange(3)).backward()
    assert all(p.grad is None or (p.grad.dtype == p.dtype and p.grad.isfinite().all()) for p in ours.parameters())


def test_without_an_index_frames_are_those_of_a_whole_recording(tree):
    ours, _ = pair(tree)
    index = (2 * torch.arange(16) / 16 - 1).expand(3, 16)
    with torch.no_grad():
        assert torch.equal(ours.eval()(clips()), ours(clips(), index.double()))
        assert not torch.allclose(ours(clips()), ours(clips(), index.double() * 0.5))
        assert ours.features(clips(), index).shape == (3, 192) and ours.fc is ours.head


def test_the_published_bias_of_near_points_goes_by_token_number(tree):
    """With groups of 8 frames and 8 points: by the joints, blind to time. `time_bias` is what the paper says."""
    import model.reference as reference

    frames, points = torch.arange(64) // 8, torch.arange(64) % 8
    for time_bias, number in ((False, points), (True, frames)):
        shape = reference.Shape(16, 7, 32, (), time_bias=time_bias)
        attention = reference.Attention(reference.Kind(8, 8, False, False), shape)
        expected = attention.relative_position_bias_table[number[:, None] - number + 7].permute(2, 0, 1)
        assert torch.equal(attention.bias(), expected)
    far = reference.Attention(reference.Kind(2, 3, False, True), reference.Shape(6, 7, 32, ()))
    assert far.bias()[1, 1 * 3 + 2, 0 * 3 + 1] == far.relative_position_bias_table[1 - 0 + 1, 2, 1, 1]


@pytest.mark.parametrize(("more", "shape", "said"), [
    ({"num_heads": 20}, None, "num_heads 20"), ({"type_3_size": [2, 5]}, None, "type_3_size .* do not divide the 16"),
    ({"global_pool": "sum"}, None, "choose avg or max"), ({"type_1_size": [2]}, None, "type_1_size"),
    ({}, (1, 3, 12, 8, 2), "12 frames: stage 3 has 3"), ({}, (1, 3, 16, 25, 2), "25 joints and 2 bodies"),
    ({"index_t": False}, (1, 3, 16, 8, 2), "num_frames: 64")])
def test_sizes_that_do_not_divide_are_refused(tree, more, shape, said):
    make = tree.load("model.skateformer.Model")
    with pytest.raises(UserError, match=said):
        make(**SMALL | more)(torch.zeros(shape or (1, 3, 16, 8, 2)))


def test_what_is_dropped_is_dropped_by_the_bit():
    from skeleton_lab.nn.dropping import DropPath, draw_kept_weights, kept_weights, rising_rates

    torch.manual_seed(0)
    shape = (3, 2, 31, 37)  # no multiple of 8
    for rate in (0.5, 0.2):
        bits = draw_kept_weights(shape, rate, torch.device("cpu"))
        assert bits.dtype == torch.uint8 and bits.shape == (3, math.ceil(2 * 31 * 37 / 8))
        kept = kept_weights(bits, shape, torch.float64, 1 / (1 - rate))
        assert set(kept.unique().tolist()) == {0, 1 / (1 - rate)} and kept.mean().item() == pytest.approx(1, abs=0.06)
        assert torch.equal(kept_weights(bits[1:2], (1, *shape[1:]), torch.float64, 1 / (1 - rate)), kept[1:2])
        halves = kept_weights(bits, shape, torch.float32).flatten(1)
        assert (halves[0] != halves[1]).any()
    assert rising_rates(0.3, 4) == pytest.approx([0, 0.1, 0.2, 0.3])
    path, x = DropPath(0.25), torch.ones(4000, 2)
    assert torch.equal(path.eval()(x), x)
    dropped = path.train()(x)
    assert torch.equal(dropped[:, 0], dropped[:, 1]) and dropped.mean().item() == pytest.approx(1, abs=0.05)
    assert sorted(dropped.unique().tolist()) == pytest.approx([0, 1 / 0.75])
