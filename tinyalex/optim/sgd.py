"""Stochastic gradient descent with momentum and weight decay (section 5)."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinyalex import device, kernels
from tinyalex.device import Array
from tinyalex.tensor import Tensor


class SGD:
    """For weights w with gradient g, momentum m, learning rate e and weight decay d,

        v = m*v - d*e*w - e*g
        w = w + v

    The paper uses m = 0.9 and d = 0.0005, and starts with e = 0.01. The rate is a
    factor within v: after it is reduced, v still contains steps at the old rate. In
    torch it is a factor of v; both agree while the rate is constant.

    params  tensors; or groups with their own options, dicts {"params": tensors,
            "lr": ..., "momentum": ..., "weight_decay": ...}

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
        self.param_groups = [{**defaults, **g, "params": list(g["params"])} for g in groups]
        for group in self.param_groups:
            _check_group(group)
        ids = [id(p) for group in self.param_groups for p in group["params"]]
        if len(set(ids)) < len(ids):
            raise ValueError(
                "SGD: a parameter is given twice, and each step would update it twice. "
                "Give each in one group."
            )
        self.velocity = [[_zeros_like(p) for p in group["params"]] for group in self.param_groups]

    @np.errstate(all="ignore")  # too high a rate causes overflow, which the loss shows
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for group, velocities in zip(self.param_groups, self.velocity, strict=True):
            rates = group["lr"], group["momentum"], group["weight_decay"]
            for i, p in enumerate(group["params"]):
                if p.grad is None:
                    continue
                with device.on_device_of(p.data):
                    v = device.to(velocities[i], p.device)  # model.to() may have moved p
                    velocities[i] = v = v.astype(p.dtype, copy=False)
                    kernels.of(p.data).sgd_update(p.data, v, p.grad, *rates)
                p.version += 1

    def zero_grad(self) -> None:
        """Reset all gradients to None, before each backward(), which adds to them."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def state_dict(self) -> dict[str, Any]:
        """The velocities and the groups' options."""
        return {
            "velocity": [[device.to_numpy(v).copy() for v in group] for group in self.velocity],
            "param_groups": [
                {name: value for name, value in group.items() if name != "params"}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from the `state_dict()` of an optimizer with the same parameters.

        Raises ValueError for other shapes, before any change.
        """
        expected, given = (
            [[v.shape for v in group] for group in velocity]
            for velocity in (self.velocity, state["velocity"])
        )
        if expected != given:
            raise ValueError(
                f"SGD.load_state_dict: expected velocities of shapes {expected}, got {given}. "
                "The state belongs to another network."
            )
        for own, loaded in zip(self.param_groups, state["param_groups"], strict=True):
            own.update(loaded)
        for velocities, arrays in zip(self.velocity, state["velocity"], strict=True):
            for v, array in zip(velocities, arrays, strict=True):
                with device.on_device_of(v):
                    v[...] = device.to(device.to_numpy(array).astype(v.dtype), device.of(v))


def _zeros_like(p: Tensor) -> Array:
    with device.on_device_of(p.data):
        return device.xp(p.data).zeros_like(p.data)


def _check_group(group: dict[str, Any]) -> None:
    if unknown := group.keys() - {"params", "lr", "momentum", "weight_decay"}:
        raise ValueError(
            "SGD: expected a group with params, lr, momentum and weight_decay, got also "
            f"{', '.join(map(repr, sorted(unknown)))}."
        )
    for name in ("lr", "momentum", "weight_decay"):
        if not group[name] >= 0:
            raise ValueError(f"SGD: {name} must be at least 0, got {group[name]!r}.")
    for p in group["params"]:
        if not isinstance(p, Tensor) or not p.requires_grad or p.creator is not None:
            raise TypeError(f"SGD: expected leaf tensors with requires_grad=True, got {p!r}.")


def paper_groups(
    model: Any, lr: float, weight_decay: float | dict[str, float] = 0.0005
) -> list[dict[str, Any]]:
    """As in the 2012 code: weights with decay; biases at twice the rate, no decay.

    weight_decay  of all weights; or by the name of the layer, without those of Modules
                  that contain it, {"conv1": 0.004}, with 0 for other layers

    Raises ValueError for the name of a layer that the model does not have.
    """
    by_layer = weight_decay if isinstance(weight_decay, dict) else {}
    everywhere = 0.0 if isinstance(weight_decay, dict) else weight_decay
    unknown = set(by_layer)
    weights: dict[float, list[Tensor]] = {}
    biases: list[Tensor] = []
    for name, p in model.named_parameters():
        path, _, kind = name.rpartition(".")
        layer = path.rpartition(".")[2]
        if p.ndim <= 1 or kind == "bias":  # a locally connected layer's has three axes
            biases.append(p)
            continue
        unknown.discard(layer)
        weights.setdefault(by_layer.get(layer, everywhere), []).append(p)
    if unknown:
        raise ValueError(
            f"paper_groups: weight_decay has {', '.join(map(repr, sorted(unknown)))}, but the "
            "model has no such layer with a weight. Use the names in model.named_parameters()."
        )
    groups = [{"params": ps, "lr": lr, "weight_decay": decay} for decay, ps in weights.items()]
    groups.append({"params": biases, "lr": 2 * lr, "weight_decay": 0.0})
    return [group for group in groups if group["params"]]
