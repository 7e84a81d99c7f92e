"""The command lines of MS-G3D's data generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.formats.about import About, about_ntu
from skeleton_lab.data.formats.class_indices import class_indices
from skeleton_lab.data.formats.face import load_json
from skeleton_lab.data.formats.ntu import Benchmark, list_recordings, parse_name, read_missing_list
from skeleton_lab.data.prepare.msg3d_pipeline import KINETICS, NTU, WORK, Generation, Output, generate
from skeleton_lab.data.prepare.preparation import MISNAMED, Skipped, Summary
from skeleton_lab.data.prepare.workers import Crew
from skeleton_lab.errors import UserError
from skeleton_lab.files import claim
from skeleton_lab.metrics import NOT_KNOWN
from skeleton_lab.skeletons import OPENPOSE_18

PARTS = ("train", "val")
KINETICS_FPS = 30.0


@contextmanager
def crew_for(out_folder: Path, jobs: int) -> Iterator[Crew]:
    """Yield the workers that make files in `out_folder`, which no other command makes meanwhile."""
    claim(out_folder)
    with Crew(jobs) as crew:
        yield crew


def generate_ntu(benchmark: Benchmark, sources: Sequence[Path], missing_list: Path | None, out_folder: Path,
                 crew: Crew, strict: bool = False) -> Summary:
    """Make `<out_folder>/<protocol>/` with the files of both parts, for both protocols of a benchmark.

    Names in the label files are file names for NTU60, and folder and file name joined for NTU120, as upstream's.

    Raises:
        UserError: bad input.
    """
    ignored = read_missing_list(missing_list) if missing_list else frozenset()
    listing = list_recordings(sources, benchmark, ignored)
    misnamed = [Skipped(path, MISNAMED, reason) for path, reason in listing.misnamed]
    summary = Summary(len(listing.paths) + len(misnamed), listing.num_ignored, skipped=misnamed)
    if strict:
        summary.refuse_damage()
    samples = [parse_name(path.name) for path in listing.paths]
    outputs = []
    for protocol in benchmark.protocols:
        train = np.array([protocol.is_train(sample) for sample in samples])
        outputs += [Output(out_folder / protocol.name, part, members)
                    for part, members in zip(PARTS, (train, ~train), strict=True)]
    names = [path.name if len(benchmark.skeleton_folders) == 1 else str(path) for path in listing.paths]
    labels = [sample.label for sample in samples]
    generate(Generation(NTU, listing.paths, names, labels, outputs, out_folder / WORK, strict,
                        about_ntu(labels, benchmark.num_classes)), crew, summary)
    return summary


def generate_kinetics(data_folder: Path, parts: Sequence[str], out_folder: Path, crew: Crew,
                      strict: bool = False) -> Iterator[tuple[str, Summary]]:
    """Make the files of parts of Kinetics-Skeleton from `kinetics_<part>/` and `kinetics_<part>_label.json`.

    What all parts are made of is looked at before anything is written.

    Yields:
        each part, once it is made, and what was read of it.

    Raises:
        UserError: bad input; a clip whose class is not known.
    """
    plans = []
    for part in parts:
        try:
            plans.append(_plan_kinetics(data_folder, part, out_folder, strict))
        except UserError as error:
            there = [name for name in parts if (data_folder / f"kinetics_{name}_label.json").is_file()
                     and (data_folder / f"kinetics_{name}").is_dir()]
            advice = f"; --parts {' '.join(there)} makes what is there" if there and part not in there else ""
            raise UserError(f"{error}{advice}") from error
    for part, (plan, summary) in zip(parts, plans, strict=True):
        generate(plan, crew, summary)
        yield part, summary


def _plan_kinetics(data_folder: Path, part: str, out_folder: Path, strict: bool) -> tuple[Generation, Summary]:
    """Return what to make for one part, and what was passed over; UserError for bad input."""
    folder, label_file = data_folder / f"kinetics_{part}", data_folder / f"kinetics_{part}_label.json"
    entries = _read_label_file(label_file)
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".json")
    except OSError as error:
        raise UserError(f"{folder}: cannot list it ({error.strerror}); put the recordings of Kinetics-Skeleton there "
                        "or give their folder with --data_path") from error
    strangers = [Skipped(str(path), MISNAMED, f"{path}: not in {label_file.name}; add it or leave the recording out")
                 for path in paths if path.stem not in entries]
    known = [path for path in paths if path.stem in entries]
    wanted = [path for path in known if entries[path.stem][0]]
    summary = Summary(len(wanted) + len(strangers), len(known) - len(wanted), skipped=strangers,
                      why_ignored="without a skeleton, says the label file")
    if strict:
        summary.refuse_damage()
    if not wanted:
        raise UserError(f"{folder}: no recording with a skeleton; check it against {label_file.name}")
    output = Output(out_folder, part, np.ones(len(wanted), bool))
    names = [path.name for path in wanted]
    labels = _classes_of(label_file, names, [entries[path.stem][1] for path in wanted])
    about = About(_class_names(label_file), OPENPOSE_18, KINETICS_FPS)
    return Generation(KINETICS, wanted, names, labels, [output], out_folder / f"{WORK}_{part}", strict, about), summary


def _read_label_file(path: Path) -> dict[str, tuple[bool, Any]]:
    """Return id -> (has a skeleton, label_index as it stands)."""
    content = load_json(path)
    try:
        return {name: (bool(entry["has_skeleton"]), entry["label_index"]) for name, entry in content.items()}
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        raise UserError(f"{path}: {error!r:.60}; expected an object of id: {{has_skeleton, label_index}}; download it "
                        "again") from error


def _classes_of(label_file: Path, names: Sequence[str], labels: Sequence[Any]) -> list[int]:
    """Return the label_index of each recording as a class; UserError where one is no class, or -1, not known."""
    for name, label in zip(names, labels, strict=True):
        if not isinstance(label, int) or label < 0:
            what = ("is -1, which means that its class is not known; label it or leave the recording out"
                    if label == NOT_KNOWN else f"is {label!r:.20}; class indices are whole numbers from 0, mend it")
            raise UserError(f"{label_file}: label_index of {name.removesuffix('.json')} {what}")
    return [int(label) for label in class_indices(list(labels), f"{label_file}: 'label_index'")]


def _class_names(path: Path) -> tuple[str, ...] | None:
    """Return the names that a label file gives its classes, in their order; None unless it names each, and alike."""
    entries = load_json(path).values()
    names = {entry.get("label_index"): entry.get("label") for entry in entries}
    alike = all(names[entry.get("label_index")] == entry.get("label") for entry in entries)
    if not alike or set(names) != set(range(len(names))) or not all(isinstance(name, str) for name in names.values()):
        return None
    return tuple(names[label] for label in range(len(names)))
