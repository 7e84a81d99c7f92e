"""A recording with what the model says of it, as GIF or MP4: on paper, or over the video that it was seen in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from skeleton_lab.capture.video import open_video
from skeleton_lab.files import replacing
from skeleton_lab.pictures.film import GIF_FRAMES, save_film, save_pictures
from skeleton_lab.pictures.paint import Painter, Style
from skeleton_lab.pictures.sketch import Placing, sketch_clip
from skeleton_lab.predict.predictor import Prediction
from skeleton_lab.predict.recordings import Take
from skeleton_lab.predict.results import Wording, captions
from skeleton_lab.predict.videos import Filmed
from skeleton_lab.skeleton_clip import USUAL_FPS, SkeletonClip, spread

SURE = 0.3  # joints of a lower confidence are guesses, often outside the picture
_LONGEST_SIDE = {".gif": 480, ".mp4": 960}  # pixels; every frame of a GIF is stored whole


def draw(path: Path, take: Take, predictions: Sequence[Prediction], wording: Wording, filmed: Filmed | None) -> int:
    """Draw a recording with its label, in windows that of the nearest one; return how many frames it has.

    Args:
        path: ends in .gif, which gets at most 60 frames, or .mp4. filmed: the video to draw over, if it is of one.

    Raises:
        UserError: MP4 or a video, and PyAV is not installed.
    """
    most = GIF_FRAMES if path.suffix == ".gif" else None
    one = Wording(wording.names, 1, wording.fps)
    with replacing(path) as temporary:
        if filmed is None:
            clip = take.picture()
            clip = replace(clip, fps=wording.fps or clip.fps)
            texts = captions(predictions, len(clip.frames), one)
            save_film(clip, most, temporary, texts)
        else:
            texts = captions(predictions, filmed.drawn.num_frames, one)
            numbers = spread(len(texts), most or len(texts))
            fps = (filmed.drawn.fps or USUAL_FPS) * len(numbers) / len(texts)
            save_pictures(_over(filmed, numbers, texts, _LONGEST_SIDE[path.suffix]), fps, temporary)
    return len(texts)


def _over(filmed: Filmed, numbers: Sequence[int], texts: Sequence[str], longest: int) -> Iterator[Image.Image]:
    """Yield frames of the video with the people and the label drawn on them."""
    recording = filmed.drawn
    assert recording.confidence is not None and recording.image_size is not None
    sure = np.where((recording.confidence >= SURE)[..., None], recording.frames, 0)
    flat = np.concatenate([sure[..., :1], -sure[..., 1:], 0 * sure[..., :1]], axis=3)
    sketch = sketch_clip(SkeletonClip(flat, recording.known_skeleton(), ""))
    width, height = recording.image_size
    scale = min(1.0, longest / max(width, height))
    side = min(width, height) * scale
    style = Style((round(width * scale), round(height * scale)), bone=max(2.0, side / 120), dot=max(2.0, side / 110),
                  text=max(12, round(side / 26)))
    painter = Painter(sketch, style, texts, Placing(scale, np.zeros(2)))
    wanted = set(numbers)
    with open_video(filmed.video) as video:
        for number, (time_s, picture) in enumerate(video.frames()):
            if number in wanted:
                page = Image.fromarray(picture).resize(style.size, Image.Resampling.BOX)
                yield painter.frame(number, texts[number], f"{time_s:.2f} s", page)
