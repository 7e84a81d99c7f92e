"""Clips and what else a model takes travel as one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skeleton_lab.errors import UserError
from skeleton_lab.nn.inputs import Inputs, called


class Sum(nn.Module):
    def forward(self, clips, more=0):
        return clips.sum(dim=1) + more


def test_they_are_cut_moved_and_copied_together():
    clips, more = torch.arange(12.0).view(6, 2), torch.arange(6.0)
    some = Inputs((clips, more))[2:5]
    assert len(some) == 3 and some.shape == ((3, 2), (3,)) and some.clips is some.tensors[0]
    moved = some.to(torch.float64)
    assert [tensor.dtype for tensor in moved.tensors] == [torch.float64] * 2
    own = Inputs((torch.zeros(3, 2), torch.zeros(3)))
    own.copy_(some)
    assert torch.equal(own.tensors[0], clips[2:5]) and torch.equal(own.tensors[1], more[2:5])


def test_a_model_is_called_with_what_there_is():
    clips, more = torch.ones(3, 2), torch.arange(3.0)
    assert called(Sum(), clips).tolist() == [2, 2, 2]
    assert called(Sum(), Inputs.of(clips)).tolist() == [2, 2, 2]
    assert called(Sum(), Inputs((clips, more))).tolist() == [2, 3, 4]
    with pytest.raises(UserError, match="gives 3 inputs"):
        called(Sum(), Inputs((clips, more, more)))
