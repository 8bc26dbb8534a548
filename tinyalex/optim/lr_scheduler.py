"""How the learning rate falls. Call `step` at the end of each epoch; every group keeps its ratio to the others."""

import math
from typing import Any


class Scheduler:
    """A schedule is a `factor` by which the groups' initial rates are multiplied; a subclass says how it changes."""

    progress: tuple[str, ...] = ("initial", "epoch", "factor")
    """What changes as training goes on, and is saved. How the rate falls is the options' business, also in a resumed run."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer
        self.initial = [group["lr"] for group in optimizer.param_groups]
        self.epoch = 0
        self.factor = 1.0

    def _apply(self, factor: float) -> None:
        self.factor = factor
        for group, lr in zip(self.optimizer.param_groups, self.initial, strict=True):
            group["lr"] = lr * factor

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.progress}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update({name: state[name] for name in self.progress})
        self._apply(self.factor_now())

    def factor_now(self) -> float:
        """The factor after the epochs that are behind; a schedule that is a function of their number works it out anew."""
        return self.factor


class StepLR(Scheduler):
    """Multiply the rate by `gamma` every `step_size` epochs."""

    def __init__(self, optimizer: Any, step_size: int, gamma: float = 0.1) -> None:
        if step_size < 1:
            raise ValueError(
                f"StepLR: step_size is a number of epochs from 1 on, got {step_size!r}."
            )
        super().__init__(optimizer)
        self.step_size, self.gamma = step_size, gamma

    def step(self) -> None:
        self.epoch += 1
        self._apply(self.factor_now())

    def factor_now(self) -> float:
        return self.gamma ** (self.epoch // self.step_size)


class ReduceLROnPlateau(Scheduler):
    """Multiply the rate by `factor` when a figure that should fall has not done so for more than `patience` epochs.

    The paper's rule, with a factor of 1/10: "when the validation error rate stopped improving with the current learning rate".
    A fall counts if it is larger than `threshold` times the best figure so far.
    """

    progress = (*Scheduler.progress, "best", "bad_epochs")

    def __init__(
        self,
        optimizer: Any,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        min_lr: float = 0.0,
    ) -> None:
        if not 0 < factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor must be between 0 and 1, got {factor!r}.")
        super().__init__(optimizer)
        self.drop, self.patience, self.threshold, self.min_lr = factor, patience, threshold, min_lr
        self.best, self.bad_epochs = math.inf, 0

    def step(self, metrics: float) -> None:
        self.epoch += 1
        if metrics < self.best * (1 - self.threshold):
            self.best, self.bad_epochs = metrics, 0
        else:
            self.bad_epochs += 1
        if self.bad_epochs > self.patience:
            self.bad_epochs = 0
            if max(self.initial) * self.factor * self.drop >= self.min_lr:
                self._apply(self.factor * self.drop)


class DiscreteExponential(Scheduler):
    """Fall to 1/target_factor of the initial rate in `num_steps` levels of equal length, by the same factor each time.

    cuda-convnet's `dexp`: with 90 epochs, target_factor=250 and num_steps=4, the rate is divided by 250**(1/3) after 25, 50 and 75 %
    of them.
    """

    def __init__(
        self, optimizer: Any, epochs: int, target_factor: float = 250.0, num_steps: int = 4
    ) -> None:
        if num_steps < 2 or epochs < 1 or target_factor <= 0:
            raise ValueError(
                "DiscreteExponential: expected num_steps of 2 or more, epochs of 1 or more and a positive target_factor, "
                f"got {num_steps!r}, {epochs!r} and {target_factor!r}."
            )
        super().__init__(optimizer)
        self.epochs, self.target_factor, self.num_steps = epochs, target_factor, num_steps

    def step(self) -> None:
        self.epoch += 1
        self._apply(self.factor_now())

    def factor_now(self) -> float:
        level = min(self.epoch * self.num_steps // self.epochs, self.num_steps - 1)
        return self.target_factor ** (-level / (self.num_steps - 1))


NAMES = ("constant", "step", "plateau", "dexp")


def named(name: str, optimizer: Any, epochs: int, patience: int = 2) -> Scheduler | None:
    """What `--schedule` means in the training scripts: "constant"; "step", a tenth for the last quarter of the epochs; "plateau", a tenth
    when the validation error has not fallen for more than `patience` epochs (section 5); "dexp", cuda-convnet's discrete exponential."""
    if name == "step":
        return StepLR(optimizer, step_size=max(1, -(-3 * epochs // 4)))
    if name == "plateau":
        return ReduceLROnPlateau(optimizer, patience=patience)
    if name == "dexp":
        return DiscreteExponential(optimizer, epochs)
    if name != "constant":
        raise ValueError(f"schedule: expected one of {', '.join(NAMES)}, got {name!r}.")
    return None
