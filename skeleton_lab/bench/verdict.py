"""From answers about one model to a row of the table and a verdict on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from skeleton_lab.bench.capacity import Footprint
from skeleton_lab.bench.cards import stays
from skeleton_lab.bench.job import CAPACITY, MEASURE, Job
from skeleton_lab.bench.recipes import NTU60_EPOCH_CLIPS, Recipe

COMFORTABLE, TIGHT, NO = "comfortable", "tight", "no"
MEMORY_FRIENDLY_FLAG = "--memory-friendly"
Ask = Callable[[Job], dict[str, Any]]


@dataclass(frozen=True)
class Settings:
    """What the command line asks of every model.

    Attributes:
        device: "cpu" or "cuda:<index>".
        steps: timed steps. num_frames: T, None for the recipe's.
        batch_size: clips per step, in one pass; None for the recipe's batch and passes (on a CPU: a few clips).
        find_batch_size: search the largest batch even where there is no verdict to make.
        budget_bytes: None for what the GPU has free.
    """

    device: str
    steps: int
    batch_size: int | None = None
    num_frames: int | None = None
    amp: bool = False
    infer: bool = False
    compile: bool = False
    memory_friendly: bool = False
    find_batch_size: bool = False
    budget_bytes: int | None = None

    @property
    def judges_recipe(self) -> bool:
        """A verdict is about training at the recipe's clip length."""
        return not self.infer and self.num_frames is None


@dataclass(frozen=True)
class Fit:
    """The largest forward batch that fits, with or without recomputation."""

    memory_friendly: bool
    largest_batch: int


@dataclass(frozen=True)
class Choice:
    """How a recipe can be run within a budget: one word, and the flags it takes; `forward_batch_size` 0 for "no"."""

    word: str
    forward_batch_size: int
    memory_friendly: bool
    flags: tuple[str, ...] = ()


def choose(recipe: Recipe, fits: Sequence[Fit]) -> Choice:
    """Settle on the gentlest way to run a recipe, from fits in order of preference.

    The recipe as it stands is comfortable; with recomputation (same result, slower) it is tight, and so it is with the
    largest smaller forward batch that divides the recipe's batch (other batch-norm statistics).
    """
    for fit in fits:
        flags = (MEMORY_FRIENDLY_FLAG,) if fit.memory_friendly else ()
        if fit.largest_batch >= recipe.forward_batch_size:
            return Choice(TIGHT if flags else COMFORTABLE, recipe.forward_batch_size, fit.memory_friendly, flags)
    smaller = [size for size in range(1, recipe.forward_batch_size)
               if size <= fit.largest_batch and recipe.batch_size % size == 0]
    if not smaller:
        return Choice(NO, 0, fit.memory_friendly)
    return Choice(TIGHT, smaller[-1], fit.memory_friendly, (*flags, f"{recipe.smaller_batch_flag} {smaller[-1]}"))


def assess(recipe: Recipe, settings: Settings, ask: Ask) -> dict[str, Any]:
    """Ask what there is to know of one model; return its row: settings, measurements, and the verdict if one is due.

    Whatever fails ends the row there: `status` and `error` say how.
    """
    row: dict[str, Any] = {"model": recipe.name, "status": "ok"}
    choice = None
    if settings.judges_recipe or settings.find_batch_size:
        fits, answer = _capacities(recipe, settings, ask)
        if answer["status"] != "ok":
            return row | answer
        row |= {name: answer[name] for name in ("largest_batch", "predicted", "budget_bytes", "kept_mib_per_clip",
                                                 "footprint", "plain_footprint") if name in answer}
        if settings.judges_recipe:
            choice = choose(recipe, fits)
            row |= {"verdict": choice.word, "verdict_flags": list(choice.flags)}
            if choice.word == NO:
                return row | {"status": "out of memory", "error": "not even one clip fits the budget"}
    job = _measuring_job(recipe, settings, choice)
    row |= {"num_frames": job.num_frames, "batch_size": job.batch_size, "forward_batch_size": job.forward_batch_size,
            "memory_friendly": job.memory_friendly}
    row |= ask(job)
    if choice and row["status"] == "ok":
        if "plain_footprint" in row:
            row["hours_on_cards"] = [asdict(stay) for stay in stays(recipe, row, settings.amp)]
        row["epoch_s"] = NTU60_EPOCH_CLIPS / row["clips_per_s"]
        row["recipe_s"] = recipe.epochs * row["epoch_s"]
        row["recipe_peak_bytes"] = _recipe_peak(row, choice)
    return row


def _capacities(recipe: Recipe, settings: Settings, ask: Ask) -> tuple[list[Fit], dict[str, Any]]:
    """Ask for the largest batch, with recomputation too if the recipe needs that; return the last answer beside."""
    fits: list[Fit] = []
    plain: dict[str, Any] = {}
    job = Job(CAPACITY, recipe.name, settings.device, settings.num_frames or recipe.num_frames, recipe.batch_size,
              recipe.forward_batch_size, amp=settings.amp, infer=settings.infer,
              memory_friendly=settings.memory_friendly, budget_bytes=settings.budget_bytes)
    while True:
        answer = ask(job)
        if answer["status"] != "ok":
            return fits, answer
        if "footprint" in answer and not job.memory_friendly:
            plain = {"plain_footprint": answer["footprint"]}
        fits.append(Fit(job.memory_friendly, answer["largest_batch"]))
        enough = answer["largest_batch"] >= recipe.forward_batch_size or not settings.judges_recipe
        if enough or job.memory_friendly or not answer["offers_memory_friendly"]:
            return fits, answer | plain
        job = replace(job, memory_friendly=True)


def _measuring_job(recipe: Recipe, settings: Settings, choice: Choice | None) -> Job:
    on_cpu = settings.device == "cpu"
    batch = settings.batch_size or (recipe.cpu_clips if on_cpu else recipe.batch_size)
    forward = settings.batch_size or min(batch, choice.forward_batch_size if choice else recipe.forward_batch_size)
    return Job(MEASURE, recipe.name, settings.device, settings.num_frames or recipe.num_frames, batch, forward,
               steps=settings.steps, warmup=1 if on_cpu else 5, amp=settings.amp, infer=settings.infer,
               compile=settings.compile,
               memory_friendly=choice.memory_friendly if choice else settings.memory_friendly,
               budget_bytes=settings.budget_bytes)


def _recipe_peak(row: dict[str, Any], choice: Choice) -> float | None:
    """Return the recipe's peak memory in bytes: predicted, or measured where the recipe itself was; else None."""
    if row["predicted"]:
        return Footprint(**row["footprint"]).peak(choice.forward_batch_size)
    measured = row["forward_batch_size"] == choice.forward_batch_size
    return row["peak_allocated_mib"] * 2**20 if measured and "peak_allocated_mib" in row else None
