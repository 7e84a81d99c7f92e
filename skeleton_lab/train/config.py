"""The settings of a run: explicit command line > YAML file > default.

Keys and flags are upstream's (CTR-GCN 1.1 and MS-G3D 1.1 of the papers' published code); what the
engine adds says so in its help text. Hyphens and underscores are the same in a flag's name.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from skeleton_lab.errors import UserError, suggest
from skeleton_lab.files import write_text
from skeleton_lab.fusion import KINDS
from skeleton_lab.train.distributed import World
from skeleton_lab.train.literals import parse_assignments
from skeleton_lab.train.spec import Flag, TreeSpec

_MOST_CONFIG_BYTES = 1 << 20
_MOST_BRACKETS = 1000  # PyYAML takes seconds for thousands of open ones
_MOST_VALUES = 10_000  # a config has a hundred
_MOST_SHOWN = 300  # characters of a complaint about a value
_TRUE, _FALSE = ("yes", "true", "t", "y", "1"), ("no", "false", "f", "n", "0")


def boolean(value: Any) -> bool:
    """Read `yes true t y 1` / `no false f n 0` (any case) or a YAML boolean."""
    word = str(value).lower()
    if word not in _TRUE + _FALSE:
        raise ValueError(f"expected true or false, not '{value}'")
    return word in _TRUE


def whole(value: Any) -> int:
    """Read an integer; refuse booleans and fractions."""
    if isinstance(value, bool | float):
        raise ValueError(f"expected a whole number, not '{value}'")
    return int(value)


def natural(value: Any) -> int:
    """Read an integer of at least 0."""
    number = whole(value)
    if number < 0:
        raise ValueError(f"expected 0 or more, not '{value}'")
    return number


def positive(value: Any) -> int:
    """Read an integer of at least 1."""
    number = whole(value)
    if number < 1:
        raise ValueError(f"expected 1 or more, not '{value}'")
    return number


def real(value: Any) -> float:
    """Read a finite number of at least 0."""
    if isinstance(value, bool):
        raise ValueError(f"expected a number, not '{value}'")
    number = float(value)
    if not 0 <= number < float("inf"):
        raise ValueError(f"expected a number of 0 or more, not '{value}'")
    return number


def text(value: Any) -> str:
    """Read a word or a path."""
    if isinstance(value, list | dict):
        raise ValueError(f"expected a word, not '{value}'")
    return str(value)


def device_index(value: Any) -> int | str:
    """Read a GPU index, `cuda:<index>` or `cpu`."""
    word = str(value).lower().removeprefix("cuda:")
    if word in ("cpu", "cuda"):
        return "cpu" if word == "cpu" else 0
    if not word.isdigit():
        raise ValueError(f"expected GPU indices or cpu, not '{value}'")
    return int(word)


def share(value: Any) -> float | list[float]:
    """Read a share in (0, 1], or a range of shares: `0.1-1.0`, or `random` for just that."""
    words = value if isinstance(value, list) else str("0.1-1" if value == "random" else value).split("-")
    try:
        shares = [float(word) for word in words]
    except (TypeError, ValueError):
        shares = []
    if len(shares) not in (1, 2) or not all(0 < number <= 1 for number in shares) or shares != sorted(shares):
        raise ValueError(f"expected a share in (0, 1], a range such as 0.1-1.0, or random, not '{value}'")
    return shares if shares[0] < shares[-1] else shares[0]


def default_workers() -> int:
    """Loader processes by default: one for each core this process may use, at most four.

    Of several training processes each gets its share of the cores, and at least one loader process.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(min(usable // World.from_environment().local_size, 4), 1)


COMMON_FLAGS: tuple[Flag, ...] = (
    Flag("work_dir", text, "./work_dir/temp", "output folder; made if absent"),
    Flag("model_saved_name", text, "", "prefix of the weight files instead of the tree's own"),
    Flag("config", text, None, "YAML file with any of these settings"),
    Flag("phase", text, "train", "what to do", choices=("train", "test", "model_size")),
    Flag("save_score", boolean, False, "write the score pickle at each evaluation"),
    Flag("seed", natural, 1, "seed of every random draw"),
    Flag("log_interval", positive, 100, "batches between two lines of log.txt within an epoch"),
    Flag("save_interval", positive, 1, "epochs between two weight files; the last epoch is always saved"),
    Flag("save_epoch", natural, 30, "write weight files only after this many epochs"),
    Flag("eval_interval", positive, 1, "epochs between two evaluations; the last epoch is always evaluated"),
    Flag("eval_start", natural, 1, "first epoch (from 1) that is evaluated"),
    Flag("print_log", boolean, True, "write log.txt too, not only the terminal"),
    Flag("show_topk", positive, [1, 5], "which top-k accuracies are logged", many=True),
    Flag("feeder", text, None, "dotted path of the data set's class"),
    Flag("num_worker", natural, None, "loader processes; 0: load in the main process (default: one a core, at most 4)"),
    Flag("train_feeder_args", dict, {}, "options of the training feeder: key=value,key=value", mapping=True),
    Flag("test_feeder_args", dict, {}, "options of the test feeder: key=value,key=value", mapping=True),
    Flag("observe", share, None, "use only the first part of each clip: a share of its frames, for training and tests; "
                                 "random (0.1-1.0) or another range: drawn for each training clip, tests see all "
                                 "(default: as the feeders' options say)"),
    Flag("model", text, None, "dotted path of the model's class"),
    Flag("model_args", dict, {}, "options of the model: key=value,key=value", mapping=True),
    Flag("weights", text, None, "weights to start from or to test"),
    Flag("ignore_weights", text, [], "weights to leave out while loading", many=True),
    Flag("base_lr", real, 0.01, "learning rate before warm-up and decay"),
    Flag("step", natural, [20, 40, 60], "epochs (from 0) from which the rate decays once more", many=True),
    Flag("device", device_index, [0], "GPU index, or cpu; under torchrun an index for each process", many=True),
    Flag("optimizer", text, "SGD", "optimiser", choices=("SGD", "Adam")),
    Flag("nesterov", boolean, False, "Nesterov momentum (SGD only)"),
    Flag("batch_size", positive, 256, "clips per optimiser step, of all processes together"),
    Flag("test_batch_size", positive, 256, "clips per test batch"),
    Flag("forward_batch_size", positive, None, "clips per forward pass of a process; divides the batch size (default: "
                                               "all)"),
    Flag("start_epoch", natural, 0, "first epoch, from 0"),
    Flag("num_epoch", natural, 80, "epoch to stop before, from 0"),
    Flag("weight_decay", real, 0.0005, "weight decay of every parameter"),
    Flag("lr_decay_rate", real, 0.1, "factor of each decay"),
    Flag("warm_up_epoch", natural, 0, "epochs of linear warm-up"),
    Flag("debug", boolean, False, "short run: the feeders' debug mode, log in a folder of its own", switch=True),
    Flag("half", boolean, False, "mixed precision (autocast)", switch=True),
    Flag("amp_dtype", text, "auto", "number format of mixed precision; auto: bf16 where the device has it, else fp16",
         choices=("auto", "bf16", "fp16")),
    Flag("deterministic", boolean, True, "ask cuDNN for deterministic kernels"),
    Flag("memory_friendly", boolean, False, "recompute activations: less memory, same numbers, slower", switch=True),
    Flag("compile", boolean, False, "run the model through torch.compile: minutes to start; where it cannot be "
                                    "compiled, it runs as it is", switch=True),
    Flag("descriptors", text, None, "HDF5 file with a vector of each sample, beside the skeletons; needs --fusion"),
    Flag("fusion", text, None, "how the model takes the vectors of --descriptors", choices=KINDS),
    Flag("sync_bn", boolean, False, "several processes: BatchNorm over the clips of all, not of each by itself",
         switch=True),
    Flag("resume", boolean, False, "continue the run in the work directory", switch=True, transient=True),
    Flag("overwrite", boolean, False, "delete the run in the work directory first", switch=True, transient=True),
)

Config = argparse.Namespace


def read_config(spec: TreeSpec, argv: Sequence[str] | None = None) -> Config:
    """Resolve the settings of a run from the command line, the YAML file it names and the defaults.

    Returns a namespace with one attribute per setting. Usage errors exit with status 2.

    Raises:
        UserError: the YAML file is missing, unreadable, or has an unknown key or a bad value.
    """
    flags = {flag.key: flag for flag in (*COMMON_FLAGS, *spec.flags)}
    words = [_hyphenated(word) for word in (sys.argv[1:] if argv is None else argv)]
    parser = _parser(spec, flags)
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
    config = argparse.Namespace(**settings)
    _complete(config)
    if len(given.get("device", ())) > 1:
        _refuse_several_devices(config.device, sys.argv[1:] if argv is None else argv)
    if spec.adjust:
        spec.adjust(config, frozenset(given) | frozenset(from_file))
    return config


def default_settings(spec: TreeSpec) -> dict[str, Any]:
    """Return a tree's settings where nothing else is said; None where the default depends on others or the machine."""
    return {flag.key: spec.defaults.get(flag.key, flag.default) for flag in (*COMMON_FLAGS, *spec.flags)}


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
        raise UserError(f"{path}: cannot read the config ({error.strerror}); check --config") from None
    except Exception as error:  # a damaged file makes PyYAML raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: not valid YAML ({reason[:_MOST_SHOWN]})") from None
    if content is None or not _is_moderate(content):
        raise UserError(f"{path}: more than a config can have to say; check --config")
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
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    write_text(path, f"# command line: {command}\n\n{yaml.safe_dump(settings, sort_keys=True)}")


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
    if config.resume and config.overwrite:
        raise UserError("--resume and --overwrite contradict each other; choose one")
    for other in ("sync_bn", "memory_friendly"):
        if config.compile and getattr(config, other):
            raise UserError(f"--{other.replace('_', '-')} and --compile contradict each other; choose one")
    if bool(config.descriptors) != bool(config.fusion):
        raise UserError("--descriptors and --fusion need each other: the file, and late, concat or gate; give both or "
                        "none")
    if config.descriptors and config.observe not in (None, 1):
        raise UserError("--observe does not shorten what --descriptors tell of a clip's later part; make descriptors "
                        "of the observed part and set the feeders' own option: --test-feeder-args observe=0.5")
    for phase in ("train_feeder_args", "test_feeder_args"):
        if not isinstance(getattr(config, phase), dict):
            raise UserError(f"{phase}: expected a mapping of options")


def _refuse_several_devices(devices: list[int | str], argv: Sequence[str]) -> None:
    """Raise a UserError with the command that uses several GPUs, unless this is one of the processes it starts."""
    if World.from_environment().size == 1:
        command = shlex.join(["torchrun", f"--nproc_per_node={len(devices)}", Path(sys.argv[0]).name, *argv])
        raise UserError(f"--device {' '.join(map(str, devices))}: one process uses one GPU; to use all, type: "
                        f"{command}")


def _parser(spec: TreeSpec, flags: dict[str, Flag]) -> argparse.ArgumentParser:
    """Build the parser; absent flags leave no trace in the result, so that YAML can fill them in."""
    parser = argparse.ArgumentParser(
        prog="main.py", argument_default=argparse.SUPPRESS, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Train or test the model of this folder. Command line > YAML (--config) > default.",
        epilog="example: python3 main.py --config config/.../default.yaml --work-dir work_dir/run1 --device 0\n"
               "Dict-valued options take one word, merged over the YAML: --train-feeder-args bone=True,vel=True")
    for flag in flags.values():
        default = spec.defaults.get(flag.key, flag.default)
        shown = "" if default in (None, "", [], {}) else f" (default: {_shown(default)})"
        options: dict[str, Any] = {"dest": flag.key, "help": (flag.help + shown).replace("%", "%%")}
        if flag.mapping:
            options |= {"type": _mapping_argument, "action": "append", "metavar": "KEY=VALUE,..."}
        elif flag.switch:
            options |= {"type": _argument(flag.convert), "nargs": "?", "const": True, "metavar": "BOOL"}
        else:
            options |= {"type": _argument(flag.convert), "nargs": "+" if flag.many else None}
            options |= {"choices": flag.choices} if flag.choices else {"metavar": flag.convert.__name__.upper()}
        parser.add_argument("--" + flag.key.replace("_", "-"), **options)
    return parser


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
    if flag.many:
        return [flag.convert(item) for item in (value if isinstance(value, list) else [value])]
    converted = flag.convert(value)
    if flag.choices and converted not in flag.choices:
        raise ValueError(f"expected one of {', '.join(flag.choices)}, not '{value}'")
    return converted


def _shown(default: Any) -> str:
    return " ".join(map(str, default)) if isinstance(default, list) else str(default)
