"""From a checkpoint of PYSKL or MMAction2 to a work directory of this lab's."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from torch import nn

from skeleton_lab.class_names import usual_class_names
from skeleton_lab.errors import UserError
from skeleton_lab.files import write_text
from skeleton_lab.foreign.checkpoint_file import Checkpoint
from skeleton_lab.foreign.config_file import recipe_in, settings_in
from skeleton_lab.foreign.network import Misfit, Network, Told
from skeleton_lab.train.checkpoint import write_torch_file
from skeleton_lab.train.config import read_config, save_config
from skeleton_lab.train.trained import ROOT, load_spec
from skeleton_lab.train.words import Words, skeleton_of
from skeleton_lab.train.workdir import BEST_WEIGHTS, RECORD

CONVERSION = "model/pyskl.py"  # in the folder of each tree that has one
FEEDER = "feeders.feeder_pyskl.Feeder"
# Networks of theirs that no tree computes, by a key that only they have, the first that matches.
OTHERS = (
    (r"gcn\.\d+\.gcn\.beta", "DG-STGCN"),
    (r"gcn\.\d+\.gcn\.conv_ta\.weight", "AAGCN"),
    (r"gcn\.\d+\.gcn\.conv_d\..*", "2s-AGCN (AAGCN without attention)"),
    (r"gcn\.\d+\.gcn\.PA", "ST-GCN"),
    (r"gcn\.\d+\.gcn\.A", "a variant of ST-GCN"),
    (r"net\.\d+\.gcn1\..*", "a variant of CTR-GCN"),
    (r"(conv1|layer1|fast_path|slow_path|rgb_path|pose_path)\..*", "PoseC3D or another network of pictures"),
)
USUAL_SETS = {(25, 60): "ntu60_3danno", (25, 120): "ntu120_3danno", (17, 60): "ntu60_hrnet", (17, 120): "ntu120_hrnet",
              (20, 400): "k400_hrnet", (20, 99): "gym_hrnet"}
HAND_JOINTS = 21
RECIPE = {"num_epoch": 16, "repeat": 5, "base_lr": 0.1, "weight_decay": 0.0005, "nesterov": True}  # PYSKL's usual one


@dataclass(frozen=True)
class Data:
    """What goes into the network, and how it is trained. options: of the feeder, for training and testing alike;
    test_clips: averaged ones; recipe: settings of training, and `repeat`, of the training data.
    """

    options: dict[str, Any]
    test_clips: int
    train_split: str
    test_split: str
    recipe: dict[str, Any]


@dataclass(frozen=True)
class Imported:
    """What was found in a checkpoint. tree: the folder; conversion: its module."""

    tree: Path
    conversion: ModuleType
    network: Network


def recognised(path: Path, checkpoint: Checkpoint, told: Told) -> Imported:
    """Find the tree that has a checkpoint's network, and its sizes.

    Raises:
        UserError: no tree has it, or it is a variant that the tree has not.
    """
    trees = [found.parents[1] for found in sorted(ROOT.glob(f"*/{CONVERSION}"))]
    for tree in trees:
        conversion = _conversion(tree)
        if conversion.recognise(checkpoint.state):
            try:
                return Imported(tree, conversion, conversion.network(checkpoint.state, told))
            except Misfit as misfit:
                raise UserError(f"{path}: {misfit}; give a checkpoint of the network as its project has it") from None
            except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
                raise UserError(f"{path}: looks like a network of {tree.name}, but tensors of it are missing or of the "
                                f"wrong shape ({error}); give a whole checkpoint") from None
    name = next((name for pattern, name in OTHERS if any(re.fullmatch(pattern, key) for key in checkpoint.state)), None)
    have = " and ".join(tree.name for tree in trees)
    what = f"is of {name}, which this lab has not" if name else "is of no network that is known here"
    raise UserError(f"{path}: {what}; it imports those of {have}: ST-GCN++ is the tree ST-GCN's, see docs/models.md")


def _conversion(tree: Path) -> ModuleType:
    """Load a tree's `model/pyskl.py` by itself: the tree is not chosen yet."""
    found = importlib.util.spec_from_file_location(f"pyskl_of_{tree.name.replace('-', '_')}", tree / CONVERSION)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def conversion_of(tree: Path) -> ModuleType | None:
    """Return how a tree's network is kept by PYSKL; None where it is not."""
    return _conversion(tree) if (tree / CONVERSION).is_file() else None


def told_by(config: Mapping[str, Any]) -> Told:
    """Return what a config tells of the network."""
    settings = settings_in(config)
    backbone = settings["backbone"]
    graph = backbone.get("graph_cfg")
    layout = graph.get("layout") if isinstance(graph, Mapping) else None
    down = backbone.get("down_stages")
    persons = [options.get("num_person") for steps in settings["pipelines"].values() for name, options in steps
               if name == "FormatGCNInput"]
    number = next((person for person in [*persons, backbone.get("num_person")] if type(person) is int and person > 0),
                  2 if persons else None)
    return Told(list(down) if isinstance(down, list | tuple) else None, number,
                layout if isinstance(layout, str) else None)


def data_of(network: Network, config: Mapping[str, Any], of_mmaction2: bool) -> Data:
    """Return how clips of a network's data are made: as the config says, or as is usual for such sizes."""
    args = network.args
    joints, channels = args["num_point"], args["in_channels"]
    hand = joints == HAND_JOINTS
    flat = joints != 25
    options: dict[str, Any] = {
        "like": "mmaction2" if of_mmaction2 else "pyskl", "clip_len": 10 if hand else 100,
        "feats": ["j"] if channels <= 3 else ["j", "b"], "num_person": args["num_person"],
        "normalize": ({"mode": "auto", "threshold": 0} if hand else {"mode": "fix"}) if flat else {},
        "scores": flat and channels % 3 == 0, **network.data}
    clips, splits = 1 if hand else 10, ("xsub_train", "xsub_val")
    name = USUAL_SETS.get((joints, args["num_class"]), "annotations")
    if config:
        settings = settings_in(config)
        steps = settings["pipelines"]
        options |= _from_steps(steps["train"] or steps["test"] or steps["val"], flat)
        clips = next((step.get("num_clips", 1) for kind, step in steps["test"] if kind in SAMPLERS), clips)
        splits = (str(settings["data"]["train"].get("split", splits[0])),
                  str(settings["data"]["test"].get("split", splits[1])))
        name = Path(str(settings["data"]["test"].get("ann_file", name))).stem
    recipe = recipe_in(config)
    once = {"repeat": 1} if "num_epoch" in recipe else {}  # nothing is repeated unless it says so
    return Data({"data_path": f"data/pyskl/{name}.npz", **options}, clips, *splits,
                {**RECIPE, **network.recipe, **once, **recipe})


SAMPLERS = ("UniformSample", "UniformSampleFrames", "UniformSampleDecode")
NORMALIZING = ("mode", "threshold", "align_spine", "align_center", "align_shoulder")
RANDOM = {"RandomRot": ("random_rot", "theta", 0.3), "RandomScale": ("random_scale", "scale", 0),
          "RandomGaussianNoise": ("random_noise", "sigma", 0.01)}  # the feeder's option, theirs, and its default


def _from_steps(steps: list[tuple[str, dict[str, Any]]], flat: bool) -> dict[str, Any]:
    """Return the feeder's options that a pipeline sets."""
    options: dict[str, Any] = {}
    for kind, step in steps:
        if kind == "GenSkeFeat":
            options["feats"] = [str(feat) for feat in step.get("feats", ["j"])]
        elif kind in SAMPLERS:
            options |= _sampling(step) | ({"decode": True} if kind == "UniformSampleDecode" else {})
        elif kind == ("PreNormalize2D" if flat else "PreNormalize3D"):
            options["normalize"] = {key: value for key, value in step.items() if key in NORMALIZING}
        elif kind == "FormatGCNInput" and step.get("mode") == "loop":
            options["person_mode"] = "loop"
        elif kind == "PadTo":
            options |= {"pad_to": step.get("length"), "pad_mode": step.get("mode", "zero")}
        elif kind in RANDOM:
            name, argument, usual = RANDOM[kind]
            options[name] = step.get(argument, usual)
    return options


def _sampling(step: Mapping[str, Any]) -> dict[str, Any]:
    share = step.get("p_interval", 1)
    found = {"clip_len": step["clip_len"]} if "clip_len" in step else {}
    if share == 1:
        return found
    return {**found, "p_interval": list(share) if isinstance(share, list | tuple) else [share, share]}


def write_work_dir(folder: Path, source: Path, checkpoint: Checkpoint, imported: Imported, data: Data) -> nn.Module:
    """Write `config.yaml`, `best.pt` and `run.json`; return the model, its weights in it.

    Raises:
        UserError: the weights do not fill the model, or the folder cannot be written to.
    """
    spec = load_spec(imported.tree)
    test = {"split": data.test_split, "num_clips": data.test_clips, "test_mode": True}
    recipe = dict(data.recipe)
    train = {"split": data.train_split, "repeat": recipe.pop("repeat")}
    settings = {"work_dir": str(folder), "model": imported.network.model, "model_args": imported.network.args,
                "feeder": FEEDER, "train_feeder_args": {**data.options, **train},
                "test_feeder_args": {**_as_test(data.options), **test}, **recipe, "schedule": "cosine",
                "batch_size": 128, "test_batch_size": 16}
    yaml_path = folder / "config.yaml"
    write_text(yaml_path, yaml.safe_dump(settings))
    config = read_config(spec, ["--config", str(yaml_path), "--work-dir", str(folder)])
    from skeleton_lab.train.setup import build_model  # here, since it needs the tree to be chosen

    model = build_model(config)
    try:
        weights = imported.conversion.from_theirs(checkpoint.state, model)
    except Misfit as misfit:
        yaml_path.unlink()
        raise UserError(f"{source}: {misfit}; nothing was written") from None
    write_torch_file(folder / BEST_WEIGHTS, weights)
    save_config(config, spec, yaml_path)
    write_text(folder / RECORD, json.dumps({"tree": str(spec.root), **_words(config), "imported": {
        "file": source.name, "sha256": hashlib.sha256(source.read_bytes()).hexdigest(), "epoch": checkpoint.epoch,
        "of": "MMAction2" if checkpoint.of_mmaction2 else "PYSKL",
        "on": datetime.now(timezone.utc).isoformat(timespec="seconds")}}, indent=1) + "\n")
    model.load_state_dict(weights)
    return model


def _words(config: Any) -> dict[str, Any]:
    """Return what the joints and classes are called; classes as in the published data set of as many, if there is."""
    skeleton = skeleton_of(config)
    return Words(skeleton, usual_class_names(config.model_args["num_class"], skeleton)).recorded()


def _as_test(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if not key.startswith("random_") and key != "p_interval"}
