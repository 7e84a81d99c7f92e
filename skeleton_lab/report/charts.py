"""Charts as inline SVG: they take the page's colours, light or dark, and stay sharp in print."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skeleton_lab.class_names import short
from skeleton_lab.report.page import Element, element

COLOURS = ("blue", "orange", "green", "violet", "teal", "pink")
WIDTH, HEIGHT = 520, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 44, 34
_MOST_TICKS = 6
_MOST_MARKS = 60  # more points than this are a line only
_MOST_POINTS = 2_000  # of a line: two a pixel, about
_MOST_NAMED_CLASSES = 20
_WIDEST = 1030


@dataclass(frozen=True)
class Series:
    """A line of a chart: its name and its points (x, y)."""

    name: str
    points: Sequence[tuple[float, float]]


def line_chart(title: str, series: Sequence[Series], *, percent: bool = False, logarithmic: bool = False) -> Element:
    """Return a chart over the epochs; `percent`: from 0 to 100 %; `logarithmic`: for values above 0 of any size."""
    shown = [line for line in series if line.points]
    low, high, ticks = _scale([y for line in shown for _, y in line.points], percent, logarithmic)
    xs = [x for line in shown for x, _ in line.points] or [0.0, 1.0]
    first, last = min(xs), max(xs)

    def across(x: float) -> float:
        return LEFT + (x - first) / ((last - first) or 1) * (WIDTH - LEFT - RIGHT)

    def upward(y: float) -> float:
        y, bottom, top = (math.log10(v) for v in (y, low, high)) if logarithmic else (y, low, high)
        return HEIGHT - BOTTOM - (y - bottom) / ((top - bottom) or 1) * (HEIGHT - TOP - BOTTOM)

    parts = [element("text", title, class_="title", x=0, y=14)]
    for tick in ticks:
        parts += [element("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=_px(upward(tick)), y2=_px(upward(tick))),
                  element("text", f"{tick:.6g}" + (" %" if percent else ""), x=LEFT - 6, y=_px(upward(tick) + 4),
                          text_anchor="end")]
    for tick in _whole_ticks(first, last):
        parts.append(element("text", f"{tick}", x=_px(across(tick)), y=HEIGHT - BOTTOM + 16, text_anchor="middle"))
    parts.append(element("text", "epoch", x=WIDTH - RIGHT, y=HEIGHT - 2, text_anchor="end"))
    parts.append(element("line", class_="axis", x1=LEFT, x2=WIDTH - RIGHT, y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM))
    legend_x = float(LEFT)
    for place, line in enumerate(shown):
        colour = f"var(--{COLOURS[place % len(COLOURS)]})"
        dashes = None if place < len(COLOURS) else "6 3"
        path = " ".join(f"{_px(across(x))},{_px(upward(y))}" for x, y in thinned(line.points))
        parts.append(element("polyline", class_="series", points=path, style=f"stroke: {colour}",
                             stroke_dasharray=dashes))
        if len(line.points) <= _MOST_MARKS:
            parts += [element("circle", element("title", f"{line.name}, epoch {x:g}: {y:.4g}"), class_="mark", r=3,
                              cx=_px(across(x)), cy=_px(upward(y)), style=f"fill: {colour}") for x, y in line.points]
        if len(shown) > 1:
            parts += [element("rect", x=_px(legend_x), y=24, width=12, height=4, rx=2, style=f"fill: {colour}"),
                      element("text", short(line.name), x=_px(legend_x + 17), y=30)]
            legend_x += 36 + 6.2 * len(short(line.name))
    return _svg(WIDTH, HEIGHT, title, parts, kind="chart")


def thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Return the points (x, y) that a chart can show: the lowest and the highest of each short stretch."""
    stretch = 2 * len(points) / _MOST_POINTS
    if stretch <= 2:
        return points
    kept = {0, len(points) - 1}
    for part in range(_MOST_POINTS // 2):
        places = range(round(part * stretch), min(round((part + 1) * stretch), len(points)))
        kept |= {min(places, key=lambda place: points[place][1]), max(places, key=lambda place: points[place][1])}
    return [points[place] for place in sorted(kept)]


def confusion_chart(counts: NDArray[np.int64], names: Sequence[str]) -> Element:
    """Return a confusion matrix, (classes, classes), row: true class; deeper colour: larger share of the row.

    Hits are blue and mistakes orange; the share of a mistake is drawn with a square root, so that rare ones show.
    """
    classes = len(counts)
    named = classes <= _MOST_NAMED_CLASSES
    longest = max((len(short(name)) for name in names), default=0) if named else 3
    margin = 24 + 6.4 * longest
    cell = min(max(int((_WIDEST - margin) / classes), 6), 56)
    side = classes * cell
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    parts = [element("rect", class_="frame", x=_px(margin), y=_px(margin), width=side, height=side)]
    for row, column in np.argwhere(counts):
        share = shares[row, column]
        hit = row == column
        x, y = margin + column * cell, margin + row * cell
        text = (f"{names[row]}, {'recognised' if hit else f'taken for {names[column]}'}: "
                f"{counts[row, column]} of {counts[row].sum()} ({100 * share:.1f} %)")
        opacity = share if hit else math.sqrt(share)
        parts.append(element("rect", element("title", text), class_="hit" if hit else "miss", x=_px(x), y=_px(y),
                             width=cell, height=cell, fill_opacity=f"{0.06 + 0.94 * opacity:.2f}"))
        if named:
            parts.append(element("text", str(counts[row, column]), class_="count on" if opacity > 0.6 else "count",
                                 x=_px(x + cell / 2), y=_px(y + cell / 2 + 4), pointer_events="none"))
    step = 1 if named else 5
    for number in range(0, classes, step):
        middle = margin + (number + 0.5) * cell
        label = short(names[number]) if named else str(number)
        parts += [element("text", label, x=_px(margin - 6), y=_px(middle + 4), text_anchor="end"),
                  element("text", label, transform=f"translate({_px(middle + 4)} {_px(margin - 6)}) rotate(-90)")]
    parts += [element("text", "predicted class", x=_px(margin + side / 2), y=11, text_anchor="middle"),
              element("text", "true class", text_anchor="middle", transform=f"translate(11 {_px(margin + side / 2)}) "
                                                                            "rotate(-90)")]
    return _svg(round(margin + side + 2), round(margin + side + 2), "confusion matrix", parts)


def _scale(values: Sequence[float], percent: bool, logarithmic: bool) -> tuple[float, float, list[float]]:
    """Return the ends of the value axis and its ticks."""
    if percent:
        return 0.0, 100.0, [0.0, 25.0, 50.0, 75.0, 100.0]
    if logarithmic:
        low, high = (min(values), max(values)) if values else (0.1, 1.0)
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [10.0**decade for decade in decades]
        if len(ticks) < 2:
            ticks = [ticks[0] / 10, *ticks]
        return ticks[0], ticks[-1], ticks[::math.ceil(len(ticks) / _MOST_TICKS)]
    high = max([value for value in values if 0 < value < math.inf], default=1.0)
    step = _round_step(high / _MOST_TICKS)
    count = math.ceil(high / step - 1e-9)
    return 0.0, count * step, [step * number for number in range(count + 1)]


def _whole_ticks(first: float, last: float) -> list[int]:
    step = max(math.ceil(_round_step((last - first) / 10 or 1)), 1)
    start, end = math.ceil(first), math.floor(last)
    inner = [number for number in range(-(-start // step) * step, end + 1, step) if number - start >= step * 0.6]
    return [start, *inner]


def _round_step(step: float) -> float:
    """Return the nearest of 1, 2, 5, 10, 20, 50, ... that is not below `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * (1 - 1e-9))


def _svg(width: int, height: int, title: str, parts: Sequence[Element],
         kind: str | None = None) -> Element:
    return element("svg", *parts, class_=kind, viewBox=f"0 0 {width} {height}", width=width, height=height,
                   role="img", aria_label=title)


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
