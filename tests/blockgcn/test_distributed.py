"""BlockGCN in two processes, with a topology that does not depend on the others of a batch."""

from __future__ import annotations

import numpy as np

from tests.several import assert_synchronised, largest_difference

ARGUMENTS = "BlockGCN", "model.blockgcn.Model", {"num_class": 4, "graph": "graph.ntu_rgb_d.Graph",
                                                 "fix_topology": True, "clip_topology": True}


def test_gradients_are_those_of_one_process():
    clips = np.random.default_rng(1).standard_normal((4, 3, 8, 25, 2))
    assert largest_difference(*ARGUMENTS, clips, 2) < 1e-9


def test_synchronised_norms_are_those_of_the_whole_batch():
    assert_synchronised(*ARGUMENTS, np.random.default_rng(1).standard_normal((4, 3, 8, 25, 2)), memory_friendly=True)
