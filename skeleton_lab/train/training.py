"""A training run: epochs, evaluations, weights, and a state from which it goes on after any interruption."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeleton_lab.errors import UserError
from skeleton_lab.metrics import top_k_accuracy
from skeleton_lab.train import result_files
from skeleton_lab.train.batches import Batch, end_loader_processes
from skeleton_lab.train.checkpoint import load_state, load_weights, save_state, save_weights
from skeleton_lab.train.compiling import is_written_by_hand
from skeleton_lab.train.criterion import class_weights, make_criterion
from skeleton_lab.train.cuda_graph import RecordedPasses, recording_wanted
from skeleton_lab.train.diverged import KEPT, diverged_in
from skeleton_lab.train.ending import is_complete, say_if_finished, what_is_left
from skeleton_lab.train.fingerprint import Basis
from skeleton_lab.train.finite import Finite
from skeleton_lab.train.log_lines import batch_line, closing_lines, epoch_lines, log_settings, published_closing_lines
from skeleton_lab.train.loop import ChunkFigures, Means, TrainingDiverged, train_one_epoch
from skeleton_lab.train.optim import Schedule, make_optimizer, set_learning_rate
from skeleton_lab.train.record import Record, write_run_report
from skeleton_lab.train.scalars import Scalars
from skeleton_lab.train.setup import Setup, copy_sources, open_part, open_training
from skeleton_lab.train.signals import StopRequest
from skeleton_lab.train.state import captured, restore, unusable
from skeleton_lab.train.testing import Outputs, compute_for, evaluate_part, progress_of, validate_part
from skeleton_lab.train.two_files import (
    checkpoint_source,
    optimizer_source,
    read_checkpoint,
    read_optimizer,
    write_checkpoint,
)
from skeleton_lab.train.workdir import BEST_WEIGHTS, PREDICTIONS


def run_training(setup: Setup, begin: Callable[[], None]) -> int:
    """The phase `train`; returns 0, or 128 + the signal that asked it to stop (its state is saved).

    `begin` is called once nothing is left to be refused, before anything is written.
    """
    if setup.config.resume and setup.world.from_main(lambda: say_if_finished(setup)):
        return 0
    with StopRequest(impatient=setup.world.size == 1) as stop:
        training = Training(setup, stop, begin)
        try:
            training.run()
        except RuntimeError as error:
            training.basis.explain(error)
            raise
        except KeyboardInterrupt:
            setup.work_dir.log(what_is_left(setup))
            raise
        finally:
            training.close()
        return training.exit_status


class Training:
    """One training run in one work directory.

    Attributes:
        epoch: the 0-based epoch under way.
        step: optimiser steps taken so far.
        best: the best evaluation so far: `accuracy` (top-1 fraction), `epoch` (1-based), `step`.
        history: one row per finished epoch.
        exit_status: 0, or 128 + the signal that asked this process or another one to stop.
    """

    def __init__(self, setup: Setup, stop: StopRequest, begin: Callable[[], None]) -> None:
        self.setup, self.config, self.spec, self.work_dir = setup, setup.config, setup.spec, setup.work_dir
        self.world = setup.world
        config = self.config
        self.finite = Finite.of(setup.model)
        state = (self.world.from_main(lambda: load_state(self.work_dir, self._refuse)) if config.resume else None)
        self.train_part, self.val_part = open_training(setup)
        self.test_part = open_part(setup, training=False)
        self.parts = {"train": self.train_part, "test": self.test_part}
        if self.val_part is not None:
            self.parts["val"] = self.val_part
        self.basis = Basis(setup, self.parts)
        self.class_weights = class_weights(config, self._train_labels(), setup.model)
        self.compute = compute_for(setup, stop)
        self.stop, self.exit_status = stop, 0
        stop.before_interrupting = self._end_loaders
        self.schedule = Schedule.of(config)
        self.optimizer = make_optimizer(config.optimizer, setup.model.parameters(), config.base_lr,
                                        config.weight_decay, config.nesterov)
        network = self.world.wrap(setup.model, setup.device)
        self.passes = RecordedPasses(network, setup.device, setup.precision, setup.precision.scaler(),
                                     record=self._records(), say=self.work_dir.log,
                                     criterion=make_criterion(config, self.class_weights, setup.device))
        self.epoch = config.start_epoch
        self.step = self.epoch * len(self.train_part.batches)
        self.means = Means()
        self.best: dict[str, Any] = {"accuracy": 0.0, "epoch": 0, "step": 0}
        self.history: list[dict[str, Any]] = []
        if state is not None:
            self._restore(state)
        else:
            if config.resume:
                self.work_dir.log("No training state here yet: starting from the beginning.")
            self._restore_two_files()
        begin()
        if self.world.is_main:
            copy_sources(config, self.work_dir, self.epoch + 1 if state is not None else None)
            log_settings(setup, resumed=state is not None)
        self.scalars = Scalars(setup, self.step)
        self.record = Record(setup, "train", self.train_part.words, resumed=state is not None)
        self.record.changed(self.basis.changes)

    def _refuse(self, state: dict[str, Any]) -> str:
        return unusable(state, self.finite)

    def _records(self) -> bool:
        compiled = self.config.compile and not is_written_by_hand(self.setup.model)
        return recording_wanted(self.config.cuda_graph, self.setup.device, compiled, self.world.size, self.work_dir.log)

    # -- the run -------------------------------------------------------------------------------------

    def run(self) -> None:
        """Train, save and evaluate until the last epoch or a stop request."""
        while not self._at_the_end(self.epoch) and not self._asked_to_stop():
            self.basis.require_unchanged()
            figures = self._train_epoch()
            self.basis.require_unchanged()
            self._require_finite()
            if self._asked_to_stop() or not self._evaluate_if_due(figures):
                break
            self._save_weights_if_due()
            if self.world.is_main:
                result_files.write_history(self.work_dir.path / "history.csv", self.history)
            self.record.save()
            self.epoch, self.means = self.epoch + 1, Means()
            self._save_state()
        if self._asked_to_stop():
            self._save_state()
            self.record.save()
            self.work_dir.log(f"Stopped by a signal in epoch {self.epoch + 1}, after {self.means.batches} of its "
                              f"{len(self.train_part.batches)} batches; the state is saved: go on with --resume.")
            return
        self._finish()

    def _asked_to_stop(self) -> bool:
        """Whether any of the processes has been asked to stop; all of them call this at the same places."""
        self.exit_status = self.world.largest(self.stop.exit_status)
        return self.exit_status != 0

    def _at_the_end(self, epochs: int) -> bool:
        """Whether the training ends after so many epochs."""
        return is_complete(self.config, epochs, self.best["epoch"])

    def _train_labels(self) -> NDArray[np.integer]:
        """Return the class of each clip of an epoch of training."""
        labels = np.asarray(self.train_part.feeder.label)
        return labels[self.train_part.batches.members % len(labels)]

    def close(self) -> None:
        """End the loader processes and close the TensorBoard writers."""
        self._end_loaders()
        self.scalars.close()

    def _end_loaders(self) -> None:
        for part in self.parts.values():
            end_loader_processes(part.loader)

    def _train_epoch(self) -> dict[str, Any]:
        """Train the rest of the epoch; return its row of the history."""
        config, texts, batches = self.config, self.spec.texts, self.train_part.batches
        lr = self.schedule.learning_rate(self.epoch)
        set_learning_rate(self.optimizer, lr)
        number = self.epoch + 1
        self.work_dir.log(texts.epoch_start.format(epoch=number, lr=lr))
        batches.epoch, batches.start = self.epoch, self.means.batches
        if not batches.start:
            self.scalars.add("train", self.step, epoch=self.epoch + self.spec.first_epoch_tag)
        progress = progress_of(self.setup, total=len(batches) * config.batch_size,
                               initial=batches.start * config.batch_size, desc=f"epoch {number}/{config.num_epoch}")
        try:
            figures = train_one_epoch(self.passes, self._at_their_rates(), self.optimizer, self.compute, self.means,
                                      self._log_batches, progress)
        except TrainingDiverged as error:
            reason, batch = error.args
            raise diverged_in(self.setup, self.train_part, batch, lr, reason) from None
        seconds = figures["data_s"] + figures["network_s"]
        self.record.trained(number, seconds)
        if self.means.batches == len(batches):
            chunks = config.batch_size // self.world.size // self.compute.forward_batch_size
            for line in epoch_lines(self.setup, self.means, chunks, figures):
                self.work_dir.log(line)
        return {"epoch": number, "learning_rate": lr, "train_loss": self.means.mean_loss,
                "train_top1": self.means.mean_accuracy,
                "clips_per_s": figures["clips"] / seconds if figures["clips"] else None}

    def _at_their_rates(self) -> Iterator[Batch]:
        """Yield the batches of the rest of the epoch, each when the optimiser has its rate."""
        batches = self.train_part.batches
        for number, batch in enumerate(self.train_part.loader, batches.start):
            set_learning_rate(self.optimizer, self.schedule.within(self.epoch, number / len(batches)))
            yield batch

    def _log_batches(self, first: int, values: list[ChunkFigures]) -> None:
        lr = self.optimizer.param_groups[0]["lr"]
        for number, figures in enumerate(values, first + 1):
            self.step += 1
            for chunk in zip(*figures, strict=True):
                self.scalars.add("train", self.step, **dict(zip(("loss", "acc", "auxiliary"), chunk, strict=False)))
            self.scalars.add("train", self.step, lr=lr)
            if number % self.config.log_interval == 0:
                self.work_dir.log(batch_line(number, len(self.train_part.batches), figures, lr))

    def _require_finite(self) -> None:
        """Raise TrainingDiverged where a weight or a momentum is NaN or infinite, before any of them is saved."""
        bad = self.world.from_main(lambda: self.finite.complaint(self.setup.model.state_dict(),
                                                                 self.optimizer.state_dict()))
        if bad:
            raise TrainingDiverged(f"NaN or infinity in {bad} after step {self.step}, in epoch {self.epoch + 1}; "
                                   f"{KEPT}")

    def _save_weights_if_due(self) -> None:
        config, number = self.config, self.epoch + 1
        last = self._at_the_end(number)
        if number <= config.save_epoch or not (last or number % config.save_interval == 0) or not self.world.is_main:
            return
        save_weights(self.setup.model, self.work_dir.path / self._weights_name(number, self.step))
        if self.spec.checkpoint_file:
            name = self.spec.checkpoint_file.format(epoch=number, step=self.step,
                                                    forward_batch_size=config.forward_batch_size)
            write_checkpoint(self.work_dir.path / name, self.optimizer, self.schedule, number)

    def _weights_name(self, epoch: int, step: int) -> str:
        pattern = Path(self.spec.weights_file)
        if self.config.model_saved_name:
            pattern = pattern.with_name(self.config.model_saved_name + "-{epoch}-{step}.pt")
        return str(pattern).format(epoch=epoch, step=step)

    def _evaluate_if_due(self, row: dict[str, Any]) -> bool:
        """Evaluate, remember the best, add to the history; False when asked to stop meanwhile."""
        config, number = self.config, self.epoch + 1
        last = number == config.num_epoch
        if last or (number >= config.eval_start and number % config.eval_interval == 0):
            validation = None if self.val_part is None else validate_part(self.setup, self.val_part, self.compute)
            if validation is not None and not validation.complete:
                return False
            evaluation = evaluate_part(self.setup, self.test_part, self.compute,
                                       Outputs(number, scores=config.save_score))
            if not evaluation.complete:
                return False
            top1 = top_k_accuracy(evaluation.scores, evaluation.labels, 1)
            self.scalars.add("val", self.step, loss=evaluation.loss, acc=top1)
            row |= {"test_loss": evaluation.loss, "test_top1": top1,
                    "test_top5": top_k_accuracy(evaluation.scores, evaluation.labels, 5)}
            self.record.evaluated(number, evaluation.seconds)
            found: dict[str, Any] = {"accuracy": top1, "epoch": number, "step": self.step}
            if validation is not None:
                found["val_accuracy"] = top_k_accuracy(validation.scores, validation.labels, 1)
                row |= {"val_loss": validation.loss, "val_top1": found["val_accuracy"]}
                self.scalars.add("val", self.step, validation_loss=validation.loss,
                                 validation_acc=found["val_accuracy"])
            chosen_by = "accuracy" if validation is None else "val_accuracy"
            if not self.best["epoch"] or found[chosen_by] > self.best[chosen_by]:
                self.best = found
                if self.world.is_main:
                    save_weights(self.setup.model, self.work_dir.path / BEST_WEIGHTS)
                    result_files.write_predictions(self.work_dir.path / PREDICTIONS, self.test_part.names,
                                                   evaluation.scores, evaluation.labels)
                self.record.predicted(BEST_WEIGHTS, number)
        self.history.append(row)
        return True

    def _finish(self) -> None:
        """Test the best weights, draw the pictures, and print the closing summary."""
        log = self.work_dir.log
        best_name = self._weights_name(self.best["epoch"], self.best["step"])
        if self.spec.retest_best and self.best["epoch"]:
            log(f"Testing the best epoch's weights again (epoch {self.best['epoch']}).")
            if self.world.is_main:
                load_weights(self.setup.model, self.work_dir.path / BEST_WEIGHTS, (), True, log)
            self.world.follow_main(self.setup.model)
            evaluation = evaluate_part(self.setup, self.test_part, self.compute,
                                       Outputs(1, scores=True, lists_of=self.work_dir.path.resolve() / best_name,
                                               class_table=False, picture=True))
            if not evaluation.complete:
                self._asked_to_stop()
                self.record.save()
                log("Stopped by a signal while the best weights were tested again; the state is saved: --resume does "
                    "the rest.")
                return
            top1 = top_k_accuracy(evaluation.scores, evaluation.labels, 1)
            self.scalars.add("val", self.step, acc=top1, loss=evaluation.loss)
        if not self.world.is_main:
            return
        result_files.draw_history(self.work_dir.path / "curves.png", self.history, self.work_dir.path.resolve().name)
        last = self.history[-1] if self.history else {}
        for line in published_closing_lines(self.setup, self.best, last):
            log(line, to_terminal=False)
        if self.epoch < self.config.num_epoch:
            log(f"Ended early, after epoch {self.epoch}: none of the last {self.config.early_stop} epochs was better.")
        for line in closing_lines(self.setup, self.best, last):
            log(line)
        self.record.save(finished=True)
        write_run_report(self.setup, self.test_part.feeder)

    # -- state ---------------------------------------------------------------------------------------

    def _save_state(self) -> None:
        self.basis.require_unchanged()
        state = captured(self.setup, self.passes, self.optimizer, {
            "progress": {"epoch": self.epoch, "step": self.step, "means": asdict(self.means)},
            "best": self.best, "history": self.history, "class_weights": self.class_weights, **self.basis.state()})
        if self.world.is_main:
            save_state(state, self.work_dir)

    def _restore(self, state: dict[str, Any]) -> None:
        restore(state, self.setup, self.basis, self.passes, self.optimizer)
        if state.get("class_weights") != self.class_weights:
            raise UserError(f"{self.work_dir.path}: cannot resume with other class weights than before; put back what "
                            f"{self.config.class_weights} held, or start afresh with --overwrite or another --work-dir")
        progress = state["progress"]
        self.epoch, self.step = progress["epoch"], progress["step"]
        self.means = Means(**progress["means"])
        self.best, self.history = state["best"], state["history"]
        self.work_dir.log(f"Resuming in epoch {self.epoch + 1} after {self.means.batches} batches, step {self.step}.")

    def _restore_two_files(self) -> None:
        """Take what `--checkpoint` or `--optimizer-states` name, where they are given."""
        if path := checkpoint_source(self.config):
            self.schedule, epoch = read_checkpoint(path, self.optimizer)
            if not self.config.start_epoch:
                self.epoch = epoch
                self.step = self.epoch * len(self.train_part.batches)
            self.work_dir.log(f"Optimiser and schedule from {path}: epoch {self.epoch + 1} is next.")
        if path := optimizer_source(self.config):
            read_optimizer(path, self.optimizer)
            self.work_dir.log(f"Optimiser from {path}.")
