"""From a resolved config to the objects of a run: work directory, device, model, loaders."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from skeleton_lab.command.processors import threads_text
from skeleton_lab.errors import UserError
from skeleton_lab.files import replacing
from skeleton_lab.imports import construct, load_object
from skeleton_lab.metrics import NOT_KNOWN
from skeleton_lab.nn.descriptor_fusion import Describe, Vectors, fused
from skeleton_lab.nn.model import is_memory_friendly
from skeleton_lab.nn.norm import with_synchronised_norms
from skeleton_lab.nn.synchrony import synchronise
from skeleton_lab.train.batches import Batch, Batches, SeededFetch, make_loader, seed_generators
from skeleton_lab.train.checkpoint import load_weights
from skeleton_lab.train.compiling import compile_in_place
from skeleton_lab.train.config import Config
from skeleton_lab.train.device import Precision, choose_device, choose_precision
from skeleton_lab.train.distributed import World
from skeleton_lab.train.freezing import freeze
from skeleton_lab.train.holdout import held_out, rows_of
from skeleton_lab.train.loop import check_labels
from skeleton_lab.train.outside_errors import memory_told
from skeleton_lab.train.spec import TreeSpec
from skeleton_lab.train.watched import Sizes, Source, sources_of
from skeleton_lab.train.words import Words, words_of_feeder
from skeleton_lab.train.workdir import WorkDir

_WHICH_CLIPS = ("data_path", "label_path", "split", "root", "names")  # options of feeders that say that


@dataclass(frozen=True)
class Services:
    """What a run is given from elsewhere: files of clips and reports are no affair of `train`.

    Attributes:
        open_descriptors: opens the file of `--descriptors`, or raises a UserError.
        network: returns what computes a test on a device: the model, or another runtime (`--runtime`).
        write_report: writes `report.html` of a work directory, given the tree's default settings and the feeder of the
            tested clips.
    """

    open_descriptors: Callable[[str], Vectors]
    network: Callable[[Setup], nn.Module]
    write_report: Callable[[Path, Mapping[str, Any], Any], None]

    def vectors(self, config: Config) -> Vectors | None:
        """Return the descriptors that the config names, None if it names none."""
        return self.open_descriptors(config.descriptors) if config.descriptors else None


@dataclass
class Setup:
    """What every phase works with."""

    config: Config
    spec: TreeSpec
    work_dir: WorkDir
    device: torch.device
    precision: Precision
    model: nn.Module
    parameters: int  # trainable
    world: World
    services: Services
    vectors: Vectors | None  # descriptors beside the clips
    frozen: tuple[nn.Module, ...]  # what stays in evaluation mode


@dataclass
class Split:
    """One split of the data: its feeder, the batches of an epoch, the loader over them, what its classes are called."""

    feeder: Any
    batches: Batches
    loader: DataLoader[Batch]
    names: list[str]
    sources: list[Source]  # the files it comes from
    words: Words


def set_up(config: Config, spec: TreeSpec, work_dir: WorkDir, world: World, services: Services) -> Setup:
    """Seed everything, choose the device, build the model and load its weights.

    Raises:
        UserError: a device that is not there, a path that does not resolve, weights that do not fit.
    """
    check_shares(config, world)
    seed_generators(config.seed)
    torch.cuda.manual_seed_all(config.seed)
    torch.backends.cudnn.deterministic = config.deterministic
    torch.backends.cudnn.benchmark = not config.deterministic
    device = choose_device(config.device, work_dir.log, world)
    if device.type == "cpu":
        work_dir.log(f"{threads_text(torch.get_num_threads())}.")
    precision = choose_precision(config.half, config.amp_dtype, device, work_dir.log)
    vectors = services.vectors(config)
    model = build_model(config, vectors)
    if config.weights:
        work_dir.log(f"Load weights from {config.weights}.")
        load_weights(model, config.weights, _ignored_weights(config, work_dir), spec.ignore_exact, work_dir.log)
    model = _share_norms(model, config, work_dir, world)
    frozen = freeze(model, config.freeze) if config.phase == "train" else ()
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if world.size > 1:
        work_dir.log(f"{world.size} processes, {config.batch_size // world.size} clips of each batch in each.")
        seed_generators((config.seed, world.rank))  # one model from one seed, but dropout of each process's own
        torch.cuda.manual_seed(config.seed + world.rank)
    model = model.to(device)
    if config.compile:
        compile_in_place(model, work_dir.log)
    return Setup(config, spec, work_dir, device, precision, model, parameters, world, services, vectors, frozen)


def _ignored_weights(config: Config, work_dir: WorkDir) -> list[str]:
    """Return which weights to leave out: in a test, where nothing would replace them, none."""
    if config.ignore_weights and config.phase == "test":
        work_dir.log("ignore_weights is for training: a test takes all weights.")
        return []
    return config.ignore_weights


def _share_norms(model: nn.Module, config: Config, work_dir: WorkDir, world: World) -> nn.Module:
    """Take BatchNorm's moments over all processes if `--sync-bn` says so; return the model that does."""
    synchronise(world.size if config.sync_bn else 1)
    if not config.sync_bn:
        return model
    if world.size == 1:
        work_dir.log("--sync-bn: one process trains, whose BatchNorm sees all clips in any case.")
        return model
    clips = world.size * chunk_size(config, world)
    work_dir.log(f"BatchNorm takes its moments over the {clips} clips that all processes have at a time.")
    return with_synchronised_norms(model)


def check_shares(config: Config, world: World) -> None:
    """Raise a UserError unless the processes can share each batch evenly, in whole forward passes."""
    share = world.share(config.batch_size, "--batch-size")
    if share % chunk_size(config, world):
        raise UserError(f"--forward-batch-size {config.forward_batch_size} does not divide the {share} clips that each "
                        f"of {world.size} processes takes of a batch; choose one of its divisors")


def chunk_size(config: Config, world: World) -> int:
    """Return how many clips a process takes in one forward pass of training."""
    return min(config.forward_batch_size, config.batch_size // world.size)


def build_model(config: Config, vectors: Vectors | None = None) -> nn.Module:
    """Construct the model that the config names, fused with `vectors` where they are given.

    Raises:
        UserError: no model named, or it does not resolve, take its options, recompute activations, or take descriptors.
    """
    if not config.model:
        raise UserError("no model: name its class with --model or in the config, as model.<file>.Model")
    classes = config.model_args.get("num_class", 1)
    if isinstance(classes, int) and classes < 1:
        raise UserError(f"num_class {classes} in model_args: a model has one class at least; give the number of "
                        "classes of the data")
    with memory_told():
        model = construct(config.model, config.model_args, "model_args")
    if config.memory_friendly:
        if not is_memory_friendly(model):
            raise UserError(f"--memory-friendly: '{config.model}' has no set_memory_friendly(); leave the switch out")
        model.set_memory_friendly(True)
    if config.fusion and vectors is not None:
        model = fused(model, config.fusion, vectors.width, config.model)
    return model


def copy_sources(config: Config, work_dir: WorkDir, resumed_in: int | None) -> None:
    """Copy the file that defines the model's class into the work directory, as a record of the run.

    Where the run is `resumed_in` an epoch (from 1) with another file, that is put beside the first.
    """
    source = inspect.getsourcefile(load_object(config.model))
    if not source:
        return
    target = work_dir.path / Path(source).name
    if resumed_in is not None and target.exists():
        if target.read_bytes() == Path(source).read_bytes():
            return
        target = target.with_name(f"{target.stem}.from_epoch{resumed_in}.py")
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def open_training(setup: Setup) -> tuple[Split, Split | None]:
    """Open the training data, and the validation clips if the settings ask for any.

    Raises:
        UserError: as `open_part`; no clips can be held out, or held-out clips are other ones to the test's options.
    """
    config = setup.config
    if config.val_feeder_args:
        options = _feeder_options(config, "test_feeder_args") | config.val_feeder_args
        return open_part(setup, training=True), _opened(setup, "val_feeder_args", _feeder(config, options,
                                                                                         "val_feeder_args"), False)
    if not config.val_share:
        return open_part(setup, training=True), None
    train = _feeder(config, _feeder_options(config, "train_feeder_args"), "train_feeder_args")
    _require_truth(train, True, config.phase, "train_feeder_args")
    chosen = held_out(train.label, config.val_share, config.seed)
    options = _feeder_options(config, "test_feeder_args")
    options |= {key: value for key, value in config.train_feeder_args.items() if key in _WHICH_CLIPS}
    val = _feeder(config, options, "val_share")
    if hasattr(val, "as_tested"):  # a feeder of one's own may do without
        val.as_tested()
    if not np.array_equal(train.label, val.label):
        raise UserError("--val-share: the test feeder's options do not read the training data's clips; name validation "
                        "clips with --val-feeder-args instead")
    return (_opened(setup, "train_feeder_args", train, True, rows_of(~chosen, len(train))),
            _opened(setup, "val_share", val, False, np.flatnonzero(chosen)))


def open_part(setup: Setup, training: bool) -> Split:
    """Open the training or the test data.

    Raises:
        UserError: no feeder named, it does not resolve or take its options, or there are too few clips.
    """
    key = "train_feeder_args" if training else "test_feeder_args"
    return _opened(setup, key, _feeder(setup.config, _feeder_options(setup.config, key), key), training)


def _feeder(config: Config, options: Mapping[str, Any], key: str) -> Any:
    if not config.feeder:
        raise UserError("no feeder: name its class with --feeder or in the config, as feeders.<file>.Feeder")
    return construct(config.feeder, options, key)


def _opened(setup: Setup, key: str, feeder: Any, training: bool, members: np.ndarray | None = None) -> Split:
    """Return a split that `feeder` serves: all its clips, or the `members` among them."""
    config = setup.config
    size = config.batch_size if training else config.test_batch_size
    batches = Batches(len(feeder), size, config.seed, shuffle=training, world=setup.world, members=members)
    if not len(batches):
        count = len(feeder) if members is None else len(members)
        raise UserError(f"{key}: {count} clip(s) make no batch of {size}; use a smaller batch size or more data")
    _require_truth(feeder, training, config.phase, key)
    _require_classes(feeder, config)
    names = getattr(feeder, "sample_name", None)
    names = list(range(len(feeder))) if names is None else list(names)
    describe = None if setup.vectors is None else _describer(setup.vectors, names, key)
    sources = sources_of(feeder, getattr(config, key, {}))
    if config.fusion:
        sources += sources_of(None, {"path": config.descriptors})
    fetch = SeededFetch(feeder, describe, Sizes.of(sources).require)
    loader = make_loader(fetch, batches, config.num_worker, setup.device, setup.work_dir.log)
    words = words_of_feeder(feeder, config)
    if words.skeleton is not None and getattr(feeder, "skeleton", words) is None:
        feeder.skeleton = words.skeleton  # its files did not tell; the report draws its clips
    if members is not None and not training:
        names = [names[row] for row in members]
    return Split(feeder, batches, loader, names, sources, words)


def _require_classes(feeder: Any, config: Config) -> None:
    """Refuse labels beyond the classes that the model is told of, before its first batch would."""
    labels, classes = np.asarray(getattr(feeder, "label", ())), config.model_args.get("num_class")
    if labels.size and labels.dtype.kind in "iu" and isinstance(classes, int):
        check_labels(torch.as_tensor(labels.astype(np.int64)), classes, not_known_ok=True)


def _require_truth(feeder: Any, training: bool, phase: str, key: str) -> None:
    """Raise a UserError where classes that a training needs are not known: of all its clips, and of some to test."""
    labels = np.asarray(getattr(feeder, "label", ()))
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels):
        return
    unknown = np.flatnonzero(labels == NOT_KNOWN)
    if training and len(unknown):
        raise UserError(f"{key}: the label of clip {unknown[0]} is -1, which means that its class is not known "
                        f"({len(unknown)} such); such clips can be tested, not trained on: take them out")
    if phase == "train" and len(unknown) == len(labels):
        raise UserError(f"{key}: of no clip is the class known (all labels are -1), but a training chooses its best "
                        "epoch by them; give labelled ones, and afterwards predict these with predict.py")


def _describer(vectors: Vectors, names: list[str], key: str) -> Describe:
    """Return what gives the samples `names` their descriptors, after making sure that they have some."""
    vectors.require(names, key)
    return Describe(vectors, names)


def _feeder_options(config: Config, key: str) -> dict[str, Any]:
    """Return the feeder's options; `--debug` and `--observe` turn on what feeders have of that."""
    options = dict(getattr(config, key))
    if config.debug and key == "train_feeder_args" and _takes(load_object(config.feeder), "debug"):
        options["debug"] = True
    if config.observe is not None and (key == "train_feeder_args" or not isinstance(config.observe, list)):
        if not _takes(load_object(config.feeder), "observe"):
            raise UserError(f"--observe: '{config.feeder}' takes no option 'observe'; leave the flag out, or give the "
                            "feeder that option, as skeleton_lab/data/feeders/observation.py serves it")
        options["observe"] = config.observe
    return options


def _takes(target: Callable[..., Any], option: str) -> bool:
    return option in inspect.signature(target).parameters


def is_debug(config: Config) -> bool:
    """Whether this is a debug run, asked for by `--debug` or in the training feeder's options."""
    return bool(config.debug or config.train_feeder_args.get("debug"))
