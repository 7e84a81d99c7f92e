"""A trained model, opened from what a training leaves: its config, its weights, and the tree that both are of."""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from skeleton_lab.errors import UserError, note
from skeleton_lab.skeletons import Skeleton
from skeleton_lab.train.checkpoint import take_weights, unprefixed
from skeleton_lab.train.config import Config, read_config
from skeleton_lab.train.device import check_kernels, find_gpus, require_gpu
from skeleton_lab.train.flags import device_index
from skeleton_lab.train.setup import build_model
from skeleton_lab.train.spec import TreeSpec
from skeleton_lab.train.torch_file import read_torch_file
from skeleton_lab.train.weights_file import find_weights
from skeleton_lab.train.words import Words, words_of_run
from skeleton_lab.train.workdir import BEST_WEIGHTS, read_record

ROOT = Path(__file__).resolve().parents[2]
_TREE_MODULE = "tree_main"
_KEPT_FRESH = "num_batches_tracked"  # counts of batches, which older weight files lack and evaluation does not use


@dataclass(frozen=True)
class Trained:
    """A model in evaluation mode on the CPU, its resolved config, its tree, and the weight file it was loaded from.

    words: what its run says of joints and classes.
    """

    model: nn.Module
    config: Config
    spec: TreeSpec
    weights: Path
    words: Words = field(default_factory=Words)

    @property
    def num_classes(self) -> int:
        """How many classes the config gives the model, or the model itself by default; 0 if neither tells."""
        parameter = inspect.signature(type(self.model)).parameters.get("num_class")
        default = parameter.default if parameter is not None and parameter.default is not parameter.empty else 0
        return int(self.config.model_args.get("num_class", default))

    @property
    def skeleton(self) -> Skeleton | None:
        """The joints that the model was trained on; None where nobody knows."""
        return self.words.skeleton

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """What its classes are called; None where nobody knows. There may be fewer than the model has outputs."""
        return self.words.class_names


def open_chosen(options: argparse.Namespace) -> Trained:
    """Open the model that `--run`, `--config`, `--weights` and `--tree` choose.

    The tree is put first on the import path; a process can hold the models of one tree only.

    Raises:
        UserError: options that contradict each other, a missing or broken file, weights that do not fill the model.
    """
    if options.run is None and (options.config is None or options.weights is None):
        raise UserError("which model? Give --run with a training's work directory, or --config and --weights")
    if options.run is not None and not options.run.is_dir():
        raise UserError(f"{options.run}: no such work directory; give the --work-dir of a training")
    config_path = (options.config or options.run / "config.yaml").absolute()
    spec = load_spec(find_tree(config_path, options.tree))
    weights = options.weights or _newest_weights(options.run, spec)
    config = read_config(spec, ["--config", str(config_path), "--phase", "test", "--weights", str(weights)])
    if getattr(config, "fusion", None):
        raise UserError(f"{config_path}: is of a model fused with descriptors (--fusion {config.fusion}), which a "
                        "recording does not bring along; test it with main.py")
    weights = Path(config.weights or weights)  # a tree may know published ones by another name
    model = build_model(config)
    content = read_torch_file(weights)
    take_weights(model, content, weights, (), spec.ignore_exact, say=lambda line: None)
    _refuse_gaps(model, content, weights)
    trained = Trained(model.eval(), config, spec, weights)
    record = read_record(options.run or config_path.parent)
    return replace(trained, words=words_of_run(record, config, trained.num_classes))


def find_tree(config_path: Path, given: Path | None) -> Path:
    """Return the folder whose `main.py` a config is for: as the run.json beside it says, or the one that has its model.

    Raises:
        UserError: no tree of this checkout has the model that the config names, or several have.
    """
    if given is not None:
        if not (given / "main.py").is_file():
            raise UserError(f"{given}: holds no main.py; give --tree the folder of the model")
        return given.resolve()
    recorded = Path(str(read_record(config_path.parent).get("tree") or "none")).name
    if (ROOT / recorded / "main.py").is_file():  # by name: the checkout may have moved, and a record may say anything
        return ROOT / recorded
    dotted = _named_in(config_path, "model")
    module = Path(*dotted.split(".")[:-1])
    trees = [path.parent for path in sorted(ROOT.glob("*/main.py"))
             if (path.parent / module).with_suffix(".py").is_file() or (path.parent / module).is_dir()]
    around = [tree for tree in trees if tree in config_path.resolve().parents]
    trees = around or trees
    if len(trees) != 1:
        found = " and ".join(tree.name for tree in trees) or "no folder"
        raise UserError(f"{config_path}: model '{dotted}' is in {found} of {ROOT}; give the folder of its main.py with "
                        "--tree")
    return trees[0]


def _named_in(config_path: Path, key: str) -> str:
    """Return what a config says of a top-level key, before it is known which keys its tree has."""
    try:
        text = config_path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise UserError(f"{config_path}: cannot read the config ({reason}); give the work directory of a training") \
            from None
    match = re.search(rf"^{key}\s*:\s*['\"]?([\w.]+)", text, re.MULTILINE)
    if match is None:
        raise UserError(f"{config_path}: names no {key}; give the work directory of a training, or its config.yaml")
    return match[1]


def load_spec(tree: Path) -> TreeSpec:
    """Run a tree's `main.py` as a module, which puts the tree on the import path, and return its `SPEC`.

    Raises:
        UserError: it has none.
    """
    found = importlib.util.spec_from_file_location(_TREE_MODULE, tree / "main.py")
    if found is None or found.loader is None:
        raise UserError(f"{tree}/main.py: cannot be imported; give the folder of the model's main.py with --tree")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    spec = getattr(module, "SPEC", None)
    if not isinstance(spec, TreeSpec):
        raise UserError(f"{tree}/main.py: defines no SPEC, which says how its configs are read; see CTR-GCN/main.py")
    return spec


def _newest_weights(run: Path | None, spec: TreeSpec) -> Path:
    """Return the best weights of a work directory, else those written last."""
    assert run is not None  # without a run the weights are given
    best = run / BEST_WEIGHTS
    if best.is_file():
        return best
    written = sorted(run.glob(spec.weights_file.format(epoch="*", step="*")), key=lambda path: path.stat().st_mtime)
    if not written:
        raise UserError(f"{run}: holds no weights ({BEST_WEIGHTS} or {spec.weights_file.format(epoch='*', step='*')}); "
                        "give them with --weights")
    return written[-1]


def _refuse_gaps(model: nn.Module, content: Any, path: Path) -> None:
    """Raise a UserError unless the file has all weights: what stays fresh is random, and so would be the result."""
    own = model.state_dict()
    there = unprefixed(find_weights(content, path, say=lambda line: None), own)
    missing = [key for key in own if key not in there and not key.endswith(_KEPT_FRESH)]
    if missing:
        raise UserError(f"{path}: lacks {len(missing)} of the model's weights, {missing[0]} for one; check that config "
                        "and weights belong together")


def pick_device(choice: str) -> torch.device:
    """Return the device that a script's `--device` names: as `choose_device` does, but numbers stay exact (no TF32).

    Raises:
        UserError: there is no such GPU.
    """
    try:
        named = device_index(choice)
    except ValueError as error:
        raise UserError(f"--device {choice}: {error}") from None
    if named == "cpu" or not find_gpus([named], _in_silence if named == "auto" else note):
        return torch.device("cpu")
    device = torch.device("cuda", 0 if isinstance(named, str) else named)
    require_gpu(device.index)
    check_kernels(device)
    return device


def _in_silence(line: str) -> None:
    """Say nothing: `auto` is what nobody asked for."""
