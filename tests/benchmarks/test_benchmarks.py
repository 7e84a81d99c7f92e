"""Every benchmark runs through its command line, on little; what it measures is not looked at."""

from __future__ import annotations

import re

import pytest

from tests.trees import ROOT

RUNS = [
    (("archive_tools.py", "--inspect-gb", "0.01", "--convert-gb", "0.04", "--repeat", "1"),
     r"convert / copy: [\d.]+ of the time"),
    (("clips_per_s.py", "--steps", "1", "--rounds", "1"), r"ctrgcn: benchmark / by hand = [\d.]+"),
    (("compiling.py", "--subjects", "unit", "--compiler", "eager", "--clips", "1", "--frames", "8", "--pairs", "1"),
     r"compiled +gradients off by [\d.e-]+"),
    (("feeder.py", "--clips", "24", "--batch-size", "8", "--rounds", "1"), r"clips/s on one core"),
    (("feeder_pyskl.py", "--clips", "16", "--batch-size", "16", "--rounds", "1"), r"2D, bm, ten test clips +[\d,]+"),
    (("fingerprint.py", "--gb", "0.05"), r"0\.05 GB on .*: data [\d.]+ s, code [\d.]+ s"),
    (("finite.py", "--clips", "1", "--frames", "8", "--steps", "1", "--turns", "1"), r"step with the look / without"),
    (("memory_prediction.py", "--points", "1"), r"\| CPU, torch .* [+-][\d.]+% \|"),
    (("models.py", "--models", "ctrgcn", "--clips", "1", "--frames", "8", "--pairs", "1", "--precisions", "fp32"),
     r"ctrgcn, fp32, cpu: 1 clips of 8 frames, 25 joints, 2 bodies"),
    (("packed_store.py", "--clips", "40"), r"40 clips, \d+ rows"),
    (("prenormalize.py", "--clips", "4", "--rounds", "1"), r"whole arrays +[\d.]+ clips/s"),
    (("raw_pipelines.py", "--count", "8"), r"8 recordings, 1 job:"),
    (("skeleton_reader.py", "--count", "6", "--rounds", "1"), r"times the plain one's recordings a second"),
]


@pytest.mark.parametrize(("command", "said"), RUNS, ids=[command[0] for command, _ in RUNS])
def test_a_benchmark_runs(run_script, tmp_path, command, said):
    done = run_script(ROOT / "benchmarks" / command[0], *command[1:], env={"TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert re.search(said, done.stdout), done.stdout


def test_none_is_forgotten():
    """`plain_skeletons.py` is a part of `skeleton_reader.py`; those that export are tried out beside what they measure.

    Exporting takes longer than the rest together. Two compare this checkout with another one.
    """
    scripts = {path.name for path in (ROOT / "benchmarks").glob("*.py")}
    assert scripts == {command[0] for command, _ in RUNS} | {"plain_skeletons.py", "export.py", "runtimes.py",
                                                             "checkouts.py", "cold_start.py"}
