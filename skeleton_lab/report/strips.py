"""A clip as a strip of skeletons, in inline SVG: evenly spread frames, left side blue, right side red."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skeleton_lab.report.page import Element, element
from skeleton_lab.skeleton_clip import SkeletonClip, side, spread
from skeleton_lab.skeletons import Skeleton

PANELS = 6
HEIGHT, NARROWEST, WIDEST, GAP = 128, 74, 150, 4
_STRAY = 0.005  # share of the joints, at either end, that need not fit into the picture


def draw_strip(clip: SkeletonClip, panels: int = PANELS) -> Element:
    """Return the strip; a second body is drawn with dashes."""
    used = np.flatnonzero(clip.present.any(axis=1))
    frames = slice(used[-1] + 1 if len(used) else 1)  # without the padding behind
    seen, present = clip.on_screen()[frames], clip.present[frames]  # (T, M, V, 2), (T, M)
    points = seen[present].reshape(-1, 2)
    low, high = np.quantile(points, (_STRAY, 1 - _STRAY), axis=0) if len(points) else (np.zeros(2), np.ones(2))
    reach = np.maximum(high - low, 1e-6)
    scale = min((HEIGHT - 16) / reach[1], (WIDEST - 12) / reach[0])
    width = max(NARROWEST, float(reach[0] * scale) + 12)
    middle = (low + high) / 2
    parts = []
    for place, frame in enumerate(spread(len(seen), panels)):
        centre = np.array([place * (width + GAP) + width / 2, HEIGHT / 2])
        parts.append(element("rect", class_="frame", x=f"{place * (width + GAP):.1f}", y=0, width=f"{width:.1f}",
                             height=HEIGHT, rx=4))
        for body in np.flatnonzero(present[frame]):
            joints = centre + (seen[frame, body] - middle) * scale * (1, -1)  # down the page is down
            parts += _draw_body(joints, clip.skeleton, second=bool(body))
    total = len(spread(len(seen), panels)) * (width + GAP) - GAP
    return element("svg", *parts, viewBox=f"0 0 {total:.0f} {HEIGHT}", width=f"{total:.0f}", height=HEIGHT, role="img",
                   aria_label=f"skeletons of {clip.title}")


def _draw_body(joints: NDArray[np.floating], skeleton: Skeleton, second: bool) -> list[Element]:
    """Return the bones of one body, (V, 2) on the page, by side, and its joints."""
    paths: dict[str, list[str]] = {"middle": [], "left": [], "right": []}
    for joint, parent in skeleton.bones:
        if joint != parent:
            paths[side(skeleton, joint)].append(f"M{_pair(joints[parent])}L{_pair(joints[joint])}")
    drawn = [element("path", class_=f"bone {name}{' second' if second else ''}", d="".join(lines))
             for name, lines in paths.items() if lines]
    dots = "".join(f"M{_pair(joint)}h.01" for joint in joints)
    return [*drawn, element("path", class_="joints", d=dots)]


def _pair(point: Sequence[float] | NDArray[np.floating]) -> str:
    return f"{point[0]:.1f} {point[1]:.1f}"
