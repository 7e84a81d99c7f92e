"""The phases of a run: show the model, test it, or train it in a work directory that is this process's alone."""

from __future__ import annotations

from pathlib import Path

from skeleton_lab.command.terminal import outlived
from skeleton_lab.errors import UserError
from skeleton_lab.train.config import Config, save_config
from skeleton_lab.train.distributed import World, joined
from skeleton_lab.train.outside_errors import told
from skeleton_lab.train.place import one_voice
from skeleton_lab.train.setup import Services, build_model, set_up
from skeleton_lab.train.spec import TreeSpec
from skeleton_lab.train.testing import run_test
from skeleton_lab.train.training import run_training
from skeleton_lab.train.two_files import checkpoint_source
from skeleton_lab.train.workdir import WorkDir


def run_phase(config: Config, spec: TreeSpec, services: Services) -> int:
    """Run the phase that the config says; returns the exit status.

    Raises:
        UserError: bad input.
    """
    world = World.from_environment()
    if config.phase == "model_size":
        with one_voice(world):
            return _print_model(config, services)
    with joined(world), told(Path(config.work_dir), config.num_worker or 0):
        work_dir = WorkDir(config.work_dir, config.print_log) if world.is_main else WorkDir.silent(config.work_dir)
        if config.phase == "test":
            with work_dir.kept_if_used():
                return run_test(set_up(config, spec, work_dir, world, services))
        with work_dir.kept_if_used(), work_dir.claimed(), outlived(lambda line: work_dir.log(line, to_terminal=False)):
            if world.is_main:
                _refuse_used(work_dir, config, spec)
            work_dir.hold_log()
            setup = set_up(config, spec, work_dir, world, services)
            return run_training(setup, lambda: _begin(work_dir, config, spec, world))


def _print_model(config: Config, services: Services) -> int:
    model = build_model(config, services.vectors(config))
    print(model)
    print(f"# Parameters: {sum(p.numel() for p in model.parameters() if p.requires_grad)}")
    return 0


def _refuse_used(work_dir: WorkDir, config: Config, spec: TreeSpec) -> None:
    """Raise a UserError where the work directory holds a training and nothing is said of what is to become of it.

    Also where what it holds of a training's names is not what a training writes.
    """
    work_dir.refuse_strange(_patterns(spec), spec.log_directory)
    if not (config.resume or config.overwrite or checkpoint_source(config)) and work_dir.holds_training(
            _all_epochs(spec.weights_file)):
        raise UserError(f"{work_dir.path}: holds a training already; go on with --resume, delete it with --overwrite, "
                        "or choose another --work-dir")


def _begin(work_dir: WorkDir, config: Config, spec: TreeSpec, world: World) -> None:
    """Delete the training in the work directory if told to, and write down the settings of this one."""
    if world.is_main:
        if config.overwrite:
            work_dir.clear_training(_patterns(spec), spec.log_directory)
        save_config(config, spec, work_dir.path / "config.yaml")
    work_dir.write_held_log()


def _patterns(spec: TreeSpec) -> list[str]:
    """Return the names of a tree's weights and checkpoints, as patterns for all epochs."""
    return [_all_epochs(pattern) for pattern in (spec.weights_file, spec.checkpoint_file) if pattern]


def _all_epochs(pattern: str) -> str:
    return pattern.format(epoch="*", step="*", forward_batch_size="*")
