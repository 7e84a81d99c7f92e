"""Hyper-GCN in two processes: the gradients, its divergence loss among them, with BatchNorm as it is and of the whole
batch.
"""

from __future__ import annotations

import numpy as np

from tests.several import assert_synchronised, largest_difference

MODEL = "Hyper-GCN", "model.hypergcn.Model"
ARGUMENTS = {"num_class": 4, "graph": "graph.ucla.Graph", "num_point": 20, "num_person": 1, "hyper_joints": 3,
             "independent_starts": True}


def test_gradients_are_those_of_one_process():
    """In double precision: gradients of a fresh model in evaluation mode are 1e4 and more, and so is their rounding."""
    clips = np.random.default_rng(1).standard_normal((4, 3, 8, 20, 1))
    assert largest_difference(*MODEL, ARGUMENTS, clips, 2) < 1e-12


def test_synchronised_norms_are_those_of_the_whole_batch():
    assert_synchronised(*MODEL, ARGUMENTS, np.random.default_rng(1).standard_normal((4, 3, 8, 20, 1)), True)
