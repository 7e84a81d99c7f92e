"""SkateFormer in two processes: the gradients are those of one."""

from __future__ import annotations

import numpy as np

from tests.several import largest_difference

ARGUMENTS = "SkateFormer", "model.skateformer.Model", {
    "num_class": 4, "num_point": 4, "num_person": 2, "type_1_size": [1, 4], "type_2_size": [1, 4],
    "type_3_size": [1, 4], "type_4_size": [1, 4], "mlp_ratio": 1.0, "index_t": True}


def test_gradients_are_those_of_one_process():
    clips = np.random.default_rng(1).standard_normal((4, 3, 8, 4, 2), np.float32)
    assert largest_difference(*ARGUMENTS, clips, 2) < 1e-5
