"""A list of calls of every primitive, small and at odd sizes: for the tests that run both devices' twins, for `explain` and `doctor`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.kernels import cpu

POISON = {"f": np.nan, "u": 113, "i": -113, "b": True}
"""What an array that is written to holds before: nothing may rely on it."""


@dataclass(frozen=True)
class Example:
    """One call: `primitive(*arguments)`, which writes into the arguments at the places `written`."""

    primitive: str
    label: str
    arguments: tuple[Any, ...]
    written: tuple[int, ...]

    def copies(self) -> list[Any]:
        """The arguments, to be written into."""
        return [x.copy() if isinstance(x, np.ndarray) else x for x in self.arguments]

    def in_double(self) -> "Example":
        """The same call with all floating arrays in float64."""
        wide = tuple(
            x.astype(np.float64) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
            for x in self.arguments
        )
        return Example(self.primitive, self.label, wide, self.written)

    def __str__(self) -> str:
        return f"{self.primitive}-{self.label}"


WINDOWS = {
    "3x3": ((2, 3, 9, 8), (3, 3), (1, 1), (1, 1), (1, 1)),
    "5x3 stride 2,3 dilated": ((1, 2, 11, 13), (5, 3), (2, 3), (2, 0), (1, 2)),
    "11x11 stride 4": ((2, 3, 23, 25), (11, 11), (4, 4), (2, 2), (1, 1)),
    "as large as the image": ((3, 1, 5, 4), (5, 4), (1, 1), (0, 0), (1, 1)),
    "3x2 beyond the border": ((1, 4, 10, 7), (3, 2), (3, 1), (3, 2), (2, 3)),
}
"""x, kernel, stride, padding, dilation."""

POOLS = {
    "3x3 stride 2": ((2, 3, 13, 11), (3, 3), (2, 2), (0, 0), (1, 1)),
    "3x2 padded": ((1, 2, 7, 9), (3, 2), (2, 1), (1, 0), (1, 1)),
    "2x3 padded": ((2, 1, 6, 8), (2, 3), (1, 2), (0, 1), (1, 1)),
    "2x2 dilated": ((2, 2, 8, 9), (2, 2), (2, 2), (0, 0), (3, 2)),
    "16x16": ((1, 1, 17, 18), (16, 16), (1, 1), (0, 0), (1, 1)),
    "17x16": ((1, 1, 19, 18), (17, 16), (1, 1), (0, 0), (1, 1)),
}

LONG = {
    "a long row": ((1, 2, 1, 33000), (1, 2), (1, 1), (0, 1), (1, 1)),
    "a tall column": ((1, 2, 33000, 1), (2, 1), (1, 1), (1, 0), (1, 1)),
    "many images": ((33000, 2, 1, 1), (1, 1), (1, 1), (0, 0), (1, 1)),
    "many channels": ((2, 33000, 1, 1), (1, 1), (1, 1), (0, 0), (1, 1)),
}
"""More of each than a short can count, in float32 only: what may be narrow does not depend on the type."""


def examples(dtype: Any) -> Iterator[Example]:
    """All calls with arrays of a floating dtype; the same numbers each time."""
    for make in (
        _convolution,
        _max_pooling,
        _average_pooling,
        _normalization,
        _sums,
        _activation,
        _loss,
        _dropout,
        _training,
    ):
        yield from make(np.random.default_rng(0), np.dtype(dtype))


def _empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    return np.full(shape, POISON[np.dtype(dtype).kind], dtype)


def _out(image: tuple[int, ...], kernel, stride, padding, dilation) -> tuple[int, ...]:
    return tuple(
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, k, s, p, d in zip(image, kernel, stride, padding, dilation, strict=True)
    )


def _with_long(windows: dict[str, Any], dtype: np.dtype) -> dict[str, Any]:
    return windows | LONG if dtype == np.float32 else windows


def _convolution(random: np.random.Generator, dtype: np.dtype) -> Iterator[Example]:
    for label, (shape, kernel, *rest) in _with_long(WINDOWS, dtype).items():
        col = (shape[1], *kernel, shape[0], *_out(shape[2:], kernel, *rest))
        x, y = (
            random.standard_normal(shape).astype(dtype),
            random.standard_normal(col).astype(dtype),
        )
        yield Example("im2col", label, (x, _empty(col, dtype), kernel, *rest), (1,))
        yield Example("col2im", label, (y, _empty(shape, dtype), kernel, *rest), (1,))
    outputs = {
        "": (7, 3, 5, 4),
        "a long row": (2, 1, 1, 33000),
        "many filters": (33000, 2, 1, 1),
        "many images": (2, 33000, 1, 1),
    }
    for label, (o, n, *out) in outputs.items():
        if label and dtype != np.float32:
            continue
        product, y = (
            random.standard_normal((o, n, *out)).astype(dtype),
            random.standard_normal((n, o, *out)).astype(dtype),
        )
        bias = random.standard_normal(o).astype(dtype)
        yield Example(
            "from_columns", f"{label} with bias", (product, bias, _empty(y.shape, dtype)), (2,)
        )
        yield Example(
            "from_columns", f"{label} without", (product, None, _empty(y.shape, dtype)), (2,)
        )
        yield Example("to_columns", label, (y, _empty(product.shape, dtype)), (1,))
        rectified = np.maximum(random.standard_normal(y.shape), 0).astype(dtype)
        special = product.copy()
        special.flat[0] = rectified.flat[1] = np.nan
        yield Example(
            "from_columns",
            f"{label} with bias and ReLU",
            (special, bias, _empty(y.shape, dtype), True),
            (2,),
        )
        yield Example(
            "to_columns",
            f"{label} below a ReLU",
            (y, _empty(product.shape, dtype), rectified),
            (1,),
        )


def _max_pooling(random: np.random.Generator, dtype: np.dtype) -> Iterator[Example]:
    for label, (shape, *window) in _with_long(POOLS, dtype).items():
        x = random.integers(-9, 9, shape).astype(dtype)  # with many ties
        # Each window's last tap wins, with a number that no float holds.
        rising = (np.arange(x.size).reshape(shape) / 3).astype(dtype)
        special = x.copy()
        special[random.random(shape) < 0.1] = np.nan
        special[0, 0] = -np.inf
        argmax = np.dtype(np.uint8 if window[0][0] * window[0][1] <= 256 else np.int32)
        out = (*shape[:2], *_out(shape[2:], *window))
        for kind, image in (("", x), (", with NaN and -inf", special), (", rising", rising)):
            yield Example(
                "max_pool",
                label + kind,
                (image, _empty(out, dtype), _empty(out, argmax), *window),
                (1, 2),
            )
        dy = random.standard_normal(out).astype(dtype)
        for kind, image in (("", x), (", rising", rising)):
            y, winners = np.empty(out, dtype), np.empty(out, argmax)
            cpu.max_pool(image, y, winners, *window)
            yield Example(
                "max_pool_backward",
                label + kind,
                (dy, winners, _empty(shape, dtype), *window),
                (2,),
            )


def _average_pooling(random: np.random.Generator, dtype: np.dtype) -> Iterator[Example]:
    for label, (shape, kernel, stride, padding, dilation) in _with_long(POOLS, dtype).items():
        window = kernel, stride, padding
        out = (*shape[:2], *_out(shape[2:], *window, (1, 1)))
        divisor = random.uniform(1, 9, out[2:]).astype(dtype)
        x, dy = (
            random.standard_normal(shape).astype(dtype),
            random.standard_normal(out).astype(dtype),
        )
        if dilation == (1, 1):
            yield Example("avg_pool", label, (x, _empty(out, dtype), divisor, *window), (1,))
            yield Example(
                "avg_pool_backward", label, (dy, divisor, _empty(shape, dtype), *window), (2,)
            )


def _normalization(random: np.random.Generator, dtype: np.dtype) -> Iterator[Example]:
    across = [
        ("paper's", (2, 16, 5, 7), 5, 0.75, 1),
        ("fewer channels than the window", (2, 3, 5, 7), 5, 0.75, 1),
        ("in groups, even", (2, 12, 5, 7), 4, 0.5, 3),
    ]
    if dtype == np.float32:
        across += [
            ("many channels", (2, 33000, 1, 1), 3, 0.75, 1),
            ("a long row", (1, 2, 1, 33000), 3, 0.75, 1),
        ]
    for label, shape, size, beta, groups in across:
        x, dy = random.standard_normal((2, *shape)).astype(dtype)
        y, s = np.empty_like(x), np.empty_like(x)
        cpu.lrn(x, y, s, size, 0.1, beta, 2.0, groups)
        empty = _empty(x.shape, dtype)
        yield Example("lrn", label, (x, empty, empty, size, 0.1, beta, 2.0, groups), (1, 2))
        yield Example("lrn_backward", label, (dy, x, y, s, empty, size, 0.1, beta, groups), (4,))
    within = [
        ("5x5", (2, 3, 6, 5), 5),
        ("2x2", (2, 3, 6, 5), 2),
        ("larger than the map", (2, 3, 6, 5), 9),
    ]
    if dtype == np.float32:
        within += [
            ("a long row", (1, 2, 1, 33000), 3),
            ("a tall column", (1, 2, 33000, 1), 3),
            ("many maps", (2, 33000, 1, 1), 1),
        ]
    for label, shape, size in within:
        x, dy = random.standard_normal((2, *shape)).astype(dtype)
        y, s = np.empty_like(x), np.empty_like(x)
        cpu.spatial_norm(x, y, s, size, 0.1, 0.75, 1.0)
        empty = _empty(x.shape, dtype)
        yield Example("spatial_norm", label, (x, empty, empty, size, 0.1, 0.75, 1.0), (1, 2))
        yield Example("spatial_norm_backward", label, (dy, x, y, s, empty, size, 0.1, 0.75), (4,))


def _sums(random: np.random.Generator, dtype: np.dtype) -> Iterator[Example]:
    """A large number and then many small ones: added up in half precision, the small ones are lost."""

    def uneven(
        shape: tuple[int, ...], small: float, large: float, at: tuple[Any, ...]
    ) -> np.ndarray:
        x = random.uniform(small, 1.5 * small, shape)
        x[at] = large
        return x.astype(dtype)

    label, image, out, window = (
        "a large number and small ones",
        (1, 1, 20, 20),
        (1, 1, 11, 11),
        ((10, 10), (1, 1), (0, 0)),
    )
    x, dy, ones = (
        uneven(image, 0.1, 1000, (0, 0, 0, 0)),
        uneven(out, 0.1, 1000, (0, 0, -1, -1)),
        np.ones(out[2:], dtype),
    )
    yield Example("avg_pool", label, (x, _empty(out, dtype), ones, *window), (1,))
    yield Example("avg_pool_backward", label, (dy, ones, _empty(image, dtype), *window), (2,))
    y, winners = np.empty(out, dtype), np.empty(out, np.uint8)
    cpu.max_pool(uneven(image, 0.1, 1, (0, 0, 10, 10)), y, winners, *window, (1, 1))
    yield Example(
        "max_pool_backward", label, (dy, winners, _empty(image, dtype), *window, (1, 1)), (2,)
    )

    for primitive, shape, at, size, more in (
        ("lrn", (1, 64, 2, 3), (0, 0), 33, (1,)),
        ("spatial_norm", (1, 1, 15, 14), (0, 0, 0, 0), 13, ()),
    ):
        x, dy, y, s = (
            uneven(shape, 0.1, 10, at),
            uneven(shape, 10, 1000, at),
            np.empty(shape, dtype),
            np.empty(shape, dtype),
        )
        getattr(cpu, primitive)(x, y, s, size, 0.1, 0.75, 2.0, *more)
        empty = _empty(shape, dtype)
        yield Example(primitive, label, (x, empty, empty, size, 0.1, 0.75, 2.0, *more), (1, 2))
        yield Example(
            f"{primitive}_backward", label, (dy, x, y, s, empty, size, 0.1, 0.75, *more), (4,)
        )


def _activation(random: np.random.Generator, dtype: np.dtype) -> Iterator[Example]:
    for label, shape in (("", (3, 5, 61)), ("many", (66000, 1, 1))):
        if label and dtype != np.float32:
            continue
        x, dy = random.standard_normal((2, *shape)).astype(dtype)
        x.ravel()[:3] = 0, np.nan, -np.inf
        yield Example("relu", label, (x, _empty(x.shape, dtype)), (1,))
        yield Example("relu_backward", label, (dy, np.maximum(x, 0), _empty(x.shape, dtype)), (2,))


def _loss(random: np.random.Generator, dtype: np.dtype) -> Iterator[Example]:
    rows = [(5, 10, 4), (3, 257, 4), (2, 1, 4), (2, 700, 4), (6, 300, 400)]
    if dtype == np.float32:
        rows.append((300, 220, 4))
    for n, classes, scale in rows:
        x = (scale * random.standard_normal((n, classes))).astype(dtype)
        if scale == 400:  # exp of them is out of range
            x[1, 3], x[2, -1], x[3, 7], x[4, :9] = np.nan, np.nan, np.inf, -np.inf
        t = random.integers(0, classes, n)
        t[-1] = -100
        w = random.uniform(0.5, 2, classes).astype(dtype)
        p, loss, weight = _empty(x.shape, dtype), _empty((n,), dtype), _empty((n,), dtype)
        yield Example(
            "cross_entropy", f"{classes} classes", (x, t, w, p, loss, weight, -100), (3, 4, 5)
        )
        p, loss, weight = np.empty_like(x), np.empty(n, dtype), np.empty(n, dtype)
        with np.errstate(invalid="ignore"):
            cpu.cross_entropy(x, t, w, p, loss, weight, -100)
        dloss = random.standard_normal(n).astype(dtype)
        yield Example(
            "cross_entropy_backward",
            f"{classes} classes",
            (dloss, p, t, weight, _empty(x.shape, dtype)),
            (4,),
        )


def _dropout(random: np.random.Generator, dtype: np.dtype) -> Iterator[Example]:
    key = (2**64 - 3, 0x64726F706F757400)
    drawn = device.random_words(key, 7, 2, range(1), 8).astype("<u8").view("<u4")
    cases = [
        ("half", (5, 3, 7), 0.5, 0),
        ("later samples", (3, 9), 0.9, 1000),
        ("all", (2, 8), 1.0, 0),
        ("none", (2, 8), 0.0, 0),
        (
            "as much as is drawn",
            (1, 16),
            float(drawn.ravel()[drawn.ravel() % 2 == 1][0]) / 2**32,
            0,
        ),
        ("many blocks", (3, 5000), 0.5, 0),
    ]
    if dtype == np.float32:
        cases += [("a long row", (1, 530000), 0.5, 0), ("many samples", (66000, 1), 0.5, 0)]
    for label, shape, keep, first in cases:
        yield Example("random_mask", label, (_empty(shape, bool), keep, key, 7, 2, first), (0,))


def _training(random: np.random.Generator, dtype: np.dtype) -> Iterator[Example]:
    for label, decay in (("with decay", 0.0005), ("without", 0.0)):
        w, v, g = random.standard_normal((3, 7, 41)).astype(dtype)
        yield Example("sgd_update", label, (w, v, g, 0.01, 0.9, decay), (0, 1))
    if dtype == np.float32:
        w, v, g = random.standard_normal((3, 66000)).astype(dtype)
        yield Example("sgd_update", "many", (w, v, g, 0.01, 0.9, 0.0005), (0, 1))
        for label, long in (
            ("a long row", (1, 2, 1, 33000)),
            ("a tall column", (1, 2, 33000, 1)),
            ("many images", (33000, 2, 1, 1)),
        ):
            some, mean = (
                random.integers(0, 256, long).astype(np.uint8),
                random.uniform(0, 255, long[1:]).astype(dtype),
            )
            moved = np.tile(np.array([[0, 0, 1]], np.int32), (long[0], 1))
            yield Example(
                "augment", label, (some, mean, _empty(long, dtype), moved, None, 1.0), (2,)
            )
    shape, moves = (
        (5, 3, 9, 8),
        np.array([[-2, 1, 0], [3, -4, 1], [0, 0, 1], [9, 0, 0], [1, 2, 1]], np.int32),
    )
    bytes_, mean = (
        random.integers(0, 256, shape).astype(np.uint8),
        random.uniform(0, 255, shape[1:]).astype(dtype),
    )
    colour = random.standard_normal((5, 3)).astype(dtype)
    out = _empty(shape, dtype)
    yield Example("augment", "bytes", (bytes_, mean, out, moves, None, 1.0), (2,))
    yield Example(
        "augment",
        "smaller crops, shifted colours",
        (bytes_, mean, _empty((5, 3, 6, 5), dtype), moves, colour, 0.5),
        (2,),
    )
    yield Example(
        "augment",
        "floats, mean colour",
        (bytes_.astype(np.float32), mean[:, :1, :1].copy(), out, moves, colour, 0.25),
        (2,),
    )
