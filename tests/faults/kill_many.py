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


def kill_many(folder: Path, kills: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Kill a training `kills` times and let it end; where it ends before that, begin another one.

    Returns:
        how often what happened, and how the results differ from those of an untouched run.
    """
    untouched, number, happened = folder / "untouched", 0, Counter()
    finish(untouched)
    rng, wrong = random.Random(seed), []
    while happened["write"] + happened["time"] < kills:
        work_dir = folder / f"run{number}"
        outcome = run_and_kill(work_dir, rng)
        happened["write" if "write" in outcome else "time" if "after" in outcome else "finished"] += 1
        print(f"{sum(happened.values()):3d} run {number}: {outcome}", flush=True)
        if outcome == "finished":
            wrong += differences(untouched, work_dir) + leftovers(work_dir)
            number += 1
    finish(work_dir)
    return happened, wrong + differences(untouched, work_dir) + leftovers(work_dir)


def main() -> None:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the random places (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        happened, wrong = kill_many(Path(folder), options.kills, options.seed)
    print(f"{happened['time']} kills after some time, {happened['write']} at a write, "
          f"{happened['finished'] + 1} trainings brought to their end; differences: {', '.join(wrong) or 'none'}")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
