"""ST-GCN++ in two processes: the gradients, with BatchNorm as it is and with moments of the whole batch."""

from __future__ import annotations

import numpy as np
import pytest

from tests.several import assert_synchronised, largest_difference

ARGUMENTS = "ST-GCN", "model.stgcn.Model", {"num_class": 4, "graph": "graph.ntu_rgb_d.Graph"}


def test_gradients_are_those_of_one_process():
    clips = np.random.default_rng(1).standard_normal((4, 3, 8, 25, 2), np.float32)
    assert largest_difference(*ARGUMENTS, clips, 2) < 1e-5


@pytest.mark.parametrize("memory_friendly", [False, True])
def test_synchronised_norms_are_those_of_the_whole_batch(memory_friendly):
    assert_synchronised(*ARGUMENTS, np.random.default_rng(1).standard_normal((4, 3, 8, 25, 2)), memory_friendly)
