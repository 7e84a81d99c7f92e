"""The page: nothing that stands in it becomes markup, nothing is fetched; charts and strips are drawn to scale."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from skeleton_lab.report.charts import Series, confusion_chart, line_chart
from skeleton_lab.report.page import element, section, table, write_page
from skeleton_lab.report.strips import draw_strip
from skeleton_lab.skeleton_clip import SkeletonClip
from skeleton_lab.skeletons import NTU_25

HOSTILE = '<script>alert("1")</script>\'"><img src=x onerror=alert(1)>&amp;\x1b[31m\ud800'


class Tags(HTMLParser):
    """Collects elements and their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def test_hostile_names_stay_text():
    chart = confusion_chart(np.array([[3, 1], [0, 2]]), [HOSTILE, "b"])
    lines = line_chart(HOSTILE, [Series(HOSTILE, [(1, 2), (2, 3)]), Series("b", [(1, 1)])])
    found = Tags(write_page(HOSTILE, [element("p", HOSTILE, title=HOSTILE), table([HOSTILE], [[HOSTILE]]), chart, lines,
                                      section(HOSTILE, HOSTILE, note=HOSTILE)]))
    assert found.tags.count("script") == 1 and "img" not in found.tags
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert '<script>alert("1")</script>' in found.text and "\x1b" not in found.text


def test_nothing_is_fetched_and_only_our_script_may_run():
    page = write_page("t", [element("p", "x")])
    assert not re.search(r"""(src|href)=|url\(|@import|http:|https:""", page)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy and "unsafe-eval" not in policy


def test_children_follow_each_other():
    page = write_page("t", [element("p", "a", element("b", "c"), "d", None, element("i", "e"), "f")])
    assert "<p>a<b>c</b>d<i>e</i>f</p>" in page


def test_lines_reach_from_end_to_end():
    chart = line_chart("x", [Series("a", [(1, 0.0), (2, 50.0), (3, 100.0)])], percent=True)
    points = [tuple(map(float, pair.split(","))) for pair in chart.find("polyline").get("points").split()]
    xs, ys = zip(*points, strict=True)
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1]) and ys[0] - ys[1] == pytest.approx(ys[1] - ys[2], abs=0.2)
    assert ys[0] > ys[2]


@pytest.mark.parametrize("values", [[0.1, 0.01, 0.0001], [0.3], [5.0, 5.0]])
def test_rates_of_any_size_stand_within_the_axis(values):
    points = list(enumerate(values, 1))
    chart = line_chart("x", [Series("a", points)], logarithmic=True)
    heights = [float(pair.split(",")[1]) for pair in chart.find("polyline").get("points").split()]
    assert all(0 < height < 250 for height in heights)
    assert sorted(heights) == heights  # the smaller, the lower


def test_a_chart_of_nothing_is_a_chart():
    assert line_chart("x", [Series("a", [])]).tag == "svg"


@pytest.mark.parametrize("classes", [3, 60, 120])
def test_a_confusion_matrix_of_any_size(classes):
    counts = np.eye(classes, dtype=np.int64) * 5
    counts[0, 1] = 2
    chart = confusion_chart(counts, [f"name {i}" for i in range(classes)])
    cells = [rect for rect in chart.findall("rect") if rect.get("class") in ("hit", "miss")]
    assert len(cells) == classes + 1
    miss = next(rect for rect in cells if rect.get("class") == "miss")
    assert miss.find("title").text == "name 0, taken for name 1: 2 of 7 (28.6 %)"
    assert float(chart.get("width")) <= 1100


def test_a_strip_has_left_and_right_and_leaves_padding_out():
    frames = np.zeros((9, 2, 25, 3), np.float32)
    frames[:4, 0] = np.random.default_rng(0).standard_normal((4, 25, 3))
    frames[:2, 1] = np.random.default_rng(1).standard_normal((2, 25, 3))
    strip = draw_strip(SkeletonClip(frames, NTU_25, "x"), panels=6)
    assert len(strip.findall("rect")) == 4  # frames with somebody in them
    kinds = [path.get("class") for path in strip.findall("path")]
    assert kinds.count("bone left") == 4 and kinds.count("bone right second") == 2
    numbers = np.array(re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", " ".join(p.get("d") for p in strip.findall("path"))),
                       float)
    assert np.mean((numbers[:, 1] > 0) & (numbers[:, 1] < 128)) > 0.95
