"""The training loss: weights of the classes, smoothed labels."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from skeleton_lab.errors import UserError
from skeleton_lab.train.config import read_config
from skeleton_lab.train.criterion import CrossEntropy, class_weights, make_criterion
from skeleton_lab.train.spec import TreeSpec
from tests.trees import ROOT

LABELS = np.array([0, 0, 0, 1])
MODEL = nn.Linear(2, 3)


def config(*words):
    return read_config(TreeSpec(root=ROOT), list(words))


def test_smoothing_and_weights_as_written_down():
    logits, labels = torch.randn(5, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 2, 1])
    weights = torch.tensor([0.5, 2.0, 1.0])
    target = 0.9 * functional.one_hot(labels, 3) + 0.1 / 3
    each = -(target * logits.log_softmax(dim=1)).sum(dim=1)
    torch.testing.assert_close(CrossEntropy(0.1)(logits, labels), each.mean())
    torch.testing.assert_close(CrossEntropy(0.1, weights)(logits, labels), (each * weights[labels]).mean())


def test_the_loss_of_a_batch_is_the_mean_of_its_chunks():
    logits, labels = torch.randn(6, 3), torch.tensor([0, 0, 0, 1, 2, 2])
    loss = CrossEntropy(0.0, torch.tensor([5.0, 1.0, 0.1]))
    parts = [loss(some, targets) for some, targets in zip(logits.split(2), labels.split(2), strict=True)]
    torch.testing.assert_close(torch.stack(parts).mean(), loss(logits, labels))


def test_without_options_it_is_cross_entropy_to_the_bit():
    logits, labels = torch.randn(6, 3), torch.arange(6) % 3
    plain = make_criterion(config(), class_weights(config(), LABELS, MODEL), torch.device("cpu"))
    assert torch.equal(plain(logits, labels), functional.cross_entropy(logits, labels))


def test_balanced_weights_have_a_mean_of_one_over_the_clips():
    weights = class_weights(config("--class-weights", "balanced"), np.array([0, 0, 0, 2]), MODEL)
    assert weights == pytest.approx([4 / (2 * 3), 0, 4 / 2])


@pytest.mark.parametrize(("content", "words"), [
    ("1 2", "2 weights for a model of 3 classes"), ("1 -2 3", "numbers of 0 or more, not all 0"),
    ("0 0 0", "not all 0"),
    ("1 nan 2", "numbers of 0 or more"), ("a b c", "not a list of class weights"), ("", "numbers of 0 or more"),
    (None, "cannot read the class weights (No such file or directory)")])
def test_a_file_that_is_none_is_refused_by_name(tmp_path, content, words):
    path = tmp_path / "weights.txt"
    if content is not None:
        path.write_text(content)
    model = nn.Module()
    model.features, model.fc = (lambda clips: clips), nn.Linear(2, 3)
    with pytest.raises(UserError) as caught:
        class_weights(config("--class-weights", str(path)), LABELS, model)
    assert str(caught.value).startswith(f"{path}: ") and words in str(caught.value)


@pytest.mark.parametrize("word", ["Balanced", "ballanced", "balance"])
def test_a_mistyped_word_gets_the_nearest_one(word):
    with pytest.raises(UserError, match=rf"^{word}: cannot read .*; did you mean 'balanced'\?$"):
        class_weights(config("--class-weights", word), LABELS, MODEL)


def test_a_file_of_numbers(tmp_path):
    (tmp_path / "w.txt").write_text("1, 2.5\n0\n")
    assert class_weights(config("--class-weights", str(tmp_path / "w.txt")), LABELS, MODEL) == [1, 2.5, 0]


@pytest.mark.parametrize("word", ["1", "-0.1", "nan", "a"])
def test_smoothing_is_a_share_below_one(word, capsys):
    with pytest.raises(SystemExit):
        config(f"--label-smoothing={word}")
    assert "expected" in capsys.readouterr().err or word == "a"
