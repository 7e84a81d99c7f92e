"""The settings of a run as rows: what differs from the defaults first, and who said so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from skeleton_lab.train.settings import NOT_COMPARED

_ABSENT = "–"


class Setting(NamedTuple):
    """A setting: its name (`model_args.num_class` for a part of one), this run's value and the default, as text.

    said_by: "command line" or "config"; "" where it is as the default, or where the config file is not known.
    """

    name: str
    value: str
    default: str
    said_by: str
    differs: bool


def settings_of(settings: Mapping[str, Any], defaults: Mapping[str, Any],
                config: Mapping[str, Any] | None = None) -> list[Setting]:
    """Return a row for each setting: those of the command line, those of the config, those left as the defaults are.

    `config` is the content of the run's config file, None where that is not known.

    A default of None that depends on other settings or on the machine counts as kept.
    """
    flat, flat_defaults, flat_config = flatten(settings), flatten(defaults), flatten(config or {})
    rows = []
    for name, value in flat.items():
        default = flat_defaults.get(name, _ABSENT if "." in name or not defaults else None)
        kept = value == default or (default is None and _follows(name, value, settings))
        differs = bool(defaults) and not kept
        source = "config" if name in flat_config and shown(flat_config[name]) == shown(value) else "command line"
        rows.append(Setting(name, shown(value), shown(default), source if differs and config is not None else "",
                            differs))
    return sorted(rows, key=lambda row: (not row.differs, row.said_by, row.name))


def differences(runs: list[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the settings in which runs differ: name -> one value per run, as text; where they were is left out."""
    flat = [flatten(settings) for settings in runs]
    names = sorted({name for settings in flat for name in settings})
    values = {name: [shown(settings.get(name, _ABSENT)) for settings in flat] for name in names}
    return {name: found for name, found in values.items()
            if len(set(found)) > 1 and name.split(".")[0] not in NOT_COMPARED}


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, names joined by dots; an empty mapping is left out."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def shown(value: Any) -> str:
    """Return a value as a config has it."""
    if value is None:
        return "none"
    if isinstance(value, bool):  # as YAML has it
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(shown(item) for item in value) or "none"
    return str(value) if value != "" else "none"


def _follows(name: str, value: Any, settings: Mapping[str, Any]) -> bool:
    """Whether a setting without a default of its own is what follows from the others or the machine."""
    return value is None or name == "num_worker" or (
        name == "forward_batch_size" and value == settings.get("batch_size"))
