"""What `c3d` runs in a process of its own: the points of a C3D file, read by ezc3d, to an `.npz` file.

A damaged file can end the process that ezc3d is in, or make it ask for memory without end.
"""

from __future__ import annotations

import sys

MAX_BYTES, MAX_S = 4 << 30, 120


def main(path: str, output: str) -> None:
    """Write points (T, N, 3), labels, rate and units of the file at `path`."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (MAX_S, MAX_S))
    except (ImportError, ValueError, OSError):  # not on every system
        pass
    import ezc3d
    import numpy as np

    content = ezc3d.c3d(path)
    about = content["parameters"]["POINT"]
    units = about["UNITS"]["value"] if "UNITS" in about else []
    points = np.asarray(content["data"]["points"], np.float64)[:3].transpose(2, 1, 0)  # (4, N, T) -> (T, N, 3)
    labels = [str(label).strip() for label in about["LABELS"]["value"]][:points.shape[1]]
    np.savez(output, points=points, labels=np.array(labels, np.str_), rate=float(np.ravel(about["RATE"]["value"])[0]),
             units=np.array(str(units[0]) if len(units) else "", np.str_))


if __name__ == "__main__":
    main(*sys.argv[1:])
