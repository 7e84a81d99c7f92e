"""A clip as a strip of skeletons, in inline SVG: evenly spread frames, left side blue, right side red."""

from __future__ import annotations

import numpy as np

from skeleton_lab.pictures.sketch import Placing, Points, Sketch, sketch_clip
from skeleton_lab.report.page import Element, element
from skeleton_lab.skeleton_clip import SkeletonClip, spread

PANELS = 6
HEIGHT, NARROWEST, WIDEST, GAP = 128, 74, 150, 4


def draw_strip(clip: SkeletonClip, panels: int = PANELS) -> Element:
    """Return the strip; a second body is drawn with dashes."""
    sketch = sketch_clip(clip, follow=True)
    used = np.flatnonzero(sketch.shown.any(axis=(1, 2)))
    frames = spread(int(used[-1]) + 1 if len(used) else 1, panels)  # without the padding behind
    low, high = sketch.box
    reach = np.maximum(high - low, 1e-6)
    scale = min((HEIGHT - 16) / reach[1], (WIDEST - 12) / reach[0])
    width = max(NARROWEST, float(reach[0] * scale) + 12)
    parts = []
    for place, frame in enumerate(frames):
        centre = np.array([place * (width + GAP) + width / 2, HEIGHT / 2])
        placing = Placing(scale, centre - (low + high) / 2 * scale)
        parts.append(element("rect", class_="frame", x=f"{place * (width + GAP):.1f}", y=0, width=f"{width:.1f}",
                             height=HEIGHT, rx=4))
        for body in sketch.bodies(frame):
            parts += _draw_body(sketch, frame, body, placing)
    total = len(frames) * (width + GAP) - GAP
    return element("svg", *parts, viewBox=f"0 0 {total:.0f} {HEIGHT}", width=f"{total:.0f}", height=HEIGHT, role="img",
                   aria_label=f"skeletons of {clip.title}")


def _draw_body(sketch: Sketch, frame: int, body: int, placing: Placing) -> list[Element]:
    """Return the bones of one body by side, and its joints."""
    drawn = []
    for name, bones in sketch.bones(frame, body):
        lines = "".join(f"M{_pair(begin)}L{_pair(end)}" for begin, end in placing(bones))
        drawn.append(element("path", class_=f"bone {name}{' second' if body else ''}", d=lines))
    dots = "".join(f"M{_pair(joint)}h.01" for joint in placing(sketch.dots(frame, body)))
    return [*drawn, element("path", class_="joints", d=dots)]


def _pair(point: Points) -> str:
    return f"{point[0]:.1f} {point[1]:.1f}"
