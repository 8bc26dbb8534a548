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


def count(*shape):
    return np.arange(1.0, np.prod(shape) + 1).reshape(shape)


# No image and no matrix is square: a transposed answer must not look like a right one, nor like another mistake.
CASES = [
    (
        "the numbers 1 to 12, 2 x 2 windows",
        {"x": count(1, 1, 3, 4), "kernel": 2, "stride": 1, "padding": 0},
    ),
    ("two channels", {"x": count(1, 2, 3, 4), "kernel": 2, "stride": 1, "padding": 0}),
    ("two images", {"x": count(2, 1, 3, 4), "kernel": 2, "stride": 1, "padding": 0}),
    (
        "two images, three channels",
        {"x": count(2, 3, 2, 3), "kernel": 2, "stride": 1, "padding": 0},
    ),
    ("windows two pixels apart", {"x": count(1, 1, 5, 7), "kernel": 3, "stride": 2, "padding": 0}),
    ("a border of zeros", {"x": count(1, 1, 3, 4), "kernel": 2, "stride": 1, "padding": 1}),
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
        {
            "return col.reshape(c * kernel * kernel, n * oh * ow)": "return col.reshape(c * kernel * kernel, n * oh * ow).T"
        },
        "Rows and columns are exchanged: each patch is a column here, so that weights (O, C*kernel*kernel) @ col is the "
        "convolution.",
    ),
    Mistake(
        "rows read off again",
        {
            "return col.reshape(c * kernel * kernel, n * oh * ow)": "col = col.reshape(c * kernel * kernel, n * oh * ow)\n"
            "    return col.T.reshape(col.shape)"
        },
        "The patches are the rows of a matrix that was then reshaped. reshape only reads the same numbers off in rows of "
        "another length: a patch does not become a column. Stack them as columns, np.stack(patches, axis=1), or transpose with "
        ".T.",
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
        "There are as many positions from left to right as from top to bottom, which is so in square images only. OW comes from "
        "the width, W.",
    ),
    Mistake(
        "as many rows as columns",
        {
            "oh = (h + 2 * padding - kernel) // stride + 1": "oh = (w + 2 * padding - kernel) // stride + 1"
        },
        "There are as many positions from top to bottom as from left to right, which is so in square images only. OH comes from "
        "the height, H.",
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
        "OH and OW count the positions on the border, but the images have none, and the last windows reach out of them. np.pad "
        "puts zeros around: ((0, 0), (0, 0), (padding, padding), (padding, padding)).",
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
        "Above the first row and left of the first column stand pixels from the other end: Python counts negative indices from "
        "the end. Outside it must be 0: ask for 0 <= row and 0 <= column, too.",
    ),
    Mistake(
        "size without padding",
        {
            "(h + 2 * padding - kernel)": "(h - kernel)",
            "(w + 2 * padding - kernel)": "(w - kernel)",
        },
        "There are too few positions: with the border the image is H + 2*padding pixels high, and that is where the window moves.",
    ),
    Mistake(
        "padding on one side",
        {
            "(h + 2 * padding - kernel)": "(h + padding - kernel)",
            "(w + 2 * padding - kernel)": "(w + padding - kernel)",
        },
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
    Mistake(
        "positions column by column",
        {"return col.reshape": "return col.transpose(0, 1, 2, 3, 5, 4).reshape"},
        "The positions are gone through column by column. Row by row it is: the loop over i, the rows, is the outer one, and "
        "the one over j runs inside.",
    ),
    Mistake(
        "height and width exchanged",
        {"n, c, h, w = x.shape": "n, c, w, h = x.shape"},
        "Height and width are exchanged: x is (N, C, H, W), rows first.",
    ),
    Mistake(
        "windows that reach out, as many down as to the right",
        {
            "oh = (h + 2 * padding - kernel) // stride + 1": "oh = (w + 2 * padding - kernel) // stride + 1",
            "range(ow)": "range(oh)",
            "left : left + kernel]": "left : left + kernel].reshape(n, c, kernel, kernel)",
        },
        "The last windows reach out of the image: there are as many positions from top to bottom as from left to right, which "
        "is so in square images only. OH comes from H, OW from W.",
        needs=r"range\((\w+)\):\s*for \w+ in range\(\1\)|\b(?i:oh) *= *\((?i:w)",
    ),
    Mistake(
        "windows that reach out, height and width exchanged",
        {
            "n, c, h, w = x.shape": "n, c, w, h = x.shape",
            "left : left + kernel]": "left : left + kernel].reshape(n, c, kernel, kernel)",
        },
        "The last windows reach out of the image, since height and width are exchanged: x is (N, C, H, W), rows first.",
        needs=r"(?i)\bw\w*, *h\w*\)? *= *\w+\.shape",
    ),
    Mistake(
        "counted in steps of OH",
        {"col[..., i, j] = ": "col.reshape(c, kernel, kernel, n, -1)[..., i * oh + j] = "},
        "The positions are counted as i*OH + j. Each row of them has OW, so position (i, j) is number i*OW + j.",
        needs=r"\boh *\+",
    ),
    Mistake(
        "the first image only",
        {"col[..., i, j] = patch.transpose(1, 2, 3, 0)": "col[..., 0, i, j] = patch[0]"},
        "Only the first image is looked at. Its positions fill the first OH*OW columns; then come those of the next image, up "
        "to N.",
    ),
    Mistake(
        "images one below the other",
        {
            "return col.reshape(c * kernel * kernel, n * oh * ow)": "return col.transpose(3, 0, 1, 2, 4, 5).reshape(-1, oh * ow)"
        },
        "The matrices of the images stand one below the other. They belong side by side, as np.concatenate(..., axis=1) puts "
        "them: all images have the same rows.",
    ),
    Mistake(
        "a row without its channel",
        {
            "col[..., i, j] = patch.transpose(1, 2, 3, 0)": "col[0, ..., i, j] = patch[:, -1].transpose(1, 2, 0)"
        },
        "All channels are written into the first kernel*kernel rows, and the last one stays. Number (c, u, v) of a patch has "
        "its own row, (c*kernel + u)*kernel + v.",
    ),
    Mistake(
        "six axes",
        {"return col.reshape(c * kernel * kernel, n * oh * ow)": "return col"},
        "The six axes are right, and now they become two: .reshape(C*kernel*kernel, N*OH*OW).",
    ),
    Mistake(
        "window turned around",
        {"patch.transpose(1, 2, 3, 0)": "patch[:, :, ::-1, ::-1].transpose(1, 2, 3, 0)"},
        "Each patch is turned by half a circle, as in the convolution of the textbooks. Here the window is laid on as it is: u "
        "and v count from the top and from the left.",
    ),
    Mistake(
        "border on all axes",
        {
            "n, c, h, w = x.shape": "n, c, h, w = x.shape[0] + 2 * padding, x.shape[1] + 2 * padding, *x.shape[2:]",
            "((0, 0), (0, 0), (padding, padding), (padding, padding))": "padding",
        },
        "np.pad(x, padding) puts zeros around on all four axes, which makes more images and channels. Say what each axis gets: "
        "((0, 0), (0, 0), (padding, padding), (padding, padding)).",
    ),
    Mistake(
        "border of pixels",
        {"(padding, padding)))": "(padding, padding)), mode='edge')"},
        "The border repeats the pixels at the edge. Outside of the image it is 0, which np.pad does without a mode.",
    ),
    Mistake(
        "the first row and column of pixels left out",
        {
            "    col = np.zeros(": "    padded[:, :, padding] = padded[..., padding] = 0\n    col = np.zeros("
        },
        "Row 0 and column 0 of the images became 0. They are part of the image: 0 <= row, not 0 < row.",
    ),
    Mistake(
        "the last row and column of pixels left out",
        {
            "    col = np.zeros(": "    padded[:, :, padding + h - 1] = padded[..., padding + w - 1] = 0\n    col = np.zeros("
        },
        "The last row and the last column of the images became 0. They are part of the image: row < H, column < W.",
    ),
    Mistake(
        "bounds exchanged",
        {"    col = np.zeros(": "    padded[..., padding + h :] = 0\n    col = np.zeros("},
        "Columns from number H on became 0. Rows are compared with H and columns with W: 0 <= row < H and 0 <= column < W.",
    ),
    Mistake(
        "plus padding for minus",
        {
            "top, left = i * stride, j * stride": "top, left = i * stride + 2 * padding, j * stride + 2 * padding",
            "(padding, padding), (padding, padding)": "(padding, 3 * padding), (padding, 3 * padding)",
        },
        "The windows lie too far to the lower right: the first one begins on the border, at row -padding and column -padding of "
        "the image. i*stride + u - padding, with a minus.",
    ),
    Mistake(
        "rounded up",
        {
            "(h + 2 * padding - kernel) // stride": "-(-(h + 2 * padding - kernel) // stride)",
            "(w + 2 * padding - kernel) // stride": "-(-(w + 2 * padding - kernel) // stride)",
            "(padding, padding), (padding, padding)": "(padding, padding + stride), (padding, padding + stride)",
        },
        "The number of steps is rounded up, so that the last windows hang over. Only whole windows count: round down, //.",
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
            kernels.of(dx).col2im(
                six, dx, (kernel, kernel), (stride, stride), (padding, padding), (1, 1)
            )
            return dx

    return Im2col.apply, [np.random.default_rng(1).standard_normal(shape)]
