"""Steps whose loss or gradients are not finite: skipped, or an error."""

import math
from collections.abc import Callable
from pathlib import Path

from tinyalex import device
from tinyalex.optim import Optimizer
from tinyalex.training import divergence
from tinyalex.training.progress import Progress
from tinyalex.training.scheme import Scheme, StepResult


class StepCheck:
    """Decides whether the update of a step is made.

    checkpoint  that the error's message mentions, if it exists
    skip        the number of steps in succession that may be skipped because their loss
                or gradients are not finite. If it is 0, gradients are not checked, and
                losses not on a GPU, which each step would have to wait for.
    """

    def __init__(self, scheme: Scheme, optimizer: Optimizer, checkpoint: Path, skip: int) -> None:
        self.scheme, self.optimizer = scheme, optimizer
        self.checkpoint, self.skip = checkpoint, skip
        self._repeat: Callable[[], StepResult | None] | None = None

    def allows_update(
        self, result: StepResult, progress: Progress, repeat: Callable[[], StepResult | None]
    ) -> bool:
        """False if the step is to be skipped, which is counted in `progress`.

        repeat  computes the loss and gradients again

        The same in each process. Raises FloatingPointError if the step is not finite
        and not skipped.
        """
        if self.scheme.scaler.is_enabled():
            self._repeat = repeat
        if not self.skip and device.of(result.loss) != "cpu":
            return True
        loss = float(result.loss)
        is_bad = not math.isfinite(loss)
        if self.skip:
            # A scaler skips and counts the update itself.
            is_checked = not self.scheme.scaler.is_enabled()
            is_bad |= is_checked and not divergence.gradients_are_finite(self.scheme.model)
        # What follows is collective: all processes must take the same branch.
        (is_bad,) = self.scheme.any_rank(is_bad)
        if not is_bad:
            progress.skipped_in_succession = 0
            return True
        if progress.skipped_in_succession >= self.skip:
            found = divergence.find_first(self.scheme, repeat)
            raise self.error(loss, progress.step, found)
        progress.skipped_in_succession += 1
        progress.skipped += 1
        return False

    def end_epoch(self, progress: Progress) -> str:
        """A line about the steps of the epoch that were skipped; "" if there are none.

        Raises FloatingPointError if a scaler's factor has fallen below 1.
        """
        if not progress.skipped:
            return ""
        scaler, factor = self.scheme.scaler, ""
        if scaler.is_enabled():
            if scaler.get_scale() < 1:
                found = self._repeat and divergence.find_first(self.scheme, self._repeat)
                raise self.error(0.0, progress.step, found)
            factor = f"; the factor of the loss is {scaler.get_scale():g}"
        return f"skipped steps: {progress.skipped} (loss or gradients not finite{factor})"

    def error(
        self, loss: float, step: int, found: divergence.Finding | None = None
    ) -> FloatingPointError:
        """The error for a step. If nothing has been found, parameters are searched."""
        found = found or divergence.find_parameter(self.scheme.model)
        saved = "The last checkpoint was saved before. " if self.checkpoint.exists() else ""
        what = found.what if found else ""
        event = f"A {'parameter' if what == 'parameter' else 'gradient'} is not finite"
        event = event if math.isfinite(loss) else f"The loss is {loss}"
        text = f"{event} at step {step}: training has diverged. {saved}"
        text += _advice(self.optimizer, step, what)
        if self.scheme.scaler.is_enabled() and what != "images":
            text += " With --amp, outputs above 65504 are infinite: train without --amp."
        if found:
            text += f"\n{found.text}"
        if what == "parameter" and step > 0 and not self.skip:
            text += (
                " To find the layer that is the cause, add --skip-bad-steps 1: loss and gradients "
                "are then checked before each update."
            )
        return FloatingPointError(text)


def _advice(optimizer: Optimizer, step: int, what: str) -> str:
    if what == "images":
        return "The images of this batch are not finite. Check them, and their preprocessing."
    if step == 0:
        return "No update has been made. Check the images, their scale and the initial weights."
    for group in optimizer.param_groups:
        lr, decay, limit = group["lr"], group["weight_decay"], 2 * (1 + group.get("momentum", 0))
        if decay > lr and lr * decay >= 1:
            return (
                f"Each step subtracts lr * weight_decay = {lr * decay:.3g} times the weights; from "
                f"{limit:.3g} on, this alone makes them grow. Restart with a lower --weight-decay, "
                "for example 0.0005."
            )
    lr = optimizer.param_groups[0]["lr"]
    if not math.isfinite(lr):
        return f"The learning rate is {lr}. Restart with a finite one, for example --lr 0.01."
    return f"Restart with a learning rate below {lr:g}, for example --lr {lr / 10:g}."
