"""What is kept for evaluation is made again whenever the weights that it was made of are not the same any more."""

import copy
import gc
import weakref

import pytest
import torch
from torch import nn

from skeleton_lab.nn.prepared import prepared


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)).eval()


def total(model: nn.Module) -> torch.Tensor:
    """Something made of all weights, by way of `prepared`."""
    return prepared((model,), torch.float32, lambda: sum(
        tensor.detach().double().sum() for tensor in model.state_dict().values()))


def replace_parameter(model): model[0].weight = nn.Parameter(torch.ones(3, 2, 1, 1))
def replace_data(model): model[0].weight.data = torch.ones(3, 2, 1, 1)
def replace_module(model): model[1] = nn.BatchNorm2d(3)
def write(model): model[0].weight.mul_(2)
def write_a_buffer(model): model[1].running_mean.add_(1)
def load(model): model.load_state_dict({key: value + 1 for key, value in model.state_dict().items()})
def convert(model): model.half()
def train(model): model.train()(torch.randn(4, 2, 5, 5)).sum()


@pytest.mark.parametrize("change", [replace_parameter, replace_data, replace_module, write, write_a_buffer, load,
                                    convert, train])
def test_is_made_again_after_a_change(change):
    model = network()
    with torch.no_grad():
        before = total(model)
        assert total(model) is before
        change(model)
        after = total(model)
        assert after is not before
        assert after == sum(tensor.double().sum() for tensor in model.state_dict().values())
        assert prepared((model,), torch.float64, lambda: "another dtype") == "another dtype"


def test_depends_on_each_of_the_parts():
    conv, norm = network()
    with torch.no_grad():
        assert prepared((conv, norm), torch.float32, lambda: 1) == 1
        assert prepared((conv, norm), torch.float32, lambda: 2) == 1
        assert prepared((conv, nn.BatchNorm2d(3)), torch.float32, lambda: 3) == 3


def test_keeps_nothing_where_gradients_are_recorded_or_versions_are_not():
    model = network()
    assert prepared((model,), torch.float32, lambda: 1) == 1
    assert prepared((model,), torch.float32, lambda: 2) == 2
    with torch.inference_mode():
        made_there = network()
        assert prepared((made_there,), torch.float32, lambda: 1) == 1
        assert prepared((made_there,), torch.float32, lambda: 2) == 2
        assert prepared((model,), torch.float32, lambda: 3) == 3  # an ordinary module counts versions there too
        assert prepared((model,), torch.float32, lambda: 4) == 3


def test_copies_have_their_own_and_nothing_is_held():
    model = network()
    with torch.no_grad():
        first = total(model)
        twin = copy.deepcopy(model)
        assert total(twin) is not first
        gone = weakref.ref(model)
        del model
        gc.collect()
        assert gone() is None
