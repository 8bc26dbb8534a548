"""Stochastic gradient descent with momentum and weight decay (section 5)."""

from collections.abc import Iterable
from typing import Any

from tinyalex import kernels
from tinyalex.device import Array
from tinyalex.optim.optimizer import Optimizer, ParameterIndex
from tinyalex.tensor import Tensor


class SGD(Optimizer):
    """For weights w with gradient g, momentum m, learning rate e and weight decay d,

        v = m*v - d*e*w - e*g
        w = w + v                           nesterov: w = w + m*v - d*e*w - e*g

    The paper uses m = 0.9 and d = 0.0005, and starts with e = 0.01. The rate is a
    factor within v: after it is reduced, v still contains steps at the old rate. In
    torch it is a factor of v; both agree while the rate is constant.

    params    tensors; or groups with their own options, dicts {"params": tensors,
              "lr": ..., "momentum": ..., "weight_decay": ...}
    nesterov  the gradient is then, to first order, that at w + m*v, where momentum
              alone leads (Sutskever et al. 2013)

    >>> w = Tensor([1.0], requires_grad=True)
    >>> optimizer = SGD([w], lr=0.1, momentum=0.9)
    >>> (w * w).sum().backward(); optimizer.step(); w.numpy().tolist()
    [0.800000011920929]
    """

    arrays = ("velocity",)
    velocity: list[list[Array]]
    scaling: Array | None = None
    """In `GradScaler.step`: the loss's factor, and whether a gradient is not finite."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        *,
        nesterov: bool = False,
    ) -> None:
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov=True needs a momentum, for example momentum=0.9.")
        options = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, options | {"nesterov": nesterov})

    def update(self, params: list[Tensor], indices: list[ParameterIndex]) -> None:
        weights, grads = [p.data for p in params], [p.grad for p in params]
        velocities = self.stored("velocity", params, indices)
        k = kernels.of(weights[0])
        k.sgd_update(weights, velocities, grads, self.options(params), self.scaling)

    def row(self, index: ParameterIndex) -> tuple[float, ...]:
        group = self.param_groups[index.group]
        return group["lr"], group["momentum"], group["weight_decay"], group["nesterov"]


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
