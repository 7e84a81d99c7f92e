"""A batch in small forward passes takes the step of the whole batch, where BatchNorm does not look at the batch."""

from __future__ import annotations

import torch

from skeleton_lab.train.device import Precision
from skeleton_lab.train.loop import Compute, Means, TrainingPasses, train_one_epoch

MODEL_ARGS = {"num_class": 60, "num_point": 25, "num_person": 2, "num_gcn_scales": 3, "num_g3d_scales": 2,
              "graph": "graph.ntu_rgb_d.AdjMatrixGraph"}
CLIPS, FRAMES = 32, 2


def weights_after_a_step(tree, forward_batch_size):
    torch.manual_seed(0)
    model = tree.load("model.msg3d.Model")(**MODEL_ARGS).double().eval()
    model.train = lambda mode=True: model  # BatchNorm stays on its running figures
    before = {key: value.clone() for key, value in model.state_dict().items()}
    clips = torch.randn(CLIPS, 3, FRAMES, 25, 2, dtype=torch.float64)
    batch = clips, torch.arange(CLIPS), torch.arange(CLIPS)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.0005)
    losses = []
    cpu = torch.device("cpu")
    precision = Precision("cpu")
    train_one_epoch(TrainingPasses(model, cpu, precision, precision.scaler()), [batch], optimizer,
                    Compute(cpu, precision, forward_batch_size), Means(),
                    lambda first, values: losses.extend(values[0][0]), {})
    return before, model.state_dict(), losses


def test_forward_batches_of_4_take_the_step_of_32_at_once(tree):
    before, whole, [loss] = weights_after_a_step(tree, forward_batch_size=32)
    _, parts, losses = weights_after_a_step(tree, forward_batch_size=4)
    assert len(losses) == 8 and abs(sum(losses) / 8 - loss) < 1e-6
    assert not torch.equal(before["fc.weight"], whole["fc.weight"])
    for key, value in whole.items():
        torch.testing.assert_close(parts[key] - before[key], value - before[key], rtol=1e-9, atol=1e-12, msg=key)
