"""A sketch as pictures of pixels, drawn by Pillow: on paper with a floor, or over the frames of a video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from skeleton_lab.pictures.sketch import Placing, Points, Sketch, dashed, fit

Colour = tuple[int, int, int]
COLOURS: dict[str, Colour] = {"left": (31, 101, 185), "right": (202, 52, 45), "middle": (95, 100, 108)}
PAPER, INK, SOFT, FLOOR = (255, 255, 255), (28, 32, 38), (106, 112, 122), (222, 226, 231)
# Body after body: whole lines, dashes, dots, dashes and dots; in pixels.
DASHES: tuple[tuple[float, ...], ...] = ((), (7, 5), (2, 4), (8, 4, 2, 4))
_FINE = 2  # drawn so many times as large and shrunk, which makes edges smooth
MARGIN = 14


@dataclass(frozen=True)
class Style:
    """size: width and height of the drawing in pixels, without its text. bone: width of a bone; dot: of a joint."""

    size: tuple[int, int] = (512, 512)
    bone: float = 4
    dot: float = 5
    text: int = 15


class Painter:
    """Paints the frames of one sketch, all alike: text above, the people at one scale below.

    Args:
        texts: what will be written above the frames; the longest says how much room it gets.
        placing: where the sketch stands in the picture; None: in its middle, as large as it fits.
    """

    def __init__(self, sketch: Sketch, style: Style, texts: Sequence[str], placing: Placing | None = None) -> None:
        self.sketch, self.style = sketch, style
        self.placing = placing or fit(sketch.box, style.size, MARGIN)
        self._lines = max((len(self._wrapped(text)) for text in set(texts)), default=0)
        self._paper = self._floored()

    def frame(self, number: int, text: str = "", corner: str = "", over: Image.Image | None = None) -> Image.Image:
        """Return a picture of one frame, RGB.

        Args:
            text: stands above; `corner`: below at the right. over: a picture of `style.size` that it is drawn on.
        """
        large = self._paper.copy() if over is None else _enlarged(over)
        draw = ImageDraw.Draw(large)
        for body in self.sketch.bodies(number):
            self._draw_body(draw, number, body)
        drawn = large.reduce(_FINE)
        if corner:
            write(drawn, (self.style.size[0] - 8, self.style.size[1] - 6), corner, self.style.text - 3, "rs")
        return headed(drawn, self._wrapped(text), self.style.text, self._lines)

    def _draw_body(self, draw: ImageDraw.ImageDraw, number: int, body: int) -> None:
        style, pattern = self.style, DASHES[body % len(DASHES)]
        for side, bones in self.sketch.bones(number, body):
            ends = self.placing(bones)
            draw_lines(draw, dashed(ends, pattern) if pattern else ends, COLOURS[side], style.bone)
            if not pattern:
                draw_dots(draw, ends.reshape(-1, 2), COLOURS[side], style.bone)  # round ends
        draw_dots(draw, self.placing(self.sketch.dots(number, body)), INK, style.dot)

    def _floored(self) -> Image.Image:
        width, height = self.style.size
        paper = Image.new("RGB", (_FINE * width, _FINE * height), PAPER)
        draw_lines(ImageDraw.Draw(paper), self.placing(self.sketch.floor), FLOOR, 1.5)
        return paper

    def _wrapped(self, text: str) -> list[str]:
        return wrapped(text, self.style.size[0] - 2 * MARGIN, self.style.text) if text else []


def headed(picture: Image.Image, lines: Sequence[str], size: int, room: int = 0) -> Image.Image:
    """Return a picture with lines of text above it; `room`: for how many lines there is room, at least."""
    room = max(room, len(lines))
    if not room:
        return picture
    height = room * _line_height(size) + 10
    page = Image.new("RGB", (picture.width, picture.height + height), PAPER)
    page.paste(picture, (0, height))
    for number, words in enumerate(lines):
        write(page, (picture.width // 2, 6 + number * _line_height(size)), words, size, "ma")
    return page


def draw_lines(draw: ImageDraw.ImageDraw, segments: Points, colour: Colour, width: float) -> None:
    """Draw lines (n, 2, 2), given in pixels of the picture, onto its enlarged form."""
    for ends in np.rint(segments * _FINE).astype(int).tolist():
        draw.line([tuple(end) for end in ends], colour, round(width * _FINE))


def draw_dots(draw: ImageDraw.ImageDraw, points: Points, colour: Colour, width: float) -> None:
    """Draw discs of a diameter of `width` pixels around points (n, 2), as `draw_lines` does."""
    reach = width * _FINE / 2
    for x, y in (points * _FINE).tolist():
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), colour)


def _enlarged(picture: Image.Image) -> Image.Image:
    large = (_FINE * picture.width, _FINE * picture.height)
    return picture.convert("RGB").resize(large, Image.Resampling.NEAREST)  # shrunk again, it is what it was


def write(picture: Image.Image, place: tuple[int, int], text: str, size: int, anchor: str) -> None:
    """Write a line at a place; `anchor` as Pillow's: "ma" for the middle of its upper edge, "rs" for its right end."""
    draw = ImageDraw.Draw(picture)
    soft = anchor == "rs"
    draw.text(place, text, SOFT if soft else INK, font_of(size), anchor, stroke_width=2 if soft else 0,
              stroke_fill=PAPER)  # readable over a video


def wrapped(text: str, width: int, size: int) -> list[str]:
    """Return `text` in lines of at most `width` pixels; its own line breaks stay, words that are longer are cut."""
    font, lines = font_of(size), []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if font.getlength(longer) <= width:
                line = longer
                continue
            if line:
                lines.append(line)
            while font.getlength(word) > width and len(word) > 1:
                fits = next(n for n in range(len(word) - 1, 0, -1) if n == 1 or font.getlength(word[:n]) <= width)
                lines.append(word[:fits])
                word = word[fits:]
            line = word
        lines.append(line)
    return lines


def _line_height(size: int) -> int:
    return round(1.35 * size)


@lru_cache
def font_of(size: int) -> ImageFont.FreeTypeFont:
    """Return the font that comes with matplotlib, which has the letters of most alphabets."""
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), size)
