"""Response normalization; sums that cancel or overflow."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyalex.kernels import cpu
from tinyalex.kernels.examples.example import Example, Random, empty


def _norm(
    primitive: str, label: str, x: np.ndarray, dy: np.ndarray, size: int, beta: float, *rest: Any
) -> Iterator[Example]:
    """A normalization and its backward pass. `rest` is k, and for lrn also groups."""
    y, s, unset = np.empty_like(x), np.empty_like(x), empty(x.shape, x.dtype)
    getattr(cpu, primitive)(x, y, s, size, 0.1, beta, *rest)
    yield Example(primitive, label, (x, unset, unset, size, 0.1, beta, *rest), (1, 2))
    arguments = dy, x, y, s, unset, size, 0.1, beta, *rest[1:]
    yield Example(f"{primitive}_backward", label, arguments, (4,))


def normalization(random: Random, dtype: np.dtype) -> Iterator[Example]:
    across = [
        ("paper's", (2, 16, 5, 7), 5, 0.75, 1),
        ("fewer channels than the window", (2, 3, 5, 7), 5, 0.75, 1),
        ("in groups, even", (2, 12, 5, 7), 4, 0.5, 3),
    ]
    within = [
        ("5x5", (2, 3, 6, 5), 5),
        ("2x2", (2, 3, 6, 5), 2),
        ("larger than the map", (2, 3, 6, 5), 9),
    ]
    if dtype == np.float32:
        across += [
            ("many channels", (2, 33000, 1, 1), 3, 0.75, 1),
            ("a long row", (1, 2, 1, 33000), 3, 0.75, 1),
        ]
        within += [
            ("a long row", (1, 2, 1, 33000), 3),
            ("a tall column", (1, 2, 33000, 1), 3),
            ("many maps", (2, 33000, 1, 1), 1),
        ]
    for label, shape, size, beta, groups in across:
        x, dy = random.standard_normal((2, *shape)).astype(dtype)
        yield from _norm("lrn", label, x, dy, size, beta, 2.0, groups)
    for label, shape, size in within:
        x, dy = random.standard_normal((2, *shape)).astype(dtype)
        yield from _norm("spatial_norm", label, x, dy, size, 0.75, 1.0)


def sums(random: Random, dtype: np.dtype) -> Iterator[Example]:
    """A large element and many small ones, which are lost in a half-precision sum."""

    def uneven(shape: tuple[int, ...], small: float, large: float, *index: int) -> np.ndarray:
        x = random.uniform(small, 1.5 * small, shape)
        x[index] = large
        return x.astype(dtype)

    label, image, out = "a large element and small ones", (1, 1, 20, 20), (1, 1, 11, 11)
    window = (10, 10), (1, 1), (0, 0)
    x, dy = uneven(image, 0.1, 1000, 0, 0, 0, 0), uneven(out, 0.1, 1000, 0, 0, -1, -1)
    ones, dx = np.ones(out[2:], dtype), empty(image, dtype)
    yield Example("avg_pool", label, (x, empty(out, dtype), ones, *window), (1,))
    yield Example("avg_pool_backward", label, (dy, ones, dx, *window), (2,))
    y, argmax = np.empty(out, dtype), np.empty(out, np.uint8)
    cpu.max_pool(uneven(image, 0.1, 1, 0, 0, 10, 10), y, argmax, *window, (1, 1))
    yield Example("max_pool_backward", label, (dy, argmax, dx, *window, (1, 1)), (2,))

    shape = 1, 64, 2, 3
    x, dy = uneven(shape, 0.1, 10, 0, 0), uneven(shape, 10, 1000, 0, 0)
    yield from _norm("lrn", label, x, dy, 33, 0.75, 2.0, 1)
    shape = 1, 1, 15, 14
    x, dy = uneven(shape, 0.1, 10, 0, 0, 0, 0), uneven(shape, 10, 1000, 0, 0, 0, 0)
    yield from _norm("spatial_norm", label, x, dy, 13, 0.75, 2.0)
