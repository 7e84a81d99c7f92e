"""ProtoGCN's contrastive loss: clips against a memory of how the graphs of each class look.

Axes: N clips, C classes, F features, V joints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skeleton_lab.nn.precision import without_autocast
from skeleton_lab.nn.synchrony import summed_over_processes

FEATURES = 256
KEPT = 0.9  # of the memory, by each pass that has clips of the class
TEMPERATURE = 0.125
TINY = 1e-12


class ClassMemory(nn.Module):
    """Cross-entropy of the likeness of graphs (N, V*V) to the memory of each class.

    avg_f: the memory (F, C), no part of checkpoints: only training needs it, whose state has it. Processes that train
    together have one memory, of the clips of all.
    """

    avg_f: Tensor

    def __init__(self, cells: int, num_class: int) -> None:
        super().__init__()
        self.cl_fc = nn.Linear(cells, FEATURES)
        self.register_buffer("avg_f", torch.randn(FEATURES, num_class), persistent=False)

    def forward(self, graphs: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """Move the memory towards the clips that the logits (N, C) get right, and return the mean loss of all clips."""
        with without_autocast(graphs):  # cosines are divided by little
            features = self.cl_fc(graphs.to(self.cl_fc.weight.dtype))  # (N, F)
            memory = self._moved(features, logits.detach(), labels)
            with torch.no_grad():
                self.avg_f.copy_(memory)
            lengths = (features.norm(dim=1, keepdim=True) + TINY) * (memory.norm(dim=0, keepdim=True) + TINY)
            return F.cross_entropy(features @ memory / lengths / TEMPERATURE, labels)

    def _moved(self, features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the memory (F, C) with the mean features of right clips in it, of which it is a function."""
        right = (logits.argmax(dim=1) == labels).unsqueeze(1)
        member = F.one_hot(labels, self.avg_f.shape[1]) * right  # (N, C)
        sums, counts = summed_over_processes(features.t() @ member.to(features.dtype)), \
            summed_over_processes(member.sum(dim=0).to(features.dtype))
        moved = KEPT * self.avg_f + (1 - KEPT) * sums / counts.clamp(min=1)
        return torch.where(counts > 0, moved, self.avg_f)
