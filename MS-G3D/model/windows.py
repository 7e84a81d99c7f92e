"""Sliding windows without copies of frames: the memory layout in which windows are slices.
In `model/reference.py` they are `sliding_windows`, of copies.

Frames are laid out as (s, Q, B, V, C): frame p of the zero-padded sequence stands at phase p mod s, place p // s, where
s is the stride. Frame tau of every window, of every body, is then one contiguous slice (T'*B, V, C).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Windows:
    """Windows of `size` frames (odd) around every `stride`-th frame. Size 1, stride 1: single frames."""

    size: int
    stride: int

    @property
    def pad(self) -> int:
        """Frames of zeros in front of the first."""
        return (self.size - 1) // 2

    def count(self, num_frames: int) -> int:
        """T', the number of windows over T frames."""
        return -(-num_frames // self.stride)

    def places(self, num_frames: int) -> int:
        """Q, the number of places of each phase that the windows reach."""
        return self.count(num_frames) + (self.size - 1) // self.stride

    def _runs(self, num_frames: int) -> list[tuple[int, slice, slice]]:
        """Return (phase, places, frames) for each phase that holds any of the T frames."""
        runs = []
        for phase in range(self.stride):
            first_place = max(0, -((phase - self.pad) // self.stride))
            first_frame = first_place * self.stride + phase - self.pad
            length = min(len(range(first_frame, num_frames, self.stride)), self.places(num_frames) - first_place)
            if length > 0:
                runs.append((phase, slice(first_place, first_place + length),
                             slice(first_frame, first_frame + length * self.stride, self.stride)))
        return runs

    def lay_out(self, x: Tensor) -> Tensor:
        """Return x (B, C, T, V) as padded frames (s, Q, B, V, C)."""
        if self.size == self.stride == 1:
            return x.permute(2, 0, 3, 1).contiguous().unsqueeze(0)
        b, c, t, v = x.shape
        frames = x.new_zeros(self.stride, self.places(t), b, v, c)
        for phase, places, own in self._runs(t):
            frames[phase, places] = x[:, :, own].permute(2, 0, 3, 1)
        return frames

    def gather(self, frames: Tensor, num_frames: int) -> Tensor:
        """Return frames (s, Q, B, V, C) as (B, C, T, V), the padding dropped: the adjoint of `lay_out`."""
        if self.size == self.stride == 1:
            return frames.squeeze(0).permute(1, 3, 0, 2)
        _, _, b, v, c = frames.shape
        x = frames.new_zeros(num_frames, b, v, c).permute(1, 3, 0, 2)
        for phase, places, own in self._runs(num_frames):
            x[:, :, own] = frames[phase, places].permute(1, 3, 0, 2)
        return x

    def frame(self, frames: Tensor, tau: int) -> Tensor:
        """Return frame tau of every window, a view (T'*B, ...) of frames (s, Q, B, ...)."""
        first = tau // self.stride
        count = frames.shape[1] - (self.size - 1) // self.stride
        return frames[tau % self.stride, first:first + count].flatten(0, 1)


def maps_to_rows(x: Tensor) -> Tensor:
    """Return x (B, C, T, V) as rows (T*B*V, C): a view if x is a view of such rows."""
    return x.permute(2, 0, 3, 1).reshape(-1, x.shape[1])


def rows_to_maps(rows: Tensor, num_bodies: int, num_joints: int) -> Tensor:
    """View rows (T*B*V, C) as (B, C, T, V)."""
    return rows.view(-1, num_bodies, num_joints, rows.shape[1]).permute(1, 3, 0, 2)
