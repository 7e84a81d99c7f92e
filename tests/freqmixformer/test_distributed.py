"""FreqMixFormer in two processes: the gradients, with BatchNorm as it is and with moments of the whole batch."""

from __future__ import annotations

import numpy as np

from tests.several import assert_synchronised, largest_difference

ARGUMENTS = "FreqMixFormer", "model.freqmixformer.Model", {
    "num_class": 4, "num_frame": 8, "graph": "graph.ntu_rgb_d.Graph", "blocks": [[80, 1], [120, 2], [160, 2]]}
CLIPS = np.random.default_rng(1).standard_normal((4, 3, 8, 25, 2))


def test_gradients_are_those_of_one_process():
    assert largest_difference(*ARGUMENTS, CLIPS, 2) < 1e-9


def test_synchronised_norms_are_those_of_the_whole_batch():
    assert_synchronised(*ARGUMENTS, CLIPS, memory_friendly=True)
