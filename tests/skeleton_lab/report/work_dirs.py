"""Work directories as trainings leave them, written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import yaml

from skeleton_lab.skeleton_clip import SkeletonClip
from skeleton_lab.skeletons import NTU_25
from skeleton_lab.train import result_files

SETTINGS = {"model": "toy_model.Model", "feeder": "toy_feeder.Feeder", "num_epoch": 3, "base_lr": 0.1, "batch_size": 6,
            "forward_batch_size": 6, "model_args": {"num_class": 3, "num_point": 25}, "test_feeder_args": {},
            "weights": None, "seed": 1}
TRUE = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2])
PREDICTED = np.array([0, 0, 1, 1, 1, 1, 1, 0, 2, 2])
EPOCHS = [{"epoch": number, "learning_rate": 0.1 / number, "train_loss": 2 / number, "train_top1": 0.3 * number,
           "test_loss": 2.5 / number, "test_top1": top1, "test_top5": 1.0, "clips_per_s": 10.0 + number}
          for number, top1 in ((1, 0.4), (2, 0.7), (3, 0.6))]


def scores_for(predicted: np.ndarray) -> np.ndarray:
    """Return logits (N, 3) whose largest is at `predicted`, ever surer along N; the true class comes second."""
    scores = np.zeros((len(predicted), 3), np.float32)
    scores[np.arange(len(predicted)), TRUE] = 0.5
    scores[np.arange(len(predicted)), predicted] = 1 + 0.2 * np.arange(len(predicted))
    return scores


def make_run(folder: Path, predicted: np.ndarray = PREDICTED, **settings: object) -> Path:
    """Write a finished training of three epochs, the second of which was the best."""
    folder.mkdir(parents=True)
    command = "# command line: main.py --config toy.yaml --seed 1\n\n"
    (folder / "config.yaml").write_text(command + yaml.safe_dump({**SETTINGS, **settings}))
    result_files.write_history(folder / "history.csv", EPOCHS)
    result_files.write_predictions(folder / "predictions.csv", [f"clip_{i}" for i in range(len(TRUE))],
                             scores_for(predicted), TRUE)
    machine = {"cpu": "Abacus 9000", "cores": 2, "memory_mib": 1000, "gpu": None, "os": "Linux", "python": "3.11",
               "torch": "2.3", "cuda": None, "numpy": "2.0"}
    epochs = [{"epoch": n, "train_s": 60.0 * n, "test_s": 2.0, "peak_mib": 100 * n} for n in (1, 2, 3)]
    (folder / "run.json").write_text(json.dumps({
        "tree": "/nowhere", "train": {"machine": machine, "epochs": epochs, "parameters": 75, "precision": "float32",
                                      "processes": 1, "resumptions": 0},
        "predictions": {"phase": "train", "weights": "best.pt", "epoch": 2}}))
    return folder


class ToyFeeder:
    """Gives a clip of three frames and one body for each sample."""

    def __init__(self, label: np.ndarray = TRUE) -> None:
        self.label = label
        self.sample_name = [f"clip_{i}" for i in range(len(label))]
        self.asked: list[int] = []

    def recorded(self, index: int) -> SkeletonClip:
        self.asked.append(index)
        frames = np.random.default_rng(index).standard_normal((5, 2, 25, 3)).astype(np.float32)
        frames[:, 1], frames[3:] = 0, 0  # one body, and padding
        return SkeletonClip(frames, NTU_25, self.sample_name[index])
