"""Initial values, with torch's names. `normal_` and others fill and return a tensor.

Random values are from the stream "init": after `tinyalex.manual_seed`, the n-th tensor
filled always gets the same values.
"""

import math
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.equivalents import module_getattr
from tinyalex.tensor import Tensor

__getattr__ = module_getattr(sys.modules[__name__])


class _State(threading.local):
    skipping = False
    """Whether this thread replaces random values by zeros."""


_state = _State()


@contextmanager
def skipped() -> Iterator[None]:
    """A context in which random values are replaced by zeros, to save time.

    For networks whose weights are then loaded, or whose layers are only listed.
    """
    before, _state.skipping = _state.skipping, True
    try:
        yield
    finally:
        _state.skipping = before


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """N(mean, std**2). The paper's weights are N(0, 0.01**2) (section 5)."""
    return _fill_random(tensor, lambda random: random.normal(mean, std, tensor.shape))


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Uniform from a to b."""
    return _fill_random(tensor, lambda random: random.uniform(a, b, tensor.shape))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """A constant. The paper's biases are 0 or 1 (section 5)."""
    return _fill(tensor, np.full(tensor.shape, val))


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    return constant_(tensor, 1.0)


def kaiming_normal_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """He et al. 2015: N(0, 2/fan_in), which preserves the variance through ReLUs.

    a             of leaky ReLUs, y = a*x where x < 0: N(0, 2/(1 + a**2)/fan_in)
    mode          "fan_out": preserve the variance of gradients, in the backward pass
    nonlinearity  "leaky_relu" or "relu"; "linear": N(0, 1/fan_in)
    """
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity))


def kaiming_uniform_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """As `kaiming_normal_`, but uniform with the same variance."""
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    gains = {"leaky_relu": 2.0 / (1.0 + a * a), "relu": 2.0, "linear": 1.0}
    fans = {"fan_in": fan_in, "fan_out": fan_out}
    if mode not in fans or nonlinearity not in gains:
        raise ValueError(
            f"kaiming: expected a mode of {', '.join(fans)} and a nonlinearity of "
            f"{', '.join(gains)}, got {mode!r} and {nonlinearity!r}."
        )
    return math.sqrt(gains[nonlinearity] / fans[mode](tensor))


def kaiming_(model: Any) -> None:
    """`kaiming_normal_` weights and zero biases, for pixels of mean 0, variance 1."""
    for p in model.parameters():
        kaiming_normal_(p) if p.ndim > 1 else zeros_(p)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Glorot and Bengio 2010: uniform within sqrt(6 / (fan_in + fan_out)) of 0."""
    bound = gain * math.sqrt(6.0 / (fan_in(tensor) + fan_out(tensor)))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """As `xavier_uniform_`, but normal with the same variance."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / (fan_in(tensor) + fan_out(tensor))))


def torch_default_(weight: Tensor, bias: Tensor | None = None) -> None:
    """As torch's Conv2d and Linear: both uniform within 1/sqrt(fan_in) of 0."""
    bound = 1.0 / math.sqrt(fan_in(weight))
    uniform_(weight, -bound, bound)
    if bias is not None:
        uniform_(bias, -bound, bound)


def fan_in(weight: Tensor) -> int:
    """The number of terms in the sum of an output: C/G*KH*KW, or in_features."""
    if weight.ndim < 2:
        raise ValueError(
            f"fan_in: expected a weight (out, in, ...) with at least two axes, got shape "
            f"{weight.shape}."
        )
    return math.prod(_filters(weight)[1:])


def _filters(weight: Tensor) -> tuple[int, ...]:
    """(out, in, ...): for nn.LocallyConnected2d's weight, that of one position."""
    return weight.shape[2:] if weight.ndim == 6 else weight.shape


def fan_out(weight: Tensor) -> int:
    """The number of outputs that an input affects, without stride: O*KH*KW."""
    fan_in(weight)  # checks the axes
    out, _, *window = _filters(weight)
    return out * math.prod(window)


def _fill_random(tensor: Tensor, draw: Callable[[np.random.Generator], np.ndarray]) -> Tensor:
    if _state.skipping:
        return zeros_(tensor)
    _, call = device.draw("init")
    return _fill(tensor, draw(device.generator("init", step=0, sample=call)))


def _fill(tensor: Tensor, values: np.ndarray) -> Tensor:
    with device.on_device_of(tensor.data):
        tensor.data[...] = device.to(np.asarray(values, tensor.dtype), tensor.device)
    tensor.version += 1
    return tensor
