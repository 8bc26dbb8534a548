import numpy as np

import tinyalex as ta
from tinyalex import functional as F
from tinyalex.learning import Mistake

HINTS = [
    "Go through the outputs (n, c, i, j), look at the window of each, find its largest pixel, and add dy[n, c, i, j] to dx at "
    "that pixel.",
    "window.argmax() counts through the window row by row, as if it were one long list, and gives the first of equals. "
    "divmod(number, kernel) makes it a row and a column within the window.",
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
        [
            [
                [1.0, 2.0, 3.0, 4.0, 24.0, 6.0],
                [7.0, 8.0, 22.0, 9.0, 5.0, 10.0],
                [11.0, 12.0, 13.0, 14.0, 15.0, 30.0],
            ]
        ]
    ]
)

# The 3 x 3 windows of OVERLAP have their largest number where windows 3 pixels apart, and argmax divided by 2, make other numbers and
# no error.
CASES = [
    (
        "windows side by side",
        {"dy": shuffled(1, 1, 2, 3), "x": shuffled(1, 1, 4, 6), "kernel": 2, "stride": 2},
    ),
    (
        "3 x 3 windows two pixels apart",
        {"dy": np.array([[[[10.0, 100.0]]]]), "x": OVERLAP, "kernel": 3, "stride": 2},
    ),
    (
        "one pixel wins in all four windows",
        {"dy": np.array([[[[1.0, 10.0], [100.0, 1000.0]]]]), "x": NINE, "kernel": 2, "stride": 1},
    ),
    (
        "two images, three channels",
        {"dy": shuffled(2, 3, 1, 1), "x": shuffled(2, 3, 2, 2), "kernel": 2, "stride": 2},
    ),
    (
        "pixels that are as large as others, as zeros after a ReLU",
        {"dy": np.array([[[[5.0, 7.0]]]]), "x": ZEROS, "kernel": 2, "stride": 2},
    ),
    (
        "negative numbers only",
        {"dy": np.array([[[[5.0, 7.0]]]]), "x": NEGATIVE, "kernel": 2, "stride": 2},
    ),
    (
        "all of it, where the last pixels are not seen",
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


MISTAKES = [
    Mistake(
        "= for +=",
        {"+= dy[": "= dy["},
        "Where windows overlap, a pixel can win in several, and here the last one wins over the others: each window's gradient "
        "must be added, += instead of =.",
    ),
    Mistake(
        "shared among the window",
        {"top + u, left + v] += ": "top : top + kernel, left : left + kernel] += 1 / kernel**2 * "},
        "This shares the gradient out among the window, which is the backward of average pooling. Only the largest pixel made the "
        "output: it gets all.",
    ),
    Mistake(
        "given to everyone",
        {"top + u, left + v]": "top : top + kernel, left : left + kernel]"},
        "Every pixel of a window gets its gradient. Only the largest one made the output: the others get nothing.",
    ),
    Mistake(
        "given to all that are as large",
        {
            "top + u, left + v] += ": "top : top + kernel, left : left + kernel] += (window == window.max()) * "
        },
        "All pixels that are as large as the largest get the whole gradient, so that it multiplies: after a ReLU whole windows "
        "are 0. One of them may have it, the first: argmax finds that.",
    ),
    Mistake(
        "rows and columns exchanged",
        {"u, v = divmod": "v, u = divmod"},
        "Row and column within the window are exchanged. argmax counts row by row, so number // kernel is the row, and number % "
        "kernel the column.",
    ),
    Mistake(
        "the window's place forgotten",
        {"dx[n, c, top + u, left + v]": "dx[n, c, u, v]"},
        "All gradients land in the first window. argmax gives a place within the window: add the window's own, i*stride and "
        "j*stride.",
    ),
    Mistake(
        "steps of the kernel's size",
        {"top, left = i * stride, j * stride": "top, left = i * kernel, j * kernel"},
        "The windows are `kernel` pixels apart, side by side. They are `stride` apart: that is how they overlap.",
    ),
    Mistake(
        "steps of 1",
        {"top, left = i * stride, j * stride": "top, left = i, j"},
        "The windows are one pixel apart, whatever the stride is. The one at (i, j) begins at row i*stride, column j*stride.",
    ),
    Mistake(
        "divided by the stride",
        {"argmax(), kernel)": "argmax(), stride)"},
        "argmax counts through a window whose rows have `kernel` numbers: number // kernel is the row and number % kernel the "
        "column. It is divided by the stride here, which is as large only if windows lie side by side.",
    ),
    Mistake(
        "the running maximum begins at 0",
        {"window.argmax()": "(window * (window > 0)).argmax()"},
        "In a window of negative numbers nothing is larger than what the search for the largest begins with, 0 or -1, so that "
        "its first pixel gets the gradient. Begin with -np.inf, or with the window's first number.",
    ),
    Mistake(
        "the maximum of the windows before",
        {
            "    for n, c, i, j": "    best = -np.inf\n    for n, c, i, j",
            "u, v = divmod(window.argmax(), kernel)": "if window.max() > best:\n            best, (u, v) = window.max(), "
            "divmod(window.argmax(), kernel)",
        },
        "A window is compared with the largest number of those before it. Each begins anew: best = -np.inf belongs inside the "
        "loops over the windows, just before those over the pixels.",
    ),
    Mistake(
        "the last of ties",
        {"window.argmax()": "window.size - 1 - window[::-1, ::-1].argmax()"},
        "Of pixels that are as large the last one gets it: >= puts a later one in place of an earlier one, > does not.",
    ),
    Mistake(
        "shared among ties",
        {
            "top + u, left + v] += ": "top : top + kernel, left : left + kernel] += (window == window.max()) / (window == "
            "window.max()).sum() * "
        },
        "Pixels that are as large share the gradient. That would be fair, but here the first of them gets it all: argmax finds "
        "that.",
    ),
    Mistake(
        "the largest of all channels",
        {
            "        dx[n, c, top": "        if window.max() == x[n, :, top : top + kernel, left : left + kernel].max():\n"
            "            dx[n, c, top"
        },
        "Only one channel gets a gradient: the largest pixel was looked for in all of them. Each channel has windows of its own, "
        "x[n, c, ...].",
    ),
    Mistake(
        "the largest of all images",
        {
            "        dx[n, c, top": "        if window.max() == x[:, :, top : top + kernel, left : left + kernel].max():\n"
            "            dx[n, c, top"
        },
        "Only one channel of one image gets a gradient: .max() without an axis is the largest of all images and channels. Each "
        "of them has its own.",
    ),
    Mistake(
        "the smallest",
        {"argmax": "argmin"},
        "The smallest pixel gets the gradient; it is the largest that made the output.",
    ),
    Mistake(
        "the maximum for dy",
        {"dy[n, c, i, j]": "window.max()"},
        "The largest pixel gets its own value. What it gets is the gradient of the window's output, dy[n, c, i, j].",
    ),
    Mistake(
        "1 for dy",
        {"dy[n, c, i, j]": "1"},
        "The largest pixel gets 1, the slope of max alone. The chain rule multiplies it by dy[n, c, i, j], the slope of all "
        "that follows.",
    ),
    Mistake(
        "divided by the window's size",
        {"dy[n, c, i, j]": "dy[n, c, i, j] / kernel**2"},
        "dy is divided by kernel**2, as for a mean. The largest pixel made the output alone: it gets all.",
    ),
    Mistake(
        "begun with x",
        {"np.zeros_like(x)": "x.copy()"},
        "dx begins with the numbers of x, and gradients are added to them. It begins with zeros: np.zeros_like(x).",
    ),
    Mistake(
        "as large as dy",
        {"np.zeros_like(x)": "np.zeros_like(dy)"},
        "dx has dy's shape, that of the output. It is the gradient of x, and has x's shape: np.zeros_like(x).",
        needs=r"zeros(_like)?\( *dy",
    ),
    Mistake(
        "the last row and column of windows left out",
        {"np.ndindex(dy.shape)": "np.ndindex(*dy.shape[:2], dy.shape[2] - 1, dy.shape[3] - 1)"},
        "The last windows of each row and column are left out. range(OH) ends at OH - 1 by itself: no - 1.",
    ),
    Mistake(
        "as many columns as rows",
        {"np.ndindex(dy.shape)": "np.ndindex(*dy.shape[:3], min(dy.shape[2:]))"},
        "As many windows are visited from left to right as from top to bottom, which is right for square images only. dy.shape "
        "has both, OH and OW.",
    ),
    Mistake(
        "the first image and channel only",
        {"np.ndindex(dy.shape)": "np.ndindex(1, 1, *dy.shape[2:])"},
        "Only the first channel of the first image has a gradient. Loops over all images and all channels are missing.",
    ),
    Mistake(
        "dy's row and column exchanged",
        {"dy[n, c, i, j]": "dy[n, c, j, i]"},
        "i counts rows and j columns in dy, too: dy[n, c, i, j].",
        needs=r"dy\[[^\]]*j, *i\]",
    ),
    Mistake(
        "one number for row and column",
        {"u, v = divmod(window.argmax(), kernel)": "u = window.argmax()", "left + v]": "left + u]"},
        "argmax gives one number, which counts through the window row by row. It is not yet a row or a column: divmod(number, "
        "kernel) makes both of it.",
        needs=r"\+ *(\w+), [^\]]*\+ *\1\]",
    ),
]


def gradient(exercise):
    """tinyalex's forward, the learner's backward."""

    class MaxPool(ta.Function):
        def forward(self, x):
            self.x = x
            return F.max_pool2d(x, 3, 2).numpy()

        def backward(self, dy):
            return exercise.max_pool_backward(dy, self.x, 3, 2)

    return MaxPool.apply, [np.random.default_rng(1).permutation(2 * 5 * 7).reshape(1, 2, 5, 7) / 10]
