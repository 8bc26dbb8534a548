"""The training loop: epochs of steps, validation, a log, interruption and resuming."""

import csv
import io
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tinyalex import device, serialization
from tinyalex.data import Loader
from tinyalex.device import Array
from tinyalex.nn import Module
from tinyalex.optim import GradScaler, Optimizer
from tinyalex.optim.lr_scheduler import ReduceLROnPlateau
from tinyalex.serialization import atomic_write
from tinyalex.training import divergence, history
from tinyalex.training.captured_step import CapturedStep
from tinyalex.training.checkpoint import CHECKPOINT, Run
from tinyalex.training.metrics import Evaluation
from tinyalex.training.output_folder import checked
from tinyalex.training.plateau import REMEDIES, Plateau
from tinyalex.training.progress import Epoch, PendingResults, progress_bar
from tinyalex.training.scheme import Scheme, StepResult
from tinyalex.training.signals import Interrupted, deferred_interrupts
from tinyalex.training.step_check import StepCheck

SAVE_INTERVAL_SECONDS = 600
"""Between checkpoints within an epoch, which on all of ImageNet may take hours."""

READ_INTERVAL_SECONDS = 0.1
"""Between reads of the loss. A read after each step would leave the GPU idle while
Python prepares the next."""

STATUS_INTERVAL_SECONDS = 300
"""Between lines with the status, where there is no terminal for a progress bar."""


class Trainer(Run):
    """Trains `model`, and keeps these files in the folder `output` up to date:

        log.csv                 a line for each epoch
        checkpoint.safetensors  to resume from: weights, optimizer, schedule, seed, log;
                                the one before is checkpoint.1.safetensors (history.py)
        best.safetensors        the weights with the lowest validation error so far;
                                without validation, the latest
        model.safetensors       the weights at the end

    scheduler     from optim.lr_scheduler, or None
    valid         images for validation after each epoch; None: no validation, and the
                  log has NaN
    epochs        total number of epochs
    metadata      of the weights files: the network's `variant`, ...
    patience      stop when the validation error has not fallen for this many epochs
    skip_bad_steps
                  make no update in steps whose loss or gradients are not finite, up to
                  this many in succession. Each step waits for the GPU if it is not 0
    graph         capture the steps of whole batches in a CUDA graph: a launch repeats
                  the work of a step, with the same results. No effect on the CPU
    options       settings that must be the same when a run is resumed
    defaults      other settings, which are stored in checkpoints for a resumed run
    scaler        optim.GradScaler(), to train in half precision; None: that of `scheme`
    scheme        how a step is computed; None: in this process. With several processes
                  (tinyalex.parallel), each has a Trainer, and one writes the files
    save_interval_seconds
                  between checkpoints within an epoch; None: SAVE_INTERVAL_SECONDS
    keep_checkpoints
                  the number of checkpoints that are kept, at least 1
    remedies      {topic: what to try} if the network does not learn
    after_epoch   called with the log after each epoch, for example to plot it; with
                  several processes, in each
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        scheduler: Any,
        train: Loader,
        valid: Loader | None,
        *,
        epochs: int,
        output: str | os.PathLike[str],
        metadata: dict[str, str],
        patience: int | None = None,
        skip_bad_steps: int = 0,
        graph: bool = False,
        options: dict[str, Any] | None = None,
        defaults: dict[str, Any] | None = None,
        scaler: GradScaler | None = None,
        scheme: Scheme | None = None,
        save_interval_seconds: float | None = None,
        keep_checkpoints: int = history.KEEP_CHECKPOINTS,
        remedies: Mapping[str, str] = REMEDIES,
        after_epoch: Callable[[list[Epoch]], None] = lambda log: None,
    ) -> None:
        scheme = scheme or Scheme(model, train.device)
        scheme.scaler = scaler or scheme.scaler
        super().__init__(model, optimizer, scheduler, options, defaults, scheme.scaler)
        if valid is None and (patience is not None or isinstance(scheduler, ReduceLROnPlateau)):
            raise ValueError(
                "Trainer: patience and ReduceLROnPlateau need a validation error, but valid is "
                "None. Give a Loader of held out images."
            )
        self.train, self.valid, self.epochs = train, valid, epochs
        self.output, self.metadata, self.patience = Path(output), metadata, patience
        self.scheme = scheme
        for loader in (train, valid):
            if loader is not None and loader.shard != self.scheme.shard:
                raise ValueError(
                    f"Trainer: expected loaders with shard={self.scheme.shard}, the part of each "
                    f"batch for this process, got {loader.shard}. Give data.Loader(..., "
                    "shard=scheme.shard)."
                )
        if graph and skip_bad_steps:
            raise ValueError(
                "Trainer: with skip_bad_steps the host decides in each step whether to update, and "
                "a graph contains the update. Give graph=False, or skip_bad_steps=0."
            )
        is_on_gpu = self.scheme.device != "cpu"
        self._captured = CapturedStep(self.scheme, optimizer) if graph and is_on_gpu else None
        self.remedies, self.after_epoch = remedies, after_epoch
        self.save_interval_seconds, self.keep_checkpoints = save_interval_seconds, keep_checkpoints
        self._has_checkpoint = False
        """Whether `checkpoint` is intact and of this run. If not, it is overwritten."""
        if self.scheme.is_main:
            self.output.mkdir(parents=True, exist_ok=True)
        self._check = StepCheck(self.scheme, optimizer, self.checkpoint, skip_bad_steps)
        self._pending = PendingResults()
        self._plateau: Plateau | None = None

    @property
    def checkpoint(self) -> Path:
        return self.output / CHECKPOINT

    def fit(self) -> list[Epoch]:
        """Train the remaining epochs. Returns the log.

        Raises Interrupted after the step in which Ctrl-C or SIGTERM arrived, once a
        checkpoint is written; FloatingPointError if the loss is not finite.
        """
        with deferred_interrupts() as stop_requested:
            while len(self.log) < self.epochs and not self.is_out_of_patience:
                self._train_epoch(stop_requested)
                self._finish_epoch()
        self._save_weights("model.safetensors", self.model.state_dict())
        # Again: the run may have been killed after its last checkpoint, or moved.
        self._report()
        return self.log

    @property
    def is_out_of_patience(self) -> bool:
        """Whether the validation error has not fallen for `patience` epochs."""
        if self.patience is None or not self.log:
            return False
        return len(self.log) - self.progress.best_epoch >= self.patience

    def _train_epoch(self, stop_requested: Callable[[], bool]) -> None:
        epoch, progress = len(self.log), self.progress
        save_interval = self.save_interval_seconds
        save_interval = SAVE_INTERVAL_SECONDS if save_interval is None else save_interval
        start = progress.step - epoch * len(self.train)
        self.model.train()
        title = f"epoch {epoch + 1}/{self.epochs}"
        with progress_bar(total=len(self.train), initial=start, desc=title) as bar:
            # The wait for the first batch counts.
            began = saved = printed = time.perf_counter()
            for images, labels in self._timed(self.train.epoch(epoch, start)):
                self.step(images, labels)
                save_now = time.perf_counter() - saved > save_interval
                stop, save_now = self.scheme.any_rank(stop_requested(), save_now)
                if stop or time.perf_counter() - began > READ_INTERVAL_SECONDS:
                    self._read_results()
                    now = time.perf_counter()
                    progress.seconds, began = progress.seconds + now - began, now
                    batches = progress.step - epoch * len(self.train)
                    bar.set_postfix_str(progress.short_status())
                    if bar.disable and now - printed > STATUS_INTERVAL_SECONDS:
                        status = f"{batches} of {len(self.train)}: {progress.status(batches)}"
                        self._print(f"{title}, batch {status}")
                        printed = now
                bar.update()
                if stop or save_now:
                    self.save_checkpoint()
                    saved = time.perf_counter()
                if stop:
                    raise Interrupted
            self._read_results()
            progress.seconds += time.perf_counter() - began

    def _timed(self, batches: Iterator[tuple[Array, Array]]) -> Iterator[tuple[Array, Array]]:
        """Yields the batches, and adds the wait for each to progress.waited."""
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            self.progress.waited += time.perf_counter() - began
            if batch is None:
                return
            yield batch

    def step(self, images: Array, labels: Array) -> None:
        """Forward pass, backward pass, update. The results are pending on the device.

        An empty batch, none of whose images could be read, counts as a step too.
        """
        if self._captured is not None and len(labels) == self.train.batch_size:
            device.set_step(self.progress.step)
            result: StepResult | None = self._captured(images, labels)
        else:
            result = self._launched(images, labels)
        if result is not None:
            self._pending.add(result)
            if self._plateau is None:
                self._plateau = Plateau(result.classes, self.remedies)
        self.progress.step += 1

    def _launched(self, images: Array, labels: Array) -> StepResult | None:
        """A step without a graph; None without an update."""
        compute = partial(self._compute_gradients, images, labels)
        result = compute()
        if result is None or not self._check.allows_update(result, self.progress, compute):
            return None
        self.scheme.scaler.step(self.optimizer)
        self.scheme.scaler.update()
        return result

    def _compute_gradients(self, images: Array, labels: Array) -> StepResult | None:
        device.set_step(self.progress.step)
        self.optimizer.zero_grad()
        return self.scheme.compute_gradients(images, labels)

    def _read_results(self) -> None:
        """Add pending results to the progress. Raises if a loss is not finite."""
        from tqdm import tqdm

        step = self.progress.step - len(self._pending)
        for loss, wrong, images in self._pending.read():
            if not np.isfinite(loss):
                raise self._check.error(loss, step)
            step += 1
            self.progress.images += images
            self.progress.loss += loss * images
            self.progress.wrong += wrong
            if self._plateau is not None and self._plateau.note(loss):
                tqdm.write(self._plateau.advice())
        self.progress.skipped += self.scheme.scaler.read_skipped()

    def _finish_epoch(self) -> None:
        """Validate, log, update the schedule and the best weights, save."""
        progress = self.progress
        lr = self.optimizer.param_groups[0]["lr"]
        skipped = self._check.end_epoch(progress)
        valid = self._validate()
        images = progress.images or math.nan
        self.log.append(
            Epoch(
                epoch=len(self.log) + 1,
                lr=lr,
                train_loss=progress.loss / images,
                train_error=progress.wrong / images,
                valid_loss=valid.loss if valid else math.nan,
                valid_error=valid.error if valid else math.nan,
                images_per_second=progress.images / progress.seconds,
                seconds=progress.seconds,
                valid_top5_error=valid.top5_error if valid else math.nan,
                waited=progress.waited,
            )
        )
        if skipped:
            self._print(skipped)
        progress.start_epoch()
        if isinstance(self.scheduler, ReduceLROnPlateau):
            assert valid is not None
            self.scheduler.step(valid.error)
        elif self.scheduler is not None:
            self.scheduler.step()
        if valid is None or valid.error < progress.best_error:
            progress.best_error = valid.error if valid else math.inf
            progress.best_epoch = len(self.log)
            best = self.model.state_dict()
            self.best = best if self.scheme.is_main else {}
            self._save_weights("best.safetensors", best)
        self.save_checkpoint()
        self._report()
        self._print(str(self.log[-1]))

    def _validate(self) -> Evaluation | None:
        if self.valid is None:
            return None
        result = self.scheme.evaluate(progress_bar(self.valid, desc="validation"))
        if not np.isfinite(result.loss):
            repeat = partial(self.scheme.evaluate, self.valid)
            found = divergence.find_first(self.scheme, repeat)
            raise self._check.error(result.loss, self.progress.step, found)
        return result

    def _print(self, line: str) -> None:
        if self.scheme.is_main:
            print(line, flush=True)

    def _save_weights(self, name: str, weights: dict[str, np.ndarray]) -> None:
        if self.scheme.is_main:
            serialization.save(checked(self.output) / name, weights, metadata=self.metadata)

    def _report(self) -> None:
        """Write the log; call `after_epoch`, in every process, as it may compute."""
        if self.scheme.is_main:
            text = io.StringIO()
            writer = csv.DictWriter(
                text, [field.name for field in fields(Epoch)], lineterminator="\n"
            )
            writer.writeheader()
            writer.writerows(map(asdict, self.log))
            with atomic_write(checked(self.output) / "log.csv") as unfinished:
                unfinished.write_text(text.getvalue(), encoding="utf-8")
        self.after_epoch(self.log)

    def save_checkpoint(self) -> None:
        """Write the checkpoint.

        Raises FloatingPointError instead if a loss or weight is not finite.
        """
        self._read_results()
        state = self.state_dict()
        if not all(np.isfinite(array).all() for array in state["model"].values()):
            raise self._check.error(0.0, self.progress.step)
        if self.scheme.is_main:
            newest = checked(self.output) / CHECKPOINT
            history.save(newest, state, self.keep_checkpoints, is_first=not self._has_checkpoint)
            self._has_checkpoint = True

    def resume(self, path: str | os.PathLike[str]) -> None:
        """Continue from a checkpoint, as `load_checkpoint` does."""
        self.load_checkpoint(path)
        self._has_checkpoint = self.checkpoint.exists() and self.checkpoint.samefile(path)
        self._pending = PendingResults()
        if not self.scheme.is_main:
            self.best = {}
        if self.best:
            self._save_weights("best.safetensors", self.best)
