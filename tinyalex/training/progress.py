"""Where a run is, and what it has found out so far."""

import math
from dataclasses import dataclass

import numpy as np

from tinyalex import device
from tinyalex.device import Array


@dataclass
class Epoch:
    """A line of the log: losses are means over images, errors shares of wrong answers.

    Seconds and images a second are those of training: with the wait for data (`waited`, in seconds too), without the validation.
    """

    epoch: int
    lr: float
    train_loss: float
    train_error: float
    valid_loss: float
    valid_error: float
    images_per_second: float
    seconds: float
    valid_top5_error: float = math.nan
    waited: float = math.nan

    def __str__(self) -> str:
        return (
            f"epoch {self.epoch:3d}  lr {self.lr:.2g}  train loss {self.train_loss:.4f} error {100 * self.train_error:5.2f} %  "
            f"validation loss {self.valid_loss:.4f} error {100 * self.valid_error:5.2f} %  {self.images_per_second:.0f} images/s"
        )


@dataclass
class Progress:
    """Where a run is: steps done, and what has been summed up over the images of the epoch that is under way."""

    step: int = 0
    images: int = 0
    loss: float = 0.0
    wrong: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    best_error: float = float("inf")
    best_epoch: int = 0

    def forget_epoch(self) -> None:
        self.images, self.loss, self.wrong, self.seconds, self.waited = 0, 0.0, 0, 0.0, 0.0


class Unread:
    """What steps have found out and nobody has looked at yet: on a GPU, looking means waiting for all that it was asked to do."""

    def __init__(self) -> None:
        self.found: list[Array] = []
        self.images: list[int] = []

    def note(self, loss: Array, wrong: Array, images: int) -> None:
        xp = device.xp(loss)
        self.found.append(xp.stack([loss.astype(np.float64), wrong.astype(np.float64)]))
        self.images.append(images)

    def read(self) -> list[tuple[float, int, int]]:
        """(mean loss, wrong answers, images) of each step, with one wait for all; they are forgotten then."""
        if not self.images:
            return []
        with device.on_device_of(self.found[0]):
            found = device.to_numpy(device.xp(self.found[0]).stack(self.found))
        steps = [
            (loss, int(wrong), images)
            for (loss, wrong), images in zip(found.tolist(), self.images, strict=True)
        ]
        self.found, self.images = [], []
        return steps
