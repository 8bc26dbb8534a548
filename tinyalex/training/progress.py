"""The position and results of a training run; the progress bar."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.training.scheme import StepResult

BAR_FORMAT = "{desc} {percentage:3.0f}%|{bar}|{remaining}{postfix}"
"""Of tqdm, whose own format has too few columns for the status, its postfix, in 80."""


@dataclass
class Epoch:
    """A line of the log: mean losses and error rates (0 to 1).

    `seconds` and `images_per_second` are those of training, without validation. They
    include `waited`, the seconds of waiting for data. Results of validation are NaN if
    there is none.
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
        valid = ""
        if not math.isnan(self.valid_error):
            error = 100 * self.valid_error
            valid = f"validation loss {self.valid_loss:.4f} error {error:5.2f} %  "
        return (
            f"epoch {self.epoch:3d}  lr {self.lr:.2g}  "
            f"train loss {self.train_loss:.4f} error {100 * self.train_error:5.2f} %  "
            f"{valid}{self.images_per_second:.0f} images/s"
        )


@dataclass
class Progress:
    """Steps so far, sums over the images of the current epoch, and the best epoch.

    skipped                of the current epoch: steps without an update, as their loss
                           or gradients were not finite
    skipped_in_succession  the number of the last steps that were skipped
    """

    step: int = 0
    images: int = 0
    loss: float = 0.0
    wrong: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    best_error: float = math.inf
    best_epoch: int = 0
    skipped: int = 0
    skipped_in_succession: int = 0

    def start_epoch(self) -> None:
        self.images, self.loss, self.wrong, self.seconds, self.waited = 0, 0.0, 0, 0.0, 0.0
        self.skipped = 0

    def status(self, batches: int) -> str:
        """A line of the log within an epoch, after this many of its batches."""
        wait, step = (1000 * s / batches for s in (self.waited, self.seconds - self.waited))
        return f"{self._rates(3)}: per batch, {wait:.0f} ms data wait, {step:.0f} ms compute"

    def short_status(self) -> str:
        """The text of the progress bar. `wait` is the share of time without data."""
        return f"{self._rates(2)}, wait {100 * self.waited / self.seconds:.0f} %"

    def _rates(self, digits: int) -> str:
        images = max(1, self.images)
        return (
            f"loss {self.loss / images:.{digits}f}, error {100 * self.wrong / images:.1f} %, "
            f"{self.images / self.seconds:.0f} images/s"
        )


class PendingResults:
    """Results of steps, not yet read back: reading synchronises with the GPU."""

    def __init__(self) -> None:
        self._results: list[StepResult] = []

    def __len__(self) -> int:
        return len(self._results)

    def add(self, result: StepResult) -> None:
        self._results.append(result)

    def read(self) -> list[tuple[float, int, int]]:
        """Pop (mean loss, errors, images) of each step. Waits for the GPU."""
        if not self._results:
            return []
        losses, errors, images, _ = zip(*self._results, strict=True)
        self._results = []
        with device.on_device_of(losses[0]):
            xp = device.xp(losses[0])
            all_losses = device.to_numpy(xp.stack(losses))
            all_errors = device.to_numpy(xp.concatenate([e.reshape(-1) for e in errors]))
        ends = np.cumsum([e.size for e in errors])[:-1]
        counts = [int(flags.sum()) for flags in np.split(all_errors, ends)]
        return list(zip(all_losses.tolist(), counts, images, strict=True))


def progress_bar(*iterable: Any, **options: Any) -> Any:
    """A tqdm bar, which is shown on a terminal only and removed at the end."""
    from tqdm import tqdm

    return tqdm(*iterable, disable=None, leave=False, bar_format=BAR_FORMAT, **options)
