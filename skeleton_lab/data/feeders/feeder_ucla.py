"""NW-UCLA: a folder of JSON recordings, one body of 20 joints, as clips."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from skeleton_lab.class_names import NW_UCLA
from skeleton_lab.data.feeders import transforms
from skeleton_lab.data.feeders.feeding import NUM_DEBUG_SAMPLES, BatchFeeder
from skeleton_lab.data.feeders.observation import Observation
from skeleton_lab.data.feeders.ucla_split import ListedRecording, recordings
from skeleton_lab.data.formats.occupied import between_bodies, occupied
from skeleton_lab.errors import UserError
from skeleton_lab.skeleton_clip import SkeletonClip
from skeleton_lab.skeletons import UCLA_20

DEFAULT_ROOT = "data/NW-UCLA/all_sqe/"
NUM_FRAMES = 52
CENTRE_JOINT = 1  # the spine, in the first frame


class Feeder(BatchFeeder):
    """Clips of 52 frames from NW-UCLA, all recordings held in memory (about 10 MB).

    A training clip is seen from a random view and takes 52 frames at random; a validation clip is taken as recorded,
    at 52 even steps. Each is centred on the spine in its first frame, and each of its axes is scaled to [-1, 1]. A
    recording is what lies between its first and its last frame with a body; frames without one in between stay empty.

    Args:
        data_path: the stream: "joint", "bone", "motion" or "bone motion". Not a path; the name is upstream's.
        label_path: the list: with "val" in it the 464 recordings of view 3, else the 1,020 of views 1 and 2.
        repeat: how often an epoch goes through the training list.
        random_choose: True takes the frames at random, False at even steps; by default as the list wants it.
        random_shift, random_move, normalization: refused if True; clips are already resampled, turned and scaled.
        window_size: frames per clip; -1 for 52.
        debug: use the first 100 recordings only.
        use_mmap: accepted as False only, since JSON files cannot be mapped.
        root: the folder with the recordings.
        observe: share of a recording that is seen, from its first frame on; the rest plays no part in the scaling
            either. Two numbers: drawn between them for each clip.
        names: recordings in `root`, without ".json", in place of the list; their classes are not known, and given as 0.

    Attributes:
        num_frames: frames of a clip where the options do not say.
        label: class of each recording (not repeated), 0-based. sample_name: its file name without ".json".
        files: paths of what is read.

    Raises:
        UserError: an option is refused, or a recording is missing or broken.
    """

    skeleton = UCLA_20
    class_names = NW_UCLA
    num_frames = NUM_FRAMES

    def __init__(
        self,
        data_path: str,
        label_path: str,
        repeat: int = 1,
        random_choose: bool | None = None,
        random_shift: bool = False,
        random_move: bool = False,
        window_size: int = -1,
        normalization: bool = False,
        debug: bool = False,
        use_mmap: bool = False,
        root: str = DEFAULT_ROOT,
        observe: float | Sequence[float] = 1,
        names: Sequence[str] | None = None,
    ) -> None:
        self.train_val = "val" if "val" in label_path else "train"
        _refuse({"random_shift": random_shift, "random_move": random_move, "normalization": normalization,
                 "use_mmap": use_mmap})
        self.stream = _stream(data_path)
        self.repeat = _repeat(repeat, self.train_val)
        self.random_view = self.train_val == "train"
        self.random_choose = self.random_view if random_choose is None else random_choose
        self._chosen = random_choose is not None
        self.window_size = _window(window_size, self.num_frames)
        self.observation = Observation.of(observe, "feeders.feeder_ucla.Feeder")
        listed = recordings(self.train_val) if names is None else [ListedRecording(name, 0) for name in names]
        chosen = listed[:NUM_DEBUG_SAMPLES if debug else None]
        self.sample_name = [recording.name for recording in chosen]
        self.label = [recording.label for recording in chosen]
        self.files = [str(Path(root) / f"{recording.name}.json") for recording in chosen]
        self._frames, self._empty, self._lengths = _load(Path(root), chosen)  # (F, V, C) end to end, (F,), (N,)
        self._starts = np.cumsum(self._lengths) - self._lengths

    def __len__(self) -> int:
        return len(self.label) * self.repeat

    def as_tested(self) -> None:
        self.random_view = False
        self.random_choose = self.random_choose and self._chosen

    def get_batch(self, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the clips (N, C, T, V, M) float32, their classes (N,) and `indices` (N,), both int64."""
        samples = [range(len(self))[index] % len(self.label) for index in indices]
        lengths, views, picks, kept = self._draw(samples)
        starts = np.cumsum(lengths) - lengths
        frames = np.concatenate([self._recording(sample)[:length]
                                 for sample, length in zip(samples, lengths, strict=True)])  # (F, V, C)
        centre = np.repeat(frames[starts, CENTRE_JOINT], lengths, axis=0)[:, None]
        matrices = np.repeat(transforms.view_matrices(views), lengths, axis=0)
        frames = transforms.span_unit_cube((frames - centre) @ matrices, starts, lengths)
        clip = frames[picks + starts[:, None]]  # (N, T, V, C)
        if kept:
            clip *= np.stack(kept)
        there = ~self._empty[picks + self._starts[samples][:, None]]  # (N, T)
        clip = self._streamed(clip, there).astype(np.float32)
        data = torch.from_numpy(clip).permute(0, 3, 1, 2).unsqueeze(-1)  # (N, C, T, V, M=1)
        labels = torch.tensor([self.label[sample] for sample in samples], dtype=torch.int64)
        return data, labels, torch.as_tensor(indices, dtype=torch.int64)

    def _streamed(self, joints: np.ndarray, there: np.ndarray) -> np.ndarray:
        """Return the stream that the options name, of positions (N, T, V, C), in frames `there` (N, T); zeros else."""
        if "bone" in self.stream:
            joints = transforms.bones(joints, UCLA_20.parents)
        if "motion" in self.stream:
            joints = transforms.motion(joints)
            there = there & np.roll(there, -1, axis=1)  # no step leads to a body that is not there, or from one
        return np.where(there[..., None, None], joints, 0)

    def recorded(self, index: int) -> SkeletonClip:
        """Return a clip as it was recorded, before any transform, to be looked at."""
        sample = index % len(self.label)
        start, length = self._starts[sample], self._lengths[sample]
        frames = np.where(self._empty[start:start + length, None, None], 0, self._recording(sample))
        return SkeletonClip(frames[:, None], UCLA_20, self.sample_name[sample])

    def _recording(self, sample: int) -> np.ndarray:
        start = self._starts[sample]
        return self._frames[start:start + self._lengths[sample]]

    def _draw(self, samples: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]:
        """Return the numbers of frames seen (N,), the views (N, 2) in degrees, the frame numbers (N, T), and what
        `_draw_kept` gives.

        What is random is drawn clip by clip.
        """
        lengths = self._lengths[samples]
        views = np.zeros((len(samples), 2), np.int64)
        picks = np.empty((len(samples), self.window_size), np.int64)
        choose = transforms.draw_frames if self.random_choose else transforms.even_frames
        kept: list[np.ndarray] = []
        for i in range(len(samples)):
            lengths[i:i + 1] = self.observation.frames(lengths[i:i + 1])
            if self.random_view:
                views[i] = transforms.draw_view()
            picks[i] = choose(int(lengths[i]), self.window_size)
            kept += self._draw_kept()
        return lengths, views, picks, kept

    def _draw_kept(self) -> list[np.ndarray]:
        """Draw which coordinates of a clip are kept, (T, V, C) of ones and zeros; nothing, if all are."""
        return []


def _refuse(options: dict[str, bool]) -> None:
    for name, value in options.items():
        if value:
            raise UserError(f"feeders.feeder_ucla.Feeder: {name}={value} is not supported for NW-UCLA clips; "
                            "leave it out or set it to False")


def _stream(data_path: str) -> str:
    if not any(word in data_path for word in ("joint", "bone", "motion")):
        raise UserError(f"feeders.feeder_ucla.Feeder: data_path '{data_path}' names no stream; choose 'joint', 'bone', "
                        "'motion' or 'bone motion' (the folder with the recordings is the option 'root')")
    return data_path


def _repeat(repeat: int, train_val: str) -> int:
    if not isinstance(repeat, int) or repeat < 1 or (train_val == "val" and repeat != 1):
        raise UserError(f"feeders.feeder_ucla.Feeder: repeat={repeat!r} does not fit the {train_val} list; give a "
                        "positive whole number for training, 1 for validation")
    return repeat


def _window(window_size: int, usual: int) -> int:
    if not isinstance(window_size, int) or (window_size < 1 and window_size != -1):
        raise UserError(f"feeders.feeder_ucla.Feeder: window_size={window_size!r} is no number of frames; give a "
                        f"positive whole number, or -1 for {usual}")
    return usual if window_size == -1 else window_size


def _load(root: Path, chosen: Sequence[ListedRecording]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all recordings end to end (F, V, C) float64, which frames are empty (F,), and how many each has (N,).

    Empty frames hold the last body before them, so that they play no part in centring and scaling.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; unpack the NW-UCLA recordings there with: mkdir -p {root.parent} && "
                        f"tar -xJf all_sqe.tar.xz -C {root.parent}")
    loaded = [_read(root / f"{recording.name}.json") for recording in chosen]
    frames, lengths = np.concatenate(loaded), np.array([len(frames) for frames in loaded])
    there = occupied(frames)
    if not there.all():  # a recording begins with a body, so that the last one before is its own
        frames = frames[np.maximum.accumulate(np.where(there, np.arange(len(frames)), 0))]
    return frames, ~there, lengths


def _read(path: Path) -> np.ndarray:
    """Return the (T, V, C) float64 joints of one recording, in metres."""
    try:
        frames = np.array(json.loads(path.read_bytes())["skeletons"], dtype=np.float64)
    except FileNotFoundError:
        raise UserError(f"{path}: no such recording; unpack the whole NW-UCLA archive (1,484 files) there") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not an NW-UCLA recording ({type(error).__name__}: {error}); "
                        "unpack it again") from None
    if frames.ndim != 3 or frames.shape[1:] != (UCLA_20.num_joints, 3) or not len(frames):
        raise UserError(f"{path}: 'skeletons' has shape {frames.shape}, not (frames, 20, 3); unpack it again")
    if not np.isfinite(frames).all():
        raise UserError(f"{path}: holds numbers that are not finite; unpack it again, or leave the recording out")
    frames = between_bodies(frames)
    if not len(frames):
        raise UserError(f"{path}: no frame holds a body; unpack it again, or leave the recording out")
    return frames
