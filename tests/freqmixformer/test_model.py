"""FreqMixFormer: recomputation, mixed precision, export, what is odd about it, what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from skeleton_lab.errors import UserError
from tests.tree_cases import assert_half_is_close, assert_one_line, random_clips, scrambled

NUM_CLASS, FRAMES = 5, 8
NTU = {"num_class": NUM_CLASS, "num_frame": FRAMES, "graph": "graph.ntu_rgb_d.Graph"}
UCLA = {"num_class": NUM_CLASS, "num_frame": FRAMES, "num_point": 20, "num_person": 1, "graph": "graph.ucla.Graph"}


def clips(num_clips: int = 2) -> torch.Tensor:
    return random_clips(num_clips, FRAMES)


def scrambled_pair(tree):
    """The model and its reference, float64, with the same random weights and running moments."""
    model = tree.load("model.freqmixformer.Model")(**NTU)
    return scrambled(model, model.reference(**NTU))


def gradients(model: torch.nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The logits, and the gradients of a loss with respect to the clips and all parameters that are trained."""
    x = x.clone().requires_grad_()
    logits = model(x)
    names = {"clips": x, **{name: p for name, p in model.named_parameters() if p.requires_grad}}
    found = torch.autograd.grad(F.cross_entropy(logits, torch.arange(len(x)) % NUM_CLASS), list(names.values()))
    return logits, dict(zip(names, found, strict=True))


def test_recomputation_changes_no_number(tree):
    ours, plain = scrambled_pair(tree)
    ours.set_memory_friendly(True)
    logits, ours_gradients = gradients(ours, clips())
    expected, plain_gradients = gradients(plain, clips())
    torch.testing.assert_close(logits, expected, rtol=1e-8, atol=1e-8)
    scale = max(gradient.abs().max().item() for gradient in plain_gradients.values())
    for name, gradient in plain_gradients.items():
        torch.testing.assert_close(ours_gradients[name], gradient, rtol=1e-8, atol=1e-10 * scale, msg=name)
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value, rtol=1e-8, atol=1e-8, msg=key)


def test_what_nothing_uses_is_not_trained(tree):
    model = tree.load("model.freqmixformer.Model")(**{**NTU, "num_frame": 64})
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    assert frozen == 14_344


@pytest.mark.parametrize("arguments", [NTU, UCLA], ids=["25 joints", "20 joints"])
def test_high_frequencies_begin_at_the_fourteenth_column(tree, arguments):
    """The published split is fixed, whatever the number of joints."""
    attention = tree.load("model.freqmixformer.Model")(**arguments).l1.spa_mixf.Spa_Att
    joints = arguments.get("num_point", 25)
    assert attention.column_weights.tolist() == [0.5] * 13 + [1.5] * (joints - 13)
    torch.testing.assert_close(attention.inverse @ attention.transform, torch.eye(joints, dtype=torch.float64))


def test_hop_1_sees_bones(tree):
    model = tree.load("model.freqmixformer.Model")(**NTU, hop=1)
    x = clips()[0, :, 0, :, 0].float()  # (C, V)
    seen = x @ model.away.t()
    torch.testing.assert_close(seen[:, 3], x[:, 3] - x[:, 2])
    torch.testing.assert_close(seen[:, 1], x[:, 1])  # the root
    assert torch.equal(tree.load("model.freqmixformer.Model")(**NTU).away, torch.eye(25))


def test_half_precision_is_close(tree):
    torch.manual_seed(4)
    assert_half_is_close(tree.load("model.freqmixformer.Model")(**NTU), clips().float())


def test_exports_with_the_batch_open(tree):
    from skeleton_lab.export.formats import Example, trace
    from skeleton_lab.export.reference import inference_form

    model = scrambled_pair(tree)[0].float().eval()
    example = Example(channels=3, frames=FRAMES, joints=25, bodies=2, open_frames=False)
    program = trace(inference_form(model, NTU), example).module()
    with torch.no_grad():
        x = clips(3).float()
        expected = model(x)
        torch.testing.assert_close(program(x), expected, rtol=0, atol=1e-4 * max(1, expected.abs().max().item()))


@pytest.mark.parametrize(("changes", "message"), [
    ({"graph": None}, "'graph' is missing"), ({"num_point": 20}, "num_point is 20"), ({"hop": 0}, "hop=0"),
    ({"num_frame": 50}, "num_frame=50"), ({"graph_args": {"labeling_mode": "distance"}}, "distance"),
])
def test_bad_arguments_are_one_line(tree, changes, message):
    assert_one_line(tree.load("model.freqmixformer.Model"), {**NTU, **changes}, message)


def test_clips_of_another_length_are_refused(tree):
    with pytest.raises(UserError, match="8 frames"):
        tree.load("model.freqmixformer.Model")(**NTU)(torch.zeros(1, 3, 12, 25, 2))
