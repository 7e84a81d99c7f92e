"""Sizes for people. (Writing whole files or none is tested in tests/faults.)"""

import pytest

from skeleton_lab.files import size_text


@pytest.mark.parametrize(("num_bytes", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (108_123_456, "108 MB"),
                                                 (7_223_000_000, "7.22 GB"), (10**13, "10000.00 GB")])
def test_sizes(num_bytes, text):
    assert size_text(num_bytes) == text
