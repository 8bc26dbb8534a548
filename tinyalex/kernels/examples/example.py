"""Example: a call of a primitive; and what the examples share."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

UNINITIALIZED = {"f": np.nan, "u": 113, "i": -113, "b": True}
"""The initial values of outputs, by kind of dtype: no primitive may rely on them."""

Random = np.random.Generator


@dataclass(frozen=True)
class Example:
    """A call `primitive(*arguments)`; `written` has the indices of its outputs."""

    primitive: str
    label: str
    arguments: tuple[Any, ...]
    written: tuple[int, ...]

    def copies(self) -> list[Any]:
        """The arguments, with arrays copied."""
        return [on_arrays(np.copy, x) for x in self.arguments]

    def in_double(self) -> "Example":
        """The same call with floating arrays in float64."""
        return replace(self, arguments=tuple(on_arrays(_double, x) for x in self.arguments))

    def __str__(self) -> str:
        return f"{self.primitive}-{self.label}"


def on_arrays(f: Callable[[np.ndarray], Any], x: Any) -> Any:
    """f(x) of an array, and of each array in a list; other arguments themselves."""
    if isinstance(x, list):
        return [f(array) for array in x]
    return f(x) if isinstance(x, np.ndarray) else x


def _double(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float64) if x.dtype.kind == "f" else x


LONG = {
    "a long row": ((1, 2, 1, 33000), (1, 2), (1, 1), (0, 1), (1, 1)),
    "a tall column": ((1, 2, 33000, 1), (2, 1), (1, 1), (1, 0), (1, 1)),
    "many images": ((33000, 2, 1, 1), (1, 1), (1, 1), (0, 0), (1, 1)),
    "many channels": ((2, 33000, 1, 1), (1, 1), (1, 1), (0, 0), (1, 1)),
}
"""Sizes beyond a 16-bit index. Only in float32: indices do not depend on the dtype."""


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    return np.full(shape, UNINITIALIZED[np.dtype(dtype).kind], dtype)


def out_size(image: tuple[int, ...], *window: tuple[int, int]) -> tuple[int, ...]:
    """(OH, OW) of a window: kernel, stride, padding, dilation."""
    return tuple(
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, k, s, p, d in zip(image, *window, strict=True)
    )


def with_long(windows: dict[str, Any], dtype: np.dtype) -> dict[str, Any]:
    return windows | LONG if dtype == np.float32 else windows
