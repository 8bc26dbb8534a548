"""GradScaler: a factor of the loss, for gradients that are too small for float16."""

from typing import Any

import numpy as np

from tinyalex import device, kernels
from tinyalex.device import Array
from tinyalex.optim.optimizer import Optimizer
from tinyalex.optim.sgd import SGD
from tinyalex.tensor import Tensor


class GradScaler:
    """Dynamic loss scaling (Micikevicius et al. 2018, section 3.2), for `autocast`.

    Gradients below 6e-8 are 0 in float16. The loss is multiplied by a factor, and all
    gradients with it; the optimizer divides by it. If a gradient overflows, the step is
    skipped, and the factor halved. After 2000 steps without that, it is doubled.

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

    The factor and the flag for gradients that are not finite are on the device of the
    loss. With SGD, no method waits for a GPU; with other optimizers, `step` waits for
    the flag. All steps before `update` share the flag. Parameters are on one device.

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
        if not (0 < init_scale < np.inf and growth_factor >= 1 and 0 < backoff_factor < 1):
            raise ValueError(
                "GradScaler: expected a finite init_scale above 0, a growth_factor of at least 1 "
                f"and a backoff_factor from 0 to 1, got {init_scale!r}, {growth_factor!r} and "
                f"{backoff_factor!r}."
            )
        self.growth_factor, self.backoff_factor = growth_factor, backoff_factor
        self.growth_interval = growth_interval
        self._enabled = bool(enabled)
        self._state: Array = np.array([init_scale, 0, 0], np.float32)
        """Of kernels.update_loss_scale: the factor, the flag, the steps without it."""
        self._unscaled: list[Optimizer] = []
        """The optimizers whose gradients `unscale_` has divided in this step."""

    def is_enabled(self) -> bool:
        return self._enabled

    def scale(self, outputs: Any) -> Any:
        """The loss, or each of a list of them, times the factor."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, (list, tuple)):
            return type(outputs)(map(self.scale, outputs))
        with device.on(outputs.device):
            self._state = device.to(self._state, outputs.device)
            return outputs * Tensor(self._state[0], device=outputs.device)

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients by the factor, to clip them before `step`."""
        if not self._enabled:
            return
        if self._is_unscaled(optimizer):
            raise RuntimeError(
                "GradScaler: unscale_ has already been called for this optimizer in this step. "
                "Call update() after each step."
            )
        self._find_not_finite(optimizer)
        for p in _with_gradients(optimizer):
            with device.on(p.device), np.errstate(all="ignore"):
                p.grad = (p.grad / self._state[0]).astype(p.dtype, copy=False)
        self._unscaled.append(optimizer)

    def step(self, optimizer: Optimizer) -> None:
        """Update the parameters, if all gradients are finite."""
        if not self._enabled:
            optimizer.step()
        elif isinstance(optimizer, SGD):
            optimizer.prepare()
            self.apply(optimizer)
        else:
            if not self._is_unscaled(optimizer):
                self.unscale_(optimizer)
            if not float(self._state[1]):
                optimizer.step()

    def apply(self, optimizer: Optimizer) -> None:
        """The part of `step` after `optimizer.prepare()`, which a graph can repeat.
        If enabled, for SGD only."""
        if not self._enabled:
            optimizer.apply()
            return
        assert isinstance(optimizer, SGD)
        optimizer.scaling = self._state[:2]
        if self._is_unscaled(optimizer):
            with device.on_device_of(self._state):
                optimizer.scaling = self._state[:2].copy()
                optimizer.scaling[0] = 1
        else:
            self._find_not_finite(optimizer)
        try:
            optimizer.apply()
        finally:
            optimizer.scaling = None

    def update(self) -> None:
        """End the step: adapt the factor."""
        if self._enabled:
            factors = self.growth_factor, self.backoff_factor, self.growth_interval
            with device.on_device_of(self._state):
                kernels.of(self._state).update_loss_scale(self._state, *factors)
            self._unscaled.clear()

    def get_scale(self) -> float:
        """The factor; 1 if not enabled. Waits for a GPU."""
        return float(self._state[0]) if self._enabled else 1.0

    def state_dict(self) -> dict[str, Any]:
        """The state, with torch's names; {} if not enabled. Waits for a GPU."""
        if not self._enabled:
            return {}
        scale, _, steps = device.to_numpy(self._state).tolist()
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
        values = np.array([state["scale"], 0, state["_growth_tracker"]], np.float32)
        device.write(self._state, values)  # a graph reads the array

    def _is_unscaled(self, optimizer: Optimizer) -> bool:
        return any(optimizer is other for other in self._unscaled)

    def _find_not_finite(self, optimizer: Optimizer) -> None:
        params = _with_gradients(optimizer)
        device.common("GradScaler", [self._state, *(p.data for p in params)])
        for dtype in {p.dtype for p in params}:
            grads = [p.grad for p in params if p.dtype == dtype]
            with device.on_device_of(self._state):
                kernels.of(self._state).find_not_finite(grads, self._state)


def _with_gradients(optimizer: Optimizer) -> list[Tensor]:
    params = [p for group in optimizer.param_groups for p in group["params"]]
    return [p for p in params if p.grad is not None]
