import numpy as np

import tinyalex as ta
from tinyalex import kernels
from tinyalex.learning import Mistake

HINTS = [
    "Run im2col backwards: go through the same positions (i, j), and instead of copying a patch out of the image, add the column "
    "to the image, at the place that it was copied from.",
    "Take the matrix apart first: col.reshape(c, kernel, kernel, n, oh, ow). Collect in an array of zeros that is as large as the "
    "padded images, and cut the border off at the end.",
    "With `six` for the matrix taken apart, at each (i, j):\n\n"
    "    top, left = i * stride, j * stride\n"
    "    patch = six[..., i, j].transpose(3, 0, 1, 2)\n"
    "    padded[:, :, top : top + kernel, left : left + kernel] += patch\n\n"
    "When all positions are done:\n\n"
    "    return padded[:, :, padding : padding + h, padding : padding + w]",
]

RANDOM = np.random.default_rng(0)

CASES = [
    (
        "windows side by side",
        {"col": np.arange(16.0).reshape(4, 4), "shape": (1, 1, 4, 4), "kernel": 2, "stride": 2, "padding": 0},
    ),
    (
        "windows that overlap",
        {"col": np.arange(1.0, 17.0).reshape(4, 4), "shape": (1, 1, 3, 3), "kernel": 2, "stride": 1, "padding": 0},
    ),
    (
        "two images, three channels",
        {"col": RANDOM.standard_normal((12, 12)), "shape": (2, 3, 3, 4), "kernel": 2, "stride": 1, "padding": 0},
    ),
    (
        "3 x 3 windows two pixels apart, as the paper's pooling",
        {"col": RANDOM.standard_normal((9, 6)), "shape": (1, 1, 5, 7), "kernel": 3, "stride": 2, "padding": 0},
    ),
    (
        "a border of zeros, which is not part of the image",
        {"col": RANDOM.standard_normal((27, 12)), "shape": (1, 3, 5, 7), "kernel": 3, "stride": 2, "padding": 1},
    ),
]

RESULTS = ("x",)


def answer(exercise, col, shape, kernel, stride, padding):
    return exercise.col2im(col, shape, kernel, stride, padding)


MISTAKES = [
    Mistake(
        "= for +=",
        {"+= patch": "= patch"},
        "Where patches overlap, the last one wins. A pixel gets the share of each patch that it was copied into: add them, += "
        "instead of =.",
    ),
    Mistake(
        "divided by the overlap",
        {
            "    for i in range(oh):": "    count = np.zeros_like(padded)\n    for i in range(oh):",
            "+= patch": "+= patch\n            count[:, :, top : top + kernel, left : left + kernel] += 1",
            "return padded": "return (padded / np.maximum(count, 1))",
        },
        "Pixels that lie in several patches have the mean of their shares. Each copy took part in the result by itself: shares "
        "add up, and nothing is divided.",
    ),
    Mistake(
        "images and channels read in another order",
        {"col.reshape(c, kernel, kernel, n, oh, ow)": "col.reshape(n, c, kernel, kernel, oh, ow).transpose(1, 2, 3, 0, 4, 5)"},
        "The matrix is taken apart in another order than im2col put it together: its rows are (c, u, v) and its columns (n, i, "
        "j), so reshape to (C, kernel, kernel, N, OH, OW), and only then move axes.",
    ),
    Mistake(
        "steps of 1",
        {"top, left = i * stride, j * stride": "top, left = i, j"},
        "The patches are put down one pixel apart. The one at (i, j) came from row i*stride, column j*stride.",
    ),
    Mistake(
        "border kept",
        {"return padded[:, :, padding : padding + h, padding : padding + w]": "return padded"},
        "The border is still there. im2col put those zeros around the image, and their gradient is nobody's: cut `padding` pixels "
        "off on all four sides.",
    ),
    Mistake(
        "border cut off at one end",
        {"[:, :, padding : padding + h, padding : padding + w]": "[:, :, :h, :w]"},
        "The border is cut off below and to the right only. It lies on all four sides: the image begins at row `padding`, column "
        "`padding`.",
    ),
    Mistake(
        "an empty cut",
        {"[:, :, padding : padding + h, padding : padding + w]": "[:, :, padding:-padding, padding:-padding]"},
        "With padding = 0 the cut [padding:-padding] is [0:0], which is empty. Say where it ends: [padding : padding + h].",
    ),
]


def gradient(exercise):
    """tinyalex's im2col with the learner's col2im as its backward."""
    kernel, stride, padding = 3, 2, 1

    class Im2col(ta.Function):
        def forward(self, x):
            self.shape = x.shape
            col = np.empty((x.shape[1], kernel, kernel, x.shape[0], 3, 2), x.dtype)
            kernels.of(x).im2col(x, col, (kernel, kernel), (stride, stride), (padding, padding), (1, 1))
            return col.reshape(x.shape[1] * kernel * kernel, -1)

        def backward(self, dcol):
            return exercise.col2im(dcol, self.shape, kernel, stride, padding)

    return Im2col.apply, [np.random.default_rng(1).standard_normal((2, 2, 5, 4))]
