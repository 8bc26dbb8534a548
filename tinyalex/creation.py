"""New tensors: constants, ranges and random numbers.

Random numbers are from the stream "tensor". Each call is one draw of it: they depend on
the seed, the training step and the number of draws before, and are the same on all
devices.
"""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyalex import device as devices
from tinyalex.tensor import Tensor, from_python

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def tensor(
    data: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """A tensor with a copy of `data`: a number, nested lists, an array or a tensor.

    dtype  by default that of an array; of Python numbers float32, int64 or bool (unlike
           `Tensor`, which makes float32 of all of them)

    >>> tensor([1, 2]).dtype, tensor([1.0, 2.0]).dtype
    (dtype('int64'), dtype('float32'))
    """
    if isinstance(data, Tensor) or devices.is_array(data):
        source = data if isinstance(data, Tensor) else Tensor(data, device=device)
        copy = Tensor(source.detach().to(device or source.device, dtype or source.dtype, copy=True))
        return copy.requires_grad_() if requires_grad else copy
    array = from_python(data)
    inferred = np.float32 if array.dtype.kind == "f" else array.dtype
    return Tensor(array.astype(dtype or inferred), requires_grad, device)


def as_tensor(data: Any, dtype: Any = None, device: str | None = None) -> Tensor:
    """As `tensor`, but copies an array or a tensor only to another dtype or device."""
    if not isinstance(data, Tensor) and not devices.is_array(data):
        return tensor(data, dtype, device)
    source = data if isinstance(data, Tensor) else Tensor(data, device=device)
    return source.to(device or source.device, dtype or source.dtype)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor that shares memory with the array, on the CPU."""
    if not isinstance(array, np.ndarray):
        raise TypeError(
            f"from_numpy: expected a NumPy array, got a {type(array).__name__}. Use ta.tensor."
        )
    return Tensor(array, device="cpu")


def zeros(
    *size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Zeros: zeros(2, 3) or zeros((2, 3))."""
    return full(_shape(size), 0.0, dtype, device, requires_grad)


def ones(
    *size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Ones: ones(2, 3) or ones((2, 3))."""
    return full(_shape(size), 1.0, dtype, device, requires_grad)


def empty(
    *size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Zeros: memory that is not initialized would make results random."""
    return full(_shape(size), 0.0, dtype, device, requires_grad)


def full(
    size: Any,
    fill_value: float,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A constant. Its dtype is by default that of `tensor(fill_value)`."""
    dtype = tensor(fill_value, device="cpu").dtype if dtype is None else dtype
    return Tensor(np.full(_shape((size,)), fill_value, dtype), requires_grad, device)


def zeros_like(input: Any, **options: Any) -> Tensor:
    """Zeros with the shape, dtype and device of a tensor."""
    return full_like(input, 0, **options)


def ones_like(input: Any, **options: Any) -> Tensor:
    """Ones with the shape, dtype and device of a tensor."""
    return full_like(input, 1, **options)


def full_like(
    input: Any,
    fill_value: float,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A constant with the shape, dtype and device of a tensor."""
    x = as_tensor(input)
    return full(x.shape, fill_value, dtype or x.dtype, device or x.device, requires_grad)


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... below end; arange(n) counts from 0 to n - 1."""
    start, end = (0, start) if end is None else (start, end)
    if step == 0:
        raise ValueError("arange: step must not be 0.")
    if not all(map(math.isfinite, (start, end, step))):
        raise ValueError(f"arange: expected finite numbers, got {start}, {end} and step {step}.")
    if dtype is None:
        is_integral = all(isinstance(n, (int, np.integer)) for n in (start, end, step))
        dtype = np.int64 if is_integral else np.float32
    count = max(0, math.ceil((end - start) / step))
    values = (start + np.arange(count) * step).astype(dtype)
    return Tensor(values, requires_grad, device)


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` numbers at equal distances, the first `start`, the last `end`."""
    if np.ndim(start) or np.ndim(end):
        raise ValueError(
            f"linspace: start and end must be numbers, got {start!r} and {end!r}. Call it for each."
        )
    values = np.linspace(start, end, steps, dtype=dtype or np.float32)
    return Tensor(values, requires_grad, device)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """The identity matrix, of n rows and m (by default n) columns."""
    return Tensor(np.eye(n, m, dtype=dtype or np.float32), requires_grad, device)


def rand(*size: Any, **options: Any) -> Tensor:
    """Random numbers, uniform in [0, 1)."""

    def draw(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        # Otherwise a number just below 1 would be rounded to 1.
        dtype = np.dtype(options.get("dtype") or np.float32)
        return np.minimum(random.random(shape), np.nextafter(dtype.type(1), dtype.type(0)))

    return _random(_shape(size), draw, **options)


def randn(*size: Any, **options: Any) -> Tensor:
    """Random numbers from the standard normal distribution."""
    return _random(_shape(size), lambda random, shape: random.standard_normal(shape), **options)


def rand_like(input: Any, **options: Any) -> Tensor:
    """`rand` with the shape, dtype and device of a tensor."""
    x = as_tensor(input)
    return rand(x.shape, **{"dtype": x.dtype, "device": x.device} | options)


def randn_like(input: Any, **options: Any) -> Tensor:
    """`randn` with the shape, dtype and device of a tensor."""
    x = as_tensor(input)
    return randn(x.shape, **{"dtype": x.dtype, "device": x.device} | options)


def randint(low: int, high: Any = None, size: Any = None, **options: Any) -> Tensor:
    """Random integers from low (or 0) to high - 1: randint(low, high, size)."""
    if size is None and isinstance(high, (tuple, list)):
        high, size = None, high
    if high is None:
        low, high = 0, low
    if size is None:
        raise TypeError("randint: expected a size, such as randint(0, 10, (3,)).")
    options = {"dtype": np.int64} | options
    shape = _shape((size,))
    return _random(shape, lambda random, shape: random.integers(low, high, shape), **options)


def randperm(n: int, **options: Any) -> Tensor:
    """The integers from 0 to n - 1 in a random order."""
    options = {"dtype": np.int64} | options
    return _random((n,), lambda random, shape: random.permutation(n), **options)


def _random(
    shape: tuple[int, ...],
    draw: Draw,
    *,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
    generator: None = None,
) -> Tensor:
    if generator is not None:
        raise TypeError(
            "generator= is not supported: random numbers are a function of the seed. Use "
            "ta.manual_seed(n) before the call."
        )
    step, call = devices.draw("tensor")
    values = draw(devices.generator("tensor", step, sample=call), shape)
    return Tensor(values.astype(dtype or np.float32), requires_grad, device)


def _shape(size: tuple) -> tuple[int, ...]:
    """The shape of f(2, 3), f((2, 3)) or f(2)."""
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        (size,) = size
    return tuple(map(operator.index, size))
