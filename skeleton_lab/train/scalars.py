"""TensorBoard's curves of a training."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from skeleton_lab.train.setup import Setup, is_debug


class Scalars:
    """Writes them into the work directory; of several processes the first one does, the others write nothing."""

    def __init__(self, setup: Setup, step: int) -> None:
        """Go on after `step`: what an earlier run wrote of later ones is dropped."""
        self._writers: dict[str, Any] = {}
        if not setup.world.is_main:
            return
        from torch.utils.tensorboard import SummaryWriter  # slow to import; the other phases do without

        folder = setup.work_dir.path / setup.spec.log_directory
        purge = {"purge_step": step + 1} if step else {}
        if is_debug(setup.config):
            self._writers = dict.fromkeys(("train", "val"), SummaryWriter(str(folder / setup.spec.debug_log), **purge))
        else:
            self._writers = {part: SummaryWriter(str(folder / part), **purge) for part in ("train", "val")}

    def add(self, part: str, step: int, **values: float) -> None:
        """Add a point at `step` to the curve of each name; `part` is "train" or "val"."""
        if self._writers:
            for name, value in values.items():
                self._writers[part].add_scalar(name, value, step)

    def close(self) -> None:
        """Write the rest."""
        for writer in set(self._writers.values()):
            with suppress(OSError):  # on a full disk the run has ended with that error already
                writer.close()
