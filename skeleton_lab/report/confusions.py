"""The classes that a model mixes up most, and clips that show why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from skeleton_lab.errors import UserError
from skeleton_lab.report.page import Element, element
from skeleton_lab.report.results import Predictions
from skeleton_lab.report.strips import draw_strip

MOST_PAIRS = 6


class Confusion(NamedTuple):
    """A pair of classes: of the `total` clips of class `true`, `clips` were taken for class `predicted`.

    wrong: a clip that was, the one that the model was surest of; right: a clip of class `predicted` that it recognised,
    again the surest one, or None. Both are places in the test set.
    """

    true: int
    predicted: int
    clips: int
    total: int
    wrong: int
    right: int | None


def worst_confusions(predictions: Predictions, most: int = MOST_PAIRS) -> list[Confusion]:
    """Return the pairs with the most mistakes, then with the largest share of the class; the worst first."""
    counts = predictions.confusion()
    totals = counts.sum(axis=1)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    pairs = sorted(((int(t), int(p)) for t, p in np.argwhere(wrong)), key=lambda pair: (
        -wrong[pair], -wrong[pair] / totals[pair[0]], pair))[:most]
    return [Confusion(t, p, int(wrong[t, p]), int(totals[t]), *_examples(predictions, t, p)) for t, p in pairs]


def _examples(predictions: Predictions, true: int, predicted: int) -> tuple[int, int | None]:
    confidence = np.nan_to_num(predictions.probability, nan=0.0)

    def surest(chosen: np.ndarray) -> int | None:
        places = np.flatnonzero(chosen)
        return int(places[confidence[places].argmax()]) if len(places) else None

    said = predictions.predicted == predicted
    wrong, right = surest(said & (predictions.true == true)), surest(said & (predictions.true == predicted))
    return (-1 if wrong is None else wrong), right


def why_not_pictured(predictions: Predictions | None, feeder: Any) -> str:
    """Return why the feeder cannot show the clips of the predictions, or "" if it can."""
    if not hasattr(feeder, "recorded"):
        return "the feeder of the test data has no recorded(index)"
    if predictions is not None and not np.array_equal(np.asarray(feeder.label), predictions.true):
        return "the test data is no longer what the predictions were made of"
    return ""


def confusion_cards(pairs: Sequence[Confusion], names: Sequence[str], feeder: Any, why_no_clips: str) -> list[Element]:
    """Return a card for each pair: with strips of skeletons, or, if there is a reason for none, without."""
    if not pairs:
        return [element("p", "No clip was taken for another class, or which ones were is not recorded.")]
    cards = []
    if why_no_clips:
        cards.append(element("p", f"No pictures of the clips: {why_no_clips}.", class_="soft small"))
    for pair in pairs:
        title = (f"{names[pair.true]} → {names[pair.predicted]}: {pair.clips} of {pair.total} clips "
                 f"({100 * pair.clips / pair.total:.0f} %)")
        figures = []
        if not why_no_clips:
            figures.append(_figure(feeder, pair.wrong, f"{names[pair.true]}, taken for {names[pair.predicted]}"))
            if pair.right is not None:
                figures.append(_figure(feeder, pair.right, f"{names[pair.predicted]}, recognised"))
        cards.append(element("div", element("h3", title), element("div", *figures, class_="columns") if figures else
                             None, class_="pair"))
    return cards


def _figure(feeder: Any, place: int, caption: str) -> Element:
    sample = str(feeder.sample_name[place]) if hasattr(feeder, "sample_name") else str(place)
    try:
        picture: Element = draw_strip(feeder.recorded(place))
    except (UserError, OSError, ValueError) as error:
        picture = element("p", f"(no picture: {' '.join(str(error).split())[:200]})")
    return element("figure", picture, element("figcaption", f"{caption}: {sample}"))
