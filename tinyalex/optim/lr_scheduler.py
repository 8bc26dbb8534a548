"""Learning rate schedules. Call `step` at the end of each epoch."""

import bisect
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Any

from tinyalex.equivalents import module_getattr
from tinyalex.optim.optimizer import Optimizer

__getattr__ = module_getattr(sys.modules[__name__])


class Scheduler:
    """Multiplies the initial rate of each parameter group by the same factor."""

    saved: tuple[str, ...] = ("initial", "epoch", "factor")
    """The attributes in a state_dict. A resumed run may use other options."""

    floor = 0.0
    """The rate for a factor of 0."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.initial = [group["lr"] for group in optimizer.param_groups]
        self.epoch = 0
        self.factor = 1.0

    def step(self) -> None:
        self.epoch += 1
        self._apply(self.compute_factor())

    def compute_factor(self) -> float:
        """The factor after `self.epoch` epochs."""
        return self.factor

    def _apply(self, factor: float) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.initial):
            raise ValueError(
                f"{type(self).__name__}: the optimizer has {len(groups)} groups of parameters, but "
                f"{len(self.initial)} initial rates are known. Add groups before the schedule is "
                "created; load the state of a schedule with as many groups."
            )
        self.factor = factor
        for group, lr in zip(groups, self.initial, strict=True):
            group["lr"] = self.floor + (lr - self.floor) * factor

    def get_last_lr(self) -> list[float]:
        """The rate of each parameter group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.saved}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update({name: state[name] for name in self.saved})
        self._apply(self.compute_factor())


class StepLR(Scheduler):
    """Multiply the rate by `gamma` every `step_size` epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        if step_size < 1:
            raise ValueError(f"StepLR: step_size must be at least 1 epoch, got {step_size!r}.")
        super().__init__(optimizer)
        self.step_size, self.gamma = step_size, gamma

    def compute_factor(self) -> float:
        return self.gamma ** (self.epoch // self.step_size)


class MultiStepLR(Scheduler):
    """Multiply the rate by `gamma` after each of these numbers of epochs."""

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1) -> None:
        super().__init__(optimizer)
        self.milestones, self.gamma = sorted(milestones), gamma

    def compute_factor(self) -> float:
        return self.gamma ** bisect.bisect_right(self.milestones, self.epoch)


class ExponentialLR(Scheduler):
    """Multiply the rate by `gamma` after each epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        super().__init__(optimizer)
        self.gamma = gamma

    def compute_factor(self) -> float:
        return self.gamma**self.epoch


class CosineAnnealingLR(Scheduler):
    """From the initial rate to `eta_min` in `T_max` epochs, along half a cosine
    (Loshchilov and Hutter 2016).

        rate = eta_min + (initial - eta_min) * (1 + cos(pi * epoch / T_max)) / 2
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        if T_max < 1:
            raise ValueError(f"CosineAnnealingLR: T_max must be at least 1 epoch, got {T_max!r}.")
        super().__init__(optimizer)
        self.epochs, self.floor = T_max, eta_min

    def compute_factor(self) -> float:
        return (1 + math.cos(math.pi * self.epoch / self.epochs)) / 2


class LambdaLR(Scheduler):
    """Multiply the initial rate by `lr_lambda(epoch)`, also in epoch 0."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable[[int], float]) -> None:
        if not callable(lr_lambda):
            raise TypeError(
                f"LambdaLR: expected one function for all groups, got {lr_lambda!r}. Give groups "
                "different initial rates."
            )
        super().__init__(optimizer)
        self.lr_lambda = lr_lambda
        self._apply(self.compute_factor())

    def compute_factor(self) -> float:
        return self.lr_lambda(self.epoch)


class Stages(Scheduler):
    """Divide the rate by 10 after each stage but the last.

    stages  the lengths of the stages, which are scaled to `epochs` in total

    cuda-convnet's "18 %" has 120, 10 and 10 epochs; with epochs=70, the rate falls
    after 60 and 65 of them.
    """

    def __init__(self, optimizer: Optimizer, epochs: int, stages: Sequence[int]) -> None:
        if epochs < 1 or not stages or min(stages) < 1:
            raise ValueError(
                "Stages: expected epochs of at least 1 and stages of at least 1 each, got "
                f"{epochs!r} and {stages!r}."
            )
        super().__init__(optimizer)
        ends = accumulate(stages[:-1])
        self.milestones = [-(-epochs * end // sum(stages)) for end in ends]  # rounded up

    def compute_factor(self) -> float:
        return float(10.0 ** -sum(self.epoch >= milestone for milestone in self.milestones))


class ReduceLROnPlateau(Scheduler):
    """Multiply the rate by `factor` after more than `patience` epochs that did not
    improve the metric.

    The paper's rule, with a factor of 1/10: "when the validation error rate stopped
    improving with the current learning rate" (section 5). A metric improves if it is
    less than (1 - threshold) times the best one; with mode="max", if it is more than
    (1 + threshold) times that. The largest of the groups' rates does not fall below
    `min_lr`; the others keep their ratios to it.
    """

    saved = (*Scheduler.saved, "best", "bad_epochs")

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        min_lr: float = 0.0,
    ) -> None:
        if mode not in ("min", "max"):
            raise ValueError(
                f"ReduceLROnPlateau: mode must be 'min' or 'max', got {mode!r}. Give the factor by "
                "its name: factor=0.1."
            )
        if not 0 < factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor must be between 0 and 1, got {factor!r}.")
        super().__init__(optimizer)
        self.drop, self.patience, self.threshold, self.min_lr = factor, patience, threshold, min_lr
        self.mode = mode
        self.best, self.bad_epochs = math.inf if mode == "min" else -math.inf, 0

    def step(self, metrics: float) -> None:  # type: ignore[override]
        self.epoch += 1
        metrics = float(metrics)  # a tensor would keep its graph
        if self._improves(metrics):
            self.best, self.bad_epochs = metrics, 0
        else:
            self.bad_epochs += 1
        if self.bad_epochs > self.patience:
            self.bad_epochs = 0
            lowest = self.min_lr / max(self.initial) if self.min_lr else 0.0
            self._apply(max(self.factor * self.drop, min(lowest, self.factor)))

    def _improves(self, metrics: float) -> bool:
        if self.mode == "min":
            return metrics < self.best * (1 - self.threshold)
        return metrics > self.best * (1 + self.threshold)


class DiscreteExponential(Scheduler):
    """Divide the rate by `target_factor` in `num_steps` levels over `epochs` epochs.

    cuda-convnet's `dexp`: with 90 epochs, target_factor=250 and num_steps=4, the rate
    is divided by 250**(1/3) after 25, 50 and 75 % of them.
    """

    def __init__(
        self, optimizer: Optimizer, epochs: int, target_factor: float = 250.0, num_steps: int = 4
    ) -> None:
        if num_steps < 2 or epochs < 1 or target_factor <= 0:
            raise ValueError(
                "DiscreteExponential: expected num_steps of at least 2, epochs of at least 1 and a "
                f"positive target_factor, got {num_steps!r}, {epochs!r} and {target_factor!r}."
            )
        super().__init__(optimizer)
        self.epochs, self.target_factor, self.num_steps = epochs, target_factor, num_steps

    def compute_factor(self) -> float:
        level = min(self.epoch * self.num_steps // self.epochs, self.num_steps - 1)
        return self.target_factor ** (-level / (self.num_steps - 1))


NAMES = ("constant", "step", "plateau", "dexp")


def named(
    name: str, optimizer: Optimizer, epochs: int, patience: int = 2, stages: Sequence[int] = (3, 1)
) -> Scheduler | None:
    """The schedule `name`, as in the training scripts' `--schedule`.

    constant  None
    step      Stages: by default, a tenth of the rate for the last quarter of the epochs
    plateau   ReduceLROnPlateau, of the validation error
    dexp      DiscreteExponential
    """
    if name == "step":
        return Stages(optimizer, epochs, stages)
    if name == "plateau":
        return ReduceLROnPlateau(optimizer, patience=patience)
    if name == "dexp":
        return DiscreteExponential(optimizer, epochs)
    if name != "constant":
        raise ValueError(f"schedule: expected one of {', '.join(NAMES)}, got {name!r}.")
    return None
