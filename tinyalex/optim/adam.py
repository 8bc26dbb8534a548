"""Adam (Kingma and Ba 2014), and AdamW (Loshchilov and Hutter 2017)."""

from collections.abc import Iterable
from typing import Any

from tinyalex import kernels
from tinyalex.device import Array
from tinyalex.optim.optimizer import Optimizer, ParameterIndex
from tinyalex.tensor import Tensor


class Adam(Optimizer):
    """For weights w with gradient g, learning rate e and weight decay d, in step t,

        g = g + d*w
        m = b1*m + (1 - b1)*g               a running mean of g
        s = b2*s + (1 - b2)*g**2            and of its square
        w = w - e * (m / (1 - b1**t)) / (sqrt(s / (1 - b2**t)) + eps)

    Each weight moves by about e, whatever the scale of its gradients. m and s begin at
    0: after t steps of a constant g, m is (1 - b1**t)*g, which the divisors correct.

    params  tensors; or groups with their own options, dicts {"params": tensors,
            "lr": ..., "betas": (b1, b2), "eps": ..., "weight_decay": ...}

    >>> w = Tensor([1.0, 1.0], requires_grad=True)
    >>> optimizer = Adam([w], lr=0.25)
    >>> (w * [3.0, 1000.0]).sum().backward(); optimizer.step(); w.numpy().tolist()
    [0.75, 0.75]
    """

    arrays = ("mean", "square")
    mean: list[list[Array]]
    square: list[list[Array]]
    is_decoupled = False
    """Whether weight decay shrinks w directly, and not by g."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        self.steps: list[list[int]] = []
        """t of each parameter: the number of its updates."""
        options = {"lr": lr, "betas": list(betas), "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, options)

    def add_param_group(self, group: dict[str, Any]) -> None:
        super().add_param_group(group)
        self.steps.append([0] * len(self.param_groups[-1]["params"]))

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        if len(group["betas"]) != 2 or max(group["betas"]) >= 1:
            raise ValueError(
                f"{self.name}: betas must be two numbers from 0 to below 1, got "
                f"{group['betas']!r}. Give for example (0.9, 0.999)."
            )

    def count(self, index: ParameterIndex) -> None:
        self.steps[index.group][index.position] += 1

    def update(self, params: list[Tensor], indices: list[ParameterIndex]) -> None:
        weights, grads = [p.data for p in params], [p.grad for p in params]
        means = self.stored("mean", params, indices)
        squares = self.stored("square", params, indices)
        k = kernels.of(weights[0])
        k.adam_update(weights, means, squares, grads, self.options(params))

    def row(self, index: ParameterIndex) -> tuple[float, ...]:
        group, t = self.param_groups[index.group], self.steps[index.group][index.position]
        (b1, b2), decay = group["betas"], group["weight_decay"]
        decays = (0.0, decay) if self.is_decoupled else (decay, 0.0)
        return group["lr"], 1 - b1, 1 - b2, group["eps"], *decays, 1 - b1**t, 1 - b2**t

    def values(self) -> dict[str, Any]:
        return super().values() | {"steps": [list(group) for group in self.steps]}

    def _check_state(self, state: dict[str, Any]) -> None:
        super()._check_state(state)
        expected, given = (
            [len(group) for group in steps] for steps in (self.steps, state["steps"])
        )
        if expected != given:
            raise ValueError(
                f"{self.name}.load_state_dict: expected steps of {expected} parameters in each "
                f"group, got {given}. The state belongs to another network."
            )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.steps = [list(group) for group in state["steps"]]


class AdamW(Adam):
    """Adam with decoupled weight decay. Instead of adding d*w to g,

        w = w - e*d*w - e * (m / (1 - b1**t)) / (sqrt(s / (1 - b2**t)) + eps)

    In Adam, d*w is divided by sqrt(s) like g: weights with large gradients decay less.
    """

    is_decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)
