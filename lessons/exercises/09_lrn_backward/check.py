import numpy as np

import tinyalex as ta
from tinyalex import functional as F
from tinyalex.course import Mistake

HINTS = [
    "The derivative of y[j] with respect to x[c] has two terms: s[c]**-beta only if j is c, and "
    "-2 * alpha * beta * x[c] * y[j] / s[j] for all j whose window contains c. Multiply by dy[j] "
    "and sum over j. Since size is odd, these j are the channels in the window of c.",
    "dx[c] = dy[c] * s[c]**-beta - 2 * alpha * beta * x[c] * (sum of dy[j] * y[j] / s[j] over the "
    "window of c). One function that sums an array over each channel's window serves for s and for "
    "this sum: a[:, max(0, c - size // 2) : c + size // 2 + 1]. Without max(0, ...) the start "
    "could be negative, which Python counts from the end.",
    "A function sum_nearby(a) fills each channel c of an array `total`:\n\n"
    "    total[:, c] = a[:, max(0, c - size // 2) : c + size // 2 + 1].sum(axis=1)\n\n"
    "With it:\n\n"
    "    s = k + alpha * sum_nearby(x**2)\n"
    "    y = x * s**-beta\n"
    "    dx = dy * s**-beta - 2 * alpha * beta * x * sum_nearby(dy * y / s)",
]

RANDOM = np.random.default_rng(0)
PAPER = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0}


def column(*values):
    return np.array(values).reshape(1, -1, 1, 1)


CASES = [
    (
        "one channel",
        {"dy": column(1.0), "x": column(2.0), "size": 3, "alpha": 0.5, "beta": 1.0, "k": 1.0},
    ),
    (
        "four channels",
        {
            "dy": column(1.0, 0.0, 0.0, 3.0),
            "x": column(1.0, 2.0, 3.0, 4.0),
            "size": 3,
            "alpha": 0.5,
            "beta": 0.75,
            "k": 2.0,
        },
    ),
    (
        "a window wider than the channels",
        {
            "dy": column(1.0, 2.0),
            "x": column(3.0, -1.0),
            "size": 7,
            "alpha": 0.5,
            "beta": 1.0,
            "k": 1.0,
        },
    ),
    (
        "the paper's constants, on pixels from 0 to 255",
        {
            "dy": RANDOM.standard_normal((2, 8, 3, 4)),
            "x": 60 * RANDOM.standard_normal((2, 8, 3, 4)),
            **PAPER,
        },
    ),
]

RESULTS = ("dx",)


def answer(exercise, dy, x, **constants):
    return exercise.lrn_backward(dy, x, **constants)


SECOND_SUM = "sum_nearby(dy * y / s, size)"

MISTAKES = [
    Mistake(
        "no second term",
        {f" - 2 * alpha * beta * x * {SECOND_SUM}": ""},
        "This is the first term alone, as if s did not depend on x. A larger x[c] increases s of "
        "all channels in its window and reduces their y: that is the second term.",
    ),
    Mistake(
        "2 missing",
        {"2 * alpha": "alpha"},
        "The second term is half of its value: the derivative of x**2 is 2*x.",
    ),
    Mistake(
        "plus for minus",
        {"dy * s**-beta - 2": "dy * s**-beta + 2"},
        "The second term is added. A larger x makes s larger and y smaller: subtract it.",
    ),
    Mistake(
        "own channel only",
        {SECOND_SUM: "(dy * y / s)"},
        "The second term has channel c's own effect only. x[c] also changes y of its neighbours: "
        "sum dy*y/s over the channels in the window.",
    ),
    Mistake(
        "not divided by s",
        {SECOND_SUM: "sum_nearby(dy * y, size)"},
        "In the second term the division by s is missing: the derivative of s**-beta is -beta * "
        "s**(-beta - 1), and y has s**-beta only.",
    ),
    Mistake(
        "x inside the sum",
        {f"x * {SECOND_SUM}": "sum_nearby(x * dy * y / s, size)"},
        "x is inside the sum, where it is the neighbour's x[j]. The factor is x[c]: multiply "
        "after the sum.",
    ),
    Mistake(
        "alpha over size",
        {"k + alpha *": "k + alpha / size *", "2 * alpha * beta": "2 * alpha / size * beta"},
        "alpha is divided by the size of the window, as in torch and Caffe. The paper's formula, "
        "used here, does not divide.",
    ),
    Mistake(
        "channels wrap around",
        {
            "a[:, max(0, c - half) : c + half + 1].sum(axis=1)": "sum("
            "a[:, j % channels] for j in range(c - half, c + half + 1))"
        },
        "The first and the last channel are treated as neighbours: np.roll and negative indices "
        "wrap around. The window ends at the first and at the last channel.",
    ),
    Mistake(
        "negative start",
        {"max(0, c - half)": "c - half"},
        "Near channel 0 the window starts at a negative index, which Python counts from the end, "
        "so the slice is empty. Start at max(0, c - size // 2).",
    ),
    Mistake(
        "last neighbour left out",
        {"c + half + 1": "c + half"},
        "The window ends one channel too early: a slice does not include its end. The last "
        "channel is c + size // 2, so the slice ends at c + size // 2 + 1.",
    ),
    Mistake(
        "size on each side",
        {"size // 2": "size"},
        "The window is too wide. It has `size` channels in all: size // 2 on each side of c.",
    ),
    Mistake(
        "sign of the exponent",
        {"dy * s**-beta - 2": "dy * s**beta - 2"},
        "The first term is multiplied by s**beta. y is x * s**-beta, so its derivative with "
        "respect to x[c] has s**-beta.",
    ),
    Mistake(
        "x for y",
        {SECOND_SUM: "sum_nearby(dy * x / s, size)"},
        "The sum has x[j] where the formula has y[j]: y[j] / s[j] is x[j] * s[j]**(-beta - 1).",
    ),
]

WRITES_BACKWARD = True


def gradient(exercise):
    """tinyalex's forward with the learner's backward."""

    class LRN(ta.Function):
        def forward(self, x):
            self.x = x
            return F.local_response_norm(x, 5, 0.1, 0.75, 2.0, alpha_mode="sum").numpy()

        def backward(self, dy):
            return exercise.lrn_backward(dy, self.x, 5, 0.1, 0.75, 2.0)

    return LRN.apply, [np.random.default_rng(1).standard_normal((2, 7, 2, 1))]
