import numpy as np

import tinyalex as ta
from tinyalex import kernels
from tinyalex.learning import Mistake

HINTS = [
    "Work out OH and OW first. Put the zeros around the images (np.pad), and no window ever looks outside. Then go through the "
    "window's positions (i, j), and copy the patch at each into its column.",
    "In the padded images the patch at (i, j) begins at row i*stride and column j*stride. An array of six axes, (C, kernel, "
    "kernel, N, OH, OW), is easy to fill; one reshape at the end makes a matrix of it.",
    "For all images at once, patch is (N, C, kernel, kernel):\n\n"
    "    top, left = i * stride, j * stride\n"
    "    patch = padded[:, :, top : top + kernel, left : left + kernel]\n"
    "    col[..., i, j] = patch.transpose(1, 2, 3, 0)\n\n"
    "When all positions are done:\n\n"
    "    return col.reshape(c * kernel * kernel, n * oh * ow)",
]

RANDOM = np.random.default_rng(0)
COUNT = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)

CASES = [
    ("the numbers 1 to 9, 2 x 2 windows", {"x": COUNT, "kernel": 2, "stride": 1, "padding": 0}),
    ("two channels", {"x": np.arange(18.0).reshape(1, 2, 3, 3), "kernel": 2, "stride": 1, "padding": 0}),
    ("two images", {"x": np.arange(24.0).reshape(2, 1, 3, 4), "kernel": 2, "stride": 1, "padding": 0}),
    ("windows two pixels apart", {"x": np.arange(35.0).reshape(1, 1, 5, 7), "kernel": 3, "stride": 2, "padding": 0}),
    ("a border of zeros", {"x": COUNT, "kernel": 2, "stride": 1, "padding": 1}),
    (
        "all of it, where the last pixels are not seen",
        {"x": RANDOM.standard_normal((2, 3, 6, 7)), "kernel": 3, "stride": 2, "padding": 1},
    ),
]

RESULTS = ("col",)


def answer(exercise, x, kernel, stride, padding):
    return exercise.im2col(x, kernel, stride, padding)


MISTAKES = [
    Mistake(
        "one position too few",
        {
            "(h + 2 * padding - kernel) // stride + 1": "(h + 2 * padding - kernel) // stride",
            "(w + 2 * padding - kernel) // stride + 1": "(w + 2 * padding - kernel) // stride",
        },
        "A position is missing in each direction. (H + 2*padding - kernel) / stride counts the steps, and there is one position "
        "more than there are steps: + 1.",
    ),
    Mistake(
        "patches as rows",
        {"return col.reshape(c * kernel * kernel, n * oh * ow)": "return col.reshape(c * kernel * kernel, n * oh * ow).T"},
        "Rows and columns are exchanged: each patch is a column here, so that weights (O, C*kernel*kernel) @ col is the "
        "convolution.",
    ),
    Mistake(
        "columns before rows in the window",
        {"patch.transpose(1, 2, 3, 0)": "patch.transpose(1, 3, 2, 0)"},
        "Within a patch, rows and columns are exchanged: its numbers go down row by row, in each row from the left.",
    ),
    Mistake(
        "channels last in the window",
        {"return col.reshape": "return col.transpose(1, 2, 0, 3, 4, 5).reshape"},
        "Within a column the channels take turns. The whole window of channel 0 comes first, then that of channel 1: order the "
        "axes (C, kernel, kernel) before the reshape.",
    ),
    Mistake(
        "images last in a row",
        {"return col.reshape": "return col.transpose(0, 1, 2, 4, 5, 3).reshape"},
        "Along a row the images take turns. All positions of image 0 come first, then those of image 1: order the axes (N, OH, "
        "OW) before the reshape.",
    ),
    Mistake(
        "a reshape for a transpose",
        {"patch.transpose(1, 2, 3, 0)": "patch.reshape(c, kernel, kernel, n)"},
        "reshape only reads the same numbers off in rows of other lengths; it moves no axis. To bring the images from the first "
        "axis to the last use transpose(1, 2, 3, 0).",
    ),
    Mistake(
        "steps of 1",
        {"top, left = i * stride, j * stride": "top, left = i, j"},
        "The windows are one pixel apart, whatever the stride is: the one at (i, j) begins at row i*stride, column j*stride.",
    ),
    Mistake(
        "steps of 1 downwards",
        {"top, left = i * stride, j * stride": "top, left = i, j * stride"},
        "Downwards the windows are one pixel apart, whatever the stride is: the one at (i, j) begins at row i*stride.",
    ),
    Mistake(
        "steps of 1 to the right",
        {"top, left = i * stride, j * stride": "top, left = i * stride, j"},
        "From left to right the windows are one pixel apart, whatever the stride is: the one at (i, j) begins at column j*stride.",
    ),
    Mistake(
        "as many columns as rows",
        {"ow = (w + 2 * padding - kernel) // stride + 1": "ow = oh"},
        "There are as many positions from left to right as from top to bottom, which is so in square images only. OW comes from the "
        "width, W.",
    ),
    Mistake(
        "as many rows as columns",
        {"oh = (h + 2 * padding - kernel) // stride + 1": "oh = (w + 2 * padding - kernel) // stride + 1"},
        "There are as many positions from top to bottom as from left to right, which is so in square images only. OH comes from the "
        "height, H.",
    ),
    Mistake(
        "no border at all",
        {
            "(h + 2 * padding - kernel)": "(h - kernel)",
            "(w + 2 * padding - kernel)": "(w - kernel)",
            "np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))": "x",
        },
        "`padding` is not used. It is the width of a border of zeros around each image, on which windows may lie: np.pad puts it "
        "there, and both sizes grow by 2*padding.",
    ),
    Mistake(
        "border counted, not made",
        {"np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))": "x"},
        "OH and OW count the positions on the border, but the images have none, and the last windows reach out of them. np.pad puts "
        "zeros around: ((0, 0), (0, 0), (padding, padding), (padding, padding)).",
    ),
    Mistake(
        "pixels outside",
        {
            "padded[:, :, top : top + kernel, left : left + kernel]": "padded[:, :, np.arange(top - padding, top + kernel - padding)]"
            "[..., np.arange(left - padding, left + kernel - padding)]",
            "np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))": "x",
        },
        "A window on the border looks outside of the image, at a pixel that is not there. Outside it must see 0: ask whether "
        "0 <= row < H and 0 <= column < W, or put zeros around the image first, with np.pad.",
    ),
    Mistake(
        "pixels from the other end",
        {
            "np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))": "np.pad(np.pad(x, ((0, 0), (0, 0), (padding, 0), "
            "(padding, 0)), mode='wrap'), ((0, 0), (0, 0), (0, padding), (0, padding)))"
        },
        "Above the first row and left of the first column stand pixels from the other end: Python counts negative indices from the "
        "end. Outside it must be 0: ask for 0 <= row and 0 <= column, too.",
    ),
    Mistake(
        "size without padding",
        {"(h + 2 * padding - kernel)": "(h - kernel)", "(w + 2 * padding - kernel)": "(w - kernel)"},
        "There are too few positions: with the border the image is H + 2*padding pixels high, and that is where the window moves.",
    ),
    Mistake(
        "padding on one side",
        {"(h + 2 * padding - kernel)": "(h + padding - kernel)", "(w + 2 * padding - kernel)": "(w + padding - kernel)"},
        "There are too few positions: the border is on both sides, which makes H + 2*padding.",
    ),
    Mistake(
        "stride forgotten in the size",
        {
            "- kernel) // stride + 1\n    ow": "- kernel) + 1\n    ow",
            "(w + 2 * padding - kernel) // stride": "(w + 2 * padding - kernel)",
        },
        "There are too many positions: with steps of `stride` pixels it is floor((H + 2*padding - kernel) / stride) + 1.",
    ),
]

WRITES_BACKWARD = False


def gradient(exercise):
    """The learner's im2col with tinyalex's col2im as its backward: they must belong together."""
    shape, kernel, stride, padding = (2, 2, 5, 4), 3, 2, 1
    out = (3, 2)

    class Im2col(ta.Function):
        def forward(self, x):
            return exercise.im2col(x, kernel, stride, padding)

        def backward(self, dcol):
            dx = np.empty(shape, dcol.dtype)
            six = dcol.reshape(shape[1], kernel, kernel, shape[0], *out)
            kernels.of(dx).col2im(six, dx, (kernel, kernel), (stride, stride), (padding, padding), (1, 1))
            return dx

    return Im2col.apply, [np.random.default_rng(1).standard_normal(shape)]
