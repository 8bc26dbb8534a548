"""Initial values. Each function overwrites a tensor's numbers and returns it; the names are torch's.

Random ones come from the stream "init" of the seed given to `tinyalex.manual_seed`: the
n-th tensor that is filled always gets the same numbers.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.tensor import Tensor

_skipping = False


@contextmanager
def skipped() -> Iterator[None]:
    """Within it, zeros stand for random numbers: for networks whose weights are loaded anyway, or whose layers are only counted."""
    global _skipping
    before, _skipping = _skipping, True
    try:
        yield
    finally:
        _skipping = before


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """N(mean, std**2). The paper's weights are N(0, 0.01**2), for pixels from 0 to 255 with the mean taken out (section 5)."""
    return (
        _fill(tensor, 0.0)
        if _skipping
        else _fill(tensor, _generator().normal(mean, std, tensor.shape))
    )


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Uniform from a to b."""
    return (
        _fill(tensor, 0.0) if _skipping else _fill(tensor, _generator().uniform(a, b, tensor.shape))
    )


def constant_(tensor: Tensor, val: float) -> Tensor:
    """All the same. The paper sets some biases to 1, so that their ReLUs see positive inputs from the start (section 5)."""
    return _fill(tensor, np.full(tensor.shape, val))


def zeros_(tensor: Tensor) -> Tensor:
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    return constant_(tensor, 1.0)


def kaiming_normal_(tensor: Tensor) -> Tensor:
    """He et al. 2015: N(0, 2/fan_in), which keeps the variance from layer to layer where ReLU removes half of it."""
    return normal_(tensor, 0.0, math.sqrt(2.0 / fan_in(tensor)))


def kaiming_(model: Any) -> None:
    """All of a network's parameters: weights by `kaiming_normal_`, biases 0. For pixels with a mean of 0 and a deviation near 1."""
    for p in model.parameters():
        kaiming_normal_(p) if p.ndim > 1 else zeros_(p)


def xavier_uniform_(tensor: Tensor) -> Tensor:
    """Glorot and Bengio 2010: uniform within sqrt(6 / (fan_in + fan_out)) of 0, Keras's default."""
    fan_out = tensor.shape[0] * math.prod(tensor.shape[2:])
    bound = math.sqrt(6.0 / (fan_in(tensor) + fan_out))
    return uniform_(tensor, -bound, bound)


def torch_default_(weight: Tensor, bias: Tensor | None = None) -> None:
    """What torch's Conv2d and Linear start with: both uniform within 1/sqrt(fan_in) of 0."""
    bound = 1.0 / math.sqrt(fan_in(weight))
    uniform_(weight, -bound, bound)
    if bias is not None:
        uniform_(bias, -bound, bound)


def fan_in(weight: Tensor) -> int:
    """How many numbers one output of the layer is summed from: C/G*KH*KW, or the features of a linear layer."""
    if weight.ndim < 2:
        raise ValueError(
            f"fan_in: a weight has two axes or more, (out, in, ...), got shape {weight.shape}."
        )
    return math.prod(weight.shape[1:])


def _generator() -> np.random.Generator:
    _, call = device.draw("init")
    return device.generator("init", step=0, sample=call)


def _fill(tensor: Tensor, numbers: Any) -> Tensor:
    with device.on_device_of(tensor.data):
        tensor.data[...] = device.to(np.asarray(numbers, tensor.dtype), tensor.device)
    return tensor
