"""FreqMixFormer: recomputation, mixed precision, export, what is odd about it, what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from skeleton_lab.errors import UserError
from skeleton_lab.nn.chunking import as_on_a_gpu
from tests.tree_cases import (
    assert_half_is_close,
    assert_one_line,
    assert_same_evaluation,
    assert_same_step,
    random_clips,
    scrambled,
)

NUM_CLASS, FRAMES = 5, 8
NTU = {"num_class": NUM_CLASS, "num_frame": FRAMES, "graph": "graph.ntu_rgb_d.Graph"}
UCLA = {"num_class": NUM_CLASS, "num_frame": FRAMES, "num_point": 20, "num_person": 1, "graph": "graph.ucla.Graph"}
SMALL = [[80, 1], [80, 1], [160, 2], [160, 1], [200, 2]]  # blocks of all kinds


def clips(num_clips: int = 2, frames: int = FRAMES, joints: int = 25, bodies: int = 2) -> torch.Tensor:
    return random_clips(num_clips, frames, joints, bodies)


def scrambled_pair(tree, **options):
    """The model and its reference, of few blocks, float64, with the same random weights and running moments."""
    torch.manual_seed(0)
    arguments = {**NTU, "blocks": SMALL, **options}
    model = tree.load("model.freqmixformer.Model")(**arguments)
    return scrambled(model, model.reference(**arguments))


def gradients(model: torch.nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The logits, and the gradients of a loss with respect to the clips and all parameters (zeros: not trained)."""
    x = x.clone().requires_grad_()
    logits = model(x)
    wanted = [x, *(p for p in model.parameters() if p.requires_grad)]
    found = iter(torch.autograd.grad(F.cross_entropy(logits, torch.arange(len(x)) % NUM_CLASS), wanted))
    return logits, [next(found), *(next(found) if p.requires_grad else torch.zeros_like(p)
                                   for p in model.parameters())]


@pytest.mark.parametrize(("memory_friendly", "options", "shape"), [
    (False, {"hop": 2}, (3, 8, 25, 2)), (True, {**UCLA, "num_frame": 12, "in_channels": 3}, (3, 12, 20, 1))])
def test_a_training_step_is_the_equations(tree, memory_friendly, options, shape):
    ours, plain = scrambled_pair(tree, **options)
    ours.set_memory_friendly(memory_friendly)
    assert_same_step(ours, plain, clips(*shape), gradients)


def test_as_on_a_gpu_it_is_the_equations(tree, monkeypatch):
    """Several bodies at a time, and a rest."""
    import model.aggregation  # the tree's, which is open

    monkeypatch.setattr(model.aggregation, "BODIES_ON_A_GPU", 4)
    with as_on_a_gpu():
        assert_same_step(*scrambled_pair(tree), clips(3), gradients)


def test_evaluation_is_the_equations(tree):
    """In a few blocks: what running moments do not hold in check grows from block to block, and rounding with it."""
    ours, plain = scrambled_pair(tree, blocks=SMALL[1:3] + SMALL[4:])
    for network in (ours, plain):  # frames are summed, so that values grow: keep running moments in line
        for name, buffer in network.named_buffers():
            if name.endswith("running_var") and "branches.3" in name:
                buffer.mul_(100)
    assert_same_evaluation(ours, plain, clips(3), gradients)


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
    assert_half_is_close(tree.load("model.freqmixformer.Model")(**NTU, blocks=SMALL), clips().float())


def test_exports_with_the_batch_open(tree):
    from skeleton_lab.export.formats import Example, trace
    from skeleton_lab.export.reference import inference_form

    few = {"blocks": [[40, 1], [80, 2], [80, 2]]}
    model = scrambled_pair(tree, **few)[0].float().eval()
    example = Example(channels=3, frames=FRAMES, joints=25, bodies=2, open_frames=False)
    program = trace(inference_form(model, {**NTU, **few}), example).module()
    with torch.no_grad():
        x = clips(3).float()
        expected = model(x)
        torch.testing.assert_close(program(x), expected, rtol=0, atol=1e-4 * max(1, expected.abs().max().item()))


@pytest.mark.parametrize(("changes", "message"), [
    ({"graph": None}, "'graph' is missing"), ({"num_point": 20}, "num_point is 20"), ({"hop": 0}, "hop=0"),
    ({"num_frame": 50}, "num_frame=50"), ({"blocks": [[80, 1], [160, 2]]}, "two blocks"),
    ({"blocks": [[50, 1], [80, 2], [80, 2]]}, "multiples of 40"),
    ({"graph_args": {"labeling_mode": "distance"}}, "distance"),
])
def test_bad_arguments_are_one_line(tree, changes, message):
    assert_one_line(tree.load("model.freqmixformer.Model"), {**NTU, **changes}, message)


def test_clips_of_another_length_are_refused(tree):
    with pytest.raises(UserError, match="8 frames"):
        tree.load("model.freqmixformer.Model")(**NTU)(torch.zeros(1, 3, 12, 25, 2))
