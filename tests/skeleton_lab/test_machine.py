"""What the lab says of a machine."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import torch

from skeleton_lab.machine import MIB, describe_machine, peak_resident_bytes


def test_a_machine_without_a_gpu():
    said = json.loads(json.dumps(describe_machine(torch.device("cpu"))))
    assert said["cpu"] and said["cores"] >= 1 and said["os"]
    assert said["gpu"] is None and said["gpu_memory_mib"] is None and said["cudnn"] is None
    assert said["torch"] == str(torch.__version__) and said["numpy"] == np.__version__


def test_a_gpu_is_told_by_its_name_and_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_properties",
                        lambda device: SimpleNamespace(name="Abacus", total_memory=8 * 1024 * MIB))
    said = describe_machine(torch.device("cuda", 0))
    assert (said["gpu"], said["gpu_memory_mib"]) == ("Abacus", 8192)


def test_the_peak_counts_what_was_freed_again():
    before = peak_resident_bytes()
    np.ones(256 * MIB // 8)
    assert peak_resident_bytes() >= max(before, 256 * MIB)
