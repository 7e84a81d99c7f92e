"""The topology of a clip's joints: against a plain definition, and what is odd about it, which is published."""

from __future__ import annotations

import numpy as np
import pytest
import torch


@pytest.fixture
def joints():
    return torch.from_numpy(np.random.default_rng(0).standard_normal((3, 3, 5, 7, 2)))  # (N, C, T, V, M)


def spanning_tree(points: np.ndarray) -> list[float]:
    """The lengths of a minimum spanning tree's edges, by Kruskal's algorithm."""
    count = len(points)
    edges = sorted((float(np.linalg.norm(points[i] - points[j])), i, j) for i in range(count) for j in range(i))
    part, lengths = list(range(count)), []
    for length, i, j in edges:
        if part[i] != part[j]:
            lengths.append(length)
            part = [part[i] if own == part[j] else own for own in part]
    return lengths


def test_deaths_are_the_lengths_of_the_tree(tree):
    """Also of points on a grid, of which many are equally far apart, or in one place."""
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.standard_normal((4, 12, 5)), *rng.integers(0, [[[[3]]], [[[2]]]], (2, 4, 12, 5))])
    found = tree.load("model.topology.deaths")(torch.from_numpy(points)).numpy()
    np.testing.assert_allclose(np.sort(found), [sorted(spanning_tree(clip)) for clip in points], rtol=1e-12)


@pytest.mark.parametrize("per_clip", [False, True])
def test_features_are_the_definition(tree, joints, per_clip):
    topology = tree.load("model.topology.Topology")(per_clip).double()
    positions = joints.numpy().mean(axis=(2, 4)).transpose(0, 2, 1)  # (N, V, C)
    distances = np.array([[[np.linalg.norm(v - w) for w in clip] for v in clip] for clip in positions])
    centres, sharpness = (tensor.detach().numpy() for tensor in (topology.pl.centres, topology.pl.sharpness))
    expected = []
    for clip in distances:
        scaled = clip / (clip if per_clip else distances).max()  # the diagonal is the minimum, 0
        deaths = np.array(spanning_tree(scaled)).astype(np.float32)
        expected.append([sum(np.exp(-(s[0] * c[0])**2 - (s[1] * (c[1] - death))**2) for death in deaths)
                         for c, s in zip(centres, sharpness, strict=True)])
    np.testing.assert_allclose(topology(joints).detach().numpy(), expected, rtol=1e-12)


def test_as_published_a_clip_is_scaled_by_the_largest_of_its_batch(tree, joints):
    near, far = joints[:1], 10 * joints[1:]
    for per_clip in (False, True):
        topology = tree.load("model.topology.Topology")(per_clip).double()
        alone, together = topology(near)[0], topology(torch.cat([near, far]))[0]
        assert torch.equal(alone, together) == per_clip


def test_joints_in_one_place_have_deaths_of_zero(tree, joints):
    """The published code fails on a batch of these, and counts NaN for a single one."""
    joints[0] = 0
    module = tree.load("model.topology.Topology")(per_clip=False).double()
    features = module(joints)
    centre, sharpness = module.pl.centres, module.pl.sharpness
    torch.testing.assert_close(features[0], 6 * torch.exp(-(centre * sharpness).square().sum(dim=1)))
    assert module(torch.zeros_like(joints)).isfinite().all()


def test_as_published_bodies_get_the_topology_of_other_clips(tree):
    """Row n*M + m of a unit's input is body m of clip n; the rows of topology are all clips, once for each body."""
    torch.manual_seed(0)
    published, own = (tree.load("model.topology.TopologyBias")(4, fix).eval() for fix in (False, True))
    own.load_state_dict(published.state_dict())
    features = torch.randn(3, 64)
    single = [own(features[clip:clip + 1], bodies=1)[0] for clip in range(3)]
    for rows, clips in ((published(features, 2), (0, 1, 2, 0, 1, 2)), (own(features, 2), (0, 0, 1, 1, 2, 2))):
        torch.testing.assert_close(rows, torch.stack([single[clip] for clip in clips]))


def test_the_code_of_hops_begins_with_gradients_of_ten_thousand(tree):
    unit_columns = tree.load("model.reference.unit_columns")
    zeros = torch.zeros(3, 3, requires_grad=True)
    unit_columns(zeros).sum().backward()
    torch.testing.assert_close(zeros.grad, torch.full((3, 3), 1e4))
    torch.testing.assert_close(unit_columns(torch.eye(3)), torch.eye(3) / (1 + 1e-4))
