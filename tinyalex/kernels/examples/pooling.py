"""Max and average pooling."""

from collections.abc import Iterator

import numpy as np

from tinyalex.kernels import cpu
from tinyalex.kernels.examples.example import Example, Random, empty, out_size, with_long

POOLS = {
    "3x3 stride 2": ((2, 3, 13, 11), (3, 3), (2, 2), (0, 0), (1, 1)),
    "3x2 padded": ((1, 2, 7, 9), (3, 2), (2, 1), (1, 0), (1, 1)),
    "2x3 padded": ((2, 1, 6, 8), (2, 3), (1, 2), (0, 1), (1, 1)),
    "2x2 dilated": ((2, 2, 8, 9), (2, 2), (2, 2), (0, 0), (3, 2)),
    "16x16": ((1, 1, 17, 18), (16, 16), (1, 1), (0, 0), (1, 1)),
    "17x16": ((1, 1, 19, 18), (17, 16), (1, 1), (0, 0), (1, 1)),
}


def max_pooling(random: Random, dtype: np.dtype) -> Iterator[Example]:
    for label, (shape, *window) in with_long(POOLS, dtype).items():
        x = random.integers(-9, 9, shape).astype(dtype)  # with many ties
        # The last element of each window is the maximum, and is not exact in float.
        rising = (np.arange(x.size).reshape(shape) / 3).astype(dtype)
        special = x.copy()
        special[random.random(shape) < 0.1] = np.nan
        special[0, 0] = -np.inf
        index = np.dtype(np.uint8 if window[0][0] * window[0][1] <= 255 else np.int32)
        out = (*shape[:2], *out_size(shape[2:], *window))
        for kind, image in (("", x), (", with NaN and -inf", special), (", rising", rising)):
            arguments = image, empty(out, dtype), empty(out, index), *window
            yield Example("max_pool", label + kind, arguments, (1, 2))
        # With a border of negative numbers, which has windows whose ReLU is 0.
        special[..., -4:] = -3
        arguments = special, empty(out, dtype), empty(out, index), *window, True
        yield Example("max_pool", label + ", with ReLU", arguments, (1, 2))
        dy = random.standard_normal(out).astype(dtype)
        for kind, image in (("", x), (", rising", rising)):
            y, argmax = np.empty(out, dtype), np.empty(out, index)
            cpu.max_pool(image, y, argmax, *window)
            arguments = dy, argmax, empty(shape, dtype), *window
            yield Example("max_pool_backward", label + kind, arguments, (2,))


def average_pooling(random: Random, dtype: np.dtype) -> Iterator[Example]:
    for label, (shape, *window, dilation) in with_long(POOLS, dtype).items():
        out = (*shape[:2], *out_size(shape[2:], *window, (1, 1)))
        divisor = random.uniform(1, 9, out[2:]).astype(dtype)
        x = random.standard_normal(shape).astype(dtype)
        dy = random.standard_normal(out).astype(dtype)
        if dilation == (1, 1):
            yield Example("avg_pool", label, (x, empty(out, dtype), divisor, *window), (1,))
            arguments = dy, divisor, empty(shape, dtype), *window
            yield Example("avg_pool_backward", label, arguments, (2,))
