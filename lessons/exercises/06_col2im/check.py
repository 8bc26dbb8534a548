import numpy as np

import tinyalex as ta
from tinyalex import kernels
from tinyalex.course import Mistake

HINTS = [
    "Reverse im2col: loop over the same positions (i, j), and instead of copying a patch from the "
    "image to a column, add the column to that patch of the image.",
    "First reshape the matrix to (c, kernel, kernel, n, oh, ow). Sum into an array of zeros of "
    "the size of the padded images, and remove the border at the end.",
    "With `six` for the reshaped matrix, at each (i, j):\n\n"
    "    top, left = i * stride, j * stride\n"
    "    patch = six[..., i, j].transpose(3, 0, 1, 2)\n"
    "    padded[:, :, top : top + kernel, left : left + kernel] += patch\n\n"
    "After the loops:\n\n"
    "    return padded[:, :, padding : padding + h, padding : padding + w]",
]

RANDOM = np.random.default_rng(0)


def count(*shape):
    return np.arange(1.0, np.prod(shape) + 1).reshape(shape)


# The first images and matrices are not square, so that exchanged axes change the
# result.
CASES = [
    (
        "windows without overlap",
        {"col": count(4, 6), "shape": (1, 1, 4, 6), "kernel": 2, "stride": 2, "padding": 0},
    ),
    (
        "windows with overlap",
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
        "padding, which is not part of the image",
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
        "3 x 3 windows with stride 2, as in the paper's pooling",
        {
            "col": RANDOM.standard_normal((9, 6)),
            "shape": (1, 1, 5, 7),
            "kernel": 3,
            "stride": 2,
            "padding": 0,
        },
    ),
    (
        "all of these",
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


OH = "(h + 2 * padding - kernel) // stride + 1"
OW = "(w + 2 * padding - kernel) // stride + 1"
RESHAPE = "col.reshape(c, kernel, kernel, n, oh, ow)"
CORNER = "top, left = i * stride, j * stride"
CROP = "[:, :, padding : padding + h, padding : padding + w]"
RETURN = "    return padded[:"

MISTAKES = [
    Mistake(
        "= for +=",
        {"+= patch": "= patch"},
        "Where patches overlap, only the last one counts. A pixel is the sum over all patches "
        "that it was copied to: += instead of =.",
    ),
    Mistake(
        "= for +=, element by element",
        {
            "range(oh)": "reversed(range(oh))",
            "range(ow)": "reversed(range(ow))",
            "+= patch": "= patch",
        },
        "Where patches overlap, only the last assignment counts. A pixel is the sum over all its "
        "copies: += instead of = (and np.add.at for an array of indices, since += adds only once "
        "if an index occurs twice).",
    ),
    Mistake(
        "mean over the overlap",
        {
            "    for i in range(oh):": "    count = np.zeros_like(padded)\n    for i in range(oh):",
            "+= patch": "+= patch\n"
            "            count[:, :, top : top + kernel, left : left + kernel] += 1",
            "return padded": "return (padded / np.maximum(count, 1))",
        },
        "A pixel in several patches is the mean of its copies. The gradients of all copies are "
        "summed: do not divide.",
    ),
    Mistake(
        "images before channels in the reshape",
        {
            RESHAPE: "col.reshape(n, c, kernel, kernel, oh, ow).transpose(1, 2, 3, 0, 4, 5)",
        },
        "The axes of the matrix are in another order than im2col's: its rows are (c, u, v) and "
        "its columns (n, i, j). Reshape to (C, kernel, kernel, N, OH, OW), then move axes.",
    ),
    Mistake(
        "rows and columns of the matrix exchanged in the reshape",
        {RESHAPE: "col.reshape(n, oh, ow, c, kernel, kernel).transpose(3, 4, 5, 0, 1, 2)"},
        "The matrix is read as if its rows were positions and its columns elements of a patch. "
        "Its rows are (c, u, v) and its columns (n, i, j): reshape to (C, kernel, kernel, N, OH, "
        "OW).",
    ),
    Mistake(
        "stride ignored",
        {CORNER: "top, left = i, j"},
        "The patches are one pixel apart. The one at (i, j) was copied from row i*stride, column "
        "j*stride.",
    ),
    Mistake(
        "border kept",
        {f"return padded{CROP}": "return padded"},
        "The border is still there. im2col added it around the image, and it has no gradient: "
        "remove `padding` pixels on all four sides.",
    ),
    Mistake(
        "border removed on two sides",
        {CROP: "[:, :, :h, :w]"},
        "The border is removed at the bottom and at the right only. The image starts at row "
        "`padding`, column `padding`.",
    ),
    Mistake(
        "empty slice",
        {CROP: "[:, :, padding:-padding, padding:-padding]"},
        "With padding = 0 the slice [padding:-padding] is [0:0], which is empty. Write its end as "
        "padding + h: [padding : padding + h].",
    ),
    Mistake(
        "window transposed",
        {"transpose(3, 0, 1, 2)": "transpose(3, 0, 2, 1)"},
        "Within a patch, rows and columns are exchanged. A row of `col` belongs to (c, u, v): u "
        "is the row in the window, v the column.",
    ),
    Mistake(
        "positions column by column",
        {RESHAPE: "col.reshape(c, kernel, kernel, n, ow, oh).swapaxes(4, 5)"},
        "The positions are read in column order; in `col` they are in row order. The loop over i "
        "is the outer one, and the loop over j the inner one.",
    ),
    Mistake(
        "one position too few",
        {
            OH: OH.removesuffix(" + 1"),
            OW: OW.removesuffix(" + 1"),
            RESHAPE: RESHAPE.replace("col", "col[:, : n * oh * ow]"),
        },
        "One position is missing in each direction. (H + 2*padding - kernel) / stride is the "
        "number of steps; there is one position more: + 1.",
    ),
    Mistake(
        "one position too few for the reshape",
        {OH: OH.removesuffix(" + 1"), OW: OW.removesuffix(" + 1")},
        "`col` has more columns than N*OH*OW. There is one position more than there are steps: (H "
        "+ 2*padding - kernel) // stride + 1.",
        needs=r"// *stride *\n",
    ),
    Mistake(
        "last row and column of positions left out",
        {"range(oh)": "range(oh - 1)", "range(ow)": "range(ow - 1)"},
        "The last row and the last column of positions are left out. range(OH) ends at OH - 1: do "
        "not subtract 1.",
    ),
    Mistake(
        "first image's columns for all images",
        {"patches[..., i, j]": "patches[:, :, :, :1, i, j]"},
        "All images are computed from the first image's columns. Image n starts at column n*OH*OW: "
        "its position (i, j) is column (n*OH + i)*OW + j.",
    ),
    Mistake(
        "first image only",
        {"padded[:, :, top": "padded[:1, :, top", "+= patch": "+= patch[:1]"},
        "Only the first image is computed, the others are 0. Loop over the images, and add to "
        "x[n], not to x[0].",
    ),
    Mistake(
        "channels before images",
        {"patches[..., i, j].transpose(3, 0, 1, 2)": "np.rollaxis(patches[..., i, j], 3, 1)"},
        "The channels come first in `col`, the images first in x: a slice of `col` is (C, N, ...) "
        "and does not match (N, C, ...). Exchange the two axes, with transpose or swapaxes(0, 1).",
        needs=r"\A(?!(?s:.*)(transpose|swapaxes|moveaxis|einsum|\.T\b|"
        r"for \w+ in range\((n|N|shape\[0\])\)))",
    ),
    Mistake(
        "rows as patches",
        {"col.reshape(c": "col.T.reshape(c"},
        "The rows of `col` are used as patches. A patch is a column, col[:, k]; reshape keeps the "
        "order of the elements unless axes are moved.",
    ),
    Mistake(
        "one row as a patch",
        {RESHAPE: "col[0].reshape(c, kernel, kernel)"},
        "col[k] is a row of the matrix. A patch is a column: col[:, k].",
        needs=r"\bcol\[[^:,\]]+\]",
    ),
    Mistake(
        "OH for OW in the index",
        {CORNER: "top, left = (i * ow + j) // oh * stride, (i * ow + j) % oh * stride"},
        "The index of a column is divided by OH to get the row of its position. A row has OW "
        "positions: divmod(index, OW).",
        needs=r"divmod\([^\n]*, *oh\)|// *oh\b|% *oh\b",
    ),
    Mistake(
        "only reshaped",
        {f"return padded{CROP}": "return col.reshape(shape)"},
        "reshape keeps the order of the elements. In `col` they are ordered by patch, and each "
        "must be added to its pixel: loop over the positions.",
        needs=r"col\.reshape\(",
    ),
    Mistake(
        "sum not started at 0",
        {"np.zeros((n": "np.ones((n"},
        "All elements are 1 too large: the sums start at 1. Start with np.zeros (np.empty is not "
        "initialized).",
    ),
    Mistake(
        "height and width exchanged",
        {"n, c, h, w = shape": "n, c, w, h = shape"},
        "Height and width are exchanged. shape is (N, C, H, W), rows first.",
    ),
    Mistake(
        "negative indices",
        {
            RETURN: "    padded[:, :, h : h + padding] += padded[:, :, :padding]\n"
            f"    padded[..., w : w + padding] += padded[..., :padding]\n{RETURN}"
        },
        "Elements of the top and left border are added at the opposite edge: in Python a negative "
        "index counts from the end. Test 0 <= row and 0 <= column too, or remove the border at "
        "the end.",
    ),
    Mistake(
        "index outside of the image",
        {
            "np.zeros((n, c, h + 2 * padding, w + 2 * padding), col.dtype)": "np.zeros(shape)",
            "padded[:, :, top : top + kernel, left : left + kernel]": "padded[:, :, "
            "np.arange(top - padding, top + kernel - padding)[:, None], np.arange(left - padding, "
            "left + kernel - padding)]",
            CROP: "",
        },
        "A part of the patch is outside of the image, on the border. Skip it: test 0 <= row < H "
        "and 0 <= column < W, or sum into an array with a border and remove that.",
    ),
    Mistake(
        "first row and column of pixels left out",
        {RETURN: f"    padded[:, :, padding] = padded[..., padding] = 0\n{RETURN}"},
        "Row 0 and column 0 of the images are 0. They are part of the image: 0 <= row, not 0 < "
        "row.",
    ),
    Mistake(
        "size without padding",
        {
            "(h + 2 * padding - kernel)": "(h - kernel)",
            "(w + 2 * padding - kernel)": "(w - kernel)",
        },
        "`col` has more columns than N*OH*OW. The window moved over the padded image, whose "
        "height is H + 2*padding.",
        needs=r"\b(?i:h|w) *- *kernel",
    ),
]

WRITES_BACKWARD = True


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
