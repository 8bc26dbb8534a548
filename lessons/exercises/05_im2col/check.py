import numpy as np

import tinyalex as ta
from tinyalex import kernels
from tinyalex.course import Mistake

HINTS = [
    "Compute OH and OW first. Add the zeros around the images with np.pad, so that no window "
    "reaches outside. Then loop over the window's positions (i, j), and copy the patch at each to "
    "its column.",
    "In the padded images the patch at (i, j) starts at row i*stride and column j*stride. An "
    "array of six axes, (C, kernel, kernel, N, OH, OW), is easy to fill; one reshape at the end "
    "makes it a matrix.",
    "For all images at once, patch is (N, C, kernel, kernel):\n\n"
    "    top, left = i * stride, j * stride\n"
    "    patch = padded[:, :, top : top + kernel, left : left + kernel]\n"
    "    col[..., i, j] = patch.transpose(1, 2, 3, 0)\n\n"
    "After the loops:\n\n"
    "    return col.reshape(c * kernel * kernel, n * oh * ow)",
]

RANDOM = np.random.default_rng(0)


def count(*shape):
    return np.arange(1.0, np.prod(shape) + 1).reshape(shape)


# No image and no matrix is square, so that exchanged axes change the result.
CASES = [
    (
        "elements 1 to 12, 2 x 2 windows",
        {"x": count(1, 1, 3, 4), "kernel": 2, "stride": 1, "padding": 0},
    ),
    ("two channels", {"x": count(1, 2, 3, 4), "kernel": 2, "stride": 1, "padding": 0}),
    ("two images", {"x": count(2, 1, 3, 4), "kernel": 2, "stride": 1, "padding": 0}),
    (
        "two images, three channels",
        {"x": count(2, 3, 2, 3), "kernel": 2, "stride": 1, "padding": 0},
    ),
    ("stride 2", {"x": count(1, 1, 5, 7), "kernel": 3, "stride": 2, "padding": 0}),
    ("padding", {"x": count(1, 1, 3, 4), "kernel": 2, "stride": 1, "padding": 1}),
    (
        "all of these, with pixels that no window covers",
        {"x": RANDOM.standard_normal((2, 3, 6, 7)), "kernel": 3, "stride": 2, "padding": 1},
    ),
]

RESULTS = ("col",)


def answer(exercise, x, kernel, stride, padding):
    return exercise.im2col(x, kernel, stride, padding)


MATRIX = "col.reshape(c * kernel * kernel, n * oh * ow)"
OH = "(h + 2 * padding - kernel) // stride + 1"
OW = "(w + 2 * padding - kernel) // stride + 1"
BORDERS = "(padding, padding), (padding, padding)"
PAD = f"np.pad(x, ((0, 0), (0, 0), {BORDERS}))"
CORNER = "top, left = i * stride, j * stride"
START = "    col = np.zeros("

MISTAKES = [
    Mistake(
        "one position too few",
        {OH: OH.removesuffix(" + 1"), OW: OW.removesuffix(" + 1")},
        "One position is missing in each direction. (H + 2*padding - kernel) / stride is the "
        "number of steps; there is one position more: + 1.",
    ),
    Mistake(
        "patches as rows",
        {MATRIX: f"{MATRIX}.T"},
        "Rows and columns are exchanged. A patch is a column, so that weights (O, "
        "C*kernel*kernel) @ col is the convolution.",
    ),
    Mistake(
        "patches as rows, reshaped",
        {f"return {MATRIX}": f"col = {MATRIX}\n    return col.T.reshape(col.shape)"},
        "The patches are rows of a matrix that was then reshaped. reshape keeps the order of the "
        "elements, so a patch does not become a column. Stack them as columns, np.stack(patches, "
        "axis=1), or transpose with .T.",
    ),
    Mistake(
        "window transposed",
        {"patch.transpose(1, 2, 3, 0)": "patch.transpose(1, 3, 2, 0)"},
        "Within a patch, rows and columns are exchanged. A column of col has the window's "
        "elements row by row, from left to right in each.",
    ),
    Mistake(
        "channels last in the window",
        {"return col.reshape": "return col.transpose(1, 2, 0, 3, 4, 5).reshape"},
        "Within a column the channels alternate. The whole window of channel 0 comes first, then "
        "that of channel 1: order the axes (C, kernel, kernel) before the reshape.",
    ),
    Mistake(
        "images last in a row",
        {"return col.reshape": "return col.transpose(0, 1, 2, 4, 5, 3).reshape"},
        "Within a row the images alternate. All positions of image 0 come first, then those of "
        "image 1: order the axes (N, OH, OW) before the reshape.",
    ),
    Mistake(
        "reshape for transpose",
        {"patch.transpose(1, 2, 3, 0)": "patch.reshape(c, kernel, kernel, n)"},
        "reshape keeps the order of the elements; it does not move axes. To make the first axis, "
        "the images, the last one use transpose(1, 2, 3, 0).",
    ),
    Mistake(
        "stride ignored",
        {CORNER: "top, left = i, j"},
        "The windows are one pixel apart for any stride. The one at (i, j) starts at row "
        "i*stride, column j*stride.",
    ),
    Mistake(
        "stride ignored downwards",
        {CORNER: "top, left = i, j * stride"},
        "From top to bottom the windows are one pixel apart for any stride. The one at (i, j) "
        "starts at row i*stride.",
    ),
    Mistake(
        "stride ignored to the right",
        {CORNER: "top, left = i * stride, j"},
        "From left to right the windows are one pixel apart for any stride. The one at (i, j) "
        "starts at column j*stride.",
    ),
    Mistake(
        "OH for OW",
        {f"ow = {OW}": "ow = oh"},
        "There are as many positions from left to right as from top to bottom, which is right for "
        "square images only. Compute OW from the width, W.",
    ),
    Mistake(
        "OW for OH",
        {f"oh = {OH}": f"oh = {OW}"},
        "There are as many positions from top to bottom as from left to right, which is right for "
        "square images only. Compute OH from the height, H.",
    ),
    Mistake(
        "padding ignored",
        {
            "(h + 2 * padding - kernel)": "(h - kernel)",
            "(w + 2 * padding - kernel)": "(w - kernel)",
            PAD: "x",
        },
        "`padding` is not used. It is the width of a border of zeros around each image, where "
        "windows can be too: add it with np.pad, and add 2*padding to both sizes.",
    ),
    Mistake(
        "padding in the sizes only",
        {PAD: "x"},
        "OH and OW include positions on the border, but the images have no border, so the last "
        "windows reach outside. Add zeros with np.pad: ((0, 0), (0, 0), (padding, padding), "
        "(padding, padding)).",
    ),
    Mistake(
        "index outside of the image",
        {
            "padded[:, :, top : top + kernel, left : left + kernel]": "padded"
            "[:, :, np.arange(top - padding, top + kernel - padding)][..., np.arange(left - "
            "padding, left + kernel - padding)]",
            PAD: "x",
        },
        "A window on the border reads a pixel outside of the image. Its value must be 0: test 0 "
        "<= row < H and 0 <= column < W, or add zeros around the image first, with np.pad.",
    ),
    Mistake(
        "negative indices",
        {
            PAD: "np.pad(np.pad(x, ((0, 0), (0, 0), (padding, 0), (padding, 0)), mode='wrap'), "
            "((0, 0), (0, 0), (0, padding), (0, padding)))"
        },
        "Above the first row and left of the first column are pixels from the opposite edge: in "
        "Python a negative index counts from the end. Outside of the image the value must be 0: "
        "test 0 <= row and 0 <= column too.",
    ),
    Mistake(
        "size without padding",
        {
            "(h + 2 * padding - kernel)": "(h - kernel)",
            "(w + 2 * padding - kernel)": "(w - kernel)",
        },
        "There are too few positions. The window moves over the padded image, whose height is H + "
        "2*padding.",
    ),
    Mistake(
        "padding on one side",
        {
            "(h + 2 * padding - kernel)": "(h + padding - kernel)",
            "(w + 2 * padding - kernel)": "(w + padding - kernel)",
        },
        "There are too few positions. The border is on both sides, so the height is H + 2*padding.",
    ),
    Mistake(
        "sizes without stride",
        {
            "- kernel) // stride + 1\n    ow": "- kernel) + 1\n    ow",
            "(w + 2 * padding - kernel) // stride": "(w + 2 * padding - kernel)",
        },
        "There are too many positions. Divide by the stride: floor((H + 2*padding - kernel) / "
        "stride) + 1.",
    ),
    Mistake(
        "positions column by column",
        {"return col.reshape": "return col.transpose(0, 1, 2, 3, 5, 4).reshape"},
        "The positions are in column order; expected row order. The loop over i, the rows, is the "
        "outer one, and the loop over j the inner one.",
    ),
    Mistake(
        "height and width exchanged",
        {"n, c, h, w = x.shape": "n, c, w, h = x.shape"},
        "Height and width are exchanged. x is (N, C, H, W), rows first.",
    ),
    Mistake(
        "OW for OH, windows outside",
        {
            f"oh = {OH}": f"oh = {OW}",
            "range(ow)": "range(oh)",
            "left : left + kernel]": "left : left + kernel].reshape(n, c, kernel, kernel)",
        },
        "The last windows reach outside of the image: there are as many positions from top to "
        "bottom as from left to right, which is right for square images only. Compute OH from H "
        "and OW from W.",
        needs=r"range\((\w+)\):\s*for \w+ in range\(\1\)|\b(?i:oh) *= *\((?i:w)",
    ),
    Mistake(
        "height and width exchanged, windows outside",
        {
            "n, c, h, w = x.shape": "n, c, w, h = x.shape",
            "left : left + kernel]": "left : left + kernel].reshape(n, c, kernel, kernel)",
        },
        "The last windows reach outside of the image, since height and width are exchanged: x is "
        "(N, C, H, W), rows first.",
        needs=r"(?i)\bw\w*, *h\w*\)? *= *\w+\.shape",
    ),
    Mistake(
        "OH for OW in the index",
        {"col[..., i, j] = ": "col.reshape(c, kernel, kernel, n, -1)[..., i * oh + j] = "},
        "The index of a position is computed as i*OH + j. A row has OW positions, so it is i*OW + "
        "j.",
        needs=r"\boh *\+",
    ),
    Mistake(
        "first image only",
        {"col[..., i, j] = patch.transpose(1, 2, 3, 0)": "col[..., 0, i, j] = patch[0]"},
        "Only the first image is copied. Its positions are the first OH*OW columns; those of the "
        "other images follow.",
    ),
    Mistake(
        "images stacked vertically",
        {f"return {MATRIX}": "return col.transpose(3, 0, 1, 2, 4, 5).reshape(-1, oh * ow)"},
        "The matrices of the images are stacked vertically. Stack them horizontally, "
        "np.concatenate(..., axis=1): all images share the same rows.",
    ),
    Mistake(
        "rows without their channel",
        {
            "col[..., i, j] = patch.transpose(1, 2, 3, 0)": "col[0, ..., i, j] = "
            "patch[:, -1].transpose(1, 2, 0)"
        },
        "All channels are written to the first kernel*kernel rows, so only the last one remains. "
        "Element (c, u, v) of a patch belongs to row (c*kernel + u)*kernel + v.",
    ),
    Mistake(
        "six axes",
        {f"return {MATRIX}": "return col"},
        "The six axes are right. Reshape them to two: .reshape(C*kernel*kernel, N*OH*OW).",
    ),
    Mistake(
        "window flipped",
        {"patch.transpose(1, 2, 3, 0)": "patch[:, :, ::-1, ::-1].transpose(1, 2, 3, 0)"},
        "Each patch is flipped in both directions, as in the mathematical definition of a "
        "convolution. Here it is not: u counts from the top and v from the left.",
    ),
    Mistake(
        "all axes padded",
        {
            "n, c, h, w = x.shape": "n, c, h, w = x.shape\n"
            "    n, c = n + 2 * padding, c + 2 * padding",
            "((0, 0), (0, 0), (padding, padding), (padding, padding))": "padding",
        },
        "np.pad(x, padding) pads all four axes, so it adds images and channels. Give the padding "
        "of each axis: ((0, 0), (0, 0), (padding, padding), (padding, padding)).",
    ),
    Mistake(
        "edge pixels as border",
        {"(padding, padding)))": "(padding, padding)), mode='edge')"},
        "The border repeats the pixels of the edge. It must be 0, which is np.pad's default.",
    ),
    Mistake(
        "first row and column of pixels left out",
        {START: f"    padded[:, :, padding] = padded[..., padding] = 0\n{START}"},
        "Row 0 and column 0 of the images became 0. They are part of the image: 0 <= row, not 0 < "
        "row.",
    ),
    Mistake(
        "last row and column of pixels left out",
        {START: f"    padded[:, :, padding + h - 1] = padded[..., padding + w - 1] = 0\n{START}"},
        "The last row and the last column of the images became 0. They are part of the image: row "
        "< H, column < W.",
    ),
    Mistake(
        "bounds exchanged",
        {START: f"    padded[..., padding + h :] = 0\n{START}"},
        "Columns from index H on became 0. Compare rows with H and columns with W: 0 <= row < H "
        "and 0 <= column < W.",
    ),
    Mistake(
        "plus padding for minus",
        {
            CORNER: "top, left = i * stride + 2 * padding, j * stride + 2 * padding",
            BORDERS: "(padding, 3 * padding), (padding, 3 * padding)",
        },
        "The windows are too far to the lower right. The first one starts on the border, at row "
        "-padding and column -padding of the image: i*stride + u - padding, with a minus.",
    ),
    Mistake(
        "rounded up",
        {
            "(h + 2 * padding - kernel) // stride": "-(-(h + 2 * padding - kernel) // stride)",
            "(w + 2 * padding - kernel) // stride": "-(-(w + 2 * padding - kernel) // stride)",
            BORDERS: "(padding, padding + stride), (padding, padding + stride)",
        },
        "The number of steps is rounded up, so the last windows reach outside. Only complete "
        "windows count: round down, //.",
    ),
]

# Here the learner writes the forward pass.
WRITES_BACKWARD = False


def gradient(exercise):
    """The learner's im2col with tinyalex's col2im, its adjoint, as its backward."""
    shape, kernel, stride, padding = (2, 2, 5, 4), 3, 2, 1
    out = (3, 2)

    class Im2col(ta.Function):
        def forward(self, x):
            return exercise.im2col(x, kernel, stride, padding)

        def backward(self, dcol):
            dx = np.empty(shape, dcol.dtype)
            six = dcol.reshape(shape[1], kernel, kernel, shape[0], *out)
            kernels.of(dx).col2im(
                six, dx, (kernel, kernel), (stride, stride), (padding, padding), (1, 1)
            )
            return dx

    return Im2col.apply, [np.random.default_rng(1).standard_normal(shape)]
