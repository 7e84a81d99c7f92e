"""Archives: mapped, read and written block by block; nothing in a file is trusted."""

from __future__ import annotations

import os
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skeleton_lab.data.formats import archive
from skeleton_lab.errors import UserError
from tests.archives import npy_bytes, npy_with_header, write_sparse_npz

X = np.random.default_rng(0).standard_normal((11, 4, 6)).astype(np.float32)
Y = np.arange(11)


def complaint(function, *arguments) -> str:
    """Return the one line that a call on bad input raises."""
    with pytest.raises(UserError) as caught:
        function(*arguments)
    line = str(caught.value)
    assert "\n" not in line and len(line) < 500
    return line


def read_all(path, key="", **options):
    parts = list(archive.read_blocks(path, key, **options))
    assert [rows.start for rows, _ in parts] == [0, *(rows.stop for rows, _ in parts)][:len(parts)]
    return np.concatenate([block for _, block in parts])


# --- headers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_headers_of_numpys_archives(tmp_path, save):
    save(tmp_path / "a.npz", x_train=X, y_train=Y)
    headers = archive.list_arrays(tmp_path / "a.npz")
    assert list(headers) == ["x_train", "y_train"]
    x = headers["x_train"]
    assert (x.key, x.shape, x.dtype, x.nbytes, x.row_bytes) == ("x_train", X.shape, X.dtype, X.nbytes, X[0].nbytes)
    assert not x.fortran_order and x.compressed == (save is np.savez_compressed)
    if not x.compressed:
        assert (tmp_path / "a.npz").read_bytes()[x.offset:x.offset + x.nbytes] == X.tobytes()


def test_headers_of_npy_and_fortran_order(tmp_path):
    np.save(tmp_path / "a.npy", np.asfortranarray(X))
    header = archive.list_arrays(tmp_path / "a.npy")[""]
    assert header.shape == X.shape and header.fortran_order and header.offset == 128


def test_headers_of_h5(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x_train"] = X
        file["words"] = ["wave", "clap"]
        file.create_dataset("deep/packed", data=X, compression="gzip")
    headers = archive.list_arrays(tmp_path / "a.h5")
    assert set(headers) == {"x_train", "deep/packed", "words"}
    assert headers["x_train"].shape == X.shape and headers["x_train"].nbytes == X.nbytes
    assert headers["deep/packed"].compressed and headers["deep/packed"].offset is None
    assert (read_all(tmp_path / "a.h5", "deep/packed", max_bytes=200) == X).all()
    assert (archive.map_array(tmp_path / "a.h5", "x_train") == X).all()
    for key in ("deep/packed", "words"):
        assert "cannot be mapped" in complaint(archive.map_array, tmp_path / "a.h5", key)


def test_a_file_is_known_by_its_content_not_its_name(tmp_path):
    np.save(tmp_path / "a.npy", X)
    os.rename(tmp_path / "a.npy", tmp_path / "a.npz")
    assert archive.kind_of(tmp_path / "a.npz") == "npy"


def test_an_archive_beyond_4_gib(tmp_path):
    shapes = {"x_train": ((40_091, 300, 150), "<f4"), "y_train": ((40_091, 60), "<f8"),
              "x_test": ((16_487, 300, 150), "<f4")}
    write_sparse_npz(tmp_path / "big.npz", shapes)
    headers = archive.list_arrays(tmp_path / "big.npz")
    assert {key: header.shape for key, header in headers.items()} == {key: shape for key, (shape, _) in shapes.items()}
    mapped = archive.map_array(tmp_path / "big.npz", "x_test")
    assert mapped.shape == (16_487, 300, 150) and not mapped[-1].any()


# --- mapping and reading ---------------------------------------------------------------------------------------------


def test_map_of_a_stored_member_and_of_npy(tmp_path):
    np.savez(tmp_path / "a.npz", first=Y, x=X)
    np.save(tmp_path / "a.npy", np.asfortranarray(X))
    for mapped in (archive.map_array(tmp_path / "a.npz", "x"), archive.map_array(tmp_path / "a.npy")):
        assert isinstance(mapped, np.memmap) and mapped.dtype == X.dtype and (mapped == X).all()
        with pytest.raises(ValueError, match="read-only"):
            mapped[0] = 1


def test_map_of_nothing(tmp_path):
    np.savez(tmp_path / "a.npz", x=X[:0])
    mapped = archive.map_array(tmp_path / "a.npz", "x")
    assert mapped.shape == (0, 4, 6) and not mapped.flags.writeable


def test_deflated_archives_are_refused_with_the_command_that_unpacks_them(tmp_path):
    np.savez_compressed(tmp_path / "my clips.npz", x_train=X, other=X)
    line = complaint(archive.map_array, tmp_path / "my clips.npz", "x_train")
    assert (f"python3 convert_ntu60_kaggle_to_ctrgcn.py --input '{tmp_path}/my clips.npz' "
            f"--output '{tmp_path}/my clips_ctrgcn.npz'") in line
    assert "numpy.savez" in complaint(archive.map_array, tmp_path / "my clips.npz", "other")


@pytest.mark.parametrize("max_bytes", [1, 96, 250, 1 << 20])
def test_reading_block_by_block(tmp_path, max_bytes):
    np.savez(tmp_path / "stored.npz", y=Y, x=X)
    np.savez_compressed(tmp_path / "deflated.npz", y=Y, x=X)
    np.save(tmp_path / "x.npy", X)
    for name, key in (("stored.npz", "x"), ("deflated.npz", "x"), ("x.npy", "")):
        got = read_all(tmp_path / name, key, max_bytes=max_bytes)
        assert got.dtype == X.dtype and (got == X).all()


def test_blocks_cover_everything_once():
    assert [*archive.blocks(10, 4, 12)] == [slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 10)]
    assert [*archive.blocks(2, 100, 12)] == [slice(0, 1), slice(1, 2)]
    assert [*archive.blocks(0, 4)] == []


def test_reading_nothing(tmp_path):
    np.savez(tmp_path / "a.npz", none=X[:0], empty=X[:, :, :0])
    assert list(archive.read_blocks(tmp_path / "a.npz", "none")) == []
    assert read_all(tmp_path / "a.npz", "empty").shape == (11, 4, 0)


def test_reading_notices_a_flipped_bit(tmp_path):
    for name, save in (("stored.npz", np.savez), ("deflated.npz", np.savez_compressed)):
        save(tmp_path / name, x=np.repeat(X, 50, axis=0))
        content = bytearray((tmp_path / name).read_bytes())
        content[len(content) // 2] ^= 1
        (tmp_path / name).write_bytes(content)
        assert "damaged" in complaint(read_all, tmp_path / name, "x")


def test_arrays_that_cannot_be_read_in_blocks(tmp_path):
    np.savez(tmp_path / "a.npz", f=np.asfortranarray(X), number=np.float32(1))
    assert "Fortran" in complaint(read_all, tmp_path / "a.npz", "f")
    assert "single number" in complaint(read_all, tmp_path / "a.npz", "number")
    write_sparse_npz(tmp_path / "wide.npz", {"x": ((1, 1 << 30), "<f4")})
    assert "4096 MiB" in complaint(read_all, tmp_path / "wide.npz", "x")


# --- writing ---------------------------------------------------------------------------------------------------------


def test_written_archives_load_in_numpy_and_map_aligned(tmp_path):
    path = tmp_path / "new" / "a.npz"
    with archive.NpzWriter(path) as writer:
        writer.write("y", Y)
        with writer.member("x", np.array(X.shape), "float32") as sink:
            for rows in archive.blocks(len(X), X[0].nbytes, 300):
                sink.append(X[rows])
        writer.write("turned", X.transpose(2, 0, 1))
        writer.write("none", X[:0])
    with np.load(path, allow_pickle=False) as loaded:
        assert loaded.files == ["y", "x", "turned", "none"]
        assert (loaded["x"] == X).all() and (loaded["y"] == Y).all()
        assert (loaded["turned"] == X.transpose(2, 0, 1)).all()
        assert loaded["none"].shape == (0, 4, 6)
    for key, header in archive.list_arrays(path).items():
        assert header.offset % 64 == 0 and archive.map_array(path, key).flags.aligned
    assert zipfile.ZipFile(path).testzip() is None
    assert os.listdir(path.parent) == ["a.npz"]


def test_the_same_arrays_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        with archive.NpzWriter(tmp_path / name) as writer:
            writer.write("x", X)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), archive.NpzWriter(path) as writer:
        writer.write("y", Y)
        with writer.member("x", X.shape, np.float32) as sink:
            sink.append(X[:3])
            raise KeyboardInterrupt
    with pytest.raises(KeyError), archive.create_npy(path, X.shape, np.float32) as sink:
        sink.append(X)
        raise KeyError
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.npz"]


@pytest.mark.parametrize(("blocks", "match"), [
    ([X[:10]], "got 10"), ([X, X[:1]], "now gets 12"), ([X.astype(np.float64)], "float64"),
    ([X[:, :3]], r"\(11, 3, 6\)"), ([X[0]], r"\(4, 6\)")])
def test_a_sink_takes_exactly_what_was_announced(tmp_path, blocks, match):
    with pytest.raises(ValueError, match=match), archive.NpzWriter(tmp_path / "a.npz") as writer:
        with writer.member("x", X.shape, np.float32) as sink:
            for block in blocks:
                sink.append(block)
    with pytest.raises(ValueError, match=match), archive.create_npy(tmp_path / "a.npy", X.shape, np.float32) as sink:
        for block in blocks:
            sink.append(block)
    assert os.listdir(tmp_path) == []


def test_a_key_is_written_once(tmp_path):
    with pytest.raises(ValueError, match="already"), archive.NpzWriter(tmp_path / "a.npz") as writer:
        writer.write("x", X)
        writer.write("x", X)


def test_npy_written_in_blocks(tmp_path):
    with archive.create_npy(tmp_path / "a.npy", X.shape, np.float32) as sink:
        sink.append(X[:4])
        sink.append(X[4:])
    assert (np.load(tmp_path / "a.npy") == X).all() and os.listdir(tmp_path) == ["a.npy"]


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"), archive.NpzWriter(tmp_path / "file" / "a.npz") as writer:
        writer.write("x", X)


def test_a_full_disk(tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(UserError, match="cannot write"), archive.NpzWriter(tmp_path / "a.npz") as writer:
            writer.write("x", np.zeros((100, 10_000)))
        with pytest.raises(UserError, match="cannot write"):
            with archive.create_npy(tmp_path / "a.npy", (100, 10_000), float) as sink:
                sink.append(np.zeros((100, 10_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []


# --- bad input -------------------------------------------------------------------------------------------------------


def test_files_that_are_not_there(tmp_path):
    assert "no such file" in complaint(archive.list_arrays, tmp_path / "no.npz")
    assert "is a folder" in complaint(archive.list_arrays, tmp_path)
    (tmp_path / "link.npz").symlink_to(tmp_path / "gone.npz")
    assert "gone.npz" in complaint(archive.list_arrays, tmp_path / "link.npz")
    np.savez(tmp_path / "a.npz", x_train=X)
    np.save(tmp_path / "a.npy", X)
    assert "only one unnamed array" in complaint(archive.map_array, tmp_path / "a.npy", "x")
    assert "did you mean 'x_train'" in complaint(archive.map_array, tmp_path / "a.npz", "x_trian")


def test_files_that_are_something_else(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"")
    assert "empty" in complaint(archive.list_arrays, tmp_path / "a.npz")
    (tmp_path / "a.npz").write_text("<html>not found</html>")
    assert "not a .npz" in complaint(archive.list_arrays, tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("NTU60_CS.npz", b"...")
    assert "unzip it first" in complaint(archive.list_arrays, tmp_path / "a.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_truncated_archives(tmp_path, save):
    save(tmp_path / "a.npz", x=X, y=Y)
    content = (tmp_path / "a.npz").read_bytes()
    for length in (3, 4, 40, len(content) // 2, len(content) - 1):
        (tmp_path / "cut.npz").write_bytes(content[:length])
        assert "again" in complaint(archive.list_arrays, tmp_path / "cut.npz")
    np.save(tmp_path / "a.npy", X)
    content = (tmp_path / "a.npy").read_bytes()
    for length in (5, 9, 60, 128, len(content) - 1):
        (tmp_path / "cut.npy").write_bytes(content[:length])
        assert "again" in complaint(archive.list_arrays, tmp_path / "cut.npy")


@pytest.mark.parametrize(("content", "match"), [
    (npy_bytes((10**12, 300, 150)), "truncated"),
    (npy_bytes((10**30, 0)), "impossible"),
    (npy_bytes((-1, 5)), "impossible"),
    (npy_bytes((True, 5)), "impossible"),
    (npy_bytes((2,), "(2,5)f4"), "impossible"),
    (npy_bytes((1,) * 40), "impossible"),
    (npy_bytes((10**9,), "|S0"), "impossible"),
    (npy_bytes((1,), "|O"), "pickled"),
    (npy_with_header("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,)}"), "pickled"),
    (npy_with_header("__import__('os').system('echo')"), "no readable"),
    (npy_with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1.5,)}"), "no readable"),
    (npy_with_header("{'descr': '<f4'}"), "no readable"),
    (npy_with_header("(" * 5000), "no readable"),
    (npy_with_header("-" * 9000 + "1"), "no readable"),
    (npy_with_header(" " * 20_000), "header of 2"),
    (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "header of 4294967295"),
    (b"\x93NUMPY\x03\x00\x10\x00\x00\x00" + b" " * 16, "format 3.0"),
    (b"\x93NUMPY\x09\x00", "format 9.0"),
])
def test_hostile_array_headers(tmp_path, content, match):
    (tmp_path / "a.npy").write_bytes(content)
    assert match in complaint(archive.list_arrays, tmp_path / "a.npy")
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as file:
            file.writestr("x.npy", content)
        assert match in complaint(archive.list_arrays, tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["../x.npy", "/x.npy", "a/../../x.npy", "..\\x.npy", "x\n\x1b[31m.npy"])
def test_suspicious_member_names(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr(name, npy_bytes((0,)))
    assert "suspicious name" in complaint(archive.list_arrays, tmp_path / "a.npz")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_key_that_is_there_twice(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("x.npy", npy_bytes((0,)))
        file.writestr("x.npy", npy_bytes((0,)))
    assert "twice" in complaint(archive.list_arrays, tmp_path / "a.npz")


def patched(path, field_offset: int, value: bytes) -> None:
    """Overwrite a field of the first entry of a zip's central directory."""
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + field_offset:entry + field_offset + len(value)] = value
    path.write_bytes(content)


def test_lying_zip_directories(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=X)
    patched(path, 8, struct.pack("<H", 1))
    assert "encrypted" in complaint(archive.list_arrays, path)
    np.savez(path, x=X)
    patched(path, 10, struct.pack("<H", 14))
    assert "packed in a way" in complaint(archive.list_arrays, path)
    np.savez(path, x=X)
    patched(path, 20, struct.pack("<II", 10**9, 10**9))
    assert "again" in complaint(archive.list_arrays, path)
    np.savez_compressed(path, x=X)
    patched(path, 24, struct.pack("<I", 2 * 10**9))
    assert "claims to unpack" in complaint(archive.list_arrays, path)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_damage_of_any_kind_is_one_line(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    save = data.draw(st.sampled_from([np.savez, np.savez_compressed]))
    path = folder / f"fuzzed_{save.__name__}.npz"
    save(path, x=X[:3], y=Y)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(content[:data.draw(st.integers(len(content) // 2, len(content)))])
    try:
        for key, header in archive.list_arrays(path).items():
            if not header.compressed:
                archive.map_array(path, key)
            for _ in archive.read_blocks(path, key):
                pass
    except UserError as error:
        assert "\n" not in str(error)
