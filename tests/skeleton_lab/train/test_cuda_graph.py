"""Recording and replaying a training pass: which passes, and what becomes of the gradients. CUDA itself: tests/gpu."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from skeleton_lab.errors import UserError
from skeleton_lab.nn.inputs import Inputs
from skeleton_lab.train import cuda_graph as module
from skeleton_lab.train.cuda_graph import WARM_UP, RecordedPasses, recording_wanted
from skeleton_lab.train.device import Precision
from skeleton_lab.train.loop import TrainingPasses

CPU = torch.device("cpu")
POOL = (1, 0)


class Graph:
    """Stands for a CUDA graph: a replay computes the pass again, into the tensors of the recording."""

    def __init__(self):
        self.replays = 0
        self.again = None

    def replay(self):
        self.replays += 1
        self.again()

    def reset(self):
        self.again = None


class Recorder(RecordedPasses):
    """Passes that are recorded, on a CPU, by `Graph`s."""

    def __init__(self, model, fails=False):
        precision = Precision("cpu")
        self.said = []
        super().__init__(model, CPU, precision, precision.scaler(), say=self.said.append)
        self.recording, self.fails, self.graphs, self.ended = True, fails, [], []

    def _on_own_stream(self):
        return nullcontext()

    def record_into(self, graph):
        """What happens inside torch.cuda.graph: the pass, once, and how to do it again."""
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing")
        self.graphs.append(graph)
        graph.again = self._again

    def _again(self):
        own = self._recorded
        before = [parameter.grad for parameter in self.model.parameters()]
        self.model.zero_grad(set_to_none=True)
        own.result.copy_(TrainingPasses.run(self, own.data, own.labels, own.shape[1]))
        for parameter, grad in own.grads:
            grad.copy_(parameter.grad)
        for parameter, grad in zip(self.model.parameters(), before, strict=True):
            parameter.grad = grad


@pytest.fixture
def recorder(monkeypatch):
    """Return a maker of Recorders over a small model; `torch.cuda.graph` records for the last one."""
    made = []

    @contextmanager
    def record(graph, **options):
        made[-1].record_into(graph)
        yield

    def make(**options):
        made.append(Recorder(small_model(), **options))
        return made[-1]

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", record)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: POOL)
    monkeypatch.setattr(module, "_end_failed_recording", lambda stream, pool: made[-1].ended.append(
        (pool, [parameter.grad for parameter in made[-1].model.parameters()])))
    return make


def small_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4)).double()


def train(passes, batches, chunks):
    """Take a step for each batch, in `chunks` passes; return all results and the weights at the end."""
    optimizer = torch.optim.SGD(passes.model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3)
    results = []
    for batch in batches:
        optimizer.zero_grad(set_to_none=True)
        size = len(batch) // chunks
        parts = [batch[start:start + size] for start in range(0, len(batch), size)]
        results += [passes.run(part, torch.arange(len(part)) % 4, chunks) for part in parts]
        passes.scaler.step(optimizer)
        passes.scaler.update()
    return torch.stack(results), torch.cat([p.detach().flatten() for p in passes.model.parameters()])


def as_it_is(batches, chunks):
    precision = Precision("cpu")
    return train(TrainingPasses(small_model(), CPU, precision, precision.scaler()), batches, chunks)


@pytest.mark.parametrize("chunks", [1, 2, 3])
def test_replays_train_as_passes_do(recorder, chunks):
    batches = torch.randn(7, 6, 6, dtype=torch.float64)
    passes = recorder()
    for found, expected in zip(train(passes, batches, chunks), as_it_is(batches, chunks), strict=True):
        assert torch.equal(found, expected)
    assert [graph.replays for graph in passes.graphs] == [7 * chunks - WARM_UP]
    assert not passes.said


def test_what_comes_with_the_clips_is_recorded_with_them(recorder):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = small_model()

        def forward(self, clips, scale):
            return self.model(clips * scale[:, None])

    clips, scales = torch.randn(6, 4, 6, dtype=torch.float64), torch.rand(6, 4, dtype=torch.float64)
    passes = recorder()
    passes.model = Scaled()
    both = [Inputs(pair) for pair in zip(clips, scales, strict=True)]
    for found, expected in zip(train(passes, both, 1), as_it_is(clips * scales[:, :, None], 1), strict=True):
        assert torch.equal(found, expected)
    assert [graph.replays for graph in passes.graphs] == [3]


def test_another_shape_runs_as_it_is(recorder):
    batches = [torch.randn(size, 6, dtype=torch.float64) for size in (6, 6, 6, 6, 4, 6, 4, 4, 4, 4, 6)]
    passes = recorder()
    for found, expected in zip(train(passes, batches, 1), as_it_is(batches, 1), strict=True):
        assert torch.equal(found, expected)
    assert [graph.replays for graph in passes.graphs] == [3]


def test_after_a_release_the_next_pass_records_again(recorder):
    batches = torch.randn(9, 6, 6, dtype=torch.float64)
    passes = recorder()
    plain = as_it_is(batches, 1)
    optimizer = torch.optim.SGD(passes.model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3)
    for number, batch in enumerate(batches):
        if number in (5, 7):
            passes.release()
        optimizer.zero_grad(set_to_none=True)
        result = passes.run(batch, torch.arange(6) % 4, 1)
        optimizer.step()
        assert torch.equal(result, plain[0][number])
    assert [graph.replays for graph in passes.graphs] == [2, 2, 2]


def test_where_recording_fails_it_goes_on_without_and_says_so_once(recorder):
    batches = torch.randn(6, 6, 6, dtype=torch.float64)
    passes = recorder(fails=True)
    for found, expected in zip(train(passes, batches, 2), as_it_is(batches, 2), strict=True):
        assert torch.equal(found, expected)
    assert len(passes.said) == 1 and "could not be recorded (operation not permitted" in passes.said[0]
    assert passes.ended == [(POOL, [None] * 4)]  # its own pool, once, and nothing of the failed pass is held


def test_a_release_takes_back_the_gradients_of_the_recording(recorder, monkeypatch):
    emptied = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    passes = recorder()
    passes.release()
    assert not emptied
    train(passes, torch.randn(5, 6, 6, dtype=torch.float64), 1)
    assert all(parameter.grad is not None for parameter in passes.model.parameters())
    passes.release()
    assert emptied and passes.graphs[0].again is None
    assert all(parameter.grad is None for parameter in passes.model.parameters())


def test_what_a_failed_recording_leaves_behind_is_ended(monkeypatch):
    ended = []
    monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: ended.append("stream"))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph: nullcontext())
    monkeypatch.setattr(torch, "zeros", lambda *args, **options: ended.append("a good recording"))
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", lambda *of: ended.append(("end", *of)), raising=False)
    monkeypatch.setattr(torch._C, "_cuda_releasePool", lambda *of: ended.append(("release", *of)), raising=False)
    monkeypatch.setattr(torch._C, "_cuda_endAllocateCurrentStreamToPool", None, raising=False)
    module._end_failed_recording(SimpleNamespace(device_index=0, device=CPU), POOL)
    assert ended == ["stream", ("end", 0, POOL), ("release", 0, POOL), "a good recording"]


@pytest.mark.parametrize(("compiled", "processes", "word"), [(False, 1, None), (True, 1, "compiled"),
                                                             (False, 2, "several processes")])
def test_why_nothing_is_recorded_is_said(compiled, processes, word):
    said, cuda = [], torch.device("cuda", 0)
    assert recording_wanted(True, cuda, compiled, processes, said.append) == (word is None)
    assert [word in line for line in said] == ([] if word is None else [True])
    assert not recording_wanted(True, CPU, compiled, processes, pytest.fail)
    assert not recording_wanted(False, cuda, compiled, processes, pytest.fail)


@pytest.mark.parametrize("replayed", [False, True])
def test_a_label_without_a_class_is_refused(recorder, replayed):
    passes = recorder()
    if replayed:
        train(passes, torch.randn(5, 6, 6, dtype=torch.float64), 1)
    with pytest.raises(UserError, match="label 4 is out of range for a model of 4 classes"):
        passes.run(torch.randn(6, 6, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 4, 0]), 1)


def test_on_a_cpu_and_for_other_models_nothing_is_recorded():
    precision, model = Precision("cpu"), small_model()
    assert not RecordedPasses(model, CPU, precision, precision.scaler(), record=True).recording
    model.capturable = True
    assert not RecordedPasses(model, CPU, precision, precision.scaler(), record=True).recording
