import numpy as np

import tinyalex as ta
from tinyalex import functional as F
from tinyalex.course import Formula, Limit, Limits, Mistake, Operation

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

# Constants that no product of others equals, so that each mistake has its own results.
PROBES = [
    {
        "dy": RANDOM.standard_normal((2, 6, 1, 2)),
        "x": RANDOM.uniform(0.5, 2.5, (2, 6, 1, 2)),
        "size": size,
        "alpha": alpha,
        "beta": beta,
        "k": k,
    }
    for size, alpha, beta, k in [(3, 0.37, 0.83, 1.7), (5, 0.59, 0.71, 2.3), (3, 0.23, 1.3, 1.9)]
]


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


def window_sum(below, above):
    """(size) -> the sum over the channels c - below to c + above that exist."""

    def total(a, size):
        out = np.zeros_like(a)
        for c in range(a.shape[1]):
            start, end = max(0, c - below(size // 2)), c + above(size // 2) + 1
            out[:, c] = a[:, start:end].sum(axis=1)
        return out

    return total


WINDOW = window_sum(lambda half: half, lambda half: half)

WINDOWS = {
    "a sum over a window that ends one channel early (a slice does not include its end)":
        window_sum(lambda half: half, lambda half: half - 1),
    "a sum over a window that starts one channel late":
        window_sum(lambda half: half - 1, lambda half: half),
    "a sum over a window that starts one channel late and ends one early":
        window_sum(lambda half: half - 1, lambda half: half - 1),
    "a sum that leaves out the last channel of the array":
        lambda a, size: WINDOW(np.concatenate([a[:, :-1], 0 * a[:, -1:]], axis=1), size),
    "a sum that leaves out channel 0":
        lambda a, size: WINDOW(np.concatenate([0 * a[:, :1], a[:, 1:]], axis=1), size),
    "a running total: the variable is not set to 0 for each channel":
        lambda a, size: np.cumsum(WINDOW(a, size), axis=1),
    "a sum over a window that starts and ends one channel early":
        window_sum(lambda half: half + 1, lambda half: half - 1),
    "a sum over a window that is one channel too wide at its end":
        window_sum(lambda half: half, lambda half: half + 1),
    "a sum over the channels up to c, without those after it":
        window_sum(lambda half: half, lambda half: 0),
    "a sum over the channels from c, without those before it":
        window_sum(lambda half: 0, lambda half: half),
    "a sum over `size` channels on each side, where it should be size // 2":
        window_sum(lambda half: 2 * half + 1, lambda half: 2 * half + 1),
    "a sum over channel c and its two direct neighbours, for any size":
        window_sum(lambda half: 1, lambda half: 1),
    "a sum over all channels":
        lambda a, size: np.broadcast_to(a.sum(axis=1, keepdims=True), a.shape),
    "a sum over the whole array: the sum has no axis, and adds up images and pixels too":
        lambda a, size: np.broadcast_to(a.sum(), a.shape),
    "a mean: the sum divided by `size`":
        lambda a, size: WINDOW(a, size) / size,
    "a mean: the sum divided by the number of channels in the window":
        lambda a, size: WINDOW(a, size) / WINDOW(np.ones_like(a), size),
    "a sum over the images, axis 0; channels are axis 1":
        lambda a, size: WINDOW(a.swapaxes(0, 1), size).swapaxes(0, 1),
    "a sum over the rows, axis 2; channels are axis 1":
        lambda a, size: WINDOW(a.swapaxes(2, 1), size).swapaxes(2, 1),
    "a sum over the columns, axis 3; channels are axis 1":
        lambda a, size: WINDOW(a.swapaxes(3, 1), size).swapaxes(3, 1),
    "a sum without channel c itself":
        lambda a, size: WINDOW(a, size) - a,
    "a sum over the images too: the sum adds up several axes":
        lambda a, size: np.broadcast_to(WINDOW(a.sum(axis=0, keepdims=True), size), a.shape),
    "a sum over the pixels too: the sum adds up several axes":
        lambda a, size: np.broadcast_to(WINDOW(a.sum(axis=(2, 3), keepdims=True), size), a.shape),
    "a sum over the pixels and images too: give the sum axis=1":
        lambda a, size: np.broadcast_to(
            WINDOW(a.sum(axis=(0, 2, 3), keepdims=True), size), a.shape
        ),
    "a sum over the channels around c, which wrap around: a negative index counts from the end":
        lambda a, size: sum(np.roll(a, i, axis=1) for i in range(-(size // 2), size // 2 + 1)),
    "a sum that is wrong near the first channels: a negative start of a slice counts from the end":
        lambda a, size: np.stack(
            [a[:, c - size // 2 : c + size // 2 + 1].sum(axis=1) for c in range(a.shape[1])], axis=1
        ),
    "a sum that stays 0 near the first and the last channel, where the window is cut off":
        lambda a, size: WINDOW(a, size) * np.array(
            [size // 2 <= c < a.shape[1] - size // 2 for c in range(a.shape[1])]
        )[:, None, None],
    "only the last element of the window: the loop assigns, where it should add":
        lambda a, size: a[:, np.minimum(np.arange(a.shape[1]) + size // 2, a.shape[1] - 1)],
}  # fmt: skip


EXPLANATIONS = [
    Formula(
        """
        s = k + alpha * near(x**2)
        y = x * s**-beta
        dx = dy * s**-beta - 2 * alpha * beta * x * near(dy * y / s)
        """,
        {
            "near": Operation(
                WINDOW, ("size",), "the sum over the channels j around c", WINDOWS, ("c", "j")
            )
        },
        alternatives={
            "s": {
                "s**beta": "Does your variable s contain the power already?",
                "s**-beta": "Does your variable s contain the power already?",
            },
            "y": {"x / s": "", "x * s**beta": ""},
            "x": {"abs(x)": ""},
        },
    ),
    Limits(
        [
            Limit(
                "With alpha = 0, s is k, the second term is 0 and dx is dy * k**-beta",
                {"alpha": 0.0},
                "So the first term is right there; look at s and at the second term.",
                "So the first term is wrong, dy * s**-beta, or s without alpha, which is k.",
            ),
            Limit(
                "With size = 1, each sum has only channel c itself",
                {"size": 1},
                "So a sum over several channels is wrong: its window, or what is inside of the "
                "sum (the values of channel j) and outside (those of channel c).",
            ),
        ]
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
