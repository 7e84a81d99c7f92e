"""The largest batch: the search, its recovery from running out of memory, and the prediction."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from skeleton_lab.bench.capacity import (
    MARGIN,
    SEARCH_LIMIT,
    WORKSPACE_BYTES,
    Footprint,
    capacity,
    fits_on_gpu,
    held_bytes,
    is_out_of_memory,
    largest_fitting,
    predict_footprint,
)
from skeleton_lab.bench.job import CAPACITY, Job, set_up
from tests.trees import open_tree

GCN_JOB = Job(CAPACITY, "gcn", "cpu", num_frames=32, batch_size=32, forward_batch_size=32, budget_bytes=10**9)


@pytest.mark.parametrize("truth", [0, 1, 2, 15, 16, 17, 31, 40, 64, 100, 999, 4095, 4096, 10**6])
@pytest.mark.parametrize("start", [1, 16, 64, 10**5])
def test_the_search_finds_the_largest(truth, start):
    tried = []

    def fits(n):
        tried.append(n)
        return n <= truth

    found = largest_fitting(fits, start)
    assert min(truth, SEARCH_LIMIT) * 31 / 32 <= found <= truth
    assert all(1 <= n <= SEARCH_LIMIT for n in tried)
    assert len(tried) == len(set(tried)) <= 18


def test_what_counts_as_a_lack_of_memory():
    assert is_out_of_memory(torch.cuda.OutOfMemoryError("CUDA out of memory."))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_a_failed_trial_does_not_harm_the_next(monkeypatch):
    """On a GPU stood in for by the CPU: more than 8 clips run out of memory, in the middle of a step."""
    released = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: released.append(True))
    subject = set_up(GCN_JOB)
    forward = subject.model.forward

    def limited(clips):
        logits = forward(clips)
        if len(clips) > 8:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return logits

    monkeypatch.setattr(subject.model, "forward", limited)
    assert [fits_on_gpu(subject, n) for n in (4, 16, 8, 9, 2)] == [True, False, True, False, True]
    assert len(released) == 5
    assert all(p.grad is None for p in subject.model.parameters())


def test_another_error_in_a_trial_is_not_swallowed(monkeypatch):
    subject = set_up(GCN_JOB)
    monkeypatch.setattr(subject.model, "forward", lambda clips: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fits_on_gpu(subject, 4)


def test_the_footprint_is_a_line():
    line = Footprint(standing=1000, gradients=100, kept_base=5, kept_per_clip=7, peak_base=10, peak_per_clip=20)
    assert line.kept(3) == 26
    assert line.tensors(4) == 1000 + 100 + 10 + 80
    assert line.peak(4) == line.tensors(4) + WORKSPACE_BYTES
    budget = line.peak(50) * (1 + MARGIN)
    assert line.largest_batch(budget) == 50
    assert line.largest_batch(budget - 1) == 49
    assert line.largest_batch(500) == 0


@pytest.mark.parametrize("amp", [False, True])
def test_predictions_hold_at_another_batch_size(amp):
    """Kept and peak bytes at 3 times the largest probe, against what is held there, counted in two ways."""
    subject = set_up(replace(GCN_JOB, amp=amp))
    line = predict_footprint(subject)
    held = held_bytes(subject, 48)
    assert held.kept == pytest.approx(held.alive, rel=0.02)
    assert line.kept(48) == pytest.approx(held.kept, rel=0.02)
    assert line.tensors(48) - line.standing == pytest.approx(held.peak, rel=0.1)
    weights = sum(t.nbytes for t in subject.model.state_dict().values())
    assert line.gradients == sum(p.nbytes for p in subject.model.parameters())
    assert line.standing >= weights + 2 * line.gradients  # AdamW keeps two moments


def test_a_prediction_does_not_depend_on_the_batch_it_is_asked_with():
    """The perceptron's batch norm cannot train on single clips: the probes run in passes of their own size."""
    job = Job(CAPACITY, "mlp", "cpu", num_frames=32, batch_size=1, forward_batch_size=1)
    one, many = (predict_footprint(set_up(replace(job, forward_batch_size=size))) for size in (1, 256))
    assert one == many


def test_mixed_precision_keeps_less():
    full, half = (predict_footprint(set_up(replace(GCN_JOB, amp=amp))) for amp in (False, True))
    assert half.kept_per_clip < 0.8 * full.kept_per_clip


def test_without_a_gpu_the_answer_is_a_prediction():
    answer = capacity(set_up(GCN_JOB))
    assert answer["predicted"] is True
    line = Footprint(**answer["footprint"])
    assert answer["largest_batch"] == line.largest_batch(10**9) > 32
    assert answer["offers_memory_friendly"] is False


def test_inference_needs_a_fraction_of_the_memory():
    training, inference = (Footprint(**capacity(set_up(replace(GCN_JOB, infer=infer)))["footprint"])
                           for infer in (False, True))
    assert inference.gradients == inference.kept_per_clip == 0
    assert 0 < inference.peak_per_clip < 0.5 * training.peak_per_clip


@pytest.mark.parametrize(("tree", "model"), [("CTR-GCN", "ctrgcn"), ("MS-G3D", "msg3d")])
def test_what_is_recomputed_does_not_count_as_kept(tree, model):
    """Both counts agree with recomputation too, although the backward pass then saves tensors of its own."""
    job = Job(CAPACITY, model, "cpu", num_frames=16, batch_size=1, forward_batch_size=1)
    with open_tree(tree):
        plain, friendly = (held_bytes(set_up(replace(job, memory_friendly=on)), 1) for on in (False, True))
    assert friendly.kept == pytest.approx(friendly.alive, rel=0.05)
    assert friendly.kept < 0.5 * plain.kept
    assert friendly.kept < friendly.peak < plain.peak
