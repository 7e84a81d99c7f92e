"""Sizes for people, and outputs that are there already. (Writing whole files or none is tested in tests/faults.)"""

import os

import pytest

from skeleton_lab.errors import UserError
from skeleton_lab.files import claim_new, size_text


@pytest.mark.parametrize(("num_bytes", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (108_123_456, "108 MB"),
                                                 (7_223_000_000, "7.22 GB"), (10**13, "10000.00 GB")])
def test_sizes(num_bytes, text):
    assert size_text(num_bytes) == text


def test_a_file_that_is_there_stays_unless_it_may_be_replaced(tmp_path):
    source, output = tmp_path / "a.npz", tmp_path / "b.npz"
    claim_new(output, overwrite=False)
    output.touch(), source.touch()
    claim_new(output, overwrite=True, source=source)
    claim_new(os.devnull, overwrite=False)
    for path, overwrite, told in ((output, False, "exists; give another --output, or --overwrite"),
                                  (source, True, "is the input itself; give another --output"),
                                  (tmp_path, True, "is a folder; name the file to write")):
        with pytest.raises(UserError, match=f"{path}: {told}"):
            claim_new(path, overwrite, source)
