"""Where a run computes, and in which number format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from skeleton_lab.errors import UserError
from skeleton_lab.train.distributed import World


def choose_device(requested: list[int | str], say: Callable[[str], None], world: World | None = None) -> torch.device:
    """Turn `--device` into the device of this process.

    Without a GPU, `auto` is the CPU, and so is 0, which published configs and commands say on any machine; a line tells
    so. `cuda` and other numbers ask for what is not there.

    Of several processes on a machine each takes the GPU of its own number, or the one that stands at its place in a
    longer list.

    Raises:
        UserError: a GPU that this machine does not have, or fewer GPUs than processes.
    """
    world = world or World()
    if "cpu" in requested:
        return torch.device("cpu")
    if not find_gpus(requested, say):
        return torch.device("cpu")
    requested = [0 if one in ("cuda", "auto") else one for one in requested]
    if world.size > 1:
        requested = _of_this_process(requested, world)
    for index in requested:
        require_gpu(int(index))
    if len(requested) > 1:
        say(f"device: {requested} names {len(requested)} GPUs, and one process uses one: GPU {requested[0]}. To use "
            f"all, start it with: torchrun --nproc_per_node={len(requested)} main.py ...")
    device = torch.device("cuda", int(requested[0]))
    check_kernels(device)
    allow_tf32(device)
    if world.size > 1:
        torch.cuda.set_device(device)  # where NCCL communicates
    return device


def find_gpus(requested: Sequence[int | str], say: Callable[[str], None]) -> int:
    """Return how many GPUs PyTorch finds; with 0 the CPU is to be used, which `say` was told.

    Raises:
        UserError: there is none, and `requested` is one by name, or another number than 0.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        if requested[0] not in (0, "auto"):
            raise UserError(f"--device {' '.join(map(str, requested))}: PyTorch finds no CUDA GPU here; choose cpu or "
                            "auto, or run check_gpu.py to see why")
        say("No CUDA GPU found: using the CPU.")
    return count


def require_gpu(index: int) -> None:
    """Raise a UserError unless this machine has a GPU of this number."""
    count = torch.cuda.device_count()
    if index >= count:
        raise UserError(f"--device {index}: this machine has {count} GPU(s), numbered from 0; run check_gpu.py to see "
                        "them")


def check_kernels(device: torch.device) -> None:
    """Raise a UserError unless this PyTorch can compute on a GPU: older builds have no kernels for newer cards."""
    try:
        torch.zeros(1, device=device).add_(1)
    except RuntimeError as error:
        if "no kernel image" not in str(error):
            raise
        name, (major, minor) = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)
        raise UserError(f"--device {device.index}: PyTorch {torch.__version__} has no kernels for {name} (compute "
                        f"capability {major}.{minor}); build the image with --build-arg BASE_IMAGE=<a PyTorch image "
                        "for this card>, install such a PyTorch, or use --device cpu") from error


def allow_tf32(device: torch.device) -> None:
    """On a GPU, multiply float32 matrices in TF32, as cuDNN by default computes convolutions in it.

    What the published models leave to cuDNN as 1x1 convolutions is matrix products here. On a CPU nothing changes.
    """
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")


def _of_this_process(requested: list[int | str], world: World) -> list[int | str]:
    """Return the GPU of one of several processes, as a list of one."""
    if requested == [0]:  # the default, and what most configs say
        return [world.local_rank]
    if len(requested) < world.local_size:
        raise UserError(f"--device {' '.join(map(str, requested))} names {len(requested)} GPU(s) for "
                        f"{world.local_size} processes on this machine; name one for each, or leave --device out")
    return [requested[world.local_rank]]


@dataclass(frozen=True)
class Precision:
    """The number format of the forward pass.

    Attributes:
        device_type: "cpu" or "cuda".
        dtype: the autocast format, or None for full precision.
    """

    device_type: str
    dtype: torch.dtype | None = None

    def autocast(self) -> AbstractContextManager[None]:
        """Return the context that a forward pass runs in."""
        return torch.autocast(self.device_type, dtype=self.dtype or torch.bfloat16, enabled=self.dtype is not None)

    def scaler(self) -> torch.amp.GradScaler:
        """Return the gradient scaler: active for fp16 only, since bf16 has the exponents of fp32."""
        return torch.amp.GradScaler(self.device_type, enabled=self.dtype is torch.float16)


def choose_precision(half: bool, amp_dtype: str, device: torch.device,
                     say: Callable[[str], None] | None = None) -> Precision:
    """Turn mixed precision and `--amp-dtype` into a number format that the device supports; say so if that is slow.

    Raises:
        UserError: fp16 on the CPU, or bf16 on a GPU without it.
    """
    if not half:
        return Precision(device.type)
    if device.type == "cpu":
        if amp_dtype == "fp16":
            raise UserError("--amp-dtype fp16 needs a CUDA GPU; the CPU computes in bf16 (leave --amp-dtype out)")
        if say and torch.backends.cpu.get_cpu_capability() == "AVX2":  # it has neither bf16 nor AVX-512 instructions
            say("Mixed precision: this CPU computes bf16 number by number, many times as slowly as fp32.")
        return Precision("cpu", torch.bfloat16)
    native_bf16 = torch.cuda.get_device_capability(device)[0] >= 8
    if amp_dtype == "bf16" and not native_bf16:
        raise UserError("--amp-dtype bf16: this GPU has no bf16 arithmetic; use --amp-dtype fp16")
    use_bf16 = native_bf16 if amp_dtype == "auto" else amp_dtype == "bf16"
    return Precision("cuda", torch.bfloat16 if use_bf16 else torch.float16)
