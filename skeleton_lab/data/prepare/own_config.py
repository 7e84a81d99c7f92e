"""A config that trains a tree on an archive of one's own: the tree's own recipe for NTU RGB+D, cut to the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from skeleton_lab.errors import UserError
from skeleton_lab.files import write_text

BATCH = 16  # clips, of data of a few hundred
_CLASSES = 60  # of the recipe that is looked for
_IN_SPACE = (24, 25)  # joints of NTU RGB+D that a model takes; SkateFormer leaves one out
_LAYOUTS = {17: "coco", 21: "handmp"}  # of PYSKL's graphs, by joints
_GRAPHS = {"Coco": {17: "Coco", 21: "Hand"}}


@dataclass(frozen=True)
class Data:
    """What to train on: an archive, its joints and classes, and the number of clips to train with. in_space: or in
    pictures, as clips of poses. shares: whether places are shares of a picture.
    """

    archive: Path
    num_joints: int
    num_classes: int
    num_train: int
    in_space: bool
    shares: bool = False


def trees(root: Path) -> list[str]:
    """Return the names of the trees in a checkout."""
    return sorted(path.parent.name for path in root.glob("*/main.py") if (path.parent / "config").is_dir())


def recipe_of(root: Path, tree: str, in_space: bool) -> tuple[Path, dict[str, Any]]:
    """Return a tree's recipe for joints of NTU RGB+D 60, in space or in pictures: its path and content.

    Raises:
        UserError: there is no such tree, or it has none.
    """
    if tree not in trees(root):
        raise UserError(f"--config-for {tree}: is no tree here; choose {', '.join(trees(root))}")
    for path in sorted((root / tree / "config").rglob("*.yaml"), key=_preference):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and _fits(content, in_space):
            return path, content
    raise UserError(f"--config-for {tree}: has no recipe for joints in {'space' if in_space else 'pictures'}; choose "
                    f"another tree, or --to {'coco17' if in_space else 'ntu25'}")


def _preference(path: Path) -> tuple[bool, bool, str]:
    words = path.as_posix().lower()
    return "test" in words, not any(word in words for word in ("cross-subject", "xsub", "_cs")), words


def _fits(content: dict[str, Any], in_space: bool) -> bool:
    """Whether a config trains on the joint stream of NTU RGB+D 60, of that kind of data."""
    data, model = content.get("train_feeder_args") or {}, content.get("model_args") or {}
    path = str(data.get("data_path", ""))
    if "demo" in path or "inter" in path or _CLASSES not in _class_keys(model).values():
        return False
    if any(data.get(key) for key in ("bone", "vel")) or "bone" in path or data.get("data_type", "j") != "j":
        return False
    clips_of_poses = "feeder_pyskl" in str(content.get("feeder"))
    joints = model.get("num_point", 25)
    return (not clips_of_poses and joints in _IN_SPACE) if in_space else (clips_of_poses and joints == 17)


def _class_keys(model: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in model.items() if key.startswith("num_class")}


def needs_files(recipe: dict[str, Any]) -> bool:
    """Whether a recipe reads MS-G3D's `.npy` and `.pkl` files in place of an archive."""
    return str(recipe["train_feeder_args"]["data_path"]).endswith(".npy")


def write_config(path: Path, recipe: tuple[Path, dict[str, Any]], data: Data, files: Path) -> None:
    """Write a config to `path` by a tree's recipe. files: the folder of MS-G3D's files, for recipes that read those.

    The rate of learning shrinks with the batch; work directory, data and classes are those of `data`.
    """
    base, content = recipe
    for part, names in (("train", "train"), ("test", "val")):
        args = content[f"{part}_feeder_args"]
        if needs_files(content):
            args |= {"data_path": str(files / f"{names}_data_joint.npy"),
                     "label_path": str(files / f"{names}_label.pkl")}
        else:
            args |= {"data_path": str(data.archive), "split": part}
        if data.shares:
            args["normalize"] = {"mode": "auto", "threshold": 0}
        if not data.in_space and data.num_joints == 21:
            args["num_person"] = 1
    content["val_feeder_args"] = {}
    model = content["model_args"]
    model |= dict.fromkeys(_class_keys(model), data.num_classes)
    if not data.in_space:
        _set_joints(model, data.num_joints)
    batch = min(int(content.get("batch_size", BATCH)), BATCH, data.num_train)
    content["base_lr"] = float(content["base_lr"]) * batch / int(content.get("batch_size", batch))
    content |= {"work_dir": f"./work_dir/{data.archive.stem}", "batch_size": batch, "test_batch_size": BATCH}
    if "forward_batch_size" in content:
        content["forward_batch_size"] = batch
    content["save_epoch"] = max(0, int(content.get("num_epoch", 1)) - 1)
    content = {key: value for key, value in content.items() if value != {}}
    header = (f"# {data.archive.name}: {data.num_classes} classes, {data.num_train} clips to train with; after "
              f"{base.relative_to(base.parents[len(base.parts) - base.parts.index('config') - 1])}.\n")
    write_text(path, header + yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=110))


def _set_joints(model: dict[str, Any], num_joints: int) -> None:
    """Set the graph of a model for clips of poses."""
    model["num_point"] = num_joints
    if num_joints == 21:
        model["num_person"] = 1
    if "layout" in model.get("graph_args", {}):
        model["graph_args"] = {**model["graph_args"], "layout": _LAYOUTS[num_joints]}
    module, _, name = str(model.get("graph", "")).rpartition(".")
    if name in _GRAPHS:
        model["graph"] = f"{module}.{_GRAPHS[name][num_joints]}"


def lines_of(tree: str, config: Path, work_dir: str) -> Iterator[str]:
    """Yield what to type next."""
    yield f"train:    cd {tree} && python3 main.py --config {config}"
    yield f"predict:  python3 predict.py --run {tree}/{work_dir.removeprefix('./')} CLIP"
