"""What a training's results rest on besides its settings: data, code, versions; kept with its state, to be compared.

A run that goes on with other data or other code is a mixture of two, which nobody notices in its results. Here the
difference gets a name.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skeleton_lab.command.processors import threads_are_chosen
from skeleton_lab.errors import UserError
from skeleton_lab.train.setup import Setup, Split
from skeleton_lab.train.watched import Watch, names_a_source

DATA, CODE = "data", "code"  # what may have changed, as `--accept-changes` names it
_ENGINE = Path(__file__).resolve().parent.parent
_ROOMS = ("nn", "streams", "train", "data/feeders", "data/formats")  # of the engine; no result depends on the others
_MOST_LISTED = 4
_THREADS = "the number of threads"  # of PyTorch on the CPU, among the versions
Fingerprint = dict[str, Any]


class Basis:
    """The data and the code that a training rests on: what they are now, and whether they are as they were.

    Attributes:
        changes: those accepted so far, with `epoch` (from 1), `kind` and `what`.
    """

    def __init__(self, setup: Setup, parts: Mapping[str, Split]) -> None:
        """Read what the files of the data's `parts`, "train" and "test", hold, and begin to watch them."""
        self._setup = setup
        self.changes: list[dict[str, Any]] = []
        self._watch, self._fingerprint = Watch(()), {}
        if setup.world.is_main:  # the files are the same for all
            self._watch = Watch(dict.fromkeys(source for part in parts.values() for source in part.sources))
            self._fingerprint = _fingerprint(setup, parts, self._watch)

    def state(self) -> dict[str, Any]:
        """Return what a training's state keeps of this."""
        return {"fingerprint": self._fingerprint, "changes": self.changes}

    def without_paths(self, settings: Mapping[str, Any], before: Fingerprint) -> dict[str, Any]:
        """Return settings without the paths of data, now or `before`: the same data elsewhere is the same data."""
        found = {**settings, "descriptors": bool(settings.get("descriptors"))}
        for key in self._fingerprint.get("paths", {}):
            names = {*self._fingerprint["paths"][key], *before["paths"].get(key, ())}
            found[key] = {name: value for name, value in settings[key].items() if name not in names}
        return found

    def compare(self, state: Mapping[str, Any]) -> None:
        """Compare with what a training's state has kept; tell what may change the last digits.

        Raises:
            UserError: data or code has changed, and `--accept-changes` does not name it.
        """
        setup, log = self._setup, self._setup.work_dir.log
        before = state.get("fingerprint")
        if not before:
            log("The state is of an older version, which kept no fingerprint of data and code: they are not compared.")
            return
        self._keep_threads(before.get("versions", {}))
        changes = setup.world.from_main(lambda: differences(before, self._fingerprint, setup))
        refused = [kind for kind in changes if kind not in setup.config.accept_changes]
        if refused:
            what = "; ".join(listed(changes[kind]) for kind in refused)
            raise UserError(f"{setup.work_dir.path}: cannot resume with other {' and '.join(refused)} ({what}); put "
                            "back what there was, or accept results of a mixture with --accept-changes "
                            f"{' '.join(changes)}")
        self.changes = list(state.get("changes", ()))
        for kind, texts in changes.items():
            self.changes.append({"epoch": state["progress"]["epoch"] + 1, "kind": kind, "what": listed(texts)})
            log(f"Going on with other {kind}, as --accept-changes says: {listed(texts)}.")
        if setup.world.is_main:
            for text in other_versions(before, self._fingerprint):
                log(f"{text}: results may differ in their last digits from those of an unbroken run.")

    def _keep_threads(self, before: Mapping[str, str]) -> None:
        """Go on with as many threads as before, where nobody asked for a number: sums in another order round others."""
        setup, threads = self._setup, before.get(_THREADS, "")
        if setup.device.type == "cpu" and threads_are_chosen() and threads.isdecimal():
            torch.set_num_threads(max(1, int(threads)))
            if setup.world.is_main:
                self._fingerprint = {**self._fingerprint, "versions": _versions(setup.device)}
            setup.work_dir.log(f"Going on with {threads} thread{'s' * (threads != '1')}, as before.")

    def require_unchanged(self) -> None:
        """Raise a UserError, in all processes, where a file of the data has changed since the training began."""
        if complaint := self._setup.world.from_main(self._watch.complaint):
            raise UserError(complaint)

    def explain(self, error: BaseException) -> None:
        """Raise a UserError if `error` comes of a file that was cut short; a loader process ends by SIGBUS then."""
        if complaint := self._watch.cut_short():
            raise UserError(complaint) from error


def _fingerprint(setup: Setup, parts: Mapping[str, Split], watch: Watch) -> Fingerprint:
    data = {name: {"files": [{"path": source.path, "size": source.size, "digest": watch.digest(source)}
                             for source in part.sources], "labels": _labels_digest(part)}
            for name, part in parts.items()}
    paths = {f"{name}_feeder_args": [key for key, value in getattr(setup.config, f"{name}_feeder_args").items()
                                     if names_a_source(value, part.sources)] for name, part in parts.items()}
    return {"data": data, "paths": paths, "code": code_digests(setup), "versions": _versions(setup.device)}


def _versions(device: torch.device) -> dict[str, str]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    found = {"PyTorch": str(torch.__version__), "NumPy": np.__version__, "the device": name}
    return found | ({_THREADS: str(torch.get_num_threads())} if device.type == "cpu" else {})


def differences(before: Fingerprint, now: Fingerprint, setup: Setup) -> dict[str, list[str]]:
    """Return what has changed in data and code, in words; kinds in which nothing has are left out."""
    found = {DATA: _data_differences(before.get("data", {}), now["data"]),
             CODE: _code_differences(before.get("code", {}), setup)}
    return {kind: changes for kind, changes in found.items() if changes}


def other_versions(before: Fingerprint, now: Fingerprint) -> list[str]:
    """Return which versions, and what else may change the last digits of results, are others by now."""
    return [f"{what} was {old} and is {now['versions'][what]}" for what, old in before.get("versions", {}).items()
            if what in now["versions"] and old != now["versions"][what]]


def listed(changes: Sequence[str]) -> str:
    """Return changes as one text, the first ones by name."""
    more = f"; and {len(changes) - _MOST_LISTED} more" if len(changes) > _MOST_LISTED else ""
    return "; ".join(changes[:_MOST_LISTED]) + more


def _labels_digest(part: Split) -> str:
    labels = np.asarray(getattr(part.feeder, "label", ()))
    content = labels.astype(np.int64).tobytes() if labels.dtype.kind in "iu" else repr(labels.tolist()).encode()
    return _digest(content + "\0".join(map(str, part.names)).encode("utf-8", "surrogatepass"))


def _data_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = []
    for name in before.keys() & now.keys():
        old, new = before[name], now[name]
        changed = []
        if len(old["files"]) != len(new["files"]):  # one that came up on the way, a cache for instance, is no change
            known = {row["digest"] for row in new["files"]}
            changed = [f"{row['path']} is no longer among the files of the {name} data" for row in old["files"]
                       if row["digest"] not in known]
        for first, second in zip(old["files"], new["files"], strict=False):
            if len(old["files"]) == len(new["files"]) and first["digest"] != second["digest"]:
                path = "" if first["path"] == second["path"] else f" as {first['path']} did"
                size = (f"{second['size']} bytes, {first['size']} before" if first["size"] != second["size"] else
                        "of the same size")
                changed.append(f"{second['path']} does not hold the same{path} ({size})")
        if not changed and old["labels"] != new["labels"]:
            changed = [f"the names or labels of the {name} data are others"]
        found += [text for text in changed if text not in found]
    return sorted(found)


def code_digests(setup: Setup) -> dict[str, str]:
    """Return a hash of each source file that the numbers depend on: of the engine, the tree and the user's own."""
    return file_digests({**engine_files(), **dict(_own_files(setup))})


def file_digests(files: Mapping[str, str]) -> dict[str, str]:
    """Return a hash of each file, in the order of their keys."""
    return {key: _digest(Path(path).read_bytes()) for key, path in sorted(files.items()) if os.path.isfile(path)}


def engine_files() -> dict[str, str]:
    """Return the paths of the engine's files that the numbers depend on; keys hold no path of this machine."""
    rooms = [path for room in _ROOMS for path in (_ENGINE / room).rglob("*.py")]
    return {f"{_ENGINE.name}/{path.relative_to(_ENGINE).as_posix()}": str(path)
            for path in [*_ENGINE.glob("*.py"), *rooms]}


def _own_files(setup: Setup) -> Iterator[tuple[str, str]]:
    """Yield the key and the path of each file of the tree and of the user's own that has been imported."""
    tree = Path(setup.spec.root).resolve()
    own = _own_folders(setup)
    for name, module in list(sys.modules.items()):
        source = _source_of(module)
        if source is None or source.is_relative_to(_ENGINE):
            continue
        if source.is_relative_to(tree):
            yield f"tree/{source.relative_to(tree).as_posix()}", str(source)
        elif any(source.is_relative_to(folder) for folder in own):
            yield f"module {name}", str(source)


def _own_folders(setup: Setup) -> list[Path]:
    """Return the folders of the model's and the data set's modules, where they are the user's own."""
    found = []
    for dotted in (setup.config.model, setup.config.feeder):
        module = sys.modules.get(str(dotted).rpartition(".")[0])
        path = _source_of(module)
        if path is not None and not any(path.is_relative_to(folder) for folder in _installed()):
            found.append(path.parent)
    return found


def _installed() -> list[str]:
    paths = sysconfig.get_paths()
    return [os.path.realpath(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib")]


def _source_of(module: Any) -> Path | None:
    path = getattr(module, "__file__", None)
    return _real(path) if isinstance(path, str) and path.endswith(".py") else None


@cache  # of thousands of modules, at each start and end of a run; they stay where they were imported from
def _real(path: str) -> Path:
    return Path(os.path.realpath(path))


def _code_differences(before: Mapping[str, str], setup: Setup) -> list[str]:
    """Compare files by what is on the disk now: a module that is not imported any more was left out by one that is."""
    found = []
    for key, digest in before.items():
        path = _path_of(key, setup)
        if path is None or not path.is_file():
            found.append(f"{key} is gone")
        elif _digest(path.read_bytes()) != digest:
            found.append(f"{key} is another")
    return found


def _path_of(key: str, setup: Setup) -> Path | None:
    kind, _, rest = key.partition("/")
    if kind == _ENGINE.name:
        return _ENGINE / rest
    if kind == "tree":
        return Path(setup.spec.root) / rest
    name = key.removeprefix("module ")
    if name in sys.modules:
        return _source_of(sys.modules[name])
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    return Path(spec.origin) if spec and spec.origin else None


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
