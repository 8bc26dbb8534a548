"""The training loop: epochs of steps, a log, checkpoints, and a way to stop and go on.

All that a run needs to go on is in its checkpoint, and random numbers depend on the seed and the step alone: a run that was stopped
and resumed, even in the middle of an epoch, ends with the same bytes as one that was not.
"""

import csv
import io
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from tinyalex import device, serialization
from tinyalex import functional as F
from tinyalex.device import Array
from tinyalex.optim.lr_scheduler import ReduceLROnPlateau
from tinyalex.serialization import atomic_write
from tinyalex.training.metrics import evaluate, wrong_answers
from tinyalex.training.plateau import Plateau
from tinyalex.training.progress import Epoch, Progress, Unread

CHECKPOINT = "checkpoint.safetensors"

SAVE_EVERY = 600
"""Seconds between two checkpoints within an epoch, which on all of ImageNet takes hours on a small machine."""

LOOK_EVERY = 0.1
"""Seconds between two looks at the loss. A GPU that is asked after each step idles while Python prepares the next one."""


class Interrupted(Exception):  # noqa: N818 - not an error: the user asked for it
    """Training was stopped by Ctrl-C, or by SIGTERM, after its checkpoint was written."""


class Trainer:
    """Trains `model` and keeps its files up to date in the folder `output`:

        log.csv                 a line an epoch
        checkpoint.safetensors  to go on from: weights, the best ones too, velocities, schedule, seed, log
        best.safetensors        the weights with the lowest validation error so far
        model.safetensors       the weights at the end

    train, valid  Loaders; the validation error steers the schedule "plateau", `patience` and `best`
    epochs        how many to train for, in all
    patience      stop when the validation error has not fallen for so many epochs
    metadata      what the files of weights say about themselves: the network's `variant`, ...
    options       what must be the same in a run that goes on from a checkpoint
    after_epoch   called with the log so far, to draw it for instance
    """

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        scheduler: Any,
        train: Any,
        valid: Any,
        *,
        epochs: int,
        output: str | os.PathLike[str],
        metadata: dict[str, str],
        patience: int | None = None,
        options: dict[str, Any] | None = None,
        after_epoch: Callable[[list[Epoch]], None] = lambda log: None,
    ) -> None:
        self.model, self.optimizer, self.scheduler, self.train, self.valid = (
            model,
            optimizer,
            scheduler,
            train,
            valid,
        )
        self.epochs, self.output, self.metadata, self.patience = (
            epochs,
            Path(output),
            metadata,
            patience,
        )
        self.options, self.after_epoch = options or {}, after_epoch
        self.progress, self.log, self.best = Progress(), list[Epoch](), dict[str, np.ndarray]()
        self._unread = Unread()
        self._plateau: Plateau | None = None

    @property
    def checkpoint(self) -> Path:
        return self.output / CHECKPOINT

    def fit(self) -> list[Epoch]:
        """Train to the end, from where the run is. Returns the log.

        Raises Interrupted after the training step in which Ctrl-C or SIGTERM came, with a checkpoint written, and FloatingPointError where
        the loss is no longer a number, with nothing written since the last good checkpoint.
        """
        with _asked_to_stop() as stop_asked:
            while len(self.log) < self.epochs and not self._out_of_patience():
                self._train_epoch(stop_asked)
                self._close_epoch()
        self._save_weights("model.safetensors", self.model.state_dict())
        # Once more: a run that was killed between its last checkpoint and these, or resumed elsewhere, has them too.
        self._write_log()
        self.after_epoch(self.log)
        return self.log

    def _train_epoch(self, stop_asked: Callable[[], bool]) -> None:
        from tqdm import tqdm

        epoch, progress = len(self.log), self.progress
        start = progress.step - epoch * len(self.train)
        self.model.train()
        bar = tqdm(
            total=len(self.train),
            initial=start,
            desc=f"epoch {epoch + 1}/{self.epochs}",
            disable=None,
            leave=False,
            unit="batch",
        )
        with bar:
            began = saved = time.perf_counter()  # waiting for a batch counts too
            for images, labels in self._awaited(self.train.epoch(epoch, start)):
                self.step(images, labels)
                stop = stop_asked()
                if stop or time.perf_counter() - began > LOOK_EVERY:
                    self._look()
                    now = time.perf_counter()
                    progress.seconds, began = progress.seconds + now - began, now
                    count = max(1, progress.images)
                    batches = progress.step - epoch * len(self.train)
                    waited, stepped = (
                        1000 * s / batches
                        for s in (progress.waited, progress.seconds - progress.waited)
                    )
                    bar.set_postfix_str(
                        f"loss {progress.loss / count:.3f}, error {100 * progress.wrong / count:.1f} %, "
                        f"{progress.images / progress.seconds:.0f} images/s: a batch waits {waited:.0f} ms for data, steps {stepped:.0f} ms"
                    )
                bar.update()
                if stop or time.perf_counter() - saved > SAVE_EVERY:
                    self.save_checkpoint()
                    saved = time.perf_counter()
                if stop:
                    raise Interrupted
            self._look()
            progress.seconds += time.perf_counter() - began

    def _awaited(self, batches: Iterator[tuple[Array, Array]]) -> Iterator[tuple[Array, Array]]:
        """The batches; how long each was waited for is noted."""
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            self.progress.waited += time.perf_counter() - asked
            if batch is None:
                return
            yield batch

    def step(self, images: Array, labels: Array) -> None:
        """One step: forward, backward, update. What it found out stays on the device, and is looked at now and then.

        Where no picture of the batch could be read, the step passes.
        """
        if len(labels) == 0:
            self.progress.step += 1
            return
        device.set_step(self.progress.step)
        self.optimizer.zero_grad()
        logits = self.model(images)
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        self.optimizer.step()
        self.progress.step += 1
        with device.on_device_of(logits.data):
            self._unread.note(loss.data, wrong_answers(logits.data, labels), len(labels))
        if self._plateau is None:
            self._plateau = Plateau(logits.shape[1])

    def _look(self) -> None:
        """Add up what the last steps found out. FloatingPointError where a loss is no number."""
        from tqdm import tqdm

        step = self.progress.step - len(self._unread.images)
        for loss, wrong, images in self._unread.read():
            if not np.isfinite(loss):
                raise self._diverged(loss, step)
            step += 1
            self.progress.images += images
            self.progress.loss += loss * images
            self.progress.wrong += wrong
            if self._plateau is not None and self._plateau.note(loss):
                tqdm.write(self._plateau.advice())

    def _diverged(self, loss: float, step: int) -> FloatingPointError:
        lr = self.optimizer.param_groups[0]["lr"]
        kept = "The last checkpoint is from before. " if self.checkpoint.exists() else ""
        return FloatingPointError(
            f"The loss is {loss} at step {step}: training has diverged. {kept}"
            f"Start again with a lower rate than {lr:g}, as in --lr {lr / 10:g}."
        )

    def _close_epoch(self) -> None:
        progress = self.progress
        lr = self.optimizer.param_groups[0]["lr"]
        from tqdm import tqdm

        valid = evaluate(
            self.model, tqdm(self.valid, "validation", disable=None, leave=False, unit="batch")
        )
        if not np.isfinite(valid.loss):
            raise self._diverged(valid.loss, progress.step)
        train_loss, train_error = progress.loss / progress.images, progress.wrong / progress.images
        speed = progress.images / progress.seconds
        self.log.append(
            Epoch(
                len(self.log) + 1,
                lr,
                train_loss,
                train_error,
                valid.loss,
                valid.error,
                speed,
                progress.seconds,
                valid.top5_error,
                progress.waited,
            )
        )
        progress.forget_epoch()
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(valid.error)
        elif self.scheduler is not None:
            self.scheduler.step()
        if valid.error < progress.best_error:
            progress.best_error, progress.best_epoch = valid.error, len(self.log)
            self.best = self.model.state_dict()
            self._save_weights("best.safetensors", self.best)
        self.save_checkpoint()
        self._write_log()
        self.after_epoch(self.log)
        print(self.log[-1], flush=True)

    def _out_of_patience(self) -> bool:
        return (
            self.patience is not None
            and len(self.log) - self.progress.best_epoch >= self.patience
            and bool(self.log)
        )

    def _save_weights(self, name: str, weights: dict[str, np.ndarray]) -> None:
        serialization.save(self.output / name, weights, metadata=self.metadata)

    def _write_log(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, [field.name for field in fields(Epoch)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(line) for line in self.log)
        with atomic_write(self.output / "log.csv") as unfinished:
            unfinished.write_text(text.getvalue())

    # Stopping and going on

    def save_checkpoint(self) -> None:
        """Write all that the run needs to go on. FloatingPointError, and the old one stays, where a loss or a weight is no number."""
        self._look()
        weights = self.model.state_dict()
        if not all(np.isfinite(array).all() for array in weights.values()):
            raise self._diverged(float("nan"), self.progress.step)
        state = {
            "seed": device.seed(),
            "model": weights,
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler is not None else None,
            "progress": asdict(self.progress),
            "log": [asdict(line) for line in self.log],
            "options": self.options,
        }
        serialization.save(self.checkpoint, state)

    def resume(self, path: str | os.PathLike[str]) -> None:
        """Go on from a checkpoint. ValueError if it comes from a run with other options, naming them."""
        state = serialization.load(path)
        if (
            not isinstance(state, dict)
            or not {"progress", "options", "seed", "best"} <= state.keys()
        ):
            raise ValueError(
                f"resume: {str(path)!r} holds no checkpoint, only weights perhaps. Expected a checkpoint.safetensors."
            )
        then = state["options"]
        changed = [
            f"{name} was {then.get(name)!r}, now {value!r}"
            for name, value in self.options.items()
            if then.get(name) != value
        ]
        if changed:
            raise ValueError(
                f"resume: {str(path)!r} is from a run with other options: {'; '.join(changed)}.\n"
                "Give the same options, or start a new run in another folder (--output)."
            )
        device.manual_seed(state["seed"])
        self._unread = Unread()
        self.best = state["best"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None and state["scheduler"] is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self.progress = Progress(**state["progress"])
        self.log = [Epoch(**line) for line in state["log"]]
        if self.best:
            self._save_weights("best.safetensors", self.best)


@contextmanager
def _asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Within it, the first Ctrl-C or SIGTERM only makes the function it gives answer True, so that a step is finished; a second one ends
    the program as ever."""
    asked = False

    def note(signum: int, frame: Any) -> None:
        nonlocal asked
        asked = True
        put_back()

    def put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before: dict[int, Any] = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, note)
    except ValueError:  # not in the main thread, where signals never arrive
        yield lambda: False
        return
    try:
        yield lambda: asked
    finally:
        put_back()
