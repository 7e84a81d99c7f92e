"""Clips as moving pictures: GIF by Pillow, MP4 by PyAV, and a strip of frames as PNG."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from skeleton_lab.errors import UserError
from skeleton_lab.pictures.paint import COLOURS, FLOOR, INK, PAPER, SOFT, Painter, Style, headed, wrapped
from skeleton_lab.pictures.sketch import sketch_clip
from skeleton_lab.skeleton_clip import SkeletonClip, spread

MOVING = (".gif", ".mp4")
GIF_FRAMES = 60  # as a rule, at most
_SHADES = 20  # of each colour on paper
_GIF_UNIT_MS = 10


def save_film(clip: SkeletonClip, max_frames: int | None, path: Path, captions: Sequence[str] | None = None,
              style: Style | None = None) -> None:
    """Draw evenly spread frames at the speed they were recorded, as GIF or MP4 as the name of `path` ends.

    Args:
        max_frames: a longer clip is thinned to so many; None: all.
        captions: a line for each frame of the clip.

    Raises:
        UserError: MP4, and PyAV is not installed.
    """
    numbers = spread(len(clip.frames), max_frames or len(clip.frames))
    fps = clip.fps * len(numbers) / len(clip.frames)
    save_pictures(painted(clip, numbers, captions, style or Style()), fps, path, drawn=True)


def save_pictures(pictures: Iterable[Image.Image], fps: float, path: Path, drawn: bool = False) -> None:
    """Write pictures of one size as GIF or MP4, as the name of `path` ends; `drawn`: they are drawings on paper."""
    if ".mp4" in path.suffixes:  # a file in the making has a name that goes on
        save_mp4(pictures, fps, path)
    else:
        save_gif(pictures, fps, path, drawing_palette() if drawn else None)


def painted(clip: SkeletonClip, numbers: Sequence[int], captions: Sequence[str] | None,
            style: Style) -> Iterator[Image.Image]:
    """Yield pictures of the frames `numbers`, each with the clip's title, its caption, its number and its second."""
    texts = [f"{clip.title}\n{captions[number]}" if captions else clip.title for number in numbers]
    painter = Painter(sketch_clip(clip), style, texts)
    for number, text in zip(numbers, texts, strict=True):
        yield painter.frame(number, text, f"frame {number + 1} of {len(clip.frames)}, {number / clip.fps:.2f} s")


def save_gif(pictures: Iterable[Image.Image], fps: float, path: Path, palette: Image.Image | None = None) -> None:
    """Write a GIF that repeats; `palette`: the colours of all pictures, else each gets its own."""
    if palette is None:
        few = [picture.convert("P", palette=Image.Palette.ADAPTIVE) for picture in pictures]
    else:
        few = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    starts_ms = (np.arange(len(few) + 1) * 1000 / fps / _GIF_UNIT_MS).round() * _GIF_UNIT_MS
    durations_ms = np.maximum(np.diff(starts_ms), _GIF_UNIT_MS).astype(int).tolist()
    few[0].save(path, format="GIF", save_all=True, append_images=few[1:], loop=0, duration=durations_ms)


def drawing_palette() -> Image.Image:
    """Return the colours of a drawing: each one, and its way to paper in shades."""
    ways = [np.linspace(colour, other, _SHADES).round().astype(np.uint8)
            for other in (PAPER, INK) for colour in (*COLOURS.values(), SOFT, FLOOR)]
    colours = np.unique(np.concatenate([*ways, np.linspace(INK, PAPER, _SHADES).round().astype(np.uint8)]), axis=0)
    image = Image.new("P", (1, 1))
    image.putpalette(colours[:256].tobytes())
    return image


def save_mp4(pictures: Iterable[Image.Image], fps: float, path: Path) -> None:
    """Write H.264 in an MP4.

    Raises:
        UserError: PyAV is not installed.
    """
    try:
        import av
    except ImportError:
        raise UserError("an MP4 needs PyAV: pip install av; or give the picture a name that ends in .gif") from None
    pictures = iter(pictures)
    first = next(pictures)
    width, height = (side + side % 2 for side in first.size)  # the codec wants even sides
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("h264", rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "20"}
        for picture in chain([first], pictures):
            if picture.size != (width, height):
                page = Image.new("RGB", (width, height), PAPER)
                page.paste(picture)
                picture = page
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode(None))


def save_strip(clip: SkeletonClip, panels: int, path: Path, style: Style | None = None) -> None:
    """Draw evenly spread frames side by side, as the report does; PNG."""
    style = style or Style((200, 260), bone=3, dot=4, text=13)
    numbers = spread(len(clip.frames), panels)
    painter = Painter(sketch_clip(clip, follow=True), style, ())
    strip = Image.new("RGB", (style.size[0] * len(numbers), style.size[1]), PAPER)
    for place, number in enumerate(numbers):
        panel = painter.frame(number, corner=f"frame {number + 1} of {len(clip.frames)}")
        strip.paste(panel, (place * style.size[0], 0))
    headed(strip, wrapped(clip.title, strip.width, style.text), style.text).save(path, format="PNG")
