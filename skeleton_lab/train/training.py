"""A training run: epochs, evaluations, weights, and a state from which it goes on after any interruption."""

from __future__ import annotations

import pprint
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skeleton_lab.errors import UserError
from skeleton_lab.metrics import top_k_accuracy
from skeleton_lab.train import result_files
from skeleton_lab.train.batches import SeededFetch, end_loader_processes, generator_states, restore_generators
from skeleton_lab.train.checkpoint import load_state, load_weights, save_state, save_weights
from skeleton_lab.train.cuda_graph import TrainingPasses
from skeleton_lab.train.finite import Finite
from skeleton_lab.train.loop import Means, TrainingDiverged, train_one_epoch
from skeleton_lab.train.optim import Schedule, make_optimizer, set_learning_rate
from skeleton_lab.train.record import Record, write_run_report
from skeleton_lab.train.settings import COMMON_FLAGS
from skeleton_lab.train.setup import Setup, copy_sources, is_debug, open_part
from skeleton_lab.train.signals import StopRequest
from skeleton_lab.train.testing import Outputs, compute_for, evaluate_part, progress_of
from skeleton_lab.train.two_files import (
    checkpoint_source,
    optimizer_source,
    read_checkpoint,
    read_optimizer,
    write_checkpoint,
)
from skeleton_lab.train.workdir import BEST_WEIGHTS, DIVERGED_BATCH, PREDICTIONS


def run_training(setup: Setup, begin: Callable[[], None]) -> int:
    """The phase `train`; returns 0, or 128 + the signal that asked it to stop (its state is saved).

    `begin` is called once nothing is left to be refused, before anything is written.
    """
    with StopRequest(impatient=setup.world.size == 1) as stop:
        training = Training(setup, stop, begin)
        try:
            training.run()
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
        state = (self.world.from_main(lambda: load_state(self.work_dir, self.finite.refuse_state)) if config.resume
                 else None)
        self.train_part = open_part(setup, training=True)
        self.test_part = open_part(setup, training=False)
        self.compute = compute_for(setup, stop)
        self.stop, self.exit_status = stop, 0
        stop.before_interrupting = self._end_loaders
        self.schedule = Schedule(config.base_lr, config.warm_up_epoch, config.step, config.lr_decay_rate)
        self.optimizer = make_optimizer(config.optimizer, setup.model.parameters(), config.base_lr,
                                        config.weight_decay, config.nesterov)
        network = self.world.wrap(setup.model, setup.device)
        self.passes = TrainingPasses(network, setup.device, setup.precision, setup.precision.scaler(),
                                     record=config.cuda_graph and not config.compile, say=self.work_dir.log)
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
        self._log_settings(resumed=state is not None)
        self.writers = self._open_writers()
        self.record = Record(setup, "train", self.train_part.words, resumed=state is not None)

    # -- the run -------------------------------------------------------------------------------------

    def run(self) -> None:
        """Train, save and evaluate until the last epoch or a stop request."""
        config = self.config
        while self.epoch < config.num_epoch and not self._asked_to_stop():
            figures = self._train_epoch()
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

    def close(self) -> None:
        """End the loader processes and close the TensorBoard writers."""
        self._end_loaders()
        for writer in set(self.writers.values()):
            with suppress(OSError):  # on a full disk the run has ended with that error already
                writer.close()

    def _end_loaders(self) -> None:
        for part in (self.train_part, self.test_part):
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
            self._scalar("train", "epoch", self.epoch + self.spec.first_epoch_tag, self.step)
        progress = progress_of(self.setup, total=len(batches) * config.batch_size,
                               initial=batches.start * config.batch_size, desc=f"epoch {number}/{config.num_epoch}")
        try:
            figures = train_one_epoch(self.passes, self.train_part.loader, self.optimizer, self.compute, self.means,
                                      self._log_batches, progress)
        except TrainingDiverged as error:
            reason, batch = error.args
            raise self._diverged(reason, batch, lr) from None
        seconds = figures["data_s"] + figures["network_s"]
        self.record.trained(number, seconds)
        if self.means.batches == len(batches):
            chunks = config.batch_size // self.world.size // self.compute.forward_batch_size
            self.work_dir.log(texts.epoch_means.format(
                loss=self.means.mean_loss, accuracy=100 * self.means.mean_accuracy, batch_size=config.batch_size,
                chunk_loss=self.means.mean_loss / chunks, batch_loss=self.means.mean_loss))
            share = round(100 * figures["data_s"] / seconds) if seconds else 0
            self.work_dir.log(f"\tTime consumption: [Data]{share:02d}%, [Network]{100 - share:02d}%")
            if figures["clips"]:
                self.work_dir.log(f"\tSpeed: {figures['clips'] / seconds:.1f} clips/s")
        return {"epoch": number, "learning_rate": lr, "train_loss": self.means.mean_loss,
                "train_top1": self.means.mean_accuracy,
                "clips_per_s": figures["clips"] / seconds if figures["clips"] else None}

    def _log_batches(self, first: int, losses: list[list[float]], accuracies: list[list[float]]) -> None:
        lr = self.optimizer.param_groups[0]["lr"]
        for number, (chunk_losses, chunk_accuracies) in enumerate(zip(losses, accuracies, strict=True), first):
            self.step += 1
            for loss, accuracy in zip(chunk_losses, chunk_accuracies, strict=True):
                self._scalar("train", "loss", loss, self.step)
                self._scalar("train", "acc", accuracy, self.step)
            self._scalar("train", "lr", lr, self.step)
            if (number + 1) % self.config.log_interval == 0:
                self.work_dir.log(f"\tBatch {number + 1}/{len(self.train_part.batches)}: "
                                  f"loss {sum(chunk_losses) / len(chunk_losses):.4f}, lr {lr:.6f}")

    def _require_finite(self) -> None:
        """Raise TrainingDiverged where a weight or a momentum is NaN or infinite, before any of them is saved."""
        bad = self.world.from_main(lambda: self.finite.complaint(self.setup.model.state_dict(),
                                                                 self.optimizer.state_dict()))
        if bad:
            raise TrainingDiverged(f"NaN or infinity in {bad} after step {self.step}, in epoch {self.epoch + 1}; the "
                                   "last saved state is kept: check the data and --resume, or start afresh with a "
                                   "lower --base-lr")

    def _save_weights_if_due(self) -> None:
        config, number = self.config, self.epoch + 1
        last = number == config.num_epoch
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
            evaluation = evaluate_part(self.setup, self.test_part, self.compute,
                                       Outputs(number, scores=config.save_score))
            if not evaluation.complete:
                return False
            top1 = top_k_accuracy(evaluation.scores, evaluation.labels, 1)
            self._scalar("val", "loss", evaluation.loss, self.step)
            self._scalar("val", "acc", top1, self.step)
            row |= {"test_loss": evaluation.loss, "test_top1": top1,
                    "test_top5": top_k_accuracy(evaluation.scores, evaluation.labels, 5)}
            self.record.evaluated(number, evaluation.seconds)
            if top1 > self.best["accuracy"] or not self.best["epoch"]:
                self.best = {"accuracy": top1, "epoch": number, "step": self.step}
                if self.world.is_main:
                    save_weights(self.setup.model, self.work_dir.path / BEST_WEIGHTS)
                    result_files.write_predictions(self.work_dir.path / PREDICTIONS, self.test_part.names, evaluation.scores,
                                             evaluation.labels)
                self.record.predicted(BEST_WEIGHTS, number)
        self.history.append(row)
        return True

    def _finish(self) -> None:
        """Test the best weights, draw the pictures, and print the closing summary."""
        log, config = self.work_dir.log, self.config
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
            self._scalar("val", "acc", top_k_accuracy(evaluation.scores, evaluation.labels, 1), self.step)
            self._scalar("val", "loss", evaluation.loss, self.step)
        if not self.world.is_main:
            return
        result_files.draw_history(self.work_dir.path / "curves.png", self.history, str(self.work_dir.path))
        last = self.history[-1] if self.history else {}
        if last.get("test_top1") is not None:
            log(f"Last epoch: {last['epoch']}, accuracy: {last['test_top1']:.6f}")
        log(f"Best accuracy: {self.best['accuracy']:.6f}")
        log(f"Epoch number: {self.best['epoch']}")
        log("(The best epoch is picked on the test split, as the published results do; "
            "report the last epoch where that matters.)")
        log(f"Model name: {self.work_dir.path}")
        log(f"Model total number of params: {self.setup.parameters}")
        for title, key in (("Weight decay", "weight_decay"), ("Base LR", "base_lr"), ("Batch Size", "batch_size"),
                           ("Forward Batch Size", "forward_batch_size"), ("Test Batch Size", "test_batch_size"),
                           ("seed", "seed")):
            log(f"{title}: {getattr(config, key)}")
        log(f"Best weights, tables and pictures: {self.work_dir.path}; curves: tensorboard --logdir "
            f"{self.work_dir.path / self.spec.log_directory}")
        self.record.save(finished=True)
        write_run_report(self.setup, self.test_part.feeder)

    # -- state ---------------------------------------------------------------------------------------

    def _save_state(self) -> None:
        device = self.setup.device
        draws = {"generators": generator_states(),
                 "cuda_generators": [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []}
        draws, *others = self.world.gather(draws)
        if not self.world.is_main:
            return
        state = {
            "model": self.setup.model.state_dict(), "optimizer": self.optimizer.state_dict(),
            "scaler": self.passes.scaler.state_dict(), **draws, "other_processes": others,
            "progress": {"epoch": self.epoch, "step": self.step, "means": asdict(self.means)},
            "best": self.best, "history": self.history, "settings": self._settings(),
        }
        save_state(state, self.work_dir)

    def _restore(self, state: dict[str, Any]) -> None:
        defaults = {flag.key: flag.default for flag in COMMON_FLAGS}  # of settings younger than the state
        settings = {key: state["settings"].get(key, defaults.get(key)) for key in self._settings()}
        changed = {key: (settings[key], value) for key, value in self._settings().items() if settings[key] != value}
        if changed:
            listed = "; ".join(f"{key}: {before} before, {now} now" for key, (before, now) in changed.items())
            raise UserError(f"{self.work_dir.path}: cannot resume with other settings ({listed}); leave them as they "
                            "were, or start afresh with --overwrite or another --work-dir")
        self.setup.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.passes.scaler.load_state_dict(state["scaler"])
        self._restore_draws([state, *state.get("other_processes", ())])
        progress = state["progress"]
        self.epoch, self.step = progress["epoch"], progress["step"]
        self.means = Means(**progress["means"])
        self.best, self.history = state["best"], state["history"]
        self.work_dir.log(f"Resuming in epoch {self.epoch + 1} after {self.means.batches} batches, step {self.step}.")

    def _restore_draws(self, states: list[dict[str, Any]]) -> None:
        """Set the random generators of this process from those saved, one of each process."""
        if len(states) != self.world.size:
            self.work_dir.log(f"The run so far had {len(states)} process(es), it goes on with {self.world.size}: the "
                              "same batches and rates, but other random draws.")
        if self.world.rank < len(states):
            own = states[self.world.rank]
            restore_generators(own["generators"])
            if self.setup.device.type == "cuda" and own["cuda_generators"]:
                torch.cuda.set_rng_state(own["cuda_generators"][0], self.setup.device)

    def _settings(self) -> dict[str, Any]:
        """Return the settings that may not change between a run and its resumption."""
        return {flag.key: getattr(self.config, flag.key) for flag in (*COMMON_FLAGS, *self.spec.flags)
                if not (flag.free or flag.transient)}

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

    # -- words ---------------------------------------------------------------------------------------

    def _log_settings(self, resumed: bool) -> None:
        if not self.world.is_main:
            return
        config, log = self.config, self.work_dir.log
        copy_sources(config, self.work_dir)
        if config.warm_up_epoch:
            log(f"using warm up, epoch: {config.warm_up_epoch}")
        if not resumed:
            log(f"Parameters:\n{pprint.pformat(vars(config))}\n", to_terminal=False)
            print(f"Settings: {self.work_dir.path / 'config.yaml'}")
        log(self.spec.texts.parameters.format(count=self.setup.parameters))

    def _open_writers(self) -> dict[str, Any]:
        if not self.world.is_main:
            return {}
        from torch.utils.tensorboard import SummaryWriter  # slow to import; the other phases do without

        folder = self.work_dir.path / self.spec.log_directory
        purge = {"purge_step": self.step + 1} if self.step else {}
        if is_debug(self.config):
            writer = SummaryWriter(str(folder / self.spec.debug_log), **purge)
            return {"train": writer, "val": writer}
        return {part: SummaryWriter(str(folder / part), **purge) for part in ("train", "val")}

    def _scalar(self, part: str, tag: str, value: float, step: int) -> None:
        if self.world.is_main:
            self.writers[part].add_scalar(tag, value, step)

    def _diverged(self, reason: str, batch: int, lr: float) -> TrainingDiverged:
        """Save the batch for replay; return the error that names its samples."""
        step = self.epoch * len(self.train_part.batches) + batch + 1
        requests = self.train_part.batches.requests(batch)
        indices = [index for request in requests for index in request.indices]
        names = self.train_part.names  # once, where a feeder repeats its samples
        names = [str(names[i % len(names)]) for i in indices]
        if self.world.is_main:
            parts = [SeededFetch(self.train_part.feeder).__getitems__(request) for request in requests]
            data, labels = (torch.cat(tensors).numpy() for tensors in list(zip(*parts, strict=True))[:2])
            result_files.write_batch(self.work_dir.path / DIVERGED_BATCH, {
                "data": data, "labels": labels, "indices": np.array(indices), "names": np.array(names),
                "epoch": np.array(self.epoch + 1), "step": np.array(step), "learning_rate": np.array(lr)})
        self.world.wait()  # the others end the run
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        return TrainingDiverged(
            f"{reason} in epoch {self.epoch + 1}, batch {batch + 1}, step {step} (learning rate {lr:g}, samples "
            f"{shown}); the batch is in {self.work_dir.path / DIVERGED_BATCH}, the last saved state is kept: check the "
            "data and --resume, or start afresh with a lower --base-lr")
