"""Stochastic gradient descent with momentum and weight decay, in the paper's form (section 5)."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinyalex import device, kernels
from tinyalex.tensor import Tensor


class SGD:
    """For each weight w with gradient g, momentum m, learning rate e and weight decay d,

        v = m*v - d*e*w - e*g
        w = w + v

    The paper has m = 0.9 and d = 0.0005, and starts with e = 0.01. The rate is part of v: after it drops, old momentum keeps the step
    size it was made with. torch puts the rate outside of the momentum; the two agree for as long as the rate stays the same.

    params  tensors, or dicts {"params": tensors, "lr": ..., "momentum": ..., "weight_decay": ...} for groups with values of their own

    >>> w = Tensor([1.0], requires_grad=True)
    >>> optimizer = SGD([w], lr=0.1, momentum=0.9)
    >>> (w * w).sum().backward(); optimizer.step(); w.numpy().tolist()
    [0.800000011920929]
    """

    def __init__(
        self, params: Iterable[Any], lr: float, momentum: float = 0.0, weight_decay: float = 0.0
    ) -> None:
        groups = list(params)
        if not groups:
            raise ValueError("SGD: got no parameters. Pass model.parameters(), or groups of them.")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        self.param_groups = [
            {**defaults, **group, "params": list(group["params"])} for group in groups
        ]
        for group in self.param_groups:
            _check_group(group)
        everything = [id(p) for group in self.param_groups for p in group["params"]]
        if len(set(everything)) < len(everything):
            raise ValueError(
                "SGD: a parameter is given twice, and would be moved twice in a step. Give each in one group."
            )
        self.velocity = [[_zeros_like(p) for p in group["params"]] for group in self.param_groups]

    @np.errstate(all="ignore")  # a rate that is far too high ends in inf, which the loss will show
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for group, velocities in zip(self.param_groups, self.velocity, strict=True):
            for i, p in enumerate(group["params"]):
                if p.grad is None:
                    continue
                with device.on_device_of(p.data):
                    velocities[i] = v = device.to(velocities[i], p.device).astype(
                        p.dtype, copy=False
                    )  # model.to() may have moved p
                    kernels.of(p.data).sgd_update(
                        p.data, v, p.grad, group["lr"], group["momentum"], group["weight_decay"]
                    )

    def zero_grad(self) -> None:
        """Forget all gradients. backward() adds to what is there, so this comes before each."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Velocities and the groups' numbers: with the parameters themselves, all that is needed to go on."""
        return {
            "velocity": [[device.to_numpy(v).copy() for v in group] for group in self.velocity],
            "param_groups": [
                {name: value for name, value in group.items() if name != "params"}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict()` of an optimizer over the same parameters. ValueError, and nothing changed, for another one's."""
        shapes = [[v.shape for v in group] for group in self.velocity]
        given = [[v.shape for v in group] for group in state["velocity"]]
        if shapes != given:
            raise ValueError(
                f"SGD.load_state_dict: expected velocities of shapes {shapes}, got {given}. It belongs to another network."
            )
        for own, loaded in zip(self.param_groups, state["param_groups"], strict=True):
            own.update(loaded)
        for velocities, arrays in zip(self.velocity, state["velocity"], strict=True):
            for v, array in zip(velocities, arrays, strict=True):
                with device.on_device_of(v):
                    v[...] = device.to(device.to_numpy(array).astype(v.dtype), device.of(v))


def _zeros_like(p: Tensor) -> Any:
    with device.on_device_of(p.data):
        return device.xp(p.data).zeros_like(p.data)


def _check_group(group: dict[str, Any]) -> None:
    if unknown := group.keys() - {"params", "lr", "momentum", "weight_decay"}:
        raise ValueError(
            f"SGD: a group has params, lr, momentum and weight_decay, got {', '.join(map(repr, sorted(unknown)))} too."
        )
    for name in ("lr", "momentum", "weight_decay"):
        if not group[name] >= 0:
            raise ValueError(f"SGD: {name} must be 0 or more, got {group[name]!r}.")
    for p in group["params"]:
        if not isinstance(p, Tensor) or not p.requires_grad or p.creator is not None:
            raise TypeError(f"SGD: expected leaf tensors with requires_grad=True, got {p!r}.")


def paper_groups(model: Any, lr: float, weight_decay: float = 0.0005) -> list[dict[str, Any]]:
    """Groups for SGD as the 2012 code has them: weights at the rate `lr` with decay, biases at twice the rate without."""
    weights = [p for p in model.parameters() if p.ndim > 1]
    biases = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "lr": lr, "weight_decay": weight_decay},
        {"params": biases, "lr": 2 * lr, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
