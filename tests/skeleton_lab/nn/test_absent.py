"""Absent bodies are computed once: the same results, fewer bodies."""

import torch
from torch import Tensor, nn

from skeleton_lab.nn.absent import each_body
from skeleton_lab.nn.chunking import as_on_a_gpu


class Counting(nn.Module):
    """Maps each body by itself, and counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.bodies = 0

    def run(self, x: Tensor) -> Tensor:
        self.bodies += len(x)
        return self.linear(x.mean(dim=(2, 3)))


def bodies(clips: Tensor) -> Tensor:
    """(N, C, T, V, M) -> (N*M, C, T, V), where places in the clips differ, as behind the first batch norm."""
    return (clips + torch.arange(clips.shape[-1])).permute(0, 4, 1, 2, 3).flatten(0, 1)


def test_computes_each_kind_of_absent_body_once():
    torch.manual_seed(0)
    model = Counting().eval()
    clips = torch.randn(4, 3, 5, 6, 2)
    clips[1, ..., 1] = 0
    clips[3, ..., 1] = 0
    clips[2] = 0  # nobody
    x = bodies(clips)
    with torch.no_grad():
        expected = model.linear(x.mean(dim=(2, 3)))
        for computed in (6, 4):  # present bodies and one of each place; then these are known
            model.bodies = 0
            torch.testing.assert_close(each_body(model, clips, x, model.run), expected)
            assert model.bodies == computed
        model.bodies = 0
        torch.testing.assert_close(each_body(model, clips[2:3], x[4:6], model.run), expected[4:6])
        assert model.bodies == 0
        shorter = clips[:, :, :4]
        each_body(model, shorter, bodies(shorter), model.run)
        assert model.bodies == 6, "another length is another kind"
        model.linear.weight.mul_(2)
        torch.testing.assert_close(each_body(model, clips, x, model.run), model.linear(x.mean(dim=(2, 3))))


def test_computes_all_in_training_with_gradients_and_on_a_gpu():
    model = Counting()
    clips = torch.zeros(2, 3, 5, 6, 2)
    x = bodies(clips)
    each_body(model, clips, x, model.run)
    each_body(model.eval(), clips, x, model.run).sum().backward()
    with torch.no_grad(), as_on_a_gpu():
        each_body(model, clips, x, model.run)
    assert model.bodies == 12
    assert model.linear.weight.grad is not None
