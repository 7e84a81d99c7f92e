"""Bodies that are not there: most clips show one person, and the second body is zeros.

In evaluation all bodies go through a network by themselves, so absent ones of one place in the clips and one length
come out alike: one of them is computed, and kept while the weights stay.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from skeleton_lab.nn.chunking import all_at_once
from skeleton_lab.nn.precision import working_dtype
from skeleton_lab.nn.prepared import prepared


def each_body(model: nn.Module, clips: Tensor, x: Tensor, run: Callable[[Tensor], Tensor]) -> Tensor:
    """Return run(x), (N*M, F), computing absent bodies once; all of them with gradients, in training and on a GPU.

    Args:
        clips: (N, C, T, V, M), where an absent body is zeros. x: (N*M, ...), what has become of its bodies so far.
        run: what maps each body by itself, (B, ...) -> (B, F), and depends on `model` alone.
    """
    if model.training or torch.is_grad_enabled() or all_at_once(x):
        return run(x)
    present = (clips != 0).flatten(1, 3).any(dim=1).flatten().tolist()  # (N*M)
    if all(present):
        return run(x)
    frames, slots = clips.shape[2], clips.shape[4]
    known: dict[tuple[int, int], Tensor] = prepared((model,), working_dtype(x), dict)
    first = {(body % slots, frames): body for body in reversed(range(len(present))) if not present[body]}
    wanted = {kind: body for kind, body in first.items() if kind not in known}
    rows = [body for body, there in enumerate(present) if there] + list(wanted.values())
    computed = run(x[rows]) if rows else None
    if computed is not None:
        known |= {kind: computed[rows.index(body)].clone() for kind, body in wanted.items()}
    place = {body: row for row, body in enumerate(rows)}
    return torch.stack([known[body % slots, frames] if computed is None or body not in place else computed[place[body]]
                        for body in range(len(present))])
