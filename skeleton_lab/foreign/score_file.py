"""Result files of PYSKL and MMAction2: probabilities in the order of a split, without names; and mixing them with ours.

PYSKL's is a list of arrays (classes,), MMAction2's a list of dicts with `pred_score` and `gt_label`, tensors. Neither
has names, so that two such files are joined by position, which is right only if they are of one split.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeleton_lab.data.formats.pose_clips import open_pose_clips, splits_of
from skeleton_lab.data.formats.pyskl_annotations import Annotations
from skeleton_lab.errors import UserError
from skeleton_lab.streams.fuse import Stream, read_stream
from skeleton_lab.train.torch_file import read_torch_file

_SUMS_TO_ONE = 1e-3
_MOST_BYTES = 1 << 30


class Joined:
    """Streams, and what is known of them besides.

    labels: classes that the files themselves hold, by sample; None without. positional: streams without names. said:
    lines on how the files were joined.
    """

    def __init__(self, streams: list[Stream], labels: NDArray[np.int64] | None, positional: list[Stream]) -> None:
        self.streams, self.labels, self.positional = streams, labels, positional
        self.said: list[str] = []


def is_results(path: Path) -> bool:
    """Whether a file is a pickle of a list, by its first bytes; ours is of a dict."""
    if path.is_dir() or not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return False
    with open(path, "rb") as file:
        head = file.read(16)
    start = 2 if head[:1] == b"\x80" else 0
    start += 9 if head[start:start + 1] == b"\x95" else 0  # a frame of newer protocols
    return head[start:start + 1] == b"]" or head[start:start + 2] == b"(l"


def read_results(name: str, path: Path) -> tuple[Stream, NDArray[np.int64] | None]:
    """Read a result file; return its scores, samples named by their places, and its labels if it has some.

    Raises:
        UserError: it is damaged, or of another form.
    """
    content = read_torch_file(path, foreign=True)
    entries = content if isinstance(content, list) else []
    labels = None
    try:
        if entries and all(isinstance(entry, Mapping) for entry in entries):
            scores = [np.asarray(entry["pred_score"], np.float32).reshape(-1) for entry in entries]
            given = [entry.get("gt_label") for entry in entries]
            if all(label is not None for label in given):
                labels = np.array([int(np.asarray(label).reshape(-1)[0]) for label in given], np.int64)
        else:
            scores = [np.asarray(entry, np.float32).reshape(-1) for entry in entries]
        stacked = np.stack(scores)
    except (TypeError, ValueError, KeyError, IndexError, RuntimeError):
        raise UserError(f"{path}: no result file: expected a list of one score per class for each clip, or of dicts "
                        "with 'pred_score'; give what --out or --dump wrote") from None
    if not np.isfinite(stacked).all() or not stacked.shape[1]:
        raise UserError(f"{path}: holds scores that are not finite; test that stream again")
    return Stream(name, path, list(range(len(stacked))), stacked), labels


def join(names: Sequence[str], paths: Sequence[str], by_position: bool, annotations: str | None) -> Joined:
    """Read score files, ours and theirs, and name the samples of theirs.

    Args:
        by_position: take samples at the same place for the same. annotations: the annotation file that they are of,
            which names them: a .pkl or its archive, with `:split` behind if several splits are as long.

    Raises:
        UserError: a file is damaged, or nothing tells which samples of two files are the same.
    """
    streams: list[Stream] = []
    all_labels: list[NDArray[np.int64]] = []
    positional: list[Stream] = []
    for name, path in zip(names, paths, strict=True):
        if is_results(Path(path)):
            stream, labels = read_results(name, Path(path))
            positional.append(stream)
            all_labels += [] if labels is None else [labels]
        else:
            stream = read_stream(name, path)
        streams.append(stream)
    joined = Joined(streams, all_labels[0] if all_labels else None, positional)
    if positional:
        _check_lengths(positional)
        _name_samples(joined, all_labels, by_position, annotations)
    return joined


def _check_lengths(positional: Sequence[Stream]) -> None:
    first = positional[0]
    for stream in positional:
        if stream.scores.shape != first.scores.shape:
            raise UserError(f"{stream.path}: {stream.scores.shape[0]} clips of {stream.scores.shape[1]} classes, but "
                            f"{first.path} has {first.scores.shape[0]} of {first.scores.shape[1]}; these files have no "
                            "names, give those of one split")


def _name_samples(joined: Joined, labels: list[NDArray[np.int64]], by_position: bool, annotations: str | None) -> None:
    """Replace places by names, or make sure that places are enough."""
    positional, count = joined.positional, len(joined.positional[0].names)
    named = [stream for stream in joined.streams if stream not in positional]
    agree = len(labels) == len(positional) and all(np.array_equal(labels[0], own) for own in labels)
    if annotations is not None:
        known, classes = _of_annotations(annotations, count)
        joined.labels = classes
        joined.said.append(f"samples without names take those of {annotations}, in its order")
    elif named and by_position:
        known = named[0].names
        if len(known) != count:
            raise UserError(f"{positional[0].path}: {count} clips, but {named[0].path} has {len(known)}; give results "
                            "of one split")
        joined.said.append(f"joined by position, as told: samples without names take those of {named[0].path}")
    elif named:
        raise UserError(f"{positional[0].path}: its samples have no names, those of {named[0].path} have; give "
                        "--labels their annotation file, or --by-position if both are in one order")
    elif len(positional) > 1 and len(labels) == len(positional) and not agree:
        raise UserError(f"{positional[1].path}: other labels than {positional[0].path}, so that clips at one place are "
                        "not the same; give results of one split")
    elif len(positional) > 1 and not (agree or by_position):
        raise UserError(f"{positional[0].path}: samples have neither names nor labels; give --labels their annotation "
                        "file, or --by-position if all are results of one split")
    else:
        known = positional[0].names
        if len(positional) > 1:
            joined.said.append("joined by position, " + ("as told" if by_position else "since the labels agree"))
    joined.streams = [replace(stream, names=list(known)) if stream in positional else stream
                      for stream in joined.streams]


def _of_annotations(source: str, count: int) -> tuple[list[Hashable], NDArray[np.int64]]:
    """Return names and classes of the split that has so many clips."""
    path, _, split = source.partition(":") if not Path(source).exists() else (source, "", "")
    found: dict[str, tuple[list[Any], NDArray[np.int64]]] = {}
    if Path(path).suffix == ".npz":
        for name in [*splits_of(path), None]:
            clips = open_pose_clips(path, name)
            found[name or "all"] = clips.names, clips.clips[:, 3]
    else:
        annotations = Annotations(path)
        classes = np.array([annotations.label_of(place) for place in range(len(annotations))], np.int64)
        for name, places in {**annotations.splits, "all": np.arange(len(annotations))}.items():
            found[name] = [annotations.names[place] for place in places], classes[places]
    fitting = [name for name in found if len(found[name][0]) == count and name in (split or name, )]
    if len(fitting) > 1 and "all" in fitting:
        fitting.remove("all")
    if len(fitting) != 1:
        sizes = ", ".join(f"{name} {len(members)}" for name, (members, _) in found.items())
        raise UserError(f"{path}: {'several splits have' if fitting else 'no split has'} {count} clips as the scores "
                        f"({sizes}); choose with --labels {path}:SPLIT")
    return found[fitting[0]]


def labels_of(source: str) -> dict[Hashable, int]:
    """Return the class of each clip of an annotation file or its archive, by name."""
    path = source if Path(source).exists() else source.partition(":")[0]
    if Path(path).suffix == ".npz":
        clips = open_pose_clips(path, None)
        return dict(zip(clips.names, clips.clips[:, 3].tolist(), strict=True))
    annotations = Annotations(path)
    return {name: annotations.label_of(place) for place, name in enumerate(annotations.names)}


def is_annotations(source: str) -> bool:
    """Whether --labels names an annotation file or its archive, perhaps with a split behind."""
    path = Path(source if Path(source).exists() else source.partition(":")[0])
    if path.suffix == ".npz" and path.is_file():
        from skeleton_lab.data.formats.face import Look
        from skeleton_lab.data.formats.pose_clips import is_pose_clips

        return is_pose_clips(Look(path).arrays)
    return path.suffix == ".pkl" and path.is_file() and _begins_like_annotations(path)


def _begins_like_annotations(path: Path) -> bool:
    with open(path, "rb") as file:
        head = file.read(1 << 16)
    return any(word in head for word in (b"annotations", b"frame_dir", b"xsub_train", b"keypoint"))


def read_streams(names: Sequence[str], paths: Sequence[str], labels: str | None, by_position: bool = False,
                 softmax: bool = False) -> tuple[list[Stream], dict[Hashable, int] | None]:
    """Read score files, ours and theirs, as streams that can be fused, and say how they were joined.

    Args:
        labels: where classes come from; matters here if it is an annotation file. by_position: as for `join`. softmax:
            fuse probabilities even where all are logits.

    Returns:
        the streams; the class of each sample, if the files themselves or annotations tell it.
    """
    annotations = labels if labels and is_annotations(labels) else None
    joined = join(names, paths, by_position, annotations)
    streams, turned = as_probabilities(joined.streams, softmax)
    for line in joined.said + [f"{name}: logits, made probabilities (softmax)" for name in turned]:
        print(line)
    if annotations and joined.labels is None:
        return streams, labels_of(annotations)
    if joined.labels is not None and (annotations or not labels):
        return streams, dict(zip(next(stream.names for stream in joined.streams
                                      if len(stream.names) == len(joined.labels)), joined.labels.tolist(), strict=True))
    return streams, None


def as_probabilities(streams: Sequence[Stream], always: bool) -> tuple[list[Stream], list[str]]:
    """Return the streams with logits turned into probabilities (softmax) where others hold probabilities, or `always`;
    and the names of those that were turned.
    """
    are = [bool((stream.scores >= 0).all() and (abs(stream.scores.sum(axis=1) - 1) < _SUMS_TO_ONE).all())
           for stream in streams]
    if not always and (all(are) or not any(are)):
        return list(streams), []
    turned = [stream if already else replace(stream, scores=_softmax(stream.scores))
              for stream, already in zip(streams, are, strict=True)]
    return turned, [stream.name for stream, already in zip(streams, are, strict=True) if not already]


def _softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
