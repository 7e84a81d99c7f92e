"""Golden figures of PYSKL's networks, and checkpoints as PYSKL writes them, filled by the rules of `golden_models`.

`golden/pyskl_<name>.json` has PYSKL's keys, `.npz` besides the adjacency of each `A` as built (`built/<key>`), and
`warm_eval_logits`: after one training pass with momentum 1, of the input of the next thousand.
"""

from __future__ import annotations

import json
import math
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.golden_models import GOLDEN


@dataclass(frozen=True)
class Case:
    """One network: what its .json says, and its figures."""

    about: dict[str, Any]
    figures: dict[str, np.ndarray]

    def clips(self, seed: int | None = None) -> Tensor:
        """Return the golden input, (N, C, T, V, M) float64."""
        rng = np.random.default_rng(self.about["input_seed"] if seed is None else seed)
        return torch.from_numpy(rng.standard_normal(self.about["input_shape"]))

    @property
    def state(self) -> OrderedDict[str, Tensor]:
        """The golden weights under PYSKL's keys, float64."""
        return OrderedDict((key, torch.as_tensor(self._tensor(key, tuple(shape))))
                           for key, shape in self.about["state_dict"].items())

    def _tensor(self, key: str, shape: tuple[int, ...]) -> Any:
        rng, part = np.random.default_rng(zlib.crc32(key.encode())), key.rpartition(".")[2]
        if key in self.about["buffers"]:
            return self.figures[f"built/{key}"]
        if part == "num_batches_tracked":
            return np.zeros(shape, np.int64)
        if part == "A":
            return self.figures[f"built/{key}"].astype(np.float64) + 0.02 * rng.standard_normal(shape)
        if part in ("running_var", "running_mean", "alpha", "bias", "PA"):
            return {"running_var": lambda: rng.uniform(0.5, 1.5, shape), "alpha": lambda: np.full(shape, 0.3),
                    "running_mean": lambda: 0.1 * rng.standard_normal(shape),
                    "bias": lambda: 0.1 * rng.standard_normal(shape),
                    "PA": lambda: 0.02 * rng.standard_normal(shape)}[part]()
        if len(shape) == 1:
            return rng.uniform(0.5, 1.5, shape)
        return rng.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))


def load_case(name: str, folder: Path = GOLDEN) -> Case:
    """Read `pyskl_<name>.json` and `.npz`."""
    with np.load(folder / f"pyskl_{name}.npz", allow_pickle=False) as archive:
        figures = {key: archive[key] for key in archive.files}
    return Case(json.loads((folder / f"pyskl_{name}.json").read_text()), figures)
