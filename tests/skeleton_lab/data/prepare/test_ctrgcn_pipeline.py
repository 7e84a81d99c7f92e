"""CTR-GCN's pipeline: the golden archives, damaged recordings, and carrying on after an interruption."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.data.formats.ntu import NTU60, NTU120, Benchmark
from skeleton_lab.data.prepare.ctrgcn_archives import write_archives
from skeleton_lab.data.prepare.ctrgcn_pipeline import Preparation, collect, denoise
from skeleton_lab.data.prepare.workers import Crew
from skeleton_lab.errors import UserError
from tests.skeleton_texts import GOLDEN, body_lines, one_body, recording_lines, unpack, write_many
from tests.trees import ROOT

SCRIPTS = ("get_raw_skes_data.py", "get_raw_denoised_data.py", "seq_transformation.py")


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    return unpack("skeletons", tmp_path / "raw")


def prepare(benchmark: Benchmark, folder: Path, *sources: Path, jobs: int = 1, **options) -> None:
    plan = Preparation(benchmark, folder, sources, **options)
    with Crew(jobs) as crew:
        collect(plan, crew)
        denoise(plan, crew)
        write_archives(plan, crew)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def assert_golden(folder: Path, *names: str) -> None:
    expected = np.load(GOLDEN / "expected.npz")
    for name in names:
        with np.load(folder / f"{name}.npz") as found:
            assert found.files == ["x_train", "y_train", "x_test", "y_test"]
            for key in found.files:
                assert found[key].dtype == expected[f"{name}/{key}"].dtype
                np.testing.assert_allclose(found[key], expected[f"{name}/{key}"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("jobs", [1, 2])
def test_golden_archives_ntu60(tmp_path: Path, recordings: Path, jobs: int) -> None:
    prepare(NTU60, tmp_path / "out", recordings, jobs=jobs)
    assert_golden(tmp_path / "out", "NTU60_CS", "NTU60_CV")


def test_golden_archives_ntu120_from_two_folders(tmp_path: Path, recordings: Path) -> None:
    second = tmp_path / "raw" / "second"
    second.mkdir()
    for path in sorted(recordings.iterdir())[::2]:
        path.rename(second / path.name)
    prepare(NTU120, tmp_path / "out", second, recordings)
    assert_golden(tmp_path / "out", "NTU120_CSet", "NTU120_CSub")


def test_small_pieces_give_the_same_archives(tmp_path: Path, recordings: Path) -> None:
    prepare(NTU60, tmp_path / "out", recordings, files_per_piece=3)
    assert len(list((tmp_path / "out" / "raw_data").glob("piece-*.npz"))) == 4
    assert_golden(tmp_path / "out", "NTU60_CS", "NTU60_CV")


def test_the_three_scripts_in_order(tmp_path: Path, recordings: Path, run_script) -> None:
    out = tmp_path / "out"
    for script in SCRIPTS:
        sources = ("--skeletons", recordings) if script == SCRIPTS[0] else ()
        result = run_script(ROOT / "CTR-GCN/data/ntu" / script, *sources, "--out-folder", out, "--jobs", 1)
        assert result.returncode == 0, result.stderr
    assert "NTU60_CV.npz: 6 training and 4 test clips of 45 frames" in result.stdout
    assert_golden(out, "NTU60_CS", "NTU60_CV")
    counts = [len(rows) for rows in (path.read_text().split() for path in sorted(out.glob("*/frames_cnt.txt")))]
    assert counts == [10, 10]
    drops = (out / "raw_data" / "frames_drop.log").read_text()
    assert drops.startswith("S002C003P008R002A012\t[0, 1")


def test_the_scripts_of_ntu120(tmp_path: Path, recordings: Path, run_script) -> None:
    for script in SCRIPTS:
        sources = ("--skeletons", recordings) if script == SCRIPTS[0] else ()
        result = run_script(ROOT / "CTR-GCN/data/ntu120" / script, *sources, "--out-folder", tmp_path / "out")
        assert result.returncode == 0, result.stderr
    assert_golden(tmp_path / "out", "NTU120_CSet", "NTU120_CSub")


def test_a_step_before_its_time_says_what_to_run(tmp_path: Path, run_script) -> None:
    for script, wanted in ((SCRIPTS[1], SCRIPTS[0]), (SCRIPTS[2], SCRIPTS[1])):
        result = run_script(ROOT / "CTR-GCN/data/ntu" / script, "--out-folder", tmp_path)
        assert result.returncode == 2 and f"run {wanted} first" in result.stderr.splitlines()[-1]


def test_one_command_skips_what_is_damaged_and_says_so(tmp_path: Path, recordings: Path, run_script) -> None:
    write = lambda name, lines: (recordings / name).write_text("\n".join(lines) + "\n")  # noqa: E731
    write("S001C001P001R001A002.skeleton", one_body()[:40])
    write("S001C001P001R001A003.skeleton", ["2", "0", "0"])
    write("S001C001P001R001A004.skeleton", one_body())  # on the list
    write("S001C001P001R001A061.skeleton", one_body())
    write("holiday.skeleton", one_body())
    write("S001C001P001R001A005.skeleton", recording_lines([["7 0 1 1 1 1 0 0 0 2", "25", *["0 0 0" + " 0" * 9] * 25]]))
    (recordings / "readme.txt").write_text("not a recording")
    (recordings.parent / "NTU_RGBD_samples_with_missing_skeletons.txt").write_text("These:\nS001C001P001R001A004\n")
    command = (ROOT / "dataset_tools/make_ctrgcn_archives.py", "ntu60", "--skeletons", recordings, "--out-folder",
               tmp_path / "out", "--jobs", 2)
    result = run_script(*command)
    assert result.returncode == 0, result.stderr
    assert_golden(tmp_path / "out", "NTU60_CS", "NTU60_CV")
    for text in ("(1 damaged, 2 misnamed, 1 without a body)", "A002.skeleton:40: the file ends here, before joint 9",
                 "A003.skeleton: no frame holds a body", "action 61 is none of NTU60's 60",
                 "holiday.skeleton: is no sample", "A005: all joints of its first actor are zero"):
        assert text in result.stdout
    assert len((tmp_path / "out/raw_data/skipped.txt").read_text().splitlines()) == 4
    for strict_run in ("again", "anew"):
        folder = tmp_path / ("out" if strict_run == "again" else "new")
        result = run_script(*command[:5], folder, "--strict", "--jobs", 2)
        assert result.returncode == 2 and "(--strict stops here)" in result.stderr.splitlines()[-1]
        (recordings / "holiday.skeleton").unlink(missing_ok=True)
        (recordings / "S001C001P001R001A061.skeleton").unlink(missing_ok=True)


@pytest.mark.parametrize("arguments", [("--skeletons", "nowhere"), ("--missing-list", "nothing.txt"), ("--jobs", "0")])
def test_bad_options_are_one_line(tmp_path: Path, recordings: Path, run_script, arguments: tuple[str, str]) -> None:
    sources = () if "--skeletons" in arguments else ("--skeletons", recordings)
    script = ROOT / "CTR-GCN/data/ntu/get_raw_skes_data.py"
    result = run_script(script, "--out-folder", tmp_path / "out", *sources, *arguments)
    assert result.returncode == 2 and result.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in result.stderr


def test_a_second_run_does_nothing_and_a_changed_file_is_read_again(tmp_path: Path, recordings: Path) -> None:
    out = tmp_path / "out"
    prepare(NTU60, out, recordings, files_per_piece=4)
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*.npz")}
    prepare(NTU60, out, recordings, files_per_piece=4)
    assert written == {path: path.stat().st_mtime_ns for path in out.rglob("*.npz")}
    changed = recordings / "S005C003P009R001A009.skeleton"
    changed.write_text("\n".join(one_body(20)) + "\n")
    prepare(NTU60, out, recordings, files_per_piece=4)
    renewed = {path.relative_to(out).as_posix() for path, when in written.items() if path.stat().st_mtime_ns != when}
    assert renewed == {"NTU60_CS.npz", "NTU60_CV.npz", "raw_data/piece-00001.npz", "denoised_data/piece-00001.npz"}
    prepare(NTU60, tmp_path / "fresh", recordings)  # in pieces of another size
    assert digest(out / "NTU60_CS.npz") == digest(tmp_path / "fresh" / "NTU60_CS.npz")


def test_a_damaged_result_is_made_again(tmp_path: Path, recordings: Path) -> None:
    prepare(NTU60, tmp_path, recordings)
    (tmp_path / "raw_data" / "piece-00000.npz").write_bytes(b"PK but not really")
    (tmp_path / "NTU60_CS.npz").write_bytes(b"")
    prepare(NTU60, tmp_path, recordings)
    assert_golden(tmp_path, "NTU60_CS", "NTU60_CV")


def test_killed_and_run_again_gives_the_same_archives(tmp_path: Path) -> None:
    """Kill -9 after the first pieces: they are kept, leftovers go, and the result is the same to the bit."""
    source = write_many(tmp_path / "raw", 400)
    script = ROOT / "dataset_tools/make_ctrgcn_archives.py"
    command = [sys.executable, script, "ntu60", "--skeletons", source, "--jobs", "2"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*command, "--out-folder", whole], check=True, capture_output=True)
    process = subprocess.Popen([*command, "--out-folder", killed], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(killed.glob("raw_data/piece-*.npz"))) < 2:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "NTU60_CS.npz").exists()
    time.sleep(1)  # the workers notice
    pieces = {path: path.stat().st_mtime_ns for path in killed.glob("raw_data/piece-*.npz")}
    assert 2 <= len(pieces) < 7
    (killed / ".NTU60_CS.npz.1234.part").write_bytes(b"half an archive")
    again = subprocess.run([*command, "--out-folder", killed], check=True, capture_output=True, text=True)
    assert f"({64 * len(pieces)} of them read by an earlier run)" in again.stdout
    assert pieces == {path: path.stat().st_mtime_ns for path in pieces}
    for name in ("NTU60_CS.npz", "NTU60_CV.npz"):
        assert digest(killed / name) == digest(whole / name)
    assert not list(killed.rglob("*.part")) and not list(killed.rglob(".*"))


def test_too_little_room_is_said_before_writing(tmp_path: Path, recordings: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Preparation(NTU60, tmp_path, (recordings,))
    collect(plan, Crew(1))
    denoise(plan, Crew(1))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(UserError, match=r"NTU60_CS\.npz and NTU60_CV\.npz need 550 kB, 1 kB are free"):
        write_archives(plan, Crew(1))


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "S001C001P001R001A001.skeleton").write_text("0\n")
    with pytest.raises(UserError, match=r"no recording is usable; the first: .*:1: the recording has no frames"):
        collect(Preparation(NTU60, tmp_path / "out", (tmp_path,)), Crew(1))


def test_clips_have_the_length_of_the_longest(tmp_path: Path) -> None:
    lines = recording_lines(*([body_lines()] for _ in range(7)))
    (tmp_path / "S001C001P001R001A001.skeleton").write_text("\n".join(lines))
    prepare(NTU60, tmp_path, tmp_path)
    with np.load(tmp_path / "NTU60_CS.npz") as archive:
        assert archive["x_train"].shape == (1, 7, 150) and archive["x_test"].shape == (0, 7, 150)


def test_nothing_is_written_far_from_where_one_stands(tmp_path, run_script):
    script = ROOT / "dataset_tools/make_ctrgcn_archives.py"
    result = run_script(script, "ntu60", "--skeletons", tmp_path, cwd=tmp_path)
    assert result.returncode == 2 and result.stderr.startswith("error: no --output: give the folder to write to")


def test_an_archive_without_training_clips_is_warned_of(tmp_path, run_script):
    folder = tmp_path / "some"
    folder.mkdir()
    recording = folder / "S001C001P003R001A001.skeleton"  # for testing, by camera and performer
    recording.write_text("\n".join(one_body(12)) + "\n")
    script = ROOT / "dataset_tools/make_ctrgcn_archives.py"
    result = run_script(script, "ntu60", "--input", folder, "--output", tmp_path / "out", "--jobs", 1)
    assert result.returncode == 0, result.stderr
    assert "note: NTU60_CS.npz holds no training clips" in result.stdout
    assert "note: NTU60_CV.npz holds no training clips" in result.stdout


def test_an_archive_that_was_made_otherwise_stays(tmp_path, recordings, run_script):
    (tmp_path / "out").mkdir()
    for theirs in (tmp_path / "out" / "NTU60_CV.npz", tmp_path / "out" / "NTU60_CS.npz"):
        if "CV" in theirs.name:
            theirs.symlink_to("gone.npz")
        else:
            theirs.write_bytes(b"a download of 10 GB")
        result = run_script(ROOT / "dataset_tools" / "make_ctrgcn_archives.py", "ntu60", "--skeletons", recordings,
                            "--output", "out", cwd=tmp_path)
        assert result.returncode == 2 and result.stderr.startswith(f"error: out/{theirs.name}: is there already, and ")
        assert result.stderr.count("\n") == 1 and not (tmp_path / "out" / "raw_data").exists()
        if "CV" in theirs.name:
            theirs.unlink()
        else:
            assert theirs.read_bytes() == b"a download of 10 GB"
