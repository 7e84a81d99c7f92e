"""A tree's `main.py` in one call: read the config, set up, train or test, clean up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from skeleton_lab.errors import UserError
from skeleton_lab.train.config import Config, read_config, save_config
from skeleton_lab.train.distributed import World, joined
from skeleton_lab.train.outside_errors import told
from skeleton_lab.train.place import one_voice
from skeleton_lab.train.setup import build_model, set_up
from skeleton_lab.train.spec import TreeSpec
from skeleton_lab.train.testing import run_test
from skeleton_lab.train.training import run_training
from skeleton_lab.train.two_files import checkpoint_source
from skeleton_lab.train.workdir import WorkDir


def run(spec: TreeSpec, argv: Sequence[str] | None = None) -> int:
    """Run one phase of a tree; returns the exit status.

    Raises:
        UserError: bad input (`skeleton_lab.errors.run_command` reports it).
    """
    world = World.from_environment()
    with one_voice(world):
        config = read_config(spec, argv)
        if config.phase == "model_size":
            return _print_model(config)
    with joined(world), told(Path(config.work_dir)):
        work_dir = WorkDir(config.work_dir, config.print_log) if world.is_main else WorkDir.silent(config.work_dir)
        if config.phase == "test":
            if world.is_main:
                save_config(config, spec, work_dir.path / "config_test.yaml")  # not over a training's config.yaml
            return run_test(set_up(config, spec, work_dir, world))
        with work_dir.claimed():
            if world.is_main:
                _make_ready(work_dir, config, spec)
                save_config(config, spec, work_dir.path / "config.yaml")
            return run_training(set_up(config, spec, work_dir, world))


def _print_model(config: Config) -> int:
    model = build_model(config)
    print(model)
    print(f"# Parameters: {sum(p.numel() for p in model.parameters() if p.requires_grad)}")
    return 0


def _make_ready(work_dir: WorkDir, config: Config, spec: TreeSpec) -> None:
    """Delete the training in the work directory if told to; refuse a directory that holds one otherwise."""
    weights = spec.weights_file.format(epoch="*", step="*")
    if config.overwrite:
        checkpoints = (spec.checkpoint_file or "").format(epoch="*", step="*", forward_batch_size="*")
        work_dir.clear_training(tuple(filter(None, (weights, checkpoints))), spec.log_directory)
    elif not (config.resume or checkpoint_source(config)) and work_dir.holds_training(weights):
        raise UserError(f"{work_dir.path}: holds a training already; go on with --resume, delete it with --overwrite, "
                        "or choose another --work-dir")
