"""The images, built: what is in them, and the lab's job in each on mounted folders, as an ordinary user.

Needs a Docker engine and the images of this very code (`make images`); skipped, with the reason, without them.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.skeleton_texts import unpack
from tests.trees import ROOT

TREES = {
    "ctrgcn": "CTR-GCN", "msg3d": "MS-G3D", "stgcn": "ST-GCN",
    "skateformer": "SkateFormer",
    "hypergcn": "Hyper-GCN",
    "protogcn": "ProtoGCN",
    "blockgcn": "BlockGCN",
    "freqmixformer": "FreqMixFormer",
}
CONFIGS = {"msg3d": "nturgbd-cross-subject/train_joint", "hypergcn": "base/nturgbd-cross-subject/hyper_joint",
           "skateformer": "train/ntu_cs/SkateFormer_j", "freqmixformer": "nturgbd-cross-subject/joint"}
WINDOWS = {"skateformer": 64}  # frames; of the others 8
# Who owns the mounts; where this runs as root, somebody without an entry in /etc/passwd.
USER = os.getuid() or 4321
SHARED = ("skeleton_lab", "dataset_tools")
SMALL_MSG3D = ("--batch-size", "4", "--forward-batch-size", "2", "--test-batch-size", "4", "--train-window-size", "8",
               "--test-window-size", "8", "--model-args", "num_gcn_scales=2,num_g3d_scales=1")
SMALL_CLIPS = ("--batch-size", "2", "--test-batch-size", "4")


def docker(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["docker", *map(str, arguments)], capture_output=True, text=True, timeout=600,
                          stdin=subprocess.DEVNULL)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@dataclass(frozen=True)
class Image:
    """A built image and the folders mounted in its containers."""

    model: str
    mounts: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"skeleton-lab:{self.model}"

    @property
    def tree(self) -> str:
        return TREES[self.model]

    @property
    def config(self) -> str:
        """The training's, from the tree's folder."""
        return f"./config/{CONFIGS.get(self.model, 'nturgbd-cross-subject/default')}.yaml"

    def options(self) -> list[str]:
        mounts = [word for mount in self.mounts for word in ("--mount", f"type=bind,{mount}")]
        return ["--network=none", "--user", f"{USER}:{USER}", "-e", "OMP_NUM_THREADS=1", *mounts]

    def run(self, *command: str, folder: str = "/workspace", check: bool = True) -> subprocess.CompletedProcess[str]:
        return docker("run", "--rm", *self.options(), "-w", folder, self.name, *command, check=check)


def require_image(name: str, scratch: Path) -> None:
    """Skip the test where there is no engine, no image, or one of other code."""
    if not shutil.which("docker") or docker("info", check=False).returncode:
        pytest.skip("no Docker engine answers here")
    if docker("image", "inspect", f"skeleton-lab:{name}", check=False).returncode:
        pytest.skip(f"skeleton-lab:{name} is not built: run `make images`")
    container = docker("create", f"skeleton-lab:{name}").stdout.strip()
    try:
        docker("cp", f"{container}:/workspace", scratch)
    finally:
        docker("rm", container)
    for path in code_of(TREES[name]):
        held = scratch / "workspace" / path
        if not held.is_file() or not filecmp.cmp(ROOT / path, held, shallow=False):
            pytest.skip(f"skeleton-lab:{name} holds other code than this checkout ({path}): run `make images`")


def code_of(tree: str) -> list[Path]:
    """Return the checkout's files that the image of `tree` is to hold, relative to the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", ":(glob)*.py", *SHARED, tree]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [Path(line) for line in listed.splitlines() if (ROOT / line).is_file()]


@pytest.fixture(scope="module", params=TREES)
def image(request, tmp_path_factory) -> tuple[Image, Path]:
    """An image, and a copy of its /workspace."""
    scratch = tmp_path_factory.mktemp("image")
    require_image(request.param, scratch)
    return Image(request.param), scratch / "workspace"


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """A Kaggle archive of 16 + 10 procedural clips."""
    path = tmp_path_factory.mktemp("archive") / "NTU60_CS.npz"
    subprocess.run([sys.executable, ROOT / "dataset_tools" / "make_synthetic_ntu60.py", "--output", path, "--frames",
                    "150", "--train", "16", "--test", "10"], check=True, capture_output=True)
    return path


@pytest.fixture
def mounted(image, archive, tmp_path) -> Iterator[tuple[Image, Path, Path]]:
    """The image with folders mounted, the user's own: the data folder with the archive, and a work directory."""
    data, work = tmp_path / "data", tmp_path / "work"
    data.mkdir()
    work.mkdir()
    shutil.copy(archive, data)
    give_to_user(data, work, data / archive.name)
    target = f"/workspace/{image[0].tree}/data/ntu"
    mounts = (f"source={data},target={target}", f"source={work},target=/workspace/work_dir")
    yield Image(image[0].model, mounts), data, work


def give_to_user(*paths: Path) -> None:
    for path in paths:
        os.chown(path, USER, -1)


def owners(folder: Path) -> set[int]:
    return {path.stat().st_uid for path in folder.rglob("*")}


def test_an_image_holds_its_own_tree_and_no_other(image):
    image, workspace = image
    assert [tree for tree in TREES.values() if (workspace / tree).exists()] == [image.tree]
    held = {path.relative_to(workspace) for path in workspace.rglob("*") if path.is_file() and not path.is_symlink()}
    scripts = {Path("scripts") / path.name for path in ROOT.glob("*.py")}
    assert {path for path in held if path.parts[0] == "scripts"} == scripts
    assert held - scripts == set(code_of(image.tree))


def test_pytorch_is_the_bases(image):
    image, _ = image
    recipe = (ROOT / f"{image.model}.docker").read_text()
    base = next(line.partition("=")[2] for line in recipe.splitlines() if line.startswith("ARG BASE_IMAGE="))
    if docker("image", "inspect", base, check=False).returncode:
        pytest.skip(f"{base} is not here to compare with")
    command = ("python3", "-c", "import torch; print(torch.__version__)")
    assert image.run(*command).stdout == docker("run", "--rm", "--network=none", base, *command).stdout


def test_scripts_run_from_both_places_and_report_missing_mounts(image):
    image, _ = image
    for folder in ("/workspace", "/workspace/scripts"):
        done = image.run("python3", "check_gpu.py", folder=folder)
        assert "PyTorch" in done.stdout
    named = [line.split(":")[1].strip() for line in done.stderr.splitlines()]
    assert named == [f"/workspace/{image.tree}/data/ntu", "/workspace/work_dir"]
    # The second copy of each script finds what it needs.
    scripts = sorted(path.name for path in ROOT.glob("*.py"))
    each = 'for script; do python3 $script --help > /tmp/help && echo $script; done'
    assert image.run("bash", "-c", each, "-", *scripts, folder="/workspace/scripts").stdout.split() == scripts


@pytest.mark.parametrize("image", [model for model in TREES if model != "ctrgcn"], indirect=True)
def test_the_demo_is_refused_without_its_model(image):
    image, _ = image
    done = image.run("python3", "demo.py", folder="/workspace/scripts", check=False)
    errors = [line for line in done.stderr.splitlines() if not line.startswith("note: ")]
    assert (done.returncode, done.stdout, len(errors)) == (2, "", 1)
    assert errors[0].startswith("error: /workspace/CTR-GCN: not here")


def test_without_its_data_a_training_ends_in_one_line(image):
    image, _ = image
    done = image.run("python3", "main.py", "--config", image.config, "--device", "cpu",
                     folder=f"/workspace/{image.tree}", check=False)
    errors = [line for line in done.stderr.splitlines() if not line.startswith("note: ")]
    assert (done.returncode, len(errors)) == (2, 1)
    assert errors[0].startswith("error: ") and "data/ntu" in errors[0]


def prepare(image: Image) -> None:
    """Run the converter of the image's model."""
    if image.model == "msg3d":
        image.run("python3", "convert_ctr_npz_to_msg3d.py")
    else:
        folder = f"/workspace/{image.tree}/data/ntu"
        image.run("python3", "convert_ntu60_kaggle_to_ctrgcn.py", "--input", f"{folder}/NTU60_CS.npz", "--output",
                  f"{folder}/NTU60_CS_ctrgcn.npz")


def training(image: Image, *more: str) -> list[str]:
    if image.model == "msg3d":
        return ["python3", "main.py", "--config", image.config, "--work-dir", "work_dir/run", "--device", "cpu",
                "--half", *SMALL_MSG3D, *more]
    window = f"window_size={WINDOWS.get(image.model, 8)}"
    return ["python3", "main.py", "--config", image.config, "--work-dir", "../work_dir/run", "--device", "cpu",
            *SMALL_CLIPS, "--train-feeder-args", window, "--test-feeder-args", window, *more]


def test_the_job_is_done_on_mounted_folders(mounted):
    image, data, work = mounted
    prepare(image)
    folder = f"/workspace/{image.tree}"
    tests = "eval/test" if image.model == "msg3d" else "work_dir/test"  # where the tree's configs write
    image.run(*training(image, "--num-epoch", "1"), folder=folder)
    image.run("python3", "main.py", "--config", "/workspace/work_dir/run/config.yaml", "--phase", "test", "--weights",
              "/workspace/work_dir/run/best.pt", "--work-dir", tests, "--save-score", "true", folder=folder)
    assert (work / "run" / "best.pt").is_file()
    assert (work / "test" / "epoch1_test_score.pkl").is_file()
    assert owners(work) == {USER}
    assert owners(data) == {USER}


def test_read_only_data_is_enough_and_docker_stop_loses_nothing(mounted):
    image, _, work = mounted
    prepare(image)
    image = Image(image.model, (f"{image.mounts[0]},readonly", image.mounts[1]))
    folder = f"/workspace/{image.tree}"
    name = f"skeleton-lab-test-{os.getpid()}-{image.model}"
    # As a user does it: a shell in a terminal, the training typed into it.
    terminal, inside = os.openpty()
    start = ["docker", "run", "-it", "--rm", "--name", name, *image.options(), "-w", folder, image.name]
    shell = subprocess.Popen(start, stdin=inside, stdout=inside, stderr=inside)
    os.close(inside)
    log = work / "run" / "log.txt"
    try:
        command = " ".join(training(image, "--num-epoch", "50", "--log-interval", "1"))
        os.write(terminal, f"{command}\n".encode())
        assert becomes(lambda: log.is_file() and "Training epoch: 1" in log.read_text(), terminal)
        docker("stop", "-t", "100", name)
    finally:
        docker("rm", "-f", name, check=False)
        os.close(terminal)
        shell.wait(60)
    assert "the state is saved" in log.read_text()
    epoch = int(log.read_text().rpartition("Stopped by a signal in epoch ")[2].split(",")[0])
    image.run(*training(image, "--num-epoch", str(epoch), "--log-interval", "1", "--resume"), folder=folder)
    assert f"Resuming in epoch {epoch} after" in log.read_text()
    trained = [line for line in log.read_text().splitlines() if "\tBatch 1/" in line]
    assert len(trained) == epoch  # no epoch was begun twice
    assert owners(work) == {USER}


def becomes(condition: Callable[[], bool], terminal: int) -> bool:
    """Wait until `condition()` holds, at most four minutes, reading what the terminal shows meanwhile."""
    os.set_blocking(terminal, False)
    for _ in range(480):
        if condition():
            return True
        with suppress(OSError):  # nothing new
            os.read(terminal, 1 << 16)
        time.sleep(0.5)
    return False


@pytest.mark.parametrize("image", ["msg3d"], indirect=True)
def test_raw_recordings_become_training_files(image, tmp_path):
    recordings, out, work = unpack("skeletons", tmp_path), tmp_path / "processed", tmp_path / "work"
    out.mkdir()
    work.mkdir()
    give_to_user(out, work)
    mounts = (f"source={recordings},target=/workspace/data/nturgbd_raw/nturgb+d_skeletons,readonly",
              f"source={out},target=/workspace/MS-G3D/data", f"source={work},target=/workspace/work_dir")
    Image(image[0].model, mounts).run("python3", "ntu_gendata.py", folder="/workspace/MS-G3D/data_gen")
    shapes = [np.load(out / "ntu" / "xsub" / f"{part}_data_joint.npy").shape for part in ("train", "val")]
    assert sum(shape[0] for shape in shapes) == len(list(recordings.iterdir()))
    assert {shape[1:] for shape in shapes} == {(3, 300, 25, 2)}
    assert owners(out) == {USER}
