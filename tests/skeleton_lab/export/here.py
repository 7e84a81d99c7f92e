"""Which export formats can be tried out here."""

from __future__ import annotations

import pytest

from skeleton_lab.errors import UserError
from skeleton_lab.export.formats import ONNX, require


def available(output_format: str) -> str:
    """Return the format; skip the test, and say why, where its packages or a new enough PyTorch are missing."""
    if output_format == ONNX:
        for package in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(package, reason=f"{package} is not installed (requirements-export.txt)")
    try:
        require(output_format)
    except UserError as error:
        pytest.skip(str(error))
    return output_format
