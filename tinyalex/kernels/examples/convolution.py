"""Convolution, with columns and without."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.kernels import cpu
from tinyalex.kernels.examples.example import LONG, Example, Random, empty, out_size, with_long

WINDOWS = {
    "3x3": ((2, 3, 9, 8), (3, 3), (1, 1), (1, 1), (1, 1)),
    "5x3 stride 2,3 dilated": ((1, 2, 11, 13), (5, 3), (2, 3), (2, 0), (1, 2)),
    "11x11 stride 4": ((2, 3, 23, 25), (11, 11), (4, 4), (2, 2), (1, 1)),
    "as large as the image": ((3, 1, 5, 4), (5, 4), (1, 1), (0, 0), (1, 1)),
    "3x2 beyond the border": ((1, 4, 10, 7), (3, 2), (3, 1), (3, 2), (2, 3)),
}
"""Convolutions: x, kernel, stride, padding, dilation."""


def convolution(random: Random, dtype: np.dtype) -> Iterator[Example]:
    def normal(*shape: int) -> np.ndarray:
        return random.standard_normal(shape).astype(dtype)

    for label, (shape, kernel, *rest) in with_long(WINDOWS, dtype).items():
        col = (shape[1], *kernel, shape[0], *out_size(shape[2:], kernel, *rest))
        x, y = normal(*shape), normal(*col)
        yield Example("im2col", label, (x, empty(col, dtype), kernel, *rest), (1,))
        yield Example("col2im", label, (y, empty(shape, dtype), kernel, *rest), (1,))
    outputs = {
        "": (7, 3, 5, 4),
        "a long row": (2, 1, 1, 33000),
        "many filters": (33000, 2, 1, 1),
        "many images": (2, 33000, 1, 1),
        "several segments": (3, 5, 31, 29),
    }
    for label, (o, n, *out) in outputs.items():
        if max(o, n, *out) == 33000 and dtype != np.float32:
            continue
        product, y, bias = normal(o, n, *out), normal(n, o, *out), normal(o)
        like_y, like_product = empty(y.shape, dtype), empty(product.shape, dtype)
        yield Example("from_columns", f"{label} with bias", (product, bias, like_y), (2,))
        yield Example("from_columns", f"{label} without", (product, None, like_y), (2,))
        rectified = np.maximum(random.standard_normal(y.shape), 0).astype(dtype)
        special = product.copy()
        special.flat[0] = rectified.flat[1] = np.nan
        with_relu = special, bias, like_y, True
        yield Example("from_columns", f"{label} with bias and ReLU", with_relu, (2,))
        if label == "many filters":  # each has a block with barriers: the checks take too long
            continue
        sums = empty((o,), device.sum_dtype(dtype))
        masked = y, like_product, rectified, sums
        yield Example("to_columns", label, (y, like_product), (1,))
        yield Example("to_columns", f"{label} and sums", (y, like_product, None, sums), (1, 3))
        yield Example("to_columns", f"{label} masked by a ReLU", masked, (1, 3))


def normalized_convolution(random: Random, dtype: np.dtype) -> Iterator[Example]:
    cases: dict[str, tuple] = {
        # N, O, OH, OW; size, a, beta, k, groups
        "paper's": ((2, 12, 3, 5), (5, 1e-4, 0.75, 2.0, 1)),
        "groups": ((2, 12, 3, 5), (5, 0.5, 0.75, 2.0, 2)),
        "even window": ((3, 9, 2, 7), (4, 0.5, 0.6, 1.0, 3)),
        "wider than the filters": ((1, 3, 4, 4), (9, 0.5, 0.75, 1.0, 1)),
        "several segments": ((5, 4, 31, 17), (3, 0.5, 0.75, 1.0, 1)),
    }
    for label, (shape, norm) in cases.items():
        n, o, *out = shape
        product, bias, dz = (
            random.standard_normal(size).astype(dtype) for size in ((o, n, *out), o, shape)
        )
        y, z, s = (empty(shape, dtype) for _ in range(3))
        outputs = 2, 3, 4
        yield Example("from_columns_lrn", label, (product, bias, y, z, s, *norm), outputs)
        if label == "groups":
            product.flat[0] = np.nan
            arguments = product, None, y, z, s, *norm
            yield Example("from_columns_lrn", f"{label}, no bias, NaN", arguments, outputs)
        y, z, s = (array.copy() for array in (y, z, s))
        cpu.from_columns_lrn(product, bias, y, z, s, *norm)
        sums = None if label == "even window" else empty((o,), device.sum_dtype(dtype))
        arguments = dz, y, z, s, empty(product.shape, dtype), sums, *norm
        yield Example("to_columns_lrn", label, arguments, (4,) if sums is None else (4, 5))


def implicit_convolution(random: Random, dtype: np.dtype) -> Iterator[Example]:
    windows: dict[str, Any] = {label: (6, *window) for label, window in WINDOWS.items()}
    if dtype == np.float32:
        large = (1, 66, 18, 17), (2, 2), (1, 1), (0, 0), (1, 1)
        windows |= {"several tiles": (65, *large), "a long row": (4, *LONG["a long row"])}
    for label, (filters, shape, kernel, *rest) in windows.items():
        groups = 2 if shape[1] % 2 == filters % 2 == 0 else 1
        out = shape[0], filters, *out_size(shape[2:], kernel, *rest)
        x, w, dy, bias = (
            (random.standard_normal(size) / 4).astype(dtype)
            for size in (shape, (filters, shape[1] // groups, *kernel), out, filters)
        )
        y, dx, dw = (empty(a.shape, dtype) for a in (dy, x, w))
        options = (None, False) if groups > 1 else (bias, True)  # with bias and ReLU
        arguments = x, w, options[0], y, *rest, groups, options[1]
        yield Example("conv2d", label, arguments, (3,))
        # The checked build takes too long for the others.
        if kernel != (11, 11):
            yield Example("conv2d_input_grad", label, (dy, w, dx, *rest, groups), (2,))
        if label not in LONG:
            yield Example("conv2d_weight_grad", label, (x, dy, dw, *rest, groups), (2,))
