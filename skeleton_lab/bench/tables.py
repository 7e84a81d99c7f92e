"""Rows as text, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skeleton_lab.bench.capacity import MARGIN
from skeleton_lab.bench.cards import TIMED_ON
from skeleton_lab.bench.recipes import NTU60_EPOCH_CLIPS, RECIPES, Recipe

Row = Mapping[str, Any]
CHECKS = Path(__file__).with_name("checked_predictions.json")

_NOT_IN_CSV = ("footprint", "plain_footprint", "hours_on_cards")


def measurements(rows: Sequence[Row]) -> str:
    """Return the table of what was measured, one line a model, failures included."""
    memory = "allocated / reserved MiB" if any("peak_allocated_mib" in row for row in rows) else "resident MiB"
    header = ("model", "T", "batch", "format", "parameters", "GFLOPs/clip", "step ms (least to most)", "clips/s",
              memory)
    return aligned([header, *(_measured(row) for row in rows)])


def _measured(row: Row) -> tuple[str, ...]:
    if row["status"] != "ok":
        return (row["model"], f"{row['status']}: {row['error']}")
    passes = row["batch_size"] // row["forward_batch_size"]
    batch = f"{passes} x {row['forward_batch_size']}" if passes > 1 else str(row["batch_size"])
    if "peak_allocated_mib" in row:
        memory = f"{row['peak_allocated_mib']:,.0f} / {row['peak_reserved_mib']:,.0f}"
    else:
        memory = f"{row['peak_resident_mib']:,.0f}"
    return (row["model"], str(row["num_frames"]), batch, row["precision"], f"{row['parameters']:,}",
            f"{row['gflops_per_clip']:.2f}", f"{row['step_ms']:,.1f} ({row['step_ms_least']:,.1f} to "
            f"{row['step_ms_most']:,.1f})", speed(row), memory)


def verdicts(rows: Sequence[Row], markdown: bool = False) -> str:
    """Return the table of verdicts, one line a model that got one; as Markdown for a README."""
    header = ("model", "recipe", "peak GB", "largest batch", "verdict")
    lines = [header, *(_verdict(row) for row in rows if "verdict" in row)]
    if not markdown:
        return aligned(lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ("---",) * len(header), *lines[1:]))


def _verdict(row: Row) -> tuple[str, ...]:
    word = " ".join((row["verdict"], *row["verdict_flags"]))
    peak = row.get("recipe_peak_bytes")
    return (row["model"], recipe_text(RECIPES[row["model"]]), f"{peak / 1e9:.2f}" if peak else "-",
            str(row["largest_batch"]), word)


def durations_here(rows: Sequence[Row]) -> str:
    """Return how long recipes take on the device that was measured, one line a model; "" without any."""
    timed = [row for row in rows if "recipe_s" in row]
    if not timed:
        return ""
    device = timed[0].get("device_name", "unknown")
    heading = (f"How long on this machine ({device}), at the clips/s measured. An epoch: {NTU60_EPOCH_CLIPS:,} clips,\n"
               "NTU-60 cross-subject; loading them is not counted.")
    return heading + "\n" + aligned([("model", "clips/s", "an epoch", "whole recipe"),
                                    *((row["model"], speed(row), duration(row["epoch_s"]), duration(row["recipe_s"]))
                                      for row in timed)])


def durations_on_cards(rows: Sequence[Row]) -> str:
    """Return what recipes are estimated to take on GPUs that are not here, a column a card; "" without any."""
    known = [row for row in rows if row.get("hours_on_cards")]
    if not known:
        return ""
    header = ("model", *(stay["card"] for stay in known[0]["hours_on_cards"]))
    heading = ("How long on GPUs, whole recipe: estimates with their range, from FLOPs and bytes a clip and what "
               f"two models\nreached on one card ({TIMED_ON.name}). *: with --memory-friendly, or it does not fit.")
    rows_of_hours = [(row["model"], *(_stay(stay) for stay in row["hours_on_cards"])) for row in known]
    return heading + "\n" + aligned([header, *rows_of_hours])


def _stay(stay: Row) -> str:
    least, most = (f"{hours:.1f}" if hours < 9.95 else f"{hours:.0f}" for hours in (stay["least_h"], stay["most_h"]))
    return f"{least} to {most} h{' *' if stay['memory_friendly'] else ''}"


def speed(row: Row) -> str:
    """Return clips/s, with decimals where they matter."""
    return f"{row['clips_per_s']:,.{0 if row['clips_per_s'] >= 100 else 1 if row['clips_per_s'] >= 10 else 2}f}"


def recipe_text(recipe: Recipe) -> str:
    """Return a recipe in short: clips per step, frames, epochs."""
    passes = recipe.batch_size // recipe.forward_batch_size
    batch = f"{passes} x {recipe.forward_batch_size}" if passes > 1 else str(recipe.batch_size)
    return f"{batch} clips, T {recipe.num_frames}, {recipe.epochs} epochs"


def duration(seconds: float) -> str:
    """Return a duration in its natural unit."""
    for unit, length_s in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:,.1f} {unit}"
    return f"{seconds:,.1f} s"


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return lines of cells as columns; a line with fewer cells than the first one ends where it ends."""
    full = [line for line in lines if len(line) == len(lines[0])]
    widths = [max(map(len, column)) for column in zip(*full, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip()
                     for line in lines)


def verdict_heading(rows: Sequence[Row], amp: bool) -> str:
    """Return what the verdict is about: the card, the precision, and how it was come by."""
    budget_gb = next(row["budget_bytes"] for row in rows if "verdict" in row) / 1e9
    predicted = any(row.get("predicted") for row in rows)
    how = "predicted" if predicted else "searched on this card"
    return f"Verdict for {budget_gb:.3g} GB of GPU memory, {'mixed precision (--half)' if amp else 'fp32'}; {how}"


def notes(rows: Sequence[Row]) -> list[str]:
    """Return what must be known to read the verdict, a line each."""
    lines = ["largest batch: clips in one forward and backward pass. "
             "GB: 10^9 bytes. What a card sold as 8 GB has above that, the driver's own needs take."]
    if any(row.get("predicted") for row in rows):
        lines.append(f"No GPU was used: memory is a prediction, from the tensors alive in two small steps on this CPU, "
                     f"and must leave {MARGIN:.0%} free. {accuracy_text(load_checks())}")
    return lines


def load_checks() -> list[dict[str, Any]]:
    """Return the comparisons of predicted with measured bytes that benchmarks/memory_prediction.py made."""
    return json.loads(CHECKS.read_text()) if CHECKS.exists() else []


def accuracy_text(checks: Sequence[Mapping[str, Any]]) -> str:
    """Say how far off predictions were, on CPUs and on GPUs, or that they were not checked there.

    On a GPU below 1 GB, where nobody runs short, what the libraries take for themselves outweighs the rest.
    """
    def worst(kind: str, least_bytes: float = 0) -> str:
        errors = [abs(check["predicted_bytes"] / check["measured_bytes"] - 1) for check in checks
                  if check["device_type"] == kind and check["measured_bytes"] >= least_bytes]
        return f"off by at most {max(errors):.1%} at {len(errors)} points" if errors else "not checked yet"

    return (f"Predictions, where checked: on a CPU (bytes kept by autograd) {worst('cpu')}; "
            f"on a GPU (peaks of 1 GB and more) {worst('cuda', 1e9)}.")


def to_json(rows: Sequence[Row], about: Mapping[str, Any]) -> str:
    """Return all rows, and what they are about, as JSON."""
    return json.dumps({**about, "rows": rows}, indent=2) + "\n"


def to_csv(rows: Sequence[Row]) -> str:
    """Return all rows as CSV, a column for every field that any of them has."""
    fields = list(dict.fromkeys(name for row in rows for name in row if name not in _NOT_IN_CSV))
    text = io.StringIO()
    writer = csv.DictWriter(text, fields, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: " ".join(value) if isinstance(value, list) else value for name, value in row.items()})
    return text.getvalue()
