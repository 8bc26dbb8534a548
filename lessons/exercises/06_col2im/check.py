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


def count(*shape):
    return np.arange(1.0, np.prod(shape) + 1).reshape(shape)


# The first images and matrices are not square: what is transposed must not look like something else.
CASES = [
    (
        "windows side by side",
        {"col": count(4, 6), "shape": (1, 1, 4, 6), "kernel": 2, "stride": 2, "padding": 0},
    ),
    (
        "windows that overlap",
        {"col": count(4, 6), "shape": (1, 1, 3, 4), "kernel": 2, "stride": 1, "padding": 0},
    ),
    (
        "two images",
        {"col": count(4, 6), "shape": (2, 1, 2, 4), "kernel": 2, "stride": 1, "padding": 0},
    ),
    (
        "three images, two channels",
        {"col": count(8, 3), "shape": (3, 2, 2, 2), "kernel": 2, "stride": 1, "padding": 0},
    ),
    (
        "a border of zeros, which is not part of the image",
        {"col": count(9, 4), "shape": (1, 1, 3, 4), "kernel": 3, "stride": 2, "padding": 1},
    ),
    (
        "two images, three channels",
        {
            "col": RANDOM.standard_normal((12, 12)),
            "shape": (2, 3, 3, 4),
            "kernel": 2,
            "stride": 1,
            "padding": 0,
        },
    ),
    (
        "3 x 3 windows two pixels apart, as the paper's pooling",
        {
            "col": RANDOM.standard_normal((9, 6)),
            "shape": (1, 1, 5, 7),
            "kernel": 3,
            "stride": 2,
            "padding": 0,
        },
    ),
    (
        "all of it",
        {
            "col": RANDOM.standard_normal((27, 24)),
            "shape": (2, 3, 6, 7),
            "kernel": 3,
            "stride": 2,
            "padding": 1,
        },
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
        "= for +=, one number of the window after the other",
        {
            "range(oh)": "reversed(range(oh))",
            "range(ow)": "reversed(range(ow))",
            "+= patch": "= patch",
        },
        "Where patches overlap, what is written last wins. A pixel gets the share of each place that it was copied to: add "
        "them, += instead of = (and with an array of indices np.add.at, since += adds only once to an index that is there "
        "twice).",
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
        {
            "col.reshape(c, kernel, kernel, n, oh, ow)": "col.reshape(n, c, kernel, kernel, oh, ow).transpose(1, 2, 3, 0, 4, 5)"
        },
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
        {
            "[:, :, padding : padding + h, padding : padding + w]": "[:, :, padding:-padding, padding:-padding]"
        },
        "With padding = 0 the cut [padding:-padding] is [0:0], which is empty. Say where it ends: [padding : padding + h].",
    ),
    Mistake(
        "columns before rows in the window",
        {"transpose(3, 0, 1, 2)": "transpose(3, 0, 2, 1)"},
        "Within a patch, rows and columns are exchanged: a row of `col` belongs to (c, u, v), u is the row in the window and v "
        "the column.",
    ),
    Mistake(
        "positions column by column",
        {
            "col.reshape(c, kernel, kernel, n, oh, ow)": "col.reshape(c, kernel, kernel, n, ow, oh).swapaxes(4, 5)"
        },
        "The positions are gone through column by column. In `col` they come row by row: the loop over i is the outer one, and "
        "the one over j runs inside.",
    ),
    Mistake(
        "one position too few",
        {
            "(h + 2 * padding - kernel) // stride + 1": "(h + 2 * padding - kernel) // stride",
            "(w + 2 * padding - kernel) // stride + 1": "(w + 2 * padding - kernel) // stride",
            "col.reshape(c, kernel, kernel, n, oh, ow)": "col[:, : n * oh * ow].reshape(c, kernel, kernel, n, oh, ow)",
        },
        "A position is missing in each direction. (H + 2*padding - kernel) / stride counts the steps, and there is one position "
        "more than there are steps: + 1.",
    ),
    Mistake(
        "one position too few for the reshape",
        {
            "(h + 2 * padding - kernel) // stride + 1": "(h + 2 * padding - kernel) // stride",
            "(w + 2 * padding - kernel) // stride + 1": "(w + 2 * padding - kernel) // stride",
        },
        "`col` has more columns than N*OH*OW. There is one position more than there are steps: (H + 2*padding - kernel) // "
        "stride + 1.",
        needs=r"// *stride *\n",
    ),
    Mistake(
        "the last row and column of positions left out",
        {"range(oh)": "range(oh - 1)", "range(ow)": "range(ow - 1)"},
        "The last positions of each row and column are left out. range(OH) ends at OH - 1 by itself: no - 1.",
    ),
    Mistake(
        "the columns of the first image for all",
        {"patches[..., i, j]": "patches[:, :, :, :1, i, j]"},
        "Every image is made of the first image's columns. Image n begins at column n*OH*OW: its position (i, j) is column "
        "(n*OH + i)*OW + j.",
    ),
    Mistake(
        "the first image only",
        {
            "padded[:, :, top": "padded[:1, :, top",
            "+= patch": "+= patch[:1]",
        },
        "Only the first image gets anything, the others stay 0. A loop over the images is missing, or it always adds to x[0].",
    ),
    Mistake(
        "channels where images belong",
        {"patches[..., i, j].transpose(3, 0, 1, 2)": "np.rollaxis(patches[..., i, j], 3, 1)"},
        "Channels come first in `col`, images first in x: what is taken out of one is (C, N, ...) and does not fit into (N, C, "
        "...). Exchange the two axes, with transpose or swapaxes(0, 1).",
        needs=r"\A(?!(?s:.*)(transpose|swapaxes|moveaxis|einsum|\.T\b|for \w+ in range\((n|N|shape\[0\])\)))",
    ),
    Mistake(
        "rows for columns",
        {"col.reshape(c": "col.T.reshape(c"},
        "`col` is read along its rows, as if each of them were a patch. A patch is a column: col[:, k], which reshape does not "
        "see unless axes are moved.",
    ),
    Mistake(
        "one row for a patch",
        {"col.reshape(c, kernel, kernel, n, oh, ow)": "col[0].reshape(c, kernel, kernel)"},
        "col[k] is a row of the matrix, and a patch is a column of it: col[:, k].",
        needs=r"\bcol\[[^:,\]]+\]",
    ),
    Mistake(
        "counted in steps of OH",
        {
            "top, left = i * stride, j * stride": "top, left = (i * ow + j) // oh * stride, (i * ow + j) % oh * stride"
        },
        "A column's number is divided by OH to get the row of its position. Each row of positions has OW: divmod(number, OW).",
        needs=r"divmod\([^\n]*, *oh\)|// *oh\b|% *oh\b",
    ),
    Mistake(
        "only reshaped",
        {
            "return padded[:, :, padding : padding + h, padding : padding + w]": "return col.reshape(shape)"
        },
        "A reshape leaves the numbers in the order that they have in `col`. There they lie patch by patch, and each must be "
        "brought back to its pixel: a loop over the positions.",
        needs=r"col\.reshape\(",
    ),
    Mistake(
        "not begun with 0",
        {"np.zeros((n": "np.ones((n"},
        "Everything is 1 too large: the sums begin with 1. Begin with np.zeros (np.empty has whatever was in memory before).",
    ),
    Mistake(
        "height and width exchanged",
        {"n, c, h, w = shape": "n, c, w, h = shape"},
        "Height and width are exchanged: shape is (N, C, H, W), rows first.",
    ),
    Mistake(
        "pixels at the other end",
        {
            "    return padded[:": "    padded[:, :, h : h + padding] += padded[:, :, :padding]\n"
            "    padded[..., w : w + padding] += padded[..., :padding]\n    return padded[:"
        },
        "What belongs to the border above and on the left is added at the other end: Python counts negative indices from the "
        "end. Ask for 0 <= row and 0 <= column, too, or cut the border off at the end.",
    ),
    Mistake(
        "pixels outside",
        {
            "np.zeros((n, c, h + 2 * padding, w + 2 * padding), col.dtype)": "np.zeros(shape, col.dtype)",
            "padded[:, :, top : top + kernel, left : left + kernel]": "padded[:, :, np.arange(top - padding, top + kernel - padding)[:, "
            "None], np.arange(left - padding, left + kernel - padding)]",
            "return padded[:, :, padding : padding + h, padding : padding + w]": "return padded",
        },
        "A part of the patch lies outside of the image, on the border, where there is no pixel. Skip it: ask whether 0 <= row < "
        "H and 0 <= column < W, or collect in an array with a border, and cut that off.",
    ),
    Mistake(
        "the first row and column of pixels left out",
        {
            "    return padded[:": "    padded[:, :, padding] = padded[..., padding] = 0\n    return padded[:"
        },
        "Row 0 and column 0 of the images stay 0. They are part of the image: 0 <= row, not 0 < row.",
    ),
    Mistake(
        "size without padding",
        {
            "(h + 2 * padding - kernel)": "(h - kernel)",
            "(w + 2 * padding - kernel)": "(w - kernel)",
        },
        "`col` has more columns than N*OH*OW. With the border the image is H + 2*padding pixels high, and that is where the "
        "window moved.",
        needs=r"\b(?i:h|w) *- *kernel",
    ),
]


def gradient(exercise):
    """tinyalex's im2col with the learner's col2im as its backward."""
    kernel, stride, padding = 3, 2, 1

    class Im2col(ta.Function):
        def forward(self, x):
            self.shape = x.shape
            col = np.empty((x.shape[1], kernel, kernel, x.shape[0], 3, 2), x.dtype)
            kernels.of(x).im2col(
                x, col, (kernel, kernel), (stride, stride), (padding, padding), (1, 1)
            )
            return col.reshape(x.shape[1] * kernel * kernel, -1)

        def backward(self, dcol):
            return exercise.col2im(dcol, self.shape, kernel, stride, padding)

    return Im2col.apply, [np.random.default_rng(1).standard_normal((2, 2, 5, 4))]
