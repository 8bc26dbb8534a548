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

CASES = [
    ("windows side by side", {"dy": shuffled(1, 1, 2, 3), "x": shuffled(1, 1, 4, 6), "kernel": 2, "stride": 2}),
    (
        "one pixel wins in all four windows",
        {"dy": np.array([[[[1.0, 10.0], [100.0, 1000.0]]]]), "x": NINE, "kernel": 2, "stride": 1},
    ),
    (
        "pixels that are as large as others, as zeros after a ReLU",
        {"dy": np.array([[[[5.0, 7.0]]]]), "x": ZEROS, "kernel": 2, "stride": 2},
    ),
    (
        "3 x 3 windows two pixels apart, as in the paper",
        {"dy": RANDOM.standard_normal((2, 3, 3, 2)), "x": shuffled(2, 3, 7, 5), "kernel": 3, "stride": 2},
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
        {"top + u, left + v] += ": "top : top + kernel, left : left + kernel] += (window == window.max()) * "},
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
