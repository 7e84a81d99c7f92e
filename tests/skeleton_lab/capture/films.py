"""Small videos for tests: coloured squares that move over grey."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np

SIZE = (96, 64)  # width, height
Squares = Sequence[tuple[tuple[int, int, int], int, int]]  # colour, x, y of each


def two_people(number: int) -> Squares:
    """Red walks to the right, green to the left; red is away in frames 4 to 6."""
    green = ((0, 255, 0), 70 - 2 * number, 30)
    return [green] if 4 <= number <= 6 else [((255, 0, 0), 10 + 2 * number, 20), green]


def nobody(number: int) -> Squares:
    return []


def write_film(path: Path, frames: int = 12, squares: Callable[[int], Squares] = two_people, fps: int = 25) -> Path:
    """Write an MP4."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("h264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.options = {"crf": "10"}
        for number in range(frames):
            picture = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
            for colour, x, y in squares(number):
                picture[y:y + 16, x:x + 16] = colour
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path
