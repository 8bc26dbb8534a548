"""float16 on the CPU: primitives compute in float32, and round their results once.

The CUDA kernels read elements as T, and compute in Wide<T>: as with these, sums keep
their small terms, and squares do not overflow.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

Primitive = Callable[..., None]


def in_float32(*written: str) -> Callable[[Primitive], Primitive]:
    """A decorator of primitives that takes float16 arrays as float32 copies.

    written  the parameters to which the primitive writes all elements; their values are
             rounded to float16 at its end

    The dtype of the first argument decides.
    """

    def decorate(primitive: Primitive) -> Primitive:
        signature = inspect.signature(primitive)

        @functools.wraps(primitive)
        def compute(first: np.ndarray, *others: Any, **named: Any) -> None:
            if first.dtype != np.float16:
                primitive(first, *others, **named)
                return
            given = signature.bind(first, *others, **named).arguments
            wide = {name: _widened(x, name in written) for name, x in given.items()}
            primitive(**wide)
            for name in written:
                given[name][...] = wide[name]

        return compute

    return decorate


def _widened(x: Any, is_written: bool) -> Any:
    """A float16 array in float32, in the same memory order; others as they are."""
    if not isinstance(x, np.ndarray) or x.dtype != np.float16:
        return x
    return np.empty_like(x, np.float32) if is_written else x.astype(np.float32)
