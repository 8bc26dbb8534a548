from functools import wraps

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


class WrongShapeError(ValueError):
    """f was called with something else than an array of x's shape."""


def expects(*shape):
    """For f: it refuses what is not all of x. NumPy would often accept a part of it, and make some number of that."""

    def decorate(f):
        @wraps(f)
        def strict(x):
            if np.shape(x) != shape:
                thing = f"an array of shape {np.shape(x)}" if np.ndim(x) else "a number"
                raise WrongShapeError(
                    f"f was given {thing}, and expects all of x, of shape {shape}"
                )
            return f(x)

        return strict

    return decorate


def cubes(x):
    """the sum of x**3"""
    return (x**3).sum()


def neighbours(x):
    """the sum of x[i, j+1] * x[i, j]**2 over all neighbours in a row, and exp(x[0, 0])"""
    return (x[:, 1:] * x[:, :-1] ** 2).sum() + np.exp(x[0, 0])


# With a nudge as large as 0.1 the two-sided slope of x**3 is 3*x**2 + h**2: what is one-sided shows.
CASES = [
    ("three numbers, cubed", {"f": expects(3)(cubes), "x": np.array([1.0, 2.0, -1.0]), "h": 0.1}),
    (
        "a matrix, each number times its neighbour",
        {"f": expects(2, 3)(neighbours), "x": np.arange(6.0).reshape(2, 3), "h": 0.01},
    ),
    (
        "three axes",
        {"f": expects(2, 3, 2)(cubes), "x": np.arange(-3.0, 9).reshape(2, 3, 2), "h": 1e-3},
    ),
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
        "This is (f(x + h) - f(x)) / (2*h): nothing was nudged down. If your code does nudge down, from x[index] - h, then x "
        "itself had been nudged up before: `nudged = x` gives the same array a second name. x.copy() makes another one.",
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
        "Each nudge must be taken back before the next element has its turn. Make a new copy of x for each element, or put the "
        "old number back.",
    ),
    Mistake(
        "x stays nudged",
        {"x.copy()": "x", "nudged[index] = x[index] - h": "nudged[index] -= 2 * h"},
        "x itself is nudged, and each element stays nudged down while the next has its turn. Nudge a copy, x.copy(), or put the "
        "old number back.",
    ),
    Mistake(
        "all at once",
        {
            "nudged[index] = x[index] + h": "nudged[...] = x + h",
            "nudged[index] = x[index] - h": "nudged[...] = x - h",
        },
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
        "x.size counts all numbers, but x[i] with one index is a whole row, and there are not that many rows. "
        "np.ndindex(x.shape) gives the index of each number; x.reshape(-1) shows them all in one row.",
        needs=r"\.size",
    ),
    Mistake(
        "one number for f",
        {"up = f(nudged)": "up = f(nudged[index])", "down = f(nudged)": "down = f(nudged[index])"},
        "f wants all of x, in which one number is nudged, and not the nudged number alone: the others have a part in the "
        "result, too. Nudge one number of a copy, x.copy(), and give f the copy.",
    ),
    Mistake(
        "a flat array for f",
        {
            "up = f(nudged)": "up = f(nudged.reshape(-1))",
            "down = f(nudged)": "down = f(nudged.reshape(-1))",
        },
        "f wants an array of x's shape, and got its numbers in one row. Reshape what is given to f: f(flat.reshape(x.shape)).",
    ),
    Mistake(
        "all at once, one number",
        {
            "nudged[index] = x[index] + h": "nudged[...] = x + h",
            "nudged[index] = x[index] - h": "nudged[...] = x - h",
            "return gradient": "return (up - down) / (2 * h)",
        },
        "All elements are nudged together, and one slope comes out, the sum of all. Each has its own: a loop over the elements, "
        "in which one is nudged and the others are held still.",
    ),
    Mistake(
        "f sees no difference",
        {"(up - down)": "(up - up)"},
        "f was given the same numbers both times, so that the difference is 0. After `up = x` and `down = x`, or x[:], all "
        "three are one array, in which a nudge up and one down cancel: copy, x.copy(). And if a copy is nudged, f must be given "
        "the copy, not x.",
    ),
    Mistake(
        "a return in the loop",
        {"    return gradient": "        return gradient"},
        "Only the first slope is there, the others are still 0: the `return` is inside the loop, which ends there. Indent less.",
    ),
    Mistake(
        "h not used",
        {"    gradient = np": "    h = 1e-5\n    gradient = np"},
        "The nudge has a size of its own here, such as 1e-5. Use h, which is given: 1e-5 is only what it is if nobody says "
        "otherwise.",
    ),
    Mistake(
        "in proportion to x",
        {"x[index] + h": "x[index] * (1 + h)", "x[index] - h": "x[index] * (1 - h)"},
        "Each number is multiplied by 1 + h and 1 - h, so that large ones are nudged further than h, and 0 not at all. Add and "
        "subtract h.",
    ),
    Mistake(
        "copies made once",
        {
            "    for index": "    plus, minus = x.copy(), x.copy()\n    for index",
            "        nudged = x.copy()\n        nudged[index] = x[index] + h\n        up = f(nudged)\n": "        plus[index] += h\n",
            "nudged[index] = x[index] - h\n        down = f(nudged)": "minus[index] -= h\n        up, down = f(plus), f(minus)",
        },
        "The copies are made once, so that the nudges of the elements before stay in them. Make new ones for each element, "
        "inside the loop.",
    ),
    Mistake(
        "flat",
        {"return gradient": "return gradient.reshape(-1)"},
        "The slopes are all there, but in one row. The gradient has x's shape: .reshape(x.shape) at the end, or fill "
        "np.zeros_like(x).",
    ),
    Mistake(
        "two axes only",
        {"np.ndindex(x.shape)": "np.ndindex(x.shape[0], x.shape[1])"},
        "x may have any number of axes, and here it has one: there is no x.shape[1]. np.ndindex(x.shape) walks through an array "
        "of any shape.",
        needs=r"shape\[1\]|, *\w+ *= *x\.shape",
    ),
    Mistake(
        "whole rows, which are no copies",
        {"np.ndindex(x.shape)": "range(len(x))", "x[index] - h": "x[index] - h * (x.ndim == 1)"},
        "x[i] is one number only if x has one axis. Here it is a row, nudged as a whole; and `old = x[i]` is no copy of it but "
        "the row itself, nudged too. np.ndindex(x.shape) gives the index of each number.",
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
