"""predict.py --camera --show: the people of the newest frame and what they do, in a window of Tk's."""

from __future__ import annotations

from types import TracebackType

import numpy as np

from skeleton_lab.errors import UserError
from skeleton_lab.pictures.paint import MARGIN, Painter, Style
from skeleton_lab.pictures.sketch import Points, fit, sketch_clip
from skeleton_lab.predict.live import Live, Moment, joined

TITLE = "predict.py"


class Window:
    """A window for the block; closing it ends the stream as Ctrl-C does.

    Raises:
        UserError: Python has no Tk, or there is no screen.
    """

    def __init__(self, live: Live) -> None:
        try:
            import tkinter

            from PIL import ImageTk
        except ImportError:
            raise UserError("--show: this Python has no Tk; install python3-tk, or leave --show out") from None
        try:
            self._root = tkinter.Tk()
        except tkinter.TclError as error:
            raise UserError(f"--show: cannot open a window ({error}); leave it out where there is no screen") from None
        self._live, self._image_of, self._label = live, ImageTk.PhotoImage, tkinter.Label(self._root)
        self._root.title(TITLE)
        self._label.pack()
        self._open, self._drawn, self._text = True, -1, ""
        self._box: tuple[Points, Points] | None = None
        self._root.protocol("WM_DELETE_WINDOW", self._close)

    def __enter__(self) -> Window:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._open:
            self._root.destroy()

    def tell(self, moment: Moment, label: str) -> None:
        """Have the next pictures say what a prediction says."""
        self._text = f"{label}\ndelay {1000 * moment.delay_s:.0f} ms"

    def refresh(self) -> None:
        """Draw the newest frame, if it is another one, and let the window answer."""
        frames = self._live.ring.window(1)
        if frames and frames[0].number != self._drawn and any(map(np.any, frames[0].people.values())):
            self._drawn = frames[0].number
            sketch = sketch_clip(joined(frames, self._live.source.template).picture(""))
            self._box = _around(self._box, sketch.box)
            style = Style()
            painter = Painter(sketch, style, ["\n"], fit(self._box, style.size, MARGIN))
            self._picture = self._image_of(painter.frame(0, self._text, f"frame {self._drawn}"), master=self._root)
            self._label.configure(image=self._picture)
        self._root.update()
        if not self._open:
            raise KeyboardInterrupt

    def _close(self) -> None:
        self._open = False
        self._root.destroy()


def _around(box: tuple[Points, Points] | None, other: tuple[Points, Points]) -> tuple[Points, Points]:
    """Return the box around both, so that the scale does not jump."""
    return other if box is None else (np.minimum(box[0], other[0]), np.maximum(box[1], other[1]))
