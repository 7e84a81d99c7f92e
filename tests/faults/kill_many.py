"""Kill one training of the toy tree many times, at random places; it must end as one that nobody killed, to the bit.

    python -m tests.faults.kill_many --kills 50
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from pathlib import Path

from tests.faults.kills import differences, finish, leftovers, run_and_kill


def kill_many(folder: Path, kills: int, epochs: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Kill a training of so many epochs `kills` times and let it end; where it ends before that, begin another one.

    Returns:
        how often what happened, and how the results differ from those of an untouched run.
    """
    untouched, number, happened = folder / "untouched", 0, Counter()
    finish(untouched, epochs)
    rng, wrong = random.Random(seed), []
    work_dir = folder / "run0"
    while happened["write"] + happened["time"] < kills:
        outcome = run_and_kill(work_dir, epochs, rng)
        happened["write" if "write" in outcome else "time" if "after" in outcome else "finished"] += 1
        print(f"{sum(happened.values()):3d} training {number}: {outcome}", flush=True)
        if outcome == "finished":
            wrong += differences(untouched, work_dir) + leftovers(work_dir)
            number += 1
            work_dir = folder / f"run{number}"
    finish(work_dir, epochs)
    return happened, wrong + differences(untouched, work_dir) + leftovers(work_dir)


def main() -> None:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="(default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=120,
                        help="of the training; few, and it ends before it has been killed so often (default: "
                             "%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the random places (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        happened, wrong = kill_many(Path(folder), options.kills, options.epochs, options.seed)
    print(f"{happened['time']} kills after some time, {happened['write']} at a write, "
          f"{happened['finished'] + 1} training(s) brought to their end; differences: {', '.join(wrong) or 'none'}")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
