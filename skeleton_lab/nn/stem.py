"""The stem of models that widen joints before their first batch norm, as one affine map.
As equations it is `Model.embed` in the `model/reference.py` of BlockGCN and FreqMixFormer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skeleton_lab.nn.norm import Moments, folded, update_running
from skeleton_lab.nn.precision import without_autocast
from skeleton_lab.nn.synchrony import averaged


def embed_joints(clips: Tensor, embedding: nn.Linear, positions: Tensor, norm: nn.BatchNorm1d) -> Tensor:
    """Embed the joints and normalise each (body, joint, channel): (N, 3, T, V, M) -> (N*M, C, V, T).

    The norm's moments follow from those of the few coordinates, so that nothing wide is kept.

    Args:
        positions: (1, V, C), added to what `embedding` makes of a joint. norm: over M*V*C features, channels fastest.
    """
    n, _, t, v, m = clips.shape
    coordinates = clips.to(torch.promote_types(clips.dtype, torch.float32)).permute(4, 3, 1, 0, 2).flatten(3)
    with without_autocast(clips):  # coordinates: (M, V, 3, N*T)
        offset = embedding.bias + positions  # (1, V, C)
        if norm.training:
            mean, covariance = _moments(coordinates)
            coordinates = coordinates - mean
            means = (mean.squeeze(3) @ embedding.weight.t() + offset).flatten()  # (M*V*C)
            variances = ((embedding.weight @ covariance) * embedding.weight).sum(dim=3).flatten()
            update_running([norm], Moments(means.detach(), variances.detach()), n * t)
            scale = norm.weight * (variances + norm.eps).rsqrt()
            shift = norm.bias + 0 * means  # the norm takes the offset out: its gradient is zero, not none
        else:
            scale, shift = folded([norm])
            shift = offset.expand(m, -1, -1).flatten() * scale + shift
        scale, shift = (tensor.view(m, v, -1, 1) for tensor in (scale, shift))
        mapping = torch.cat([embedding.weight * scale, shift], dim=3)  # (M, V, C, 4)
        coordinates = torch.cat([coordinates, torch.ones_like(coordinates[:, :, :1])], dim=2)
        embedded = torch.bmm(mapping.flatten(0, 1), coordinates.flatten(0, 1))  # (M*V, C, N*T)
    return embedded.view(m, v, -1, n, t).permute(3, 0, 2, 1, 4).reshape(n * m, -1, v, t)


def _moments(coordinates: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean (M, V, C, 1) and covariance (M, V, C, C) of coordinates (M, V, C, P), over all processes."""
    [mean] = averaged(coordinates.mean(dim=3, keepdim=True))
    centred = coordinates - mean
    [covariance] = averaged(centred @ centred.transpose(2, 3) / coordinates.shape[3])
    return mean, covariance
