"""What the command line of a baseline decides; nothing here is slow to import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from skeleton_lab.command.options import Parser, input_path
from skeleton_lab.train.flags import device_index, natural, positive, real


@dataclass(frozen=True)
class Options:
    """What the command line decides.

    max_steps: end training after so many steps, however many epochs that is; None for no limit.
    num_workers: loader processes; None for four at most on a GPU, none on the CPU (training needs the cores).
    """

    npz_path: Path
    epochs: int
    batch_size: int
    device: int | str
    num_frames: int
    lr: float
    amp: bool = False
    seed: int = 1
    max_steps: int | None = None
    num_workers: int | None = None


def read_options(description: str | None, defaults: Options) -> Options:
    """Parse the command line of a baseline; `defaults` hold where it differs from the other one."""
    parser = Parser(description)
    add = parser.add_argument
    add("--input", "--npz-path", dest="npz_path", type=input_path, metavar="NPZ", default=defaults.npz_path,
        help="archive in either layout (default: %(default)s)")
    add("--epochs", type=positive, default=defaults.epochs, help="default: %(default)s")
    add("--batch-size", type=positive, default=defaults.batch_size, help="clips per step (default: %(default)s)")
    add("--device", type=device_index, default=defaults.device, help="cuda:0, a GPU number, or cpu (default: cuda:0)")
    add("--num-frames", type=positive, default=defaults.num_frames,
        help="frames that each clip is resampled to (default: %(default)s)")
    add("--lr", type=real, default=defaults.lr, help="peak learning rate of AdamW (default: %(default)s)")
    add("--amp", action="store_true", help="mixed precision")
    add("--seed", type=natural, default=defaults.seed, help="default: %(default)s")
    add("--max-steps", type=positive, help="stop training after so many steps (default: no limit)")
    add("--num-workers", type=natural, help="loader processes (default: up to 4 on a GPU, 0 on the CPU)")
    return Options(**vars(parser.parse_args()))
