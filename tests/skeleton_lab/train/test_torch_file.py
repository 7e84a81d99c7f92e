"""Torch files of anybody: what they hold comes back equal, and nothing of it runs, with every version of PyTorch."""

from __future__ import annotations

import argparse
import io
import pickle
import zipfile
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import pytest
import torch
from torch import nn

from skeleton_lab.errors import UserError
from skeleton_lab.train.torch_file import ForeignObject, read_torch_file

FORMS = pytest.mark.parametrize("form", [
    {}, {"_use_new_zipfile_serialization": False}, {"pickle_protocol": 4},
    {"_use_new_zipfile_serialization": False, "pickle_protocol": 4}], ids=["zip", "stream", "zip-4", "stream-4"])


def saved(tmp_path, content, **form):
    torch.save(content, tmp_path / "w.pt", **form)
    return tmp_path / "w.pt"


@FORMS
def test_a_published_checkpoint_is_read(tmp_path, form):
    """Its schedule counts milestones in a Counter."""
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [30, 40])
    read = read_torch_file(saved(tmp_path, {"epoch": 3, "optimizer_states": optimizer.state_dict(),
                                            "lr_scheduler_states": schedule.state_dict()}, **form))
    assert read["lr_scheduler_states"]["milestones"] == Counter([30, 40])
    assert torch.equal(read["optimizer_states"]["state"][0]["momentum_buffer"], model.weight.grad)


@FORMS
def test_numpy_beside_the_weights_comes_back_equal(tmp_path, form):
    base = torch.arange(12.0).reshape(3, 4)
    content = {
        "state_dict": OrderedDict(whole=base, turned=base.t(), part=base[1:, ::2], none=torch.zeros(0, 3),
                                  scale=nn.Parameter(torch.ones(2)), half=torch.ones(2, dtype=torch.float16),
                                  brain=torch.ones(3, dtype=torch.bfloat16), yes=torch.tensor([True, False]),
                                  count=torch.tensor(7), wave=torch.tensor([1 + 2j])),
        "best": np.float64(0.91), "step": np.int64(7), "history": [np.float32(0.5), 0.25], "done": np.bool_(True),
        "confusion": np.arange(6, dtype=">i2").reshape(2, 3), "names": np.array(["a", "bc"]),
        "random": np.random.RandomState(1).get_state(), "by": defaultdict(list, a=[1])}
    path = saved(tmp_path, content, **form)
    read = read_torch_file(path)
    for key, value in content["state_dict"].items():
        assert torch.equal(read["state_dict"][key], value) and read["state_dict"][key].dtype == value.dtype, key
    assert read["state_dict"]["turned"].stride() == (1, 4)
    assert read["state_dict"]["whole"].data_ptr() == read["state_dict"]["turned"].data_ptr()  # one storage still
    assert type(read["best"]) is np.float64 and read["best"] == 0.91 and read["step"] == 7 and read["done"]
    assert read["history"] == [0.5, 0.25] and read["by"] == {"a": [1]}
    for key in ("confusion", "names"):
        assert read[key].dtype == content[key].dtype and np.array_equal(read[key], content[key])
    assert np.array_equal(read["random"][1], content["random"][1])


def test_both_numpys_are_read(tmp_path):
    """NumPy 1 and NumPy 2 name the same function in different places."""
    path = saved(tmp_path, {"w": torch.ones(2), "best": np.float64(0.5)}, _use_new_zipfile_serialization=False)
    content = path.read_bytes().replace(b"numpy._core.", b"numpy.core.")
    for name in (b"numpy.core.", b"numpy._core."):
        path.write_bytes(content.replace(b"numpy.core.", name))
        assert name in path.read_bytes() and read_torch_file(path)["best"] == 0.5


class Harm:
    def __reduce__(self):
        return print, ("harm",)


@pytest.mark.parametrize(("content", "place"), [
    (Harm(), "it is an object made by builtins.print"),
    ({"w": Harm()}, "under the key 'w' it holds an object made by builtins.print"),
    ({"meta": {"hooks": [1, Harm()]}}, "under the key 'meta.hooks.1' it holds an object made by builtins.print"),
    (Counter([print]), "it is an object made by builtins.print"),
    (OrderedDict(a=Harm()), "under the key 'a' it holds"),
    ({"args": argparse.Namespace(lr=1)}, "under the key 'args' it holds an object made by argparse.Namespace"),
    (nn.Linear(2, 2), "it is an object made by torch.nn.modules.linear.Linear"),
    ({"best": np.array([None, 1])}, "it holds a numpy array of type 'O8'"),
])
@FORMS
def test_whatever_is_no_data_is_refused_by_name(tmp_path, form, content, place, capsys):
    path = saved(tmp_path, content, **form)
    with pytest.raises(UserError) as refusal:
        read_torch_file(path)
    line = str(refusal.value)
    assert f"{path}: refused, nothing was run: {place}" in line and "\n" not in line
    assert line.endswith("save the weights alone: torch.save(model.state_dict(), PATH)")
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match="refused, nothing was run"):
        read_torch_file(path)
    assert "harm" not in capsys.readouterr().out


@FORMS
def test_foreign_objects_can_be_stood_in_for(tmp_path, form, capsys):
    class Items(dict):
        pass

    Items.__qualname__, Items.__module__ = "Items", __name__
    globals()["Items"] = Items
    content = {"state_dict": {"w": torch.ones(2)}, "meta": {"hook": Harm(), "cfg": argparse.Namespace(lr=1),
                                                           "items": Items(a=1), "type": argparse.Namespace}}
    read = read_torch_file(saved(tmp_path, content, **form), foreign=True)
    assert torch.equal(read["state_dict"]["w"], torch.ones(2))
    assert isinstance(read["meta"]["hook"], ForeignObject) and read["meta"]["hook"].type_name == "builtins.print"
    assert read["meta"]["cfg"].type_name == "argparse.Namespace"
    assert read["meta"]["items"].type_name == f"{__name__}.Items"
    assert "harm" not in capsys.readouterr().out


def rezipped(path, name: str, content: bytes) -> None:
    """Give the member `name` of a torch file another content."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for member, old in members.items():
            archive.writestr(member, content if member.endswith(name) else old)


def test_damage_to_a_file_with_numpy_in_it_is_one_line(tmp_path):
    content = {"best": np.float64(1), "w": torch.arange(4.0)}
    path = saved(tmp_path, content)
    rezipped(path, "data/0", b"123")
    with pytest.raises(UserError, match="a storage whose size and content differ"):
        read_torch_file(path)
    for hostile in (b"\x80\x02", b"\x80\x02cnumpy\ndtype\nr\xff\xff\xff\x7f.",
                    b"\x80\x02cnumpy\ndtype\nN}U\x05_makeK\x01s\x86b."):
        rezipped(path, "data.pkl", hostile)
        with pytest.raises(UserError, match=r"refused, nothing was run|cannot read it as weights"):
            read_torch_file(path)
    whole = saved(tmp_path, content, _use_new_zipfile_serialization=False).read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError) as refusal:
            read_torch_file(path)
        assert "w.pt: " in str(refusal.value) and "\n" not in str(refusal.value)


def test_an_absurd_shape_beside_numpy_is_refused_in_little_memory(tmp_path):
    buffer = io.BytesIO()
    torch.save({"w": torch.zeros(3), "best": np.float64(1)}, buffer, _use_new_zipfile_serialization=False)
    path = tmp_path / "w.pt"
    path.write_bytes(buffer.getvalue().replace(b"K\x03\x85", b"J\xff\xff\xff\x7f\x85"))
    with pytest.raises(UserError, match="out of bounds"):
        read_torch_file(path)


def test_programs_folders_and_missing_files_are_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:  # as torch.jit.save writes them
        archive.writestr("w/data.pkl", b"\x80\x02}.")
        archive.writestr("w/constants.pkl", b"\x80\x02).")
    with pytest.raises(UserError, match="a TorchScript program, not weights"):
        read_torch_file(tmp_path / "w.pt")
    with pytest.raises(UserError, match="Is a directory"):
        read_torch_file(tmp_path)
    with pytest.raises(UserError, match="no such file"):
        read_torch_file(tmp_path / "none.pt")


@pytest.mark.parametrize("zipped", [False, True])
def test_names_of_absurd_length_are_refused_at_once(tmp_path, zipped):
    """PyTorch's reader looks through its own message about one for the square of its length: hours for a megabyte."""
    path, content = tmp_path / "a.pt", b"\x80\x02cnumpy._core.multiarray\nI" + b"9" * (1 << 20) + b"\n."
    path.write_bytes(content)
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/data.pkl", content)
            archive.writestr("a/version", "3\n")
    for foreign in (False, True):
        with pytest.raises(UserError, match="a name of 1,048,600 characters for a type"):
            read_torch_file(path, foreign)
