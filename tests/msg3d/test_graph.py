"""The two skeleton graphs and the adjacency stacks built on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

# 0-based, as the data sets publish them.
NTU_LINKS = [(0, 1), (1, 20), (2, 20), (3, 2), (4, 20), (5, 4), (6, 5), (7, 6), (8, 20), (9, 8), (10, 9), (11, 10),
             (12, 0), (13, 12), (14, 13), (15, 14), (16, 0), (17, 16), (18, 17), (19, 18), (21, 22), (22, 7),
             (23, 24), (24, 11)]
KINETICS_LINKS = [(4, 3), (3, 2), (7, 6), (6, 5), (13, 12), (12, 11), (10, 9), (9, 8), (11, 5), (8, 2), (5, 1),
                  (2, 1), (0, 1), (15, 0), (14, 0), (17, 15), (16, 14)]
GRAPHS = [("graph.ntu_rgb_d.AdjMatrixGraph", 25, NTU_LINKS), ("graph.kinetics.AdjMatrixGraph", 18, KINETICS_LINKS)]


def binary(num_joints, links):
    matrix = np.zeros((num_joints, num_joints), np.float32)
    for a, b in links:
        matrix[a, b] = matrix[b, a] = 1
    return matrix


@pytest.mark.parametrize(("path", "num_joints", "links"), GRAPHS)
def test_graph_attributes(tree, path, num_joints, links):
    graph = tree.load(path)("anything", ignored=True)
    assert graph.num_nodes == num_joints
    assert {frozenset(edge) for edge in graph.edges} == {frozenset(link) for link in links}
    assert sorted(graph.edges) == sorted((b, a) for a, b in graph.edges)  # each link both ways
    assert len(graph.edges) == 2 * len(links)
    assert graph.self_loops == [(joint, joint) for joint in range(num_joints)]
    assert graph.A_binary.dtype == graph.A_binary_with_I.dtype == np.float32
    np.testing.assert_array_equal(graph.A_binary, binary(num_joints, links))
    np.testing.assert_array_equal(graph.A_binary_with_I, binary(num_joints, links) + np.eye(num_joints))


def test_ntu_has_a_normalised_adjacency(tree):
    graph = tree.load("graph.ntu_rgb_d.AdjMatrixGraph")()
    degrees = graph.A_binary.sum(axis=1)
    np.testing.assert_allclose(graph.A, graph.A_binary / np.sqrt(np.outer(degrees, degrees)), rtol=1e-6)


def disentangled_stack(adjacency, num_scales):
    """The normalised k-adjacencies of section 3.2 as differences of clipped matrix powers: (K*V, V) float32."""
    identity = np.eye(len(adjacency))
    reach = [np.minimum(np.linalg.matrix_power(adjacency + identity, k), 1) for k in range(num_scales)]
    scales = [identity] + [reach[k] - reach[k - 1] + identity for k in range(1, num_scales)]
    roots = [np.diag(scale.sum(axis=1) ** -0.5) for scale in scales]
    normalised = [root @ scale @ root for root, scale in zip(roots, scales, strict=True)]
    return torch.from_numpy(np.concatenate(normalised)).float()


@pytest.mark.parametrize(("path", "num_scales", "diameter"),
                         [(GRAPHS[0][0], 15, 12), (GRAPHS[1][0], 10, 8)])
def test_scales_against_matrix_powers(tree, path, num_scales, diameter):
    """Hop distances give what the paper's differences of clipped matrix powers give; beyond the diameter, I."""
    graph = tree.load(path)()
    stack = tree.load("model.reference.disentangled_scales")(graph.A_binary, num_scales)
    assert stack.dtype == torch.float32
    torch.testing.assert_close(stack, disentangled_stack(graph.A_binary, num_scales), rtol=1e-6, atol=0)
    scales = stack.view(num_scales, graph.num_nodes, graph.num_nodes)
    identity = torch.eye(graph.num_nodes)
    assert not torch.equal(scales[diameter], identity)
    for scale in scales[diameter + 1:]:
        assert torch.equal(scale, identity)


@pytest.mark.parametrize("path", [path for path, _, _ in GRAPHS])
@pytest.mark.parametrize("window", [3, 5])
def test_window_graph(tree, path, window):
    """Same joint in another frame: one hop. Other joints: their hops within a frame."""
    graph = tree.load(path)()
    tiled = tree.load("model.reference.window_adjacency")(graph.A_binary_with_I, window)
    stack = tree.load("model.reference.disentangled_scales")(tiled, 6)
    without_self = tiled - np.eye(len(tiled))
    torch.testing.assert_close(stack, disentangled_stack(without_self, 6), rtol=1e-6, atol=0)
    v = graph.num_nodes
    first_scale = stack.view(6, window, v, window, v)[1]
    assert first_scale[0, 3, 1, 3] == first_scale[0, 3, 0, 3] > 0
    assert torch.equal(first_scale[0, :, 1], first_scale[1, :, 0])
