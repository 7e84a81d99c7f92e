"""Files of descriptors: what is read, in which process, and what is refused."""

from __future__ import annotations

import multiprocessing
import pickle

import h5py
import numpy as np
import pytest

from skeleton_lab.data.formats import descriptors
from skeleton_lab.data.formats.descriptors import Descriptors, key_of
from skeleton_lab.errors import UserError

RNG = np.random.default_rng(0)


def write(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4"])
def test_reads_vectors_and_means_over_moments(tmp_path, dtype):
    one, many = RNG.standard_normal(4).astype(dtype), RNG.standard_normal((7, 4)).astype(dtype)
    found = Descriptors(write(tmp_path / "d.h5", a=one, b=many))
    assert (found.width, len(found), sorted(found.names())) == (4, 2, ["a", "b"])
    assert found["a"].dtype == np.float32 and np.array_equal(found["a"], one.astype(np.float32))
    assert np.allclose(found["b"], many.astype(np.float64).mean(axis=0), atol=1e-6)
    assert found.read("b").shape == (7, 4) and found.form("b") == ((7, 4), f"float{8 * int(dtype[-1])}")


@pytest.mark.parametrize("name", ["S001C001P001R001A001", "S001C001P001R001A001.skeleton",
                                  "/data/nturgb+d_skeletons/S001C001P001R001A001.skeleton"])
def test_a_samples_name_is_taken_without_folder_and_suffix(tmp_path, name):
    assert key_of(name) == "S001C001P001R001A001"
    found = Descriptors(write(tmp_path / "d.h5", S001C001P001R001A001=np.ones(3, np.float32)))
    assert name in found and found[name].tolist() == [1, 1, 1]
    found.require([name], "data")


def test_names_what_is_missing(tmp_path):
    found = Descriptors(write(tmp_path / "d.h5", a=np.ones(3, np.float32)))
    with pytest.raises(UserError, match=r"of 6 of the 7 samples of data \(b0, b1, b2, b3, \.\.\.\)"):
        found.require(["a", *(f"b{i}" for i in range(6))], "data")
    with pytest.raises(UserError, match="has no descriptor of sample 'c'"):
        found["c"]


def in_other_process(found, pipe):
    pipe.send(found["a"].tolist())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_serves_loader_processes(tmp_path, method):
    found = Descriptors(write(tmp_path / "d.h5", a=np.arange(3, dtype=np.float32)))
    found["a"]  # open here already
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    process = context.Process(target=in_other_process, args=(found, theirs))
    process.start()
    assert ours.poll(60) and ours.recv() == [0, 1, 2]
    process.join()
    assert found["a"].tolist() == pickle.loads(pickle.dumps(found))["a"].tolist()


def packed(file):
    file.create_dataset("a", data=np.zeros(1 << 16, np.float32), compression="gzip")


def bomb(file):
    """A megabyte of claimed floats in a few bytes of the file."""
    file.create_dataset("a", shape=(1 << 12, 1 << 6), dtype="f4", chunks=(1 << 12, 1 << 6), compression="gzip")[:] = 0


def never_written(file):
    file.create_dataset("a", shape=(1 << 10,), dtype="f4")


def too_wide(file):
    file.create_dataset("a", shape=(descriptors.MAX_WIDTH + 1,), dtype="f4")


def too_long(file):
    file.create_dataset("a", shape=(descriptors.MAX_VALUES, 2), dtype="f4")


def external(file):
    file.create_dataset("a", shape=(16,), dtype="f4", external=[("/etc/passwd", 0, 64)])


def linked(file):
    file["a"] = h5py.ExternalLink("other.h5", "a")


def soft(file):
    file["zz"] = np.ones(2, np.float32)
    file["a"] = h5py.SoftLink("/zz")


def virtual(file):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "a", (4,))
    file.create_virtual_dataset("a", layout)


def put(value):
    def write_it(file):
        file["a"] = value
    return write_it


@pytest.mark.parametrize(("make", "part"), [
    (packed, "is packed"), (bomb, "is packed"), (never_written, "never written"), (too_wide, "at most"),
    (too_long, "at most"), (external, "other files"), (linked, "is a link"), (soft, "is a link"),
    (virtual, "other files"), (put(np.ones(3)), "float64; descriptors are float16 or float32"),
    (put(np.ones(3, np.int32)), "int32"), (put("text"), "object"), (put(np.array([b"abc"])), "S3"),
    (put(np.ones(3, np.complex64)), "complex64"), (put(np.zeros(3, [("x", "f4")])), "descriptors are float"),
    (put(np.float32(1)), r"shape \(\)"), (put(np.ones((2, 3, 4), np.float32)), "shape"),
    (put(np.ones((0, 4), np.float32)), "shape"), (put(h5py.Empty("f4")), "shape None"),
    (lambda file: file.create_group("a"), "is not an array"), (lambda file: None, "holds no descriptors"),
])
def test_refuses_in_one_line(tmp_path, make, part):
    path = tmp_path / "d.h5"
    with h5py.File(path, "w") as file:
        make(file)
    with pytest.raises(UserError, match=part) as refused:
        Descriptors(path)
    assert "\n" not in str(refused.value) and str(refused.value).startswith(str(path))


@pytest.mark.parametrize(("later", "part"), [
    (np.array([1, np.nan, 2], np.float32), "NaN"), (np.array([1, np.inf, 2], np.float16), "NaN"),
    (np.ones(4, np.float32), "has 4 numbers, others 3"), (np.ones((3, 3)), "float64"),
])
def test_refuses_a_later_sample_when_it_is_asked_for(tmp_path, later, part):
    found = Descriptors(write(tmp_path / "d.h5", a=np.ones(3, np.float32), b=later))
    assert found["a"].tolist() == [1, 1, 1]
    with pytest.raises(UserError, match=part) as refused:
        found["b"]
    assert "'b'" in str(refused.value)


@pytest.mark.parametrize(("content", "part"), [
    (None, "no such file"), (b"", "is empty"), (b"hello, world", "is not a"),
    (b"\x89HDF\r\n\x1a\n" + bytes(100), "damaged"),
])
def test_refuses_what_is_no_such_file(tmp_path, content, part):
    path = tmp_path / "d.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=part):
        Descriptors(path)


def test_refuses_other_archives(tmp_path):
    np.savez(tmp_path / "d.npz", a=np.ones(3))
    with pytest.raises(UserError, match="is not an HDF5 file"):
        Descriptors(tmp_path / "d.npz")


def test_damage_anywhere_is_one_line_or_finite_numbers(tmp_path):
    """Bytes overwritten or cut off at many places: never another exception."""
    rng = np.random.default_rng(1)
    vectors = {f"s{i}": rng.standard_normal(4).astype(np.float32) for i in range(3)}
    whole = write(tmp_path / "whole.h5", **vectors).read_bytes()
    path, refused = tmp_path / "d.h5", 0
    for _ in range(150):
        content = bytearray(whole)
        for place in rng.integers(0, len(content), 4):
            content[place] = rng.integers(0, 256)
        path.write_bytes(content[:rng.integers(1, len(content))] if rng.random() < 0.3 else content)
        try:
            found = Descriptors(path)
            for name in vectors:
                assert np.isfinite(found[name]).all()
        except UserError as error:
            refused += 1
            assert "\n" not in str(error)
        else:
            found.close()  # lest the library takes the next file for this one
    assert 20 < refused < 140
