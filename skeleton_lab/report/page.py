"""A page of HTML in one file: nothing is fetched, and no name that stands in it can become markup or run.

Elements are built as a tree (`element`), which escapes all text and attributes as it is written. The page's own style
and script stand in it; a content security policy forbids any other, and any request.
"""

from __future__ import annotations

import base64
import hashlib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from typing import Any

Element = ElementTree.Element

STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #ffffff; --ink: #1b1f27; --soft: #5d6675; --line: #dfe3ea;
  --blue: #2f6fdb; --orange: #d9662b; --green: #2a8a57; --violet: #8a4fc7; --teal: #12808c; --pink: #c23a78;
  --left: #2f6fdb; --right: #d3402f; --middle: #6b7380; --stripe: #f3f5f8; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14171c; --card: #1c2027; --ink: #e7eaf0; --soft: #9aa4b4; --line: #323945;
    --blue: #6fa2f5; --orange: #f0935c; --green: #5cc48e; --violet: #b98cf0; --teal: #4fc0cc; --pink: #ef82b4;
    --left: #6fa2f5; --right: #f27a6a; --middle: #98a2b1; --stripe: #222730; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 24px 60px; }
h1 { font-size: 26px; margin: 0; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 0 0 4px; }
h3 { font-size: 14px; margin: 0 0 6px; font-weight: 600; }
p { margin: 4px 0 12px; }
.soft { color: var(--soft); }
.small { font-size: 13px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 20px 22px;
  margin-top: 18px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin-top: 18px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 14px; }
.tile b { display: block; font-size: 21px; line-height: 1.3; overflow-wrap: anywhere;
  font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.tile.main b { color: var(--blue); }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); gap: 22px 30px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
table.wide { width: 100%; }
th, td { text-align: left; padding: 4px 14px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.settings td { overflow-wrap: anywhere; min-width: 7.5em; }
th { font-weight: 600; color: var(--soft); font-size: 13px; white-space: nowrap; }
th.number, td.number { text-align: right; }
table.sortable th { cursor: pointer; user-select: none; }
table.sortable th::after { content: "\\2195"; opacity: 0.35; padding-left: 4px; }
table.sortable th[aria-sort=ascending]::after { content: "\\2191"; opacity: 1; }
table.sortable th[aria-sort=descending]::after { content: "\\2193"; opacity: 1; }
tbody tr:nth-child(even) { background: var(--stripe); }
code, .mono { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 13px; }
.command { display: block; padding: 10px 12px; background: var(--stripe); border-radius: 6px; overflow-wrap: anywhere;
  margin: 8px 0 14px; }
.bar { display: inline-block; height: 9px; border-radius: 2px; background: var(--blue); opacity: 0.75;
  vertical-align: baseline; }
.track { display: inline-block; width: 120px; margin-right: 10px; text-align: left; }
.share { display: inline-block; min-width: 76px; }
.plus { color: var(--green); } .minus { color: var(--right); }
details summary { cursor: pointer; color: var(--soft); margin: 10px 0; }
.pair { border-top: 1px solid var(--line); padding: 14px 0 10px; break-inside: avoid; }
.pair:first-of-type { border-top: 0; }
figure { margin: 0; } figcaption { font-size: 13px; color: var(--soft); overflow-wrap: anywhere; }
svg { max-width: 100%; height: auto; display: block; }
.matrix { overflow-x: auto; } .matrix svg { margin: 0 auto; }
svg text { font: 11px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; fill: var(--soft); }
svg .title { font-size: 13px; font-weight: 600; fill: var(--ink); }
svg .grid { stroke: var(--line); stroke-width: 1; } svg .axis { stroke: var(--soft); stroke-width: 1; }
svg .series { fill: none; stroke-width: 2; stroke-linejoin: round; } svg .mark { stroke: var(--card); stroke-width: 1; }
svg .hit { fill: var(--blue); } svg .miss { fill: var(--orange); } svg .frame { fill: none; stroke: var(--line); }
svg .count { text-anchor: middle; fill: var(--ink); } svg .on { fill: #ffffff; }
@media (prefers-color-scheme: dark) { svg .on { fill: #10131a; } }
svg .bone { fill: none; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }
svg .second { stroke-dasharray: 4 3; }
svg .joints { stroke: var(--ink); stroke-width: 3; stroke-linecap: round; opacity: 0.45; }
svg .left { stroke: var(--left); } svg .right { stroke: var(--right); } svg .middle { stroke: var(--middle); }
footer { color: var(--soft); font-size: 13px; margin-top: 20px; }
@media (max-width: 560px) { main { padding: 16px 12px; } section { padding: 14px 12px; }
  .chart text { font-size: 13px; } .chart .title { font-size: 16px; } .matrix svg { max-width: none; }
  .track { width: 60px; } }
@media print { :root { --page: #ffffff; --stripe: #f5f5f5; } main { max-width: none; padding: 0; }
  body { font-size: 12px; } section, .tile { border-color: #cccccc; }
  section { break-inside: auto; } h2, h3 { break-after: avoid; }
  h2 + p { break-after: avoid; } figure, svg, tr, .tile { break-inside: avoid; }
  .columns { grid-template-columns: 1fr 1fr; gap: 12px 16px; } .matrix svg { max-height: 150mm; }
  .scroll, .matrix { overflow: visible; } .settings td { min-width: 0; }
  table { font-size: 10.5px; } th, td { padding-right: 8px; }
  th { font-size: 10.5px; white-space: normal; } table.sortable th::after { content: ""; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""

# Sorts a table by the column whose head is clicked, and opens what is folded for printing.
SCRIPT = """
for (const head of document.querySelectorAll("table.sortable th")) {
  head.tabIndex = 0;
  const sort = () => {
    const body = head.closest("table").tBodies[0], column = head.cellIndex;
    const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const numeric = head.classList.contains("number");
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const compare = (a, b) => numeric ? Number(a) - Number(b) : a.localeCompare(b, undefined, {numeric: true});
    body.append(...[...body.rows].sort((a, b) => sign * compare(value(a), value(b))));
  };
  head.addEventListener("click", sort);
  head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((fold) => { fold.open = true; }));
"""


def element(tag: str, *children: Element | str | None, **attributes: Any) -> Element:
    """Return an element; `class_`, `data_value`, `stroke_width` and the like are attributes with hyphens.

    Children that are None are left out; so are attributes.
    """
    made = ElementTree.Element(tag, {name.strip("_").replace("_", "-"): _clean(value)
                                     for name, value in attributes.items() if value is not None})
    last = None
    for child in children:
        if isinstance(child, ElementTree.Element):
            made.append(child)
            last = child
        elif child is not None and last is None:
            made.text = (made.text or "") + _clean(child)
        elif child is not None and last is not None:
            last.tail = (last.tail or "") + _clean(child)
    return made


def write_page(title: str, parts: Iterable[Element]) -> str:
    """Return the whole document."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
    document = element(
        "html",
        element("head",
                element("meta", charset="utf-8"),
                element("meta", http_equiv="Content-Security-Policy", content=policy),
                element("meta", name="viewport", content="width=device-width, initial-scale=1"),
                element("title", title),
                element("style", STYLE)),
        element("body", element("main", *parts), element("script", SCRIPT)),
        lang="en")
    return "<!DOCTYPE html>\n" + ElementTree.tostring(document, encoding="unicode", method="html") + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[Element | str | None]], *, numbers: Iterable[int] = (),
          kind: str | None = None) -> Element:
    """Return a table; cells are text, or elements of tag `td`.

    Args:
        numbers: which columns are numbers: set to the right, and sorted as such.
        kind: one or more of "sortable" (by a click on a head), "wide" (as the page) and "settings" (long words may
            break); without the last no word breaks, and a table wider than the page is scrolled.
    """
    right = set(numbers)

    def cell(tag: str, value: Element | str | None, column: int) -> Element:
        if isinstance(value, ElementTree.Element):
            return value
        return element(tag, value, class_="number" if column in right else None)

    made = element("table",
                   element("thead", element("tr", *(cell("th", text, i) for i, text in enumerate(head)))),
                   element("tbody", *(element("tr", *(cell("td", value, i) for i, value in enumerate(row)))
                                      for row in rows)),
                   class_=kind)
    return element("div", made, class_="scroll")


def section(title: str, *children: Element | str | None, note: str | None = None) -> Element:
    """Return a titled part of the page."""
    said = element("p", note, class_="soft small") if note else None
    return element("section", element("h2", title), said, *children)


def tiles(figures: Iterable[tuple[str, str]]) -> Element:
    """Return figures in large print, each with what it is; the first stands out."""
    return element("div", *(element("div", element("b", value), element("span", name),
                                    class_="tile" if place else "tile main")
                            for place, (name, value) in enumerate(figures)), class_="tiles")


def _clean(value: Any) -> str:
    """Return text that may stand in a page: no lone surrogates, no control characters."""
    text = str(value).encode("utf-8", "replace").decode()
    return "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)
