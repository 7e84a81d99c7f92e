"""The baselines' parts: resampling to a fixed length, and the two models."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skeleton_lab.toys.models import SkeletonGCN, SkeletonMLP
from skeleton_lab.toys.sampling import SPINE, FixedLength


def clip_of(length: int, padding: int = 0) -> torch.Tensor:
    """A clip (3, length + padding, 25, 2) of one body that moves evenly along x, with empty frames in the middle."""
    clip = torch.zeros(3, length + padding, 25, 2)
    kept = [*range(length // 2), *range(length // 2 + padding, length + padding)]
    clip[:, kept, :, 0] = torch.randn(3, 1, 25)
    clip[0, kept, :, 0] += torch.arange(length, dtype=torch.float32)[:, None]
    return clip


@pytest.mark.parametrize(("length", "padding"), [(50, 0), (50, 7), (3, 40)])
def test_empty_frames_are_dropped_and_the_first_spine_is_the_origin(length, padding):
    sampled = FixedLength(16)(clip_of(length, padding))
    assert sampled.shape == (3, 16, 25, 2)
    assert torch.allclose(sampled[:, 0, SPINE, 0], torch.zeros(3), atol=1e-6)
    assert sampled[..., 1].abs().sum() == 0  # an absent body stays absent
    steps = sampled[0, :, SPINE, 0].diff()
    assert (steps >= 0).all() and steps.sum() > 0.5 * length - 2


def test_a_clip_without_frames_is_zeros():
    assert FixedLength(8, augment=True)(torch.zeros(3, 30, 25, 2)).eq(0).all()


def test_augmentation_varies_and_keeps_bone_lengths():
    torch.manual_seed(0)
    np.random.seed(0)
    clip = clip_of(90)
    first, second = (FixedLength(32, augment=True)(clip) for _ in range(2))
    assert not torch.allclose(first, second)
    length = (clip[:, 0, 3, 0] - clip[:, 0, 9, 0]).norm()
    assert torch.allclose((first[:, :, 3, 0] - first[:, :, 9, 0]).norm(dim=0), length.expand(32), rtol=1e-4)


def test_models_take_clips_and_give_logits():
    clips = torch.randn(4, 3, 32, 25, 2)
    for model in (SkeletonMLP(7, num_frames=32), SkeletonGCN(7)):
        logits = model(clips)
        assert logits.shape == (4, 7)
        logits.sum().backward()
        assert all(p.grad is not None for p in model.parameters())


def test_the_graph_network_counts_its_parameters_as_by_hand():
    def block(i, o, shortcut):
        graph = 3 * 25 * 25 + 3 * i * o + o + 2 * o  # edge importance; 1x1 convolution of three subsets; batch norm
        time = 5 * o * o + o + 2 * o
        return graph + time + (i * o + o + 2 * o if shortcut else 0)

    expected = 2 * 150 + block(3, 32, True) + block(32, 64, True) + block(64, 128, True) + 128 * 60 + 60
    assert sum(p.numel() for p in SkeletonGCN(60).parameters()) == expected


def test_the_graph_network_passes_messages_along_bones_only():
    torch.manual_seed(0)
    model = SkeletonGCN(2).eval()
    clips = torch.randn(1, 3, 8, 25, 1).expand(-1, -1, -1, -1, 2).clone().requires_grad_()
    block = model.blocks[0]
    x = clips[..., 0]
    block(x)[..., 3].sum().backward()  # the head, whose only bone is to the neck
    reached = clips.grad.abs().sum((0, 1, 2, 4)).nonzero().flatten().tolist()
    assert reached == [2, 3]
