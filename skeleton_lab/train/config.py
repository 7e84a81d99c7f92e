"""The settings of a run: explicit command line > YAML file > default.

What there is to set stands in `skeleton_lab.train.settings` and in each tree's main.py. Hyphens and underscores are the
same in a flag's name.
"""

from __future__ import annotations

import argparse
import copy
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from skeleton_lab.command.options import Parser
from skeleton_lab.errors import UserError, in_one_line, missing, suggest
from skeleton_lab.files import write_text
from skeleton_lab.train.flags import TORCH, Flag, default_workers
from skeleton_lab.train.literals import parse_assignments
from skeleton_lab.train.place import place_from_environment
from skeleton_lab.train.settings import COMMON_FLAGS, FLAG_GROUPS, Config
from skeleton_lab.train.spec import TreeSpec

_MOST_CONFIG_BYTES = 1 << 20
_MOST_BRACKETS = 1000  # PyYAML takes seconds for thousands of open ones
_MOST_VALUES = 10_000  # a config has a hundred
_MOST_SHOWN = 300  # characters of a complaint about a value
_USAGE = "main.py --config FILE [--work-dir DIR] [any setting below ...]"


def read_config(spec: TreeSpec, argv: Sequence[str] | None = None) -> Config:
    """Resolve the settings of a run from the command line, the YAML file it names and the defaults.

    Usage errors exit with status 2.

    Raises:
        UserError: the YAML file is missing, unreadable, or has an unknown key or a bad value.
    """
    flags = {flag.key: flag for flag in (*COMMON_FLAGS, *spec.flags)}
    words = [_hyphenated(word) for word in (sys.argv[1:] if argv is None else argv)]
    parser = _parser(spec)
    given = vars(parser.parse_args(words))
    settings = default_settings(spec)
    from_file = read_yaml(Path(given["config"]), flags) if given.get("config") else {}
    settings.update(from_file)
    for key, value in given.items():
        if flags[key].mapping:
            settings[key] = dict(settings[key] or {})
            for assignments in value:
                settings[key].update(assignments)
        else:
            settings[key] = value
    config = _config_of(spec, settings)
    _complete(config)
    if len(given.get("device", ())) > 1:
        _refuse_several_devices(config.device, sys.argv[1:] if argv is None else argv)
    config.model = spec.models.get(config.model or "", config.model)
    if spec.adjust:
        spec.adjust(config, frozenset(given) | frozenset(from_file))
    return config


def _config_of(spec: TreeSpec, settings: dict[str, Any]) -> Config:
    """Return the settings as a `Config` that has the tree's own besides."""
    own = {flag.key: settings.pop(flag.key) for flag in spec.flags}
    config = Config(**settings)
    vars(config).update(own)
    return config


def default_settings(spec: TreeSpec) -> dict[str, Any]:
    """Return a tree's settings where nothing else is said; None where the default depends on others or the machine."""
    return {flag.key: copy.deepcopy(spec.defaults.get(flag.key, flag.default))
            for flag in (*COMMON_FLAGS, *spec.flags)}


def read_yaml(path: Path, flags: dict[str, Flag]) -> dict[str, Any]:
    """Read a YAML file of settings and convert each value as its flag does.

    Raises:
        UserError: naming the file and the key.
    """
    content = read_mapping(path)
    for key, value in content.items():
        if key not in flags:
            raise UserError(f"{path}: unknown key '{key}'{suggest(str(key), flags) or '; see --help for all keys'}")
        try:
            content[key] = _convert(flags[key], value)
        except (ValueError, TypeError, OverflowError) as error:
            raise UserError(f"{path}: key '{key}': {str(error)[:_MOST_SHOWN]}") from None
    return content


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file of settings as it is, without knowing which there are.

    Raises:
        UserError: it cannot be read, is not YAML, no mapping, or too much for a config.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(_MOST_CONFIG_BYTES + 1)
        moderate = len(text) <= _MOST_CONFIG_BYTES and text.count(b"[") + text.count(b"{") <= _MOST_BRACKETS
        content = yaml.safe_load(text.decode("utf-8")) or {} if moderate else None
    except OSError as error:
        raise missing(path, error, "check --config") from None
    except Exception as error:  # a damaged file makes PyYAML raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: not valid YAML ({reason[:_MOST_SHOWN]}); mend that place") from None
    if content is None or not _is_moderate(content):
        raise UserError(f"{path}: more than a config can have to say; give --config a file of settings")
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected 'key: value' lines, found a {type(content).__name__}")
    return content


def _is_moderate(content: Any) -> bool:
    """Whether a YAML document holds a moderate number of values, each alias counted as often as it is used."""
    pending, count = [content], 0
    while pending and count <= _MOST_VALUES:
        value = pending.pop()
        count += 1
        if isinstance(value, dict):
            pending += [*value, *value.values()]
        elif isinstance(value, list | tuple | set):
            pending += value
    return count <= _MOST_VALUES


def save_config(config: Config, spec: TreeSpec, path: Path) -> None:
    """Write the resolved settings, sorted by key, as YAML that `--config` reads back."""
    transient = {flag.key for flag in (*COMMON_FLAGS, *spec.flags) if flag.transient}
    settings = {key: value for key, value in vars(config).items() if key not in transient}
    command = in_one_line(shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]))
    write_text(path, f"# command line: {command}\n\n{yaml.safe_dump(settings, sort_keys=True)}")


def _refuse_runtime(config: Config) -> None:
    """Raise a UserError where the run needs PyTorch itself."""
    for needs, what in ((config.phase != "test", f"--phase {config.phase}"), (config.half, "--half"),
                        (config.compile, "--compile"), (config.descriptors, "--descriptors"),
                        (place_from_environment().size > 1, "several processes")):
        if needs:
            raise UserError(f"--runtime {config.runtime}: is for --phase test of one process in single precision, not "
                            f"for {what}; leave one of them out")


def _complete(config: Config) -> None:
    """Fill in the defaults that depend on other settings and refuse what contradicts itself."""
    if config.num_worker is None:
        config.num_worker = default_workers()
    if config.forward_batch_size is None:
        config.forward_batch_size = config.batch_size
    if config.batch_size % config.forward_batch_size:
        raise UserError(f"--forward-batch-size {config.forward_batch_size} does not divide --batch-size "
                        f"{config.batch_size}; choose one of its divisors")
    if set(config.model_saved_name) & set("/\\{}\0"):
        raise UserError(f"--model-saved-name {config.model_saved_name!r}: expected the beginning of a file name; the "
                        "folder is that of --work-dir")
    if config.runtime != TORCH:
        _refuse_runtime(config)
    if config.resume and config.overwrite:
        raise UserError("--resume and --overwrite contradict each other; choose one")
    if config.accept_changes and not config.resume:
        raise UserError("--accept-changes is for going on with a training: it needs --resume")
    for other in ("sync_bn", "memory_friendly"):
        if config.compile and getattr(config, other):
            raise UserError(f"--{other.replace('_', '-')} and --compile contradict each other; choose one")
    if bool(config.descriptors) != bool(config.fusion):
        raise UserError("--descriptors and --fusion need each other: the file, and late, concat or gate; give both or "
                        "none")
    if config.descriptors and config.observe not in (None, 1):
        raise UserError("--observe does not shorten what --descriptors tell of a clip's later part; make descriptors "
                        "of the observed part and set the feeders' own option: --test-feeder-args observe=0.5")
    if config.val_share and config.val_feeder_args:
        raise UserError("--val-share and --val-feeder-args contradict each other: hold out training clips, or name "
                        "validation clips; choose one")
    for phase in ("train_feeder_args", "test_feeder_args", "val_feeder_args"):
        if not isinstance(getattr(config, phase), dict):
            raise UserError(f"{phase}: expected a mapping of options, such as window_size: 64 in the lines below it, "
                            f"or --{phase.replace('_', '-')} window_size=64")


def _refuse_several_devices(devices: list[int | str], argv: Sequence[str]) -> None:
    """Raise a UserError with the command that uses several GPUs, unless this is one of the processes it starts."""
    if place_from_environment().size == 1:
        command = shlex.join(["torchrun", f"--nproc_per_node={len(devices)}", Path(sys.argv[0]).name, *argv])
        raise UserError(f"--device {' '.join(map(str, devices))}: one process uses one GPU; to use all, type: "
                        f"{command}")


def _parser(spec: TreeSpec) -> argparse.ArgumentParser:
    """Build the parser; absent flags leave no trace in the result, so that YAML can fill them in."""
    parser = Parser(
        "Train or test the model of this folder. Command line > YAML (--config) > default.",
        prog="main.py", usage=_USAGE, argument_default=argparse.SUPPRESS,
        epilog="example: python3 main.py --config config/.../default.yaml --work-dir work_dir/run1 --device 0\n"
               "KEY=VALUE options take one word, merged over the YAML: --train-feeder-args bone=True,vel=True")
    for title, flags in {**FLAG_GROUPS, "this model's own": spec.flags}.items():
        group = parser.add_argument_group(title)
        for flag in flags:
            group.add_argument("--" + flag.key.replace("_", "-"), **_argument_options(flag, spec))
    return parser


def _argument_options(flag: Flag, spec: TreeSpec) -> dict[str, Any]:
    """Return what `add_argument` is to know about a flag."""
    default = spec.defaults.get(flag.key, flag.default)
    shown = "" if default in (None, "", [], {}) else f" (default: {_shown(default)})"
    options: dict[str, Any] = {"dest": flag.key, "help": (flag.help + shown).replace("%", "%%")}
    if flag.mapping:
        return options | {"type": _mapping_argument, "action": "append", "metavar": "KEY=VALUE,..."}
    options |= {"type": _argument(flag.convert)}
    if flag.switch:
        return options | {"nargs": "?", "const": True, "metavar": "BOOL"}
    options |= {"nargs": "+" if flag.many else None}
    return options | ({"choices": flag.choices} if flag.choices
                      else {"metavar": flag.metavar or flag.convert.__name__.upper()})


def _hyphenated(word: str) -> str:
    """Give a flag the spelling the parser knows: underscores and hyphens are the same."""
    if word.startswith("-model_saved_name"):  # upstream's one flag with a single hyphen
        word = "-" + word
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value


def _argument(convert: Any) -> Any:
    """Wrap a converter so that argparse prints its message."""

    def argument(word: str) -> Any:
        try:
            return convert(word)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return argument


def _mapping_argument(word: str) -> dict[str, Any]:
    try:
        return parse_assignments(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; write key=value,key=value as one word") from None


def _convert(flag: Flag, value: Any) -> Any:
    if flag.mapping:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise ValueError("expected a mapping of options")
        return value
    if value is None:
        return flag.default
    items = value if flag.many and isinstance(value, list) else [value]
    converted = [flag.convert(item) for item in items]
    for item in converted:
        if flag.choices and item not in flag.choices:
            raise ValueError(f"expected one of {', '.join(flag.choices)}, not '{item}'")
    return converted if flag.many else converted[0]


def _shown(default: Any) -> str:
    return " ".join(map(str, default)) if isinstance(default, list) else str(default)
