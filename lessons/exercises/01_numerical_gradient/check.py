import numpy as np

import tinyalex as ta
from tinyalex.learning import Mistake

HINTS = [
    "One element at a time: nudge it up, ask f; nudge it down, ask f; the difference is divided by the way between the two, 2*h.",
    "An array of any shape is walked with `for index in np.ndindex(x.shape):`, and x[index] is one number. Nudge a copy: x.copy().",
    "Start with gradient = np.zeros_like(x). In the loop:\n\n"
    "    nudged = x.copy()\n"
    "    nudged[index] = x[index] + h\n"
    "    up = f(nudged)\n\n"
    "Then down, in the same way with - h, and:\n\n"
    "    gradient[index] = (up - down) / (2 * h)",
]


def cubes(x):
    return (x**3).sum()


def neighbours(x):
    return (x[:, 1:] * x[:, :-1] ** 2).sum() + np.exp(x[0, 0])


# With a nudge as large as 0.1 the two-sided slope of x**3 is 3*x**2 + h**2: what is one-sided shows.
CASES = [
    ("three numbers, cubed", {"f": cubes, "x": np.array([1.0, 2.0, -1.0]), "h": 0.1}),
    ("a matrix, each number times its neighbour", {"f": neighbours, "x": np.arange(6.0).reshape(2, 3) / 4, "h": 0.01}),
    ("three axes", {"f": cubes, "x": np.linspace(-1, 2, 12).reshape(2, 3, 2), "h": 1e-3}),
]

RESULTS = ("gradient",)


def answer(exercise, f, x, h):
    return exercise.numerical_gradient(f, x, h)


MISTAKES = [
    Mistake(
        "one-sided",
        {"nudged[index] = x[index] - h": "nudged[index] = x[index]", "/ (2 * h)": "/ h"},
        "This is the slope to one side, (f(x + h) - f(x)) / h, which is off by about h. Nudge up and down: what is off to the "
        "left and to the right cancels.",
    ),
    Mistake(
        "divided by h",
        {"/ (2 * h)": "/ h"},
        "Everything is twice what it should be. From x - h to x + h it is 2*h, and that is what the difference is divided by.",
    ),
    Mistake(
        "divided by 2, multiplied by h",
        {"/ (2 * h)": "/ 2 * h"},
        "Python reads `/ 2 * h` from the left: divided by 2, then multiplied by h. Write / (2 * h).",
    ),
    Mistake(
        "up only, divided by 2*h",
        {"nudged[index] = x[index] - h": "nudged[index] = x[index]"},
        "This is (f(x + h) - f(x)) / (2*h): nothing was nudged down. If your code does nudge down, from x[index] - h, then x itself "
        "had been nudged up before: `nudged = x` gives the same array a second name. x.copy() makes another one.",
    ),
    Mistake(
        "the wrong way round",
        {"(up - down)": "(down - up)"},
        "Every sign is the opposite one: the slope is f after the nudge up minus f after the nudge down.",
    ),
    Mistake(
        "nudges add up",
        {
            "    for index": "    nudged = x.copy()\n    for index",
            "        nudged = x.copy()\n": "",
        },
        "Each nudge must be taken back before the next element has its turn. Make a new copy of x for each element, or put the old "
        "number back.",
    ),
    Mistake(
        "x stays nudged",
        {"x.copy()": "x", "nudged[index] = x[index] - h": "nudged[index] -= 2 * h"},
        "x itself is nudged, and each element stays nudged down while the next has its turn. Nudge a copy, x.copy(), or put the old "
        "number back.",
    ),
    Mistake(
        "all at once",
        {"nudged[index] = x[index] + h": "nudged[...] = x + h", "nudged[index] = x[index] - h": "nudged[...] = x - h"},
        "All elements are nudged together, so that each gets the slopes of all of them. Nudge one, hold the others still.",
    ),
    Mistake(
        "whole rows",
        {"np.ndindex(x.shape)": "range(len(x))"},
        "A whole row is nudged at once: x[i] is one number only if x has one axis. np.ndindex(x.shape) gives the index of each "
        "number.",
    ),
    Mistake(
        "one number a row",
        {"np.ndindex(x.shape)": "range(len(x))", "np.zeros_like(x)": "np.zeros(len(x))"},
        "There is one slope for each row, since len(x) counts rows. np.ndindex(x.shape) gives the index of each number, and "
        "np.zeros_like(x) has a place for each.",
    ),
    Mistake(
        "counted through",
        {"np.ndindex(x.shape)": "range(x.size)"},
        "x.size counts all numbers, but x[i] with one index is a whole row, and there are not that many rows. np.ndindex(x.shape) gives "
        "the index of each number; x.reshape(-1) shows them all in one row.",
    ),
]

WRITES_BACKWARD = False


def gradient(exercise):
    """A Function whose backward is the learner's: gradcheck takes its own differences of the same function."""

    class Neighbours(ta.Function):
        def forward(self, x):
            self.x = x
            return np.array(neighbours(x))

        def backward(self, dy):
            return dy * exercise.numerical_gradient(neighbours, self.x)

    return Neighbours.apply, [np.random.default_rng(0).standard_normal((2, 3))]
