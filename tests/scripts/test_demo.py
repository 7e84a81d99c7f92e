"""The demo, cut down to seconds: every step runs, and the table stands at the end."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.trees import ROOT


def test_the_whole_chain_ends_on_the_table_and_leaves_an_earlier_one_alone(run_script, tmp_path):
    earlier = tmp_path / "demo" / "joint" / "best.pt"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("of the first time")
    done = run_script("demo.py", "--output", tmp_path / "demo", "--train-clips", "20", "--test-clips", "20", "--epochs",
                      "1", timeout_s=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for stream in ("joint", "bone"):
        assert re.search(rf"^{stream} +\d+\.\d\d% +\d+\.\d\d% +\d+\.\d$", done.stdout, re.M), done.stdout[-1500:]
        assert (tmp_path / "demo-2" / stream / "curves.png").exists()
    said = json.loads((tmp_path / "demo-2" / "joint" / "run.json").read_text())
    assert said["class_names"][3] == "crouch and spread arms, together" and len(said["class_names"]) == 10
    assert said["skeleton"] == "skeleton_lab.skeletons.NTU_25" and Path(said["tree"]).name == "CTR-GCN"
    report = (tmp_path / "demo-2" / "joint" / "report.html").read_text()
    assert "crouch and spread arms" in report and not re.search(r"\bclass \d\b", report) and "drink water" not in report
    *_, following = done.stdout.splitlines()  # the next command, word for word
    assert "crouch and spread arms, together" in done.stdout and f"demo-2{os.sep}joint_test/report.html" in done.stdout
    assert (tmp_path / "demo-2" / "joint_test" / "report.html").exists()
    predicted = run_script(*shlex.split(following)[1:-1], tmp_path / "clip.gif")
    assert predicted.returncode == 0 and (tmp_path / "clip.gif").exists(), predicted.stderr
    assert "together" in predicted.stdout or "shake hands" in predicted.stdout or "walk up" in predicted.stdout
    assert "demo holds something already and stays as it is: this goes to" in done.stdout
    assert [path for path in (tmp_path / "demo").rglob("*") if path.is_file()] == [earlier]
    assert earlier.read_text() == "of the first time"
    assert re.search(r"^ensemble +\d+\.\d\d% +\d+\.\d\d%$", done.stdout, re.M)


def test_a_failing_step_ends_it_with_that_step_message(run_script, tmp_path):
    (tmp_path / "file").write_text("")
    done = run_script("demo.py", "--output", tmp_path / "file" / "demo")
    assert done.returncode == 2 and "error: " in done.stderr and "Traceback" not in done.stderr


def test_from_a_folder_of_scripts_it_finds_the_root_and_refuses_without_its_model(run_script, tmp_path):
    """As in the images: scripts in two places, one of them beside the engine."""
    shutil.copytree(ROOT / "skeleton_lab", tmp_path / "skeleton_lab", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "scripts").mkdir()
    for folder in (tmp_path, tmp_path / "scripts"):
        shutil.copy(ROOT / "demo.py", folder)
        done = run_script(folder / "demo.py", cwd=folder)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (f"error: {tmp_path / 'CTR-GCN'}: not here, and the demo trains CTR-GCN; "
                               "run it in CTR-GCN's image or in a checkout\n")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)])
def test_the_step_under_way_ends_with_the_demo(tmp_path, number, status):
    demo = subprocess.Popen([sys.executable, "demo.py", "--output", tmp_path / "demo", "--train-clips", "4000"],
                            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))
    while demo.poll() is None and not list((tmp_path / "demo").glob(".*.part")):
        time.sleep(0.02)
    demo.send_signal(number)
    assert demo.wait(60) == status
    for _ in range(1000):
        left = subprocess.run(["ps", "-o", "pid=", "-s", str(demo.pid)], capture_output=True, text=True).stdout.split()
        if not left:
            break
        time.sleep(0.02)
    assert not left
