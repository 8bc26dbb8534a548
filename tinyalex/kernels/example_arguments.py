"""Example calls of every primitive, with small arrays of odd sizes.

Tests compare the results of both devices; `explain` and `doctor` run them too.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.kernels import cpu

UNINITIALISED = {"f": np.nan, "u": 113, "i": -113, "b": True}
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


WINDOWS = {
    "3x3": ((2, 3, 9, 8), (3, 3), (1, 1), (1, 1), (1, 1)),
    "5x3 stride 2,3 dilated": ((1, 2, 11, 13), (5, 3), (2, 3), (2, 0), (1, 2)),
    "11x11 stride 4": ((2, 3, 23, 25), (11, 11), (4, 4), (2, 2), (1, 1)),
    "as large as the image": ((3, 1, 5, 4), (5, 4), (1, 1), (0, 0), (1, 1)),
    "3x2 beyond the border": ((1, 4, 10, 7), (3, 2), (3, 1), (3, 2), (2, 3)),
}
"""Convolutions: x, kernel, stride, padding, dilation."""

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
"""Sizes beyond a 16-bit index. Only in float32: indices do not depend on the dtype."""


def examples(dtype: Any) -> Iterator[Example]:
    """All examples with arrays of a floating dtype; reproducible."""
    for make in (
        _convolution,
        _implicit_convolution,
        _max_pooling,
        _average_pooling,
        _normalization,
        _sums,
        _activation,
        _linear,
        _loss,
        _dropout,
        _training,
    ):
        yield from make(np.random.default_rng(0), np.dtype(dtype))


def _empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    return np.full(shape, UNINITIALISED[np.dtype(dtype).kind], dtype)


def _out(image: tuple[int, ...], *window: tuple[int, int]) -> tuple[int, ...]:
    """(OH, OW) of a window: kernel, stride, padding, dilation."""
    return tuple(
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, k, s, p, d in zip(image, *window, strict=True)
    )


def _with_long(windows: dict[str, Any], dtype: np.dtype) -> dict[str, Any]:
    return windows | LONG if dtype == np.float32 else windows


def _convolution(random: Random, dtype: np.dtype) -> Iterator[Example]:
    def normal(*shape: int) -> np.ndarray:
        return random.standard_normal(shape).astype(dtype)

    for label, (shape, kernel, *rest) in _with_long(WINDOWS, dtype).items():
        col = (shape[1], *kernel, shape[0], *_out(shape[2:], kernel, *rest))
        x, y = normal(*shape), normal(*col)
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
        product, y, bias = normal(o, n, *out), normal(n, o, *out), normal(o)
        like_y, like_product = _empty(y.shape, dtype), _empty(product.shape, dtype)
        yield Example("from_columns", f"{label} with bias", (product, bias, like_y), (2,))
        yield Example("from_columns", f"{label} without", (product, None, like_y), (2,))
        yield Example("to_columns", label, (y, like_product), (1,))
        rectified = np.maximum(random.standard_normal(y.shape), 0).astype(dtype)
        special = product.copy()
        special.flat[0] = rectified.flat[1] = np.nan
        with_relu = special, bias, like_y, True
        yield Example("from_columns", f"{label} with bias and ReLU", with_relu, (2,))
        yield Example("to_columns", f"{label} masked by a ReLU", (y, like_product, rectified), (1,))


def _implicit_convolution(random: Random, dtype: np.dtype) -> Iterator[Example]:
    windows: dict[str, Any] = {label: (6, *window) for label, window in WINDOWS.items()}
    if dtype == np.float32:
        large = (1, 66, 18, 17), (2, 2), (1, 1), (0, 0), (1, 1)
        windows |= {"several tiles": (65, *large), "a long row": (4, *LONG["a long row"])}
    for label, (filters, shape, kernel, *rest) in windows.items():
        groups = 2 if shape[1] % 2 == filters % 2 == 0 else 1
        out = shape[0], filters, *_out(shape[2:], kernel, *rest)
        x, w, dy, bias = (
            (random.standard_normal(size) / 4).astype(dtype)
            for size in (shape, (filters, shape[1] // groups, *kernel), out, filters)
        )
        y, dx, dw = (_empty(a.shape, dtype) for a in (dy, x, w))
        options = (None, False) if groups > 1 else (bias, True)  # with bias and ReLU
        arguments = x, w, options[0], y, *rest, groups, options[1]
        yield Example("conv2d", label, arguments, (3,))
        # The checked build takes too long for the others.
        if kernel != (11, 11):
            yield Example("conv2d_input_grad", label, (dy, w, dx, *rest, groups), (2,))
        if label not in LONG:
            yield Example("conv2d_weight_grad", label, (x, dy, dw, *rest, groups), (2,))


def _max_pooling(random: Random, dtype: np.dtype) -> Iterator[Example]:
    for label, (shape, *window) in _with_long(POOLS, dtype).items():
        x = random.integers(-9, 9, shape).astype(dtype)  # with many ties
        # The last element of each window is the maximum, and is not exact in float.
        rising = (np.arange(x.size).reshape(shape) / 3).astype(dtype)
        special = x.copy()
        special[random.random(shape) < 0.1] = np.nan
        special[0, 0] = -np.inf
        index = np.dtype(np.uint8 if window[0][0] * window[0][1] <= 255 else np.int32)
        out = (*shape[:2], *_out(shape[2:], *window))
        for kind, image in (("", x), (", with NaN and -inf", special), (", rising", rising)):
            arguments = image, _empty(out, dtype), _empty(out, index), *window
            yield Example("max_pool", label + kind, arguments, (1, 2))
        # With a border of negative numbers, which has windows whose ReLU is 0.
        special[..., -4:] = -3
        arguments = special, _empty(out, dtype), _empty(out, index), *window, True
        yield Example("max_pool", label + ", with ReLU", arguments, (1, 2))
        dy = random.standard_normal(out).astype(dtype)
        for kind, image in (("", x), (", rising", rising)):
            y, argmax = np.empty(out, dtype), np.empty(out, index)
            cpu.max_pool(image, y, argmax, *window)
            arguments = dy, argmax, _empty(shape, dtype), *window
            yield Example("max_pool_backward", label + kind, arguments, (2,))


def _average_pooling(random: Random, dtype: np.dtype) -> Iterator[Example]:
    for label, (shape, *window, dilation) in _with_long(POOLS, dtype).items():
        out = (*shape[:2], *_out(shape[2:], *window, (1, 1)))
        divisor = random.uniform(1, 9, out[2:]).astype(dtype)
        x = random.standard_normal(shape).astype(dtype)
        dy = random.standard_normal(out).astype(dtype)
        if dilation == (1, 1):
            yield Example("avg_pool", label, (x, _empty(out, dtype), divisor, *window), (1,))
            arguments = dy, divisor, _empty(shape, dtype), *window
            yield Example("avg_pool_backward", label, arguments, (2,))


def _norm(
    primitive: str, label: str, x: np.ndarray, dy: np.ndarray, size: int, beta: float, *rest: Any
) -> Iterator[Example]:
    """A normalisation and its backward pass. `rest` is k, and for lrn also groups."""
    y, s, empty = np.empty_like(x), np.empty_like(x), _empty(x.shape, x.dtype)
    getattr(cpu, primitive)(x, y, s, size, 0.1, beta, *rest)
    yield Example(primitive, label, (x, empty, empty, size, 0.1, beta, *rest), (1, 2))
    arguments = dy, x, y, s, empty, size, 0.1, beta, *rest[1:]
    yield Example(f"{primitive}_backward", label, arguments, (4,))


def _normalization(random: Random, dtype: np.dtype) -> Iterator[Example]:
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


def _sums(random: Random, dtype: np.dtype) -> Iterator[Example]:
    """A large element and many small ones, which are lost in a half-precision sum."""

    def uneven(shape: tuple[int, ...], small: float, large: float, *index: int) -> np.ndarray:
        x = random.uniform(small, 1.5 * small, shape)
        x[index] = large
        return x.astype(dtype)

    label, image, out = "a large element and small ones", (1, 1, 20, 20), (1, 1, 11, 11)
    window = (10, 10), (1, 1), (0, 0)
    x, dy = uneven(image, 0.1, 1000, 0, 0, 0, 0), uneven(out, 0.1, 1000, 0, 0, -1, -1)
    ones, dx = np.ones(out[2:], dtype), _empty(image, dtype)
    yield Example("avg_pool", label, (x, _empty(out, dtype), ones, *window), (1,))
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


def _activation(random: Random, dtype: np.dtype) -> Iterator[Example]:
    for label, shape in (("", (3, 5, 61)), ("many", (66000, 1, 1))):
        if label and dtype != np.float32:
            continue
        x, dy = random.standard_normal((2, *shape)).astype(dtype)
        x.ravel()[:3] = 0, np.nan, -np.inf
        yield Example("relu", label, (x, _empty(x.shape, dtype)), (1,))
        yield Example("error_function", label, (x, _empty(x.shape, dtype)), (1,))
        yield Example("relu_backward", label, (dy, np.maximum(x, 0), _empty(x.shape, dtype)), (2,))


def _linear(random: Random, dtype: np.dtype) -> Iterator[Example]:
    sizes = [(3, 70), (1, 5), (600, 3)]
    for n, o in [*sizes, (2, 33000), (33000, 2)] if dtype == np.float32 else sizes:
        z, dy = random.standard_normal((2, n, o)).astype(dtype)
        bias, label = random.standard_normal(o).astype(dtype), f"{n} x {o}"
        z[0, :2] = np.nan, -bias[-1]
        yield Example("bias_relu", label, (z, bias, True), (0,))
        yield Example("bias_relu", f"{label}, no ReLU", (z, bias, False), (0,))
        yield Example("bias_relu", f"{label}, no bias", (z, None, True), (0,))
        outputs = _empty((n, o), dtype), _empty((o,), dtype)
        yield Example("bias_relu_backward", label, (dy, np.maximum(z, 0), *outputs), (2, 3))


def _loss(random: Random, dtype: np.dtype) -> Iterator[Example]:
    sizes = [(5, 10, 4), (3, 257, 4), (2, 1, 4), (2, 700, 4), (6, 300, 400)]
    if dtype == np.float32:
        sizes.append((300, 220, 4))
    for n, classes, scale in sizes:
        label = f"{classes} classes"
        x = (scale * random.standard_normal((n, classes))).astype(dtype)
        if scale == 400:  # whose exp is not finite
            x[1, 3], x[2, -1], x[3, 7], x[4, :9] = np.nan, np.nan, np.inf, -np.inf
        t = random.integers(0, classes, n)
        t[-1] = -100
        w = random.uniform(0.5, 2, classes).astype(dtype)
        p, loss, weight = _empty(x.shape, dtype), _empty((n,), dtype), _empty((n,), dtype)
        yield Example("cross_entropy", label, (x, t, w, p, loss, weight, -100), (3, 4, 5))
        dx, p, loss, weight = p, p.copy(), loss.copy(), weight.copy()
        with np.errstate(invalid="ignore"):
            cpu.cross_entropy(x, t, w, p, loss, weight, -100)
        dloss = random.standard_normal(n).astype(dtype)
        yield Example("cross_entropy_backward", label, (dloss, p, t, weight, dx), (4,))
    wide = np.result_type(dtype, np.float32)
    for n in (1, 700):
        x, counts = random.standard_normal(n).astype(dtype), random.uniform(1, 300, n).astype(dtype)
        outputs = _empty((), dtype), _empty((), wide)
        yield Example("weighted_mean", f"{n} samples", (x, counts, *outputs), (2, 3))
    for total in (0, 3e5):
        dy, dx, divisor = np.array(7, dtype), _empty((300,), dtype), np.array(total, wide)
        yield Example("weighted_mean_backward", f"total {total:g}", (dy, divisor, dx), (2,))


def _dropout(random: Random, dtype: np.dtype) -> Iterator[Example]:
    key = (2**64 - 3, 0x64726F706F757400)
    drawn = device.random_words(key, 7, 2, range(1), 8).astype("<u8").view("<u4").ravel()
    cases = [
        ("half", (5, 3, 7), 0.5, 0),
        ("later samples", (3, 9), 0.9, 1000),
        ("all", (2, 8), 1.0, 0),
        ("none", (2, 8), 0.0, 0),
        ("equal to a drawn value", (1, 16), float(drawn[drawn % 2 == 1][0]) / 2**32, 0),
        ("many blocks", (3, 5000), 0.5, 0),
    ]
    if dtype == np.float32:
        cases += [("a long row", (1, 530000), 0.5, 0), ("many samples", (66000, 1), 0.5, 0)]
    for label, shape, keep, first in cases:
        x, mask = random.standard_normal(shape).astype(dtype), _empty(shape, bool)
        draw = keep, 1 / 0.3, key, np.array([7], np.uint64), 2, first
        yield Example("dropout", label, (x, mask, _empty(shape, dtype), *draw), (1, 2))
    for label, shape in (("", (3, 5, 61)), ("many", (66000, 1, 1))):
        x, mask = random.standard_normal(shape).astype(dtype), random.random(shape) < 0.5
        x.ravel()[:3] = 0, np.nan, -1
        yield Example("scale_kept", label, (x, mask, _empty(shape, dtype), 1 / 0.3), (2,))


def _training(random: Random, dtype: np.dtype) -> Iterator[Example]:
    wide = np.result_type(dtype, np.float32)

    def lists(count: int, *shapes: tuple[int, ...]) -> list[list[np.ndarray]]:
        """`count` lists of arrays of these shapes."""
        return [
            [random.standard_normal(shape).astype(dtype) for shape in shapes] for _ in range(count)
        ]

    sizes: dict[str, list[tuple[int, ...]]] = {
        "one array": [(7, 41)],
        "four arrays": [(7, 41), (300,), (0, 3), ()],
        "33 arrays": [*[(2,)] * 32, (9,)],
        "many weights": [(66000,)],
    }
    for label, shapes in sizes.items():
        # lr, momentum, decay, nesterov
        rows = [(0.01, 0.9, 0.0005, 0), (0.02, 0.9, 0.0, 0), (0.3, 0.5, 0.1, 1), (0.3, 0.5, 0, 1)]
        options = np.array([rows[i % 5 % 4] for i in range(len(shapes))], wide)
        yield Example("sgd_update", label, (*lists(3, *shapes), options), (0, 1))
    for label, scaling in (("scaled", [16.0, 0.0]), ("skipped", [16.0, 1.0])):
        options = np.array([(0.01, 0.9, 0.0005, 0), (0.02, 0.9, 0, 1)], wide)
        arguments = *lists(3, (7, 41), (300,)), options, np.array(scaling, wide)
        yield Example("sgd_update", label, arguments, (0, 1))
    yield from _loss_scale(lists)
    weights, means, squares, grads = lists(4, (7, 41), (300,))
    # lr, a1, a2, eps, l2, decay, c1, c2: decay in the gradient, then decoupled
    rates = [(0.01, 0.1, 0.05, 1e-8, *decays, 0.3, 0.1) for decays in ((0.1, 0.0), (0.0, 0.5))]
    arrays = weights, means, [s * s for s in squares], grads
    yield Example("adam_update", "two arrays", (*arrays, np.array(rates, wide)), (0, 1, 2))

    def augment(label: str, *arguments: Any) -> Example:
        return Example("augment", label, arguments, (2,))

    def images(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        pixels = random.integers(0, 256, shape).astype(np.uint8)
        return pixels, random.uniform(0, 255, shape[1:]).astype(dtype)

    for label, (shape, *_) in _with_long({}, dtype).items():
        if label != "many channels":
            x, mean = images(shape)
            mirrored = np.tile(np.array([[0, 0, 1]], np.int32), (shape[0], 1))
            yield augment(label, x, mean, _empty(shape, dtype), mirrored, None, 1.0)
    shape = 5, 3, 9, 8
    x, mean = images(shape)
    moves = np.array([[-2, 1, 0], [3, -4, 1], [0, 0, 1], [9, 0, 0], [1, 2, 1]], np.int32)
    colour = random.standard_normal((5, 3)).astype(dtype)
    out, small = _empty(shape, dtype), _empty((5, 3, 6, 5), dtype)
    floats, mean_colour = x.astype(np.float32), mean[:, :1, :1].copy()
    yield augment("bytes", x, mean, out, moves, None, 1.0)
    yield augment("smaller crops, colour noise", x, mean, small, moves, colour, 0.5)
    yield augment("floats, mean colour", floats, mean_colour, out, moves, colour, 0.25)


def _loss_scale(lists: Callable[..., list[list[np.ndarray]]]) -> Iterator[Example]:
    def state(scale: float, found: float, steps: float) -> np.ndarray:
        return np.array([scale, found, steps], np.float32)

    for label, value in (("finite", 60000.0), ("infinite", -np.inf), ("not a number", np.nan)):
        for position in (0, -1):
            (grads,) = lists(1, *[(7, 41)] * 33)
            grads[position].ravel()[position] = value
            where = "the first" if position == 0 else "the last"
            yield Example("find_not_finite", f"{label}, {where}", (grads, state(2, 0, 3)), (1,))
    (grads,) = lists(1, (7, 41), (300,))
    grads[1][::2] = np.nan
    yield Example("find_not_finite", "several", (grads, state(2, 0, 3)), (1,))
    states = {
        "found": state(1024, 1, 5),
        "not found": state(1024, 0, 5),
        "the last step of an interval": state(1024, 0, 9),
        "found in the last step": state(1024, 1, 9),
        "the largest factor": state(3e38, 0, 9),
    }
    for label, before in states.items():
        yield Example("update_loss_scale", label, (before, 2.0, 0.5, 10), (0,))
