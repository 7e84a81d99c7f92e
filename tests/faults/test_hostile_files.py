"""Files and configs made to do harm: nothing runs, nothing outside is read, and the refusal is one line."""

from __future__ import annotations

import io
import zipfile

import h5py
import numpy as np
import pytest
import torch
import yaml

from skeleton_lab.data.formats.archive import list_arrays, map_array
from skeleton_lab.errors import UserError, one_line
from skeleton_lab.imports import load_object
from skeleton_lab.train.torch_file import read_torch_file
from tests.fuzz.archives import npy
from tests.fuzz.mutations import limited_memory
from tests.skeleton_lab.train.conftest import run_here


def refusal(function, *args) -> str:
    """Return the one line that `function(*args)` is refused with, in little memory."""
    with limited_memory(256 << 20), pytest.raises(UserError) as caught:
        function(*args)
    assert "\n" not in str(caught.value)
    return one_line(caught.value)


# ---- configs that name what they should not ----

@pytest.mark.parametrize(("key", "dotted", "options"), [
    ("feeder", "os.system", {"command": "touch {trace}"}),
    ("feeder", "subprocess.Popen", {"args": ["touch", "{trace}"]}),
    ("feeder", "numpy.memmap", {"filename": "{trace}", "mode": "w+", "shape": 10}),
    ("feeder", "builtins.open", {"file": "{trace}", "mode": "w"}),
    ("model", "os.mkdir", {"path": "{trace}"}),
    ("model", "torch.hub.load", {"repo_or_dir": "a/b", "model": "c"}),
    ("model", "torch.save", {"obj": 1, "f": "{trace}"}),
])
def test_a_config_cannot_call_what_is_no_model_and_no_data_set(tmp_path, key, dotted, options):
    trace = tmp_path / "trace"
    options = yaml.safe_load(yaml.safe_dump(options).replace("{trace}", str(trace)))
    settings = {key: dotted, "train_feeder_args" if key == "feeder" else "model_args": options}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(settings))
    done = run_here(tmp_path / "work", "--config", str(tmp_path / "c.yaml"))
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"'{dotted}' is part of an installed package and neither a model nor a data set" in done.stderr
    assert not trace.exists()


def test_models_and_data_sets_of_packages_and_anything_of_ones_own_resolve(tmp_path, monkeypatch):
    assert load_object("torch.nn.Linear") is torch.nn.Linear
    assert load_object("torch.utils.data.TensorDataset") is torch.utils.data.TensorDataset
    (tmp_path / "my_models.py").write_text("def build(): return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_object("my_models.build")() == 1


# ---- weights ----

def test_weights_that_unpack_to_far_more_than_they_are(tmp_path):
    """A torch file is a zip archive; a packed member in it could be a bomb."""
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("archive/version", b"3\n")
        with archive.open("archive/data/0", "w", force_zip64=True) as member:
            for _ in range(64):
                member.write(bytes(16 << 20))
    assert path.stat().st_size < 2 << 20
    assert "bomb.pt" in refusal(read_torch_file, path)


def test_weights_with_an_absurd_shape(tmp_path):
    content = io.BytesIO()
    torch.save({"w": torch.zeros(3)}, content, _use_new_zipfile_serialization=False)
    path = tmp_path / "w.pt"
    path.write_bytes(content.getvalue().replace(b"K\x03\x85", b"J\xff\xff\xff\x7f\x85"))
    assert "w.pt" in refusal(read_torch_file, path)


# ---- archives ----

def test_members_whose_names_lead_elsewhere(tmp_path):
    for name in ("../../etc/x.npy", "/etc/x.npy", "a\\..\\x.npy", "a\x1b[2Jx.npy"):
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr(name, npy(np.arange(3)))
        assert "suspicious name" in refusal(list_arrays, tmp_path / "a.npz")


def test_hdf5_data_in_other_files_is_refused(tmp_path):
    secret, path = tmp_path / "secret", tmp_path / "a.h5"
    secret.write_bytes(b"secret!!")
    with h5py.File(path, "w") as file:
        file.create_dataset("x_train", (8,), "u1", external=[(str(secret), 0, 8)])
    assert "takes its data from other files" in refusal(map_array, path, "x_train")
    layout = h5py.VirtualLayout((8,), "u1")
    layout[:] = h5py.VirtualSource(str(path), "x_train", (8,))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_virtual_dataset("x_train", layout)
    assert "takes its data from other files" in refusal(map_array, tmp_path / "b.h5", "x_train")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["x_train"] = h5py.ExternalLink(str(path), "x_train")
    assert "holds no arrays" in refusal(map_array, tmp_path / "c.h5", "x_train")


def test_hdf5_that_claims_more_than_it_holds(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("y_train", (1 << 40,), "i8", chunks=(1 << 16,))
    assert "claims 8796093022208 bytes" in refusal(list_arrays, tmp_path / "a.h5")


# ---- words on the terminal ----

def test_what_a_file_says_cannot_steer_the_terminal(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text('"\\e[2J\\nerror: all is well": 1\n')
    done = run_here(tmp_path / "work", "--config", str(path))
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "\x1b" not in done.stderr
    assert done.stderr.startswith(f"error: {path}: unknown key")
