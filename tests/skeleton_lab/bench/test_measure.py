"""Jobs, steps and measurements of the models that need no tree."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from skeleton_lab.bench.job import MEASURE, Job, Subject, set_up
from skeleton_lab.bench.measure import gflops_per_clip, measure, time_steps
from skeleton_lab.errors import UserError
from skeleton_lab.train.cuda_graph import RecordedPasses
from skeleton_lab.train.device import Precision

GCN = Job(MEASURE, "gcn", "cpu", num_frames=32, batch_size=4, forward_batch_size=4, steps=2)
MLP = Job(MEASURE, "mlp", "cpu", num_frames=16, batch_size=4, forward_batch_size=2, steps=2)


def test_a_job_travels_as_json():
    job = replace(GCN, amp=True, budget_bytes=8 * 10**9)
    assert Job.from_json(job.to_json()) == job


def test_gflops_agree_with_a_count_by_hand():
    features, hidden = 3 * 16 * 25 * 2, 512
    assert gflops_per_clip(set_up(MLP)) * 1e9 == pytest.approx(2 * (features * hidden + hidden * hidden + hidden * 60))

    def block(i, o, frames, shortcut=True):
        graph = i * frames * 3 * 25 * 25 + 3 * i * o * frames * 25  # neighbours gathered, then the 1x1 convolution
        time = 5 * o * o * frames // 2 * 25
        return graph + time + (i * o * frames // 2 * 25 if shortcut else 0)

    bodies = 2 * (block(3, 32, 32) + block(32, 64, 16) + block(64, 128, 8))
    assert gflops_per_clip(set_up(GCN)) * 1e9 == pytest.approx(2 * (bodies + 128 * 60))


def test_gflops_are_counted_in_training_mode_and_leave_the_mode_alone():
    subject = set_up(replace(GCN, infer=True))
    modes = []
    subject.model.register_forward_pre_hook(lambda model, _: modes.append(model.training))
    gflops_per_clip(subject)
    assert modes == [True] and not subject.model.training


def test_passes_of_a_step_add_up_to_the_gradient_of_the_whole_batch():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 50, 60))
    job = replace(MLP, batch_size=5)
    gradients = []
    for size in (5, 2):  # 2: passes of 2, 2 and 1
        precision = Precision("cpu")
        passes = RecordedPasses(model, torch.device("cpu"), precision, precision.scaler())
        subject = Subject(replace(job, forward_batch_size=size), torch.device("cpu"), precision, model, model, passes,
                          torch.optim.SGD(model.parameters(), lr=0.0))
        torch.manual_seed(0)
        subject.step(*subject.random_clips(5))
        gradients.append(model[1].weight.grad.clone())
    assert torch.allclose(*gradients, atol=1e-7)


def test_measuring_reports_every_figure():
    for job in (GCN, MLP, replace(GCN, amp=True), replace(GCN, infer=True)):
        found = measure(set_up(job))
        assert found["parameters"] == sum(p.numel() for p in set_up(job).model.parameters())
        assert 0 < found["step_ms_least"] <= found["step_ms"] <= found["step_ms_most"]
        assert found["clips_per_s"] == pytest.approx(1000 * job.batch_size / found["step_ms"])
        assert found["peak_resident_mib"] > 50
        assert found["precision"] == ("bfloat16" if job.amp else "float32")


def test_training_trains_and_inference_does_not():
    for infer in (False, True):
        subject = set_up(replace(GCN, infer=infer))
        before = [p.clone() for p in subject.model.parameters()]
        subject.step(*subject.random_clips(4))
        changed = any(not torch.equal(a, b) for a, b in zip(before, subject.model.parameters(), strict=True))
        assert changed is not infer


def test_warm_up_is_left_out_and_the_device_is_waited_for():
    calls = []
    times = time_steps(lambda: calls.append("step"), 3, 2, lambda: calls.append("wait"))
    assert len(times) == 3
    assert calls == ["step"] * 2 + ["wait", "step", "wait"] * 3


def test_a_model_without_recomputation_says_so():
    with pytest.raises(UserError, match="memory-friendly"):
        set_up(replace(GCN, memory_friendly=True))


def test_a_budget_above_the_card_is_refused(monkeypatch):
    from skeleton_lab.bench.job import cap_memory

    capped = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (12 * 10**9, 16 * 10**9))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share, device: capped.append(share))
    cap_memory(torch.device("cuda:0"), 8 * 10**9)
    cap_memory(torch.device("cuda:0"), None)
    cap_memory(torch.device("cuda:0"), 15 * 10**9)
    assert capped == [0.5, 0.75, 0.75]  # never more than is free
    with pytest.raises(UserError, match="this card has 16"):
        cap_memory(torch.device("cuda:0"), 24 * 10**9)
