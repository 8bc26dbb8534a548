"""Activations, fully connected layers, losses and dropout."""

from collections.abc import Iterator

import numpy as np

from tinyalex import device
from tinyalex.kernels import cpu
from tinyalex.kernels.examples.example import Example, Random, empty


def activation(random: Random, dtype: np.dtype) -> Iterator[Example]:
    for label, shape in (("", (3, 5, 61)), ("many", (66000, 1, 1))):
        if label and dtype != np.float32:
            continue
        x, dy = random.standard_normal((2, *shape)).astype(dtype)
        x.ravel()[:3] = 0, np.nan, -np.inf
        yield Example("relu", label, (x, empty(x.shape, dtype)), (1,))
        yield Example("error_function", label, (x, empty(x.shape, dtype)), (1,))
        yield Example("relu_backward", label, (dy, np.maximum(x, 0), empty(x.shape, dtype)), (2,))


def linear(random: Random, dtype: np.dtype) -> Iterator[Example]:
    sizes = [(3, 70), (1, 5), (600, 3)]
    for n, o in [*sizes, (2, 33000), (33000, 2)] if dtype == np.float32 else sizes:
        z, dy = random.standard_normal((2, n, o)).astype(dtype)
        bias, label = random.standard_normal(o).astype(dtype), f"{n} x {o}"
        z[0, :2] = np.nan, -bias[-1]
        yield Example("bias_relu", label, (z, bias, True), (0,))
        yield Example("bias_relu", f"{label}, no ReLU", (z, bias, False), (0,))
        yield Example("bias_relu", f"{label}, no bias", (z, None, True), (0,))
        outputs = empty((n, o), dtype), empty((o,), dtype)
        arguments = dy, np.maximum(z, 0), *outputs
        yield Example("bias_relu_backward", label, arguments, (2, 3))
        yield Example("bias_relu_backward", f"{label}, scaled", (*arguments, 1 / 0.3), (2, 3))


def loss(random: Random, dtype: np.dtype) -> Iterator[Example]:
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
        p, loss, weight = empty(x.shape, dtype), empty((n,), dtype), empty((n,), dtype)
        yield Example("cross_entropy", label, (x, t, w, p, loss, weight, -100), (3, 4, 5))
        yield Example("find_errors", label, (x, t, empty((n,), bool)), (2,))
        dx, p, loss, weight = p, p.copy(), loss.copy(), weight.copy()
        with np.errstate(invalid="ignore"):
            cpu.cross_entropy(x, t, w, p, loss, weight, -100)
        dloss = random.standard_normal(n).astype(dtype)
        yield Example("cross_entropy_backward", label, (dloss, p, t, weight, dx), (4,))
        for total in (0, weight.sum()):
            divisor = np.array(total, device.sum_dtype(dtype))
            arguments = dloss[:1].reshape(()), p, t, weight, dx, divisor
            text = f"{label}, mean of weight {total:.4g}"
            yield Example("cross_entropy_backward", text, arguments, (4,))
    x = np.zeros((12, 300), dtype)
    x[:4, [7, 280]] = 1
    x[4:9, 8], x[4:7, 290] = np.nan, np.nan
    x[10, 1], x[10, 100] = 1, np.nan
    t = np.array([7, 280, 8, 299, 8, 290, 7, 8, 299, 0, 1, 300])
    yield Example("find_errors", "equal logits and NaN", (x, t, empty((12,), bool)), (2,))
    wide = device.sum_dtype(dtype)
    for n in (1, 700):
        x, counts = random.standard_normal(n).astype(dtype), random.uniform(1, 300, n).astype(dtype)
        outputs = empty((), dtype), empty((), wide)
        yield Example("weighted_mean", f"{n} samples", (x, counts, *outputs), (2, 3))
    for total in (0, 3e5):
        dy, dx, divisor = np.array(7, dtype), empty((300,), dtype), np.array(total, wide)
        yield Example("weighted_mean_backward", f"total {total:g}", (dy, divisor, dx), (2,))


def dropout(random: Random, dtype: np.dtype) -> Iterator[Example]:
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
        x, mask = random.standard_normal(shape).astype(dtype), empty(shape, bool)
        draw = keep, 1 / 0.3, key, np.array([7], np.uint64), 2, first
        yield Example("dropout", label, (x, mask, empty(shape, dtype), *draw), (1, 2))
        x, bias = x.copy(), random.standard_normal(shape[-1]).astype(dtype)
        x.flat[:2] = np.nan, -bias[-1]
        yield Example("bias_relu_dropout", label, (x, bias, *draw), (0,))
        yield Example("bias_relu_dropout", f"{label}, no bias", (x, None, *draw), (0,))
    for label, shape in (("", (3, 5, 61)), ("many", (66000, 1, 1))):
        x, mask = random.standard_normal(shape).astype(dtype), random.random(shape) < 0.5
        x.ravel()[:3] = 0, np.nan, -1
        yield Example("scale_kept", label, (x, mask, empty(shape, dtype), 1 / 0.3), (2,))
