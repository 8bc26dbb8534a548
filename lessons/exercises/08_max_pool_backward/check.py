import numpy as np

import tinyalex as ta
from tinyalex import functional as F
from tinyalex.course import Mistake

HINTS = [
    "Loop over the outputs (n, c, i, j). For each, find the maximum of its window, and add dy[n, "
    "c, i, j] to dx at that pixel.",
    "window.argmax() is the index of the first maximum in the flattened window, row by row. "
    "divmod(index, kernel) is the row and the column within the window.",
    "For each output (n, c, i, j):\n\n"
    "    top, left = i * stride, j * stride\n"
    "    window = x[n, c, top : top + kernel, left : left + kernel]\n"
    "    u, v = divmod(window.argmax(), kernel)\n"
    "    dx[n, c, top + u, left + v] += dy[n, c, i, j]",
]

RANDOM = np.random.default_rng(0)


def shuffled(*shape):
    return RANDOM.permutation(np.prod(shape)).reshape(shape) + 1.0


NINE = np.array([[[[1.0, 2.0, 3.0], [4.0, 9.0, 5.0], [6.0, 7.0, 8.0]]]])
ZEROS = np.array([[[[0.0, 0.0, 3.0, 3.0], [0.0, 0.0, 3.0, 1.0]]]])
NEGATIVE = np.array([[[[-50.0, -20.0, -80.0, -60.0], [-40.0, -70.0, -90.0, -30.0]]]])
OVERLAP = np.array(
    [
        [1.0, 2.0, 3.0, 4.0, 24.0, 6.0],
        [7.0, 8.0, 22.0, 9.0, 5.0, 10.0],
        [11.0, 12.0, 13.0, 14.0, 15.0, 30.0],
    ]
).reshape(1, 1, 3, 6)

# The maxima in OVERLAP are at positions where a stride of 3, or argmax divided by 2,
# results in wrong values but no exception.
CASES = [
    (
        "windows without overlap",
        {"dy": shuffled(1, 1, 2, 3), "x": shuffled(1, 1, 4, 6), "kernel": 2, "stride": 2},
    ),
    (
        "3 x 3 windows, stride 2",
        {"dy": np.array([[[[10.0, 100.0]]]]), "x": OVERLAP, "kernel": 3, "stride": 2},
    ),
    (
        "one pixel is the maximum of four windows",
        {"dy": np.array([[[[1.0, 10.0], [100.0, 1000.0]]]]), "x": NINE, "kernel": 2, "stride": 1},
    ),
    (
        "two images, three channels",
        {"dy": shuffled(2, 3, 1, 1), "x": shuffled(2, 3, 2, 2), "kernel": 2, "stride": 2},
    ),
    (
        "equal pixels, such as zeros after a ReLU",
        {"dy": np.array([[[[5.0, 7.0]]]]), "x": ZEROS, "kernel": 2, "stride": 2},
    ),
    (
        "negative pixels only",
        {"dy": np.array([[[[5.0, 7.0]]]]), "x": NEGATIVE, "kernel": 2, "stride": 2},
    ),
    (
        "all of these, with pixels that no window covers",
        {
            "dy": RANDOM.standard_normal((2, 3, 3, 2)),
            "x": shuffled(2, 3, 8, 6) - 150,
            "kernel": 3,
            "stride": 2,
        },
    ),
]

RESULTS = ("dx",)


def answer(exercise, dy, x, kernel, stride):
    return exercise.max_pool_backward(dy, x, kernel, stride)


CORNER = "top, left = i * stride, j * stride"
OUTPUTS = "np.ndindex(dy.shape)"
MAXIMUM = "u, v = divmod(window.argmax(), kernel)"
ADD = "top + u, left + v] += "
WINDOW = "top : top + kernel, left : left + kernel]"

MISTAKES = [
    Mistake(
        "= for +=",
        {"+= dy[": "= dy["},
        "If windows overlap, a pixel can be the maximum of several, and here only the last one "
        "counts. Sum the gradients: += instead of =.",
    ),
    Mistake(
        "average pooling",
        {ADD: f"{WINDOW} += 1 / kernel**2 * "},
        "The gradient is divided among all pixels of the window, as in average pooling. The "
        "output depends on the maximum only: it gets the whole gradient.",
    ),
    Mistake(
        "added to all pixels",
        {"top + u, left + v]": WINDOW},
        "All pixels of a window get its gradient. The output depends on the maximum only: the "
        "others get nothing.",
    ),
    Mistake(
        "added to all maxima",
        {ADD: f"{WINDOW} += (window == window.max()) * "},
        "All pixels equal to the maximum get the whole gradient, so it is multiplied: after a "
        "ReLU whole windows are 0. Only the first of them gets it: use argmax.",
    ),
    Mistake(
        "row and column exchanged",
        {"u, v = divmod": "v, u = divmod"},
        "Row and column within the window are exchanged. argmax counts row by row: index // "
        "kernel is the row, index % kernel the column.",
    ),
    Mistake(
        "index within the window only",
        {"dx[n, c, top + u, left + v]": "dx[n, c, u, v]"},
        "All gradients are added in the first window. argmax is the index within a window: add "
        "the window's position, i*stride and j*stride.",
    ),
    Mistake(
        "kernel for stride",
        {CORNER: "top, left = i * kernel, j * kernel"},
        "The windows are `kernel` pixels apart. They are `stride` pixels apart, and may overlap.",
    ),
    Mistake(
        "stride ignored",
        {CORNER: "top, left = i, j"},
        "The windows are one pixel apart for any stride. The one at (i, j) starts at row "
        "i*stride, column j*stride.",
    ),
    Mistake(
        "index divided by the stride",
        {"argmax(), kernel)": "argmax(), stride)"},
        "The index is divided by the stride. argmax counts through rows of `kernel` elements: "
        "index // kernel is the row, index % kernel the column.",
    ),
    Mistake(
        "running maximum started at 0",
        {"window.argmax()": "(window * (window > 0)).argmax()"},
        "The search for the maximum starts with 0 or -1. In a window of smaller values it finds "
        "none, so the first pixel gets the gradient. Start with -np.inf, or with the window's "
        "first element.",
    ),
    Mistake(
        "running maximum not reset",
        {
            "    for n, c, i, j": "    best = -np.inf\n    for n, c, i, j",
            MAXIMUM: "if window.max() > best:\n"
            "            best, (u, v) = window.max(), divmod(window.argmax(), kernel)",
        },
        "A window is compared with the maximum of earlier windows. Reset it for each: best = "
        "-np.inf belongs inside the loops over the windows, just before those over the pixels.",
    ),
    Mistake(
        "last of equal pixels",
        {"window.argmax()": "window.size - 1 - window[::-1, ::-1].argmax()"},
        "Of equal pixels the last one gets the gradient; it must be the first. If you compare "
        "pixels, use > instead of >=; if you use argmax, it returns the first, in the order in "
        "which it is given the window.",
    ),
    Mistake(
        "divided among equal pixels",
        {ADD: f"{WINDOW} += (window == window.max()) / (window == window.max()).sum() * "},
        "Equal pixels each get a part of the gradient. Here the first of them gets all of it: use "
        "argmax.",
    ),
    Mistake(
        "maximum of all channels",
        {
            "        dx[n, c, top": f"        if window.max() == x[n, :, {WINDOW}.max():\n"
            "            dx[n, c, top"
        },
        "Only one channel gets a gradient: the maximum is that of all channels. Each channel has "
        "its own windows, x[n, c, ...].",
    ),
    Mistake(
        "maximum of all images",
        {
            "        dx[n, c, top": f"        if window.max() == x[:, :, {WINDOW}.max():\n"
            "            dx[n, c, top"
        },
        "Only one channel of one image gets a gradient: .max() without an axis is the maximum of "
        "all images and channels. Each image and each channel has its own.",
    ),
    Mistake(
        "minimum",
        {"argmax": "argmin"},
        "The minimum gets the gradient. The output is the maximum.",
    ),
    Mistake(
        "maximum for dy",
        {"dy[n, c, i, j]": "window.max()"},
        "The pixel gets its own value. It must get the gradient of the window's output, dy[n, c, "
        "i, j].",
    ),
    Mistake(
        "1 for dy",
        {"dy[n, c, i, j]": "1"},
        "The pixel gets 1, the derivative of max alone. The chain rule multiplies it by dy[n, c, "
        "i, j], the upstream gradient.",
    ),
    Mistake(
        "divided by the window's size",
        {"dy[n, c, i, j]": "dy[n, c, i, j] / kernel**2"},
        "dy is divided by kernel**2, as for a mean. The output is the maximum: its derivative is "
        "1.",
    ),
    Mistake(
        "sum started at x",
        {"np.zeros_like(x)": "x.copy()"},
        "dx starts with the values of x. Start with zeros: np.zeros_like(x).",
    ),
    Mistake(
        "dy's shape for dx",
        {"np.zeros_like(x)": "np.zeros_like(dy)"},
        "dx has dy's shape. It is the gradient of x and has x's shape: np.zeros_like(x).",
        needs=r"zeros(_like)?\( *dy",
    ),
    Mistake(
        "last row and column of windows left out",
        {OUTPUTS: "np.ndindex(*dy.shape[:2], dy.shape[2] - 1, dy.shape[3] - 1)"},
        "The last row and the last column of windows are left out. range(OH) ends at OH - 1: do "
        "not subtract 1.",
    ),
    Mistake(
        "OH for OW",
        {OUTPUTS: "np.ndindex(*dy.shape[:3], min(dy.shape[2:]))"},
        "The number of windows from left to right is that from top to bottom, which is right for "
        "square images only. dy.shape has both, OH and OW.",
    ),
    Mistake(
        "first image and channel only",
        {OUTPUTS: "np.ndindex(1, 1, *dy.shape[2:])"},
        "Only the first channel of the first image has a gradient. Loop over all images and all "
        "channels.",
    ),
    Mistake(
        "dy's row and column exchanged",
        {"dy[n, c, i, j]": "dy[n, c, j, i]"},
        "Row and column of dy are exchanged. i is the row and j the column: dy[n, c, i, j].",
        needs=r"dy\[[^\]]*j, *i\]",
    ),
    Mistake(
        "flat index for row and column",
        {MAXIMUM: "u = window.argmax()", "left + v]": "left + u]"},
        "argmax returns one index, into the flattened window. divmod(index, kernel) is the row "
        "and the column.",
        needs=r"\+ *(\w+), [^\]]*\+ *\1\]",
    ),
]

WRITES_BACKWARD = True


def gradient(exercise):
    """tinyalex's forward with the learner's backward."""

    class MaxPool(ta.Function):
        def forward(self, x):
            self.x = x
            return F.max_pool2d(x, 3, 2).numpy()

        def backward(self, dy):
            return exercise.max_pool_backward(dy, self.x, 3, 2)

    x = np.random.default_rng(1).permutation(2 * 5 * 7).reshape(1, 2, 5, 7) / 10
    return MaxPool.apply, [x]
