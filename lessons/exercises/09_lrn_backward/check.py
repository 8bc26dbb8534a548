import numpy as np

import tinyalex as ta
from tinyalex import functional as F
from tinyalex.learning import Mistake

HINTS = [
    "Both sums run over the same channels, so one small function that sums an array over the channels around each serves for s "
    "and for the second term. After that it is the three formulas, line by line.",
    "For channel c the window is a[:, max(0, c - size // 2) : c + size // 2 + 1]. Without max(0, ...) the beginning would be "
    "negative, and Python would count it from the end.",
    "A function around(a) fills each channel c of an array `total`:\n\n"
    "    total[:, c] = a[:, max(0, c - size // 2) : c + size // 2 + 1].sum(axis=1)\n\n"
    "With it:\n\n"
    "    s = k + alpha * around(x**2)\n"
    "    y = x * s**-beta\n"
    "    dx = dy * s**-beta - 2 * alpha * beta * x * around(dy * y / s)",
]

RANDOM = np.random.default_rng(0)
PAPER = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0}


def column(*numbers):
    return np.array(numbers).reshape(1, -1, 1, 1)


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
        "the paper's numbers, on pixels from 0 to 255",
        {
            "dy": RANDOM.standard_normal((2, 8, 3, 4)),
            "x": 60 * RANDOM.standard_normal((2, 8, 3, 4)),
            **PAPER,
        },
    ),
]

RESULTS = ("dx",)


def answer(exercise, dy, x, **numbers):
    return exercise.lrn_backward(dy, x, **numbers)


MISTAKES = [
    Mistake(
        "no second term",
        {" - 2 * alpha * beta * x * around(dy * y / s, size)": ""},
        "This is the first term alone, as if s did not depend on x. But raising x[c] raises s of all its neighbours, and lowers "
        "their y: that is the second term.",
    ),
    Mistake(
        "the 2 forgotten",
        {"2 * alpha": "alpha"},
        "The second term is half of what it should be: the slope of x**2 is 2*x.",
    ),
    Mistake(
        "plus for minus",
        {"dy * s**-beta - 2": "dy * s**-beta + 2"},
        "The second term is added. It holds down: a larger x makes s larger and every y around it smaller, so it is subtracted.",
    ),
    Mistake(
        "the channel alone",
        {"around(dy * y / s, size)": "(dy * y / s)"},
        "The second term has only what channel c does to itself. It also changes its neighbours' y: sum dy*y/s over the channels "
        "around c.",
    ),
    Mistake(
        "not divided by s",
        {"around(dy * y / s, size)": "around(dy * y, size)"},
        "In the second term the division by s is missing: the slope of s**-beta is -beta * s**(-beta - 1), one power of s less.",
    ),
    Mistake(
        "x of the neighbour",
        {
            "2 * alpha * beta * x * around(dy * y / s, size)": "2 * alpha * beta * around(x * dy * y / s, size)"
        },
        "x stands inside the sum, where it is the neighbour's. It is channel c's own x that does the pushing: multiply after the "
        "sum.",
    ),
    Mistake(
        "alpha over size",
        {"k + alpha *": "k + alpha / size *", "2 * alpha * beta": "2 * alpha / size * beta"},
        "alpha is divided by the size of the window. That is the mean, as torch and Caffe have it; the paper's formula, here, has "
        "the sum.",
    ),
    Mistake(
        "channels in a ring",
        {
            "a[:, max(0, c - half) : c + half + 1].sum(axis=1)": "sum(a[:, j % channels] for j in range(c - half, c + half + 1))"
        },
        "The first and the last channel are treated as neighbours: np.roll and negative indices run around in a ring. The window "
        "ends at the first and at the last channel.",
    ),
    Mistake(
        "a negative beginning",
        {"max(0, c - half)": "c - half"},
        "Near channel 0 the window begins at a negative number, which Python counts from the end, so that the slice is empty. "
        "Begin at max(0, c - size // 2).",
    ),
    Mistake(
        "the last neighbour left out",
        {"c + half + 1": "c + half"},
        "The window ends one channel too early: a slice does not contain its end. It goes to c + size // 2, so the slice to c + "
        "size // 2 + 1.",
    ),
    Mistake(
        "the whole size on each side",
        {"size // 2": "size"},
        "The window is twice as wide as it should be. It has `size` channels in all: size // 2 on each side of c.",
    ),
    Mistake(
        "s in the wrong power",
        {"dy * s**-beta - 2": "dy * s**beta - 2"},
        "The first term is multiplied by s**beta. y is divided by it, x * s**-beta, and so is dy.",
    ),
    Mistake(
        "x for y",
        {"around(dy * y / s, size)": "around(dy * x / s, size)"},
        "In the sum stands x[j], where it is y[j] / s[j], the x[j] * s[j]**(-beta - 1) of the slope.",
    ),
]


def gradient(exercise):
    """tinyalex's forward, the learner's backward."""

    class LRN(ta.Function):
        def forward(self, x):
            self.x = x
            return F.local_response_norm(x, 5, 0.1, 0.75, 2.0, alpha_mode="sum").numpy()

        def backward(self, dy):
            return exercise.lrn_backward(dy, self.x, 5, 0.1, 0.75, 2.0)

    return LRN.apply, [np.random.default_rng(1).standard_normal((2, 7, 2, 1))]
