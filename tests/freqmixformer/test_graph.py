"""The graphs of the FreqMixFormer tree, and what a number of hops takes away from each joint."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab.errors import UserError

NTU_PARENTS = {1: 2, 21: 2, 3: 21, 4: 3, 5: 21, 6: 5, 7: 6, 8: 7, 23: 8, 22: 23, 9: 21, 10: 9, 11: 10, 12: 11, 25: 12,
               24: 25, 13: 1, 14: 13, 15: 14, 16: 15, 17: 1, 18: 17, 19: 18, 20: 19}
UCLA_PARENTS = {1: 2, 2: 3, 4: 3, 5: 3, 6: 5, 7: 6, 8: 7, 9: 3, 10: 9, 11: 10, 12: 11, 13: 1, 14: 13, 15: 14, 16: 15,
                17: 1, 18: 17, 19: 18, 20: 19}


@pytest.mark.parametrize(("dotted", "parents", "by_child"), [
    ("graph.ntu_rgb_d.Graph", NTU_PARENTS, 1), ("graph.ucla.Graph", UCLA_PARENTS, 2)])
def test_neighbours_are_the_published_ones(tree, dotted, parents, by_child):
    """Means over a parent's children stand in one of the two matrices, which one differs between the data sets."""
    graph = tree.load(dotted)()
    children = [list(parents.values()).count(parent) for parent in range(graph.num_node + 1)]
    expected = np.zeros((3, graph.num_node, graph.num_node))
    expected[0] = np.eye(graph.num_node)
    for child, parent in parents.items():
        expected[by_child, child - 1, parent - 1] = 1 / children[parent]
        expected[3 - by_child, parent - 1, child - 1] = 1
    np.testing.assert_allclose(graph.A, expected)


def away(tree, dotted: str, hop: int) -> dict[int, dict[int, int]]:
    """What a model of this hop takes away from which joints, from 1."""
    graph = tree.load(dotted)()
    power = np.linalg.matrix_power(graph.H, hop)
    return {joint + 1: {int(other) + 1: int(row[other]) for other in np.flatnonzero(row)}
            for joint, row in enumerate(power) if row.any()}


def test_hops_of_ntu_lead_to_the_root(tree):
    name = "graph.ntu_rgb_d.Graph"
    assert away(tree, name, 1) == {joint: {parent: 1} for joint, parent in NTU_PARENTS.items()}
    assert len(away(tree, name, 2)) == 22
    assert away(tree, name, 6) == {22: {21: 1}, 24: {21: 1}, 23: {2: 1}, 25: {2: 1}}
    assert away(tree, name, 7) == {22: {2: 1}, 24: {2: 1}}
    assert not away(tree, name, 8)


def test_hops_of_ucla_lead_away_from_it(tree):
    name = "graph.ucla.Graph"
    assert away(tree, name, 1)[3] == {2: 1, 4: 1, 5: 1, 9: 1}
    assert sum(len(row) for row in away(tree, name, 2).values()) == 15
    assert away(tree, name, 6) == {3: {16: 1, 20: 1}}
    assert not away(tree, name, 7)


def test_other_partitions_are_refused(tree):
    with pytest.raises(UserError, match="labeling_mode 'distance'"):
        tree.load("graph.ntu_rgb_d.Graph")(labeling_mode="distance")
