"""A tree's `main.py` in one call: read the command line and the config, then train, test or show the model.

What `train` needs of rooms that it may not look into is handed to it here: descriptors, and the report at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skeleton_lab.command.options import require_path
from skeleton_lab.train.config import read_config
from skeleton_lab.train.flags import TORCH
from skeleton_lab.train.place import one_voice, place_from_environment
from skeleton_lab.train.spec import TreeSpec

if TYPE_CHECKING:  # slow to import
    from torch import nn

    from skeleton_lab.train.setup import Setup

_FILES = ("weights", "checkpoint", "optimizer_states", "descriptors")  # settings that name a file to read


def run(spec: TreeSpec, argv: Sequence[str] | None = None) -> int:
    """Run one phase of a tree; returns the exit status.

    It is also importable as `skeleton_lab.train.run.run`, where it was before.

    Raises:
        UserError: bad input (`skeleton_lab.errors.run_command` reports it).
    """
    with one_voice(place_from_environment()):
        config = read_config(spec, argv)
        for key in _FILES:
            if path := getattr(config, key, None):
                require_path(path, f"--{key.replace('_', '-')}")
    from skeleton_lab.train.phases import run_phase  # after the command line: it takes PyTorch a second to load
    from skeleton_lab.train.setup import Services

    return run_phase(config, spec, Services(_open_descriptors, _network, _write_report))


def _open_descriptors(path: str) -> Any:
    from skeleton_lab.data.formats.descriptors import Descriptors  # few runs have any

    return Descriptors(path)


def _network(setup: Setup) -> nn.Module:
    config = setup.config
    if config.runtime == TORCH:
        return setup.model
    from skeleton_lab.export.runtime import network_for  # for few tests
    from skeleton_lab.train.trained import Trained

    return network_for(Trained(setup.model.eval(), config, setup.spec, Path(config.weights or "")), config.runtime,
                       setup.device, setup.work_dir.log)


def _write_report(work_dir: Path, defaults: Mapping[str, Any], feeder: Any) -> None:
    from skeleton_lab.report.run_report import write_report  # slow to import, and only for the end

    write_report(work_dir, defaults, feeder)
