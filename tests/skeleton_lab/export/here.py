"""Which export formats can be tried out here."""

from __future__ import annotations

import pytest

from skeleton_lab.errors import UserError
from skeleton_lab.export.formats import require


def available(output_format: str) -> str:
    """Return the format; skip the test, and say why, where its packages or a new enough PyTorch are missing."""
    try:
        require(output_format)
    except UserError as error:
        pytest.skip(str(error))
    return output_format
