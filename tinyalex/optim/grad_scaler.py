"""GradScaler: a factor of the loss, for gradients that are too small for float16."""

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from tinyalex import device, kernels
from tinyalex.device import Array
from tinyalex.optim.optimizer import Optimizer
from tinyalex.optim.sgd import SGD
from tinyalex.tensor import Tensor

SMALLEST, LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
"""The limits of the factor. Below the smallest normal number, it would lose bits."""


@dataclass
class _Step:
    """The state of one optimizer's step, until `GradScaler.update`."""

    optimizer: Optimizer
    state: Array
    """The factor, and the flag of this optimizer's gradients. Of the first optimizer it
    is a view of the GradScaler's state."""
    is_unscaled: bool = False
    is_done: bool = False


class GradScaler:
    """Dynamic loss scaling (Micikevicius et al. 2018, section 3.2), for `autocast`.

    Gradients of at most 3e-8 (2**-25) are 0 in float16. The loss is multiplied by a
    factor, and all gradients with it; the optimizer divides by it. If a gradient
    overflows, the step is skipped, and the factor halved. After 2000 steps without
    that, it is doubled.

        with ta.autocast():
            loss = F.cross_entropy(model(images), labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    device           has no effect: the state is on the device of the loss
    init_scale       the first factor
    growth_factor    after growth_interval steps in succession with finite gradients
    backoff_factor   after a step with a gradient that is not finite
    growth_interval  see above
    enabled          False: `scale` returns the loss, `step` calls optimizer.step()

    The factor, and for each optimizer a flag for gradients that are not finite, are on
    the device of the loss, as are all parameters. `scale`, `step` with SGD and `update`
    do not wait for a GPU. With other optimizers, and a subclass of SGD with its own
    `update` or `step`, `step` waits for the flag.

    >>> w = Tensor([1.0], requires_grad=True)
    >>> optimizer, scaler = SGD([w], lr=0.25), GradScaler()
    >>> scaler.scale((w * w).sum()).backward()
    >>> scaler.step(optimizer); scaler.update(); w.numpy().tolist()
    [0.5]
    """

    def __init__(
        self,
        device: str | None = None,
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if device is not None and str(device).partition(":")[0] not in ("cpu", "cuda"):
            raise ValueError(
                f"GradScaler: device must be 'cpu' or 'cuda', got {device!r}. A factor is given as "
                "init_scale=1024."
            )
        factors = init_scale, growth_factor, backoff_factor, growth_interval
        if not (
            all(isinstance(value, Real) for value in factors)
            and SMALLEST <= init_scale <= LARGEST
            and growth_factor >= 1
            and 0 < backoff_factor < 1
            and isinstance(growth_interval, (int, np.integer))
            and growth_interval >= 1
        ):
            raise ValueError(
                "GradScaler: expected an init_scale above 0 in the range of float32, a "
                "growth_factor of at least 1, a backoff_factor between 0 and 1 and an integer "
                f"growth_interval of at least 1, got {', '.join(map(repr, factors))}."
            )
        self.growth_factor, self.backoff_factor = growth_factor, backoff_factor
        self.growth_interval = growth_interval
        self._enabled = bool(enabled)
        self._has_scaled = False
        self._state: Array = np.array([init_scale, 0, 0, 0], np.float32)
        """Of kernels.update_loss_scale: the factor, the flag, the steps without it, and
        the skipped steps."""
        self._steps: list[_Step] = []
        """Since the last `update`."""

    def is_enabled(self) -> bool:
        return self._enabled

    def scale(self, outputs: Any) -> Any:
        """The loss, or each of a list of them, times the factor."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, (list, tuple)):
            return type(outputs)(map(self.scale, outputs))
        self._has_scaled = True
        with device.on(outputs.device):
            self._state = device.to(self._state, outputs.device)
            # A copy: backward reads it, and `update` may be called before.
            return outputs * Tensor(self._state[0].copy(), device=outputs.device)

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients by the factor, to clip them before `step`."""
        if not self._enabled:
            return
        step = self._step_of(optimizer, "unscale_")
        if step.is_unscaled:
            raise RuntimeError(
                "GradScaler: unscale_ has already been called for this optimizer in this step. "
                "Call update() after each step."
            )
        self._find_not_finite(step)
        for p in _with_gradients(optimizer):
            with device.on(p.device), np.errstate(all="ignore"):
                p.grad = (p.grad / step.state[0]).astype(p.dtype, copy=False)
        step.is_unscaled = True

    def step(self, optimizer: Optimizer) -> None:
        """Update the parameters, if all gradients are finite."""
        if not self._enabled:
            optimizer.step()
        elif divides_gradients(optimizer):
            self._step_of(optimizer, "step")  # raises before anything changes
            optimizer.prepare()
            self.apply(optimizer)
        else:
            step = self._step_of(optimizer, "step")
            if not step.is_unscaled:
                self.unscale_(optimizer)
            if not float(step.state[1]):
                optimizer.step()
            step.is_done = True

    def apply(self, optimizer: Optimizer) -> None:
        """The part of `step` after `optimizer.prepare()`, which a graph can repeat.
        If enabled, only where `divides_gradients`."""
        if not self._enabled:
            optimizer.apply()
            return
        assert isinstance(optimizer, SGD)
        step = self._step_of(optimizer, "step")
        optimizer.scaling = step.state
        if step.is_unscaled:
            with device.on_device_of(step.state):
                optimizer.scaling = step.state.copy()
                optimizer.scaling[0] = 1
        else:
            self._find_not_finite(step)
        try:
            optimizer.apply()
        finally:
            optimizer.scaling = None
        step.is_done = True

    def update(self) -> None:
        """End the step: adapt the factor."""
        if not self._enabled:
            return
        self._require_scale("update")
        factors = self.growth_factor, self.backoff_factor, self.growth_interval
        with device.on_device_of(self._state):
            for step in self._steps[1:]:
                self._state[1] += step.state[1]
            kernels.of(self._state).update_loss_scale(self._state, *factors)
        self._steps.clear()

    def get_scale(self) -> float:
        """The factor; 1 if not enabled. Waits for a GPU."""
        return float(self._state[0]) if self._enabled else 1.0

    def read_skipped(self) -> int:
        """The number of steps skipped since the last call. Waits for a GPU."""
        with device.on_device_of(self._state):
            skipped = int(self._state[3])
            if skipped:
                self._state[3] = 0
        return skipped

    def state_dict(self) -> dict[str, Any]:
        """The state, with torch's names; {} if not enabled. Waits for a GPU."""
        if not self._enabled:
            return {}
        scale, _, steps, _ = device.to_numpy(self._state).tolist()
        return {
            "scale": scale,
            "growth_factor": self.growth_factor,
            "backoff_factor": self.backoff_factor,
            "growth_interval": self.growth_interval,
            "_growth_tracker": int(steps),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a `state_dict()`. Raises ValueError if a value is missing."""
        if not self._enabled:
            return
        if missing := self.state_dict().keys() - state.keys():
            raise ValueError(
                f"GradScaler.load_state_dict: expected a state with {', '.join(sorted(missing))}, "
                f"got {', '.join(state)}. It is from a GradScaler that was not enabled, or from "
                "another object."
            )
        self.growth_factor, self.backoff_factor = state["growth_factor"], state["backoff_factor"]
        self.growth_interval = state["growth_interval"]
        values = np.array([state["scale"], 0, state["_growth_tracker"], 0], np.float32)
        device.write(self._state, values)  # a graph reads the array
        self._steps.clear()

    def _step_of(self, optimizer: Optimizer, method: str) -> _Step:
        """The state of the optimizer's step. Raises RuntimeError if it is done."""
        self._require_scale(method)
        for step in self._steps:
            if step.optimizer is optimizer:
                if step.is_done:
                    raise RuntimeError(
                        f"GradScaler.{method}: step() has already been called for this optimizer. "
                        "Call update() after each step."
                    )
                return step
        state = self._state[:2]
        if self._steps:
            with device.on_device_of(state):
                state = state.copy()
                state[1] = 0
        self._steps.append(_Step(optimizer, state))
        return self._steps[-1]

    def _require_scale(self, method: str) -> None:
        if not self._has_scaled:
            raise RuntimeError(
                f"GradScaler.{method}: the loss has not been scaled. Call "
                "scaler.scale(loss).backward() first, in place of loss.backward()."
            )

    def _find_not_finite(self, step: _Step) -> None:
        """Set the flag of the step if a gradient is not finite."""
        params, name = _with_gradients(step.optimizer), device.of(step.state)
        if elsewhere := [p.device for p in params if p.device != name]:
            raise ValueError(
                f"GradScaler.step: the loss given to scale() was on {name}, but a parameter is on "
                f"{elsewhere[0]}. Move the model and its inputs to one device."
            )
        for dtype in {p.dtype for p in params}:
            grads = [p.grad for p in params if p.dtype == dtype]
            with device.on_device_of(step.state):
                kernels.of(step.state).find_not_finite(grads, step.state)


def divides_gradients(optimizer: Optimizer) -> bool:
    """Whether its update divides gradients by the factor, and tests the flag, without
    waiting for the GPU: that of SGD, but not of a subclass with another one."""
    kind = type(optimizer)
    return isinstance(optimizer, SGD) and kind.update is SGD.update and kind.step is Optimizer.step


def _with_gradients(optimizer: Optimizer) -> list[Tensor]:
    params = [p for group in optimizer.param_groups for p in group["params"]]
    return [p for p in params if p.grad is not None]
