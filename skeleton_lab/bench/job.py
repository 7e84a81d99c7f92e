"""What one benchmark process is asked to do, and the model it sets up for that."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from skeleton_lab.bench.meters import tensor_bytes
from skeleton_lab.bench.recipes import NUM_CLASS, NUM_PERSON, RECIPES, Recipe
from skeleton_lab.errors import UserError
from skeleton_lab.imports import construct
from skeleton_lab.nn.model import is_memory_friendly
from skeleton_lab.train.compiling import is_written_by_hand
from skeleton_lab.train.cuda_graph import RecordedPasses
from skeleton_lab.train.device import Precision, allow_tf32, choose_precision
from skeleton_lab.train.optim import make_optimizer

MEASURE, CAPACITY, HOLD = "measure", "capacity", "hold"
LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Job:
    """One question about one model, for one process; plain values only, so that it travels as JSON.

    Attributes:
        kind: "measure" (time and memory of a step), "capacity" (the largest batch that fits) or "hold" (bytes counted
            in one pass over the batch, on a CPU).
        device: "cpu" or "cuda:<index>".
        num_frames: T.
        batch_size: clips per step. forward_batch_size: clips per pass ("capacity": where its search starts).
        steps, warmup: how many steps are timed, and how many run before that.
        amp: mixed precision. infer: evaluation instead of training steps. compile: through torch.compile.
        memory_friendly: with recomputation, which the model must offer.
        budget_bytes: memory to stay within; None for what the GPU has free.
    """

    kind: str
    model: str
    device: str
    num_frames: int
    batch_size: int
    forward_batch_size: int
    steps: int = 0
    warmup: int = 1
    amp: bool = False
    infer: bool = False
    compile: bool = False
    memory_friendly: bool = False
    budget_bytes: int | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Job:
        return Job(**json.loads(text))

    @property
    def recipe(self) -> Recipe:
        return RECIPES[self.model]


@dataclass
class Subject:
    """A model on its device, ready to step.

    Attributes:
        model: as built; `run` is what a step calls, the same or its compiled form.
        passes: the training passes of `run`.
        optimizer: None for inference.
    """

    job: Job
    device: torch.device
    precision: Precision
    model: nn.Module
    run: Callable[[Tensor], Tensor]
    passes: RecordedPasses
    optimizer: torch.optim.Optimizer | None

    @property
    def offers_memory_friendly(self) -> bool:
        return is_memory_friendly(self.model)

    def random_clips(self, number: int) -> tuple[Tensor, Tensor]:
        """Return clips (N, C, T, V, M) of standard normal numbers and labels (N,) for them, on the device."""
        clips = torch.randn(number, 3, self.job.num_frames, self.job.recipe.num_joints, NUM_PERSON,
                            device=self.device)
        return clips, torch.randint(NUM_CLASS, (number,), device=self.device)

    def step(self, clips: Tensor, labels: Tensor) -> None:
        """Take one training step (or one evaluation pass) over the clips, `forward_batch_size` of them at a time."""
        size = self.job.forward_batch_size
        if self.optimizer is None:
            with torch.inference_mode():
                for part in clips.split(size):
                    self.forward(part)
            return
        self.optimizer.zero_grad(set_to_none=True)
        for part, targets in zip(clips.split(size), labels.split(size), strict=True):
            self.passes.run(part, targets, len(clips) / len(part))
        self.passes.scaler.step(self.optimizer)
        self.passes.scaler.update()

    def forward(self, clips: Tensor) -> Tensor:
        """Return the logits (N, classes), in the job's precision."""
        with self.precision.autocast():
            return self.run(clips)

    def with_forward_batch(self, size: int) -> Subject:
        """Return the same model, to be run `size` clips at a time."""
        return replace(self, job=replace(self.job, forward_batch_size=size))

    def standing(self) -> Iterator[Tensor]:
        """Yield what lives as long as the model: parameters, buffers, and the optimiser's tensors."""
        yield from self.model.parameters()
        yield from self.model.buffers()
        for state in self.optimizer.state.values() if self.optimizer else ():
            yield from (value for value in state.values() if isinstance(value, Tensor))

    def standing_bytes(self) -> int:
        return tensor_bytes(self.standing())


def set_up(job: Job) -> Subject:
    """Build the job's model and optimiser on its device, with the memory of a GPU capped at the budget.

    Raises:
        UserError: the model does not resolve, or offers no recomputation and `memory_friendly` asks for it; the budget
            exceeds the card.
    """
    torch.manual_seed(0)
    torch.backends.cudnn.deterministic = True  # as training does by default
    device = torch.device(job.device)
    allow_tf32(device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        cap_memory(device, job.budget_bytes)
    recipe = job.recipe
    arguments = dict(recipe.arguments)
    if job.model == "mlp":  # its first layer has a weight for every frame
        arguments["num_frames"] = job.num_frames
    model = construct(recipe.model, arguments, f"model '{job.model}'").to(device).train(not job.infer)
    if job.memory_friendly:
        if not is_memory_friendly(model):
            raise UserError(f"{job.model}: has no memory-friendly mode; leave --memory-friendly out")
        model.set_memory_friendly(True)
    if job.compile and is_written_by_hand(model):
        raise UserError(f"{job.model}: has operators written by hand, which torch.compile cannot take; leave --compile "
                        "out")
    run: Any = torch.compile(model) if job.compile else model
    precision = choose_precision(job.amp, "auto", device)
    passes = RecordedPasses(run, device, precision, precision.scaler(), record=not job.compile)
    return Subject(job, device, precision, model, run, passes, None if job.infer else _optimizer(recipe, model))


def cap_memory(device: torch.device, budget_bytes: int | None) -> None:
    """Let torch's allocator take no more than `budget_bytes` of the GPU, as if the card were smaller.

    Nor more than what is free: some drivers (on WSL2) go on in the machine's memory without an error, ten times slower.

    Raises:
        UserError: the card is smaller than that.
    """
    free, total = torch.cuda.mem_get_info(device)
    if budget_bytes is not None and budget_bytes > total:
        raise UserError(f"--vram-gb {budget_bytes / 1e9:g}: this card has {total / 1e9:.1f} GB; give less, or "
                        "--device cpu to predict for a larger card")
    torch.cuda.set_per_process_memory_fraction(min(free, budget_bytes or free) / total, device)


def _optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    if recipe.optimizer == "AdamW":
        return torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    return make_optimizer("SGD", model.parameters(), lr=LEARNING_RATE, weight_decay=4e-4, nesterov=True)
