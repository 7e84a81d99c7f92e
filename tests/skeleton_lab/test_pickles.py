"""Pickles: plain data goes through unchanged, everything else is refused and runs nothing."""

from __future__ import annotations

import builtins
import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skeleton_lab.errors import UserError
from skeleton_lab.pickles import dump_plain_pickle, load_plain_pickle

ATOMS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
PLAIN = st.recursive(ATOMS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
                     max_leaves=12)


class Calls:
    """Pickles as a call of `function` with `args`."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@given(value=PLAIN, protocol=st.integers(0, 5))
@settings(max_examples=80, deadline=None)
def test_plain_data_comes_back_equal(tmp_path_factory, value, protocol):
    path = tmp_path_factory.mktemp("pickle") / "value.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    assert load_plain_pickle(path) == value
    dump_plain_pickle(path, value)
    assert load_plain_pickle(path) == value


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("array", [
    np.arange(6, dtype=np.float32).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(4, dtype=">i2"), np.array(["S001", "S0012"]), np.array([b"a", b"bcd"]), np.array([True, False]),
    np.zeros((0, 3), np.float32), np.array(2.5), np.float32(1.5), np.int64(7), np.bool_(True),
], ids=lambda array: f"{array.dtype}-{array.shape}-{type(array).__name__}")
def test_arrays_and_numpy_numbers_come_back_equal(tmp_path, array, protocol):
    path = tmp_path / "array.pkl"
    path.write_bytes(pickle.dumps({"x": array}, protocol=protocol))
    read = load_plain_pickle(path)["x"]
    assert type(read) is type(array) and read.dtype == array.dtype and read.shape == array.shape
    np.testing.assert_array_equal(read, array)
    if isinstance(array, np.ndarray):
        assert read.flags.writeable


def test_a_score_pickle_written_by_python_2_loads(tmp_path):
    # {'S001': numpy.array([1.5, -2.0], 'float32')}, as Python 2.7 with numpy 1.16 writes it in protocol 2
    raw = struct.pack("<2f", 1.5, -2.0)
    path = tmp_path / "python2.pkl"
    path.write_bytes(b"\x80\x02}q\x00U\x04S001q\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00"
                     b"\x85q\x04U\x01bq\x05\x87q\x06Rq\x07(K\x01K\x02\x85q\x08cnumpy\ndtype\nq\tU\x02f4q\nK\x00K\x01\x87"
                     b"q\x0bRq\x0c(K\x03U\x01<q\rNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0eb\x89U\x08"
                     + raw + b"q\x0ftq\x10bs.")
    np.testing.assert_array_equal(load_plain_pickle(path)["S001"], np.float32([1.5, -2.0]))


def test_python_2_strings_are_latin_1(tmp_path):
    path = tmp_path / "python2.pkl"
    path.write_bytes(b"\x80\x02]U\x04caf\xe9a.")
    assert load_plain_pickle(path) == ["café"]


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_would_run_code_runs_nothing(tmp_path, protocol):
    path, trace = tmp_path / "payload.pkl", tmp_path / "trace"
    for payload in (Calls(open, str(trace), "w"), Calls(os.mkdir, str(trace)), Calls(os.system, f"touch {trace}"),
                    Calls(builtins.eval, f"open({str(trace)!r}, 'w')"),
                    (["S001"], [Calls(builtins.getattr, "x", "y")])):
        path.write_bytes(pickle.dumps(payload, protocol=protocol))
        with pytest.raises(UserError, match=r"payload\.pkl: refused, nothing was run: it would call"):
            load_plain_pickle(path)
        assert not trace.exists()


@pytest.mark.parametrize(("content", "complaint"), [
    (pickle.dumps({1, 2}), "an object of type set"),
    (pickle.dumps(bytearray(b"x"), 5), "an object of type bytearray"),
    (pickle.dumps([object()]), "it would call builtins.object"),
    (pickle.dumps(np.array([["a"], None], dtype=object)), "a numpy array of type 'O8'"),
    (pickle.dumps(np.zeros(2, [("a", "f4")])), "a numpy array of type 'V4'"),
    (pickle.dumps(np.array(["2020-01-01"], "M8[D]")), "a numpy array of type 'M8'"),
    (b"\x80\x02]q\x00h\x00a.", "a container that contains itself"),
    (b"\x80\x02" + b"]" * 60 + b"a" * 59 + b".", "containers nested deeper than"),
    (b"\x80\x02cnumpy\ndtype\n.", "an object of type Recipe"),
    (b"\x80\x02cnumpy\ndtype\n}U\x05_makeK\x01sb.", "an attempt to alter the reader"),
    (b"\x80\x02cnumpy\ndtype\nN}U\x05_makeK\x01s\x86b.", "an attempt to alter the reader"),
    (b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)R.", "a numpy array without content"),
    (b"P0\n.", "an object outside the file"),
    (b"\x80\x02]r\xff\xff\xff\x7f.", "memory out of proportion to its 9 bytes"),
    (b"\x80\x02]p2147483647\n.", "memory out of proportion"),
    (pickle.dumps(np.zeros((1 << 40, 0)), 2), "an empty numpy array of an absurd shape"),
    (pickle.dumps(np.array(["ab"]), 2).replace(b"a\0\0\0", b"a\0\0\x7f"), "a numpy array of text that is no text"),
    (b"cos\x1b[31m\nsystem\x07\n.", r"it would call os\x1b[31m.system\x07,"),
])
def test_what_is_not_plain_is_refused(tmp_path, content, complaint):
    path = tmp_path / "labels.pkl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"labels\.pkl: refused") as refusal:
        load_plain_pickle(path)
    assert complaint in str(refusal.value) and "\n" not in str(refusal.value)


def test_lengths_beyond_the_file_are_damage(tmp_path):
    path = tmp_path / "labels.pkl"
    for opcode in (b"\x96", b"\x8d", b"\x8e"):  # bytearray, text and bytes of 2**56 bytes
        path.write_bytes(b"\x80\x05" + opcode + b"\0\0\0\0\0\0\0\x01.")
        with pytest.raises(UserError, match="not a pickle, or a damaged one"):
            load_plain_pickle(path)


def test_an_array_with_less_data_than_its_shape_is_refused(tmp_path):
    path = tmp_path / "array.pkl"
    content = pickle.dumps(np.zeros(3, np.float32), protocol=2)
    assert b"K\x03\x85" in content
    path.write_bytes(content.replace(b"K\x03\x85", b"K\xff\x85"))  # says 255 elements
    with pytest.raises(UserError, match="shape and content differ"):
        load_plain_pickle(path)


@given(content=st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_noise_is_one_user_error_or_plain_data(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("noise") / "noise.pkl"
    path.write_bytes(b"\x80\x02" + content)
    try:
        load_plain_pickle(path)
    except UserError as error:
        assert "noise.pkl" in str(error) and "\n" not in str(error)


def test_missing_empty_truncated_and_large_files_are_named(tmp_path):
    path = tmp_path / "labels.pkl"
    with pytest.raises(UserError, match=r"labels\.pkl: cannot read it \(No such file"):
        load_plain_pickle(path)
    for content in (b"", pickle.dumps((["a"] * 10, [1] * 10))[:-9], b"names,labels\n"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"labels\.pkl: not a pickle, or a damaged one"):
            load_plain_pickle(path)
    path.write_bytes(pickle.dumps("x" * 1000))
    with pytest.raises(UserError, match="more than the 500"):
        load_plain_pickle(path, max_bytes=500)


def test_writing_something_else_changes_nothing(tmp_path):
    path = tmp_path / "value.pkl"
    dump_plain_pickle(path, [1])
    with pytest.raises(TypeError, match="an object of type set"):
        dump_plain_pickle(path, {1})
    assert load_plain_pickle(path) == [1] and list(tmp_path.iterdir()) == [path]
