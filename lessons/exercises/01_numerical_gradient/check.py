from functools import wraps

import numpy as np

import tinyalex as ta
from tinyalex.course import Mistake

HINTS = [
    "Perturb one element at a time: compute f with the element increased by h, then with the "
    "element decreased by h. Divide the difference by the distance between the two points, 2*h.",
    "`for index in np.ndindex(x.shape):` visits all elements of an array of any shape, and "
    "x[index] is one element. Change a copy: x.copy().",
    "Start with gradient = np.zeros_like(x). In the loop:\n\n"
    "    moved = x.copy()\n"
    "    moved[index] = x[index] + h\n"
    "    up = f(moved)\n\n"
    "Compute `down` in the same way, with - h, and then:\n\n"
    "    gradient[index] = (up - down) / (2 * h)",
]


class WrongShapeError(ValueError):
    """f was called with an argument whose shape is not x's."""


def expects(*shape):
    """Make f raise an error for other shapes; NumPy would often accept a slice of x."""

    def decorate(f):
        @wraps(f)
        def strict(x):
            if np.shape(x) != shape:
                got = f"an array of shape {np.shape(x)}" if np.ndim(x) else "a number"
                raise WrongShapeError(f"f expects an array of x's shape, {shape}, got {got}")
            return f(x)

        return strict

    return decorate


def cubes(x):
    """the sum of x**3"""
    return (x**3).sum()


def neighbours(x):
    """the sum of x[i, j+1] * x[i, j]**2 over neighbours in a row, plus exp(x[0, 0])"""
    return (x[:, 1:] * x[:, :-1] ** 2).sum() + np.exp(x[0, 0])


# The central difference of x**3 is 3*x**2 + h**2: with h = 0.1, a one-sided difference
# differs clearly.
CASES = [
    ("three elements, cubed", {"f": expects(3)(cubes), "x": np.array([1.0, 2.0, -1.0]), "h": 0.1}),
    (
        "a matrix, products of neighbouring elements",
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


UP, DOWN = "moved[index] = x[index] + h", "moved[index] = x[index] - h"
ALL_UP, ALL_DOWN = "moved[...] = x + h", "moved[...] = x - h"

MISTAKES = [
    Mistake(
        "one-sided difference",
        {DOWN: "moved[index] = x[index]", "/ (2 * h)": "/ h"},
        "This is the one-sided difference, (f(x + h) - f(x)) / h, whose error is proportional to "
        "h. Use f(x + h) and f(x - h): their errors of this order cancel.",
    ),
    Mistake(
        "divided by h",
        {"/ (2 * h)": "/ h"},
        "All values are too large by a factor of 2. The distance from x - h to x + h is 2*h: "
        "divide by that.",
    ),
    Mistake(
        "divided by 2, multiplied by h",
        {"/ (2 * h)": "/ 2 * h"},
        "Python evaluates `/ 2 * h` from left to right: it divides by 2, then multiplies by h. "
        "Write / (2 * h).",
    ),
    Mistake(
        "only increased, divided by 2*h",
        {DOWN: "moved[index] = x[index]"},
        "This is (f(x + h) - f(x)) / (2*h): the second value is not that of x - h. If your code "
        "does compute x[index] - h, then x itself was changed before: `a = x` gives the same "
        "array a second name. x.copy() makes a new one.",
    ),
    Mistake(
        "opposite sign",
        {"(up - down)": "(down - up)"},
        "All signs are wrong. Subtract f(x - h) from f(x + h), not the reverse.",
    ),
    Mistake(
        "earlier perturbations kept in a copy",
        {
            "    for index": "    moved = x.copy()\n    for index",
            "        moved = x.copy()\n": "",
        },
        "Earlier elements are still perturbed. Make a new copy of x for each element, or restore "
        "the old value.",
    ),
    Mistake(
        "earlier perturbations kept in x",
        {"x.copy()": "x", DOWN: "moved[index] -= 2 * h"},
        "x itself is changed, and an element is still decreased by h when the next one is "
        "perturbed. Change a copy, x.copy(), or restore the old value.",
    ),
    Mistake(
        "all elements at once",
        {UP: ALL_UP, DOWN: ALL_DOWN},
        "All elements are perturbed together, so each result is the sum of all derivatives. "
        "Perturb one element and keep the others.",
    ),
    Mistake(
        "rows for elements",
        {"np.ndindex(x.shape)": "range(len(x))"},
        "A whole row is perturbed at once: x[i] is one element only if x has one axis. "
        "np.ndindex(x.shape) yields the index of each element.",
    ),
    Mistake(
        "one value per row",
        {"np.ndindex(x.shape)": "range(len(x))", "np.zeros_like(x)": "np.zeros(len(x))"},
        "There is one derivative per row, since len(x) is the number of rows. np.ndindex(x.shape) "
        "yields the index of each element, and np.zeros_like(x) has x's shape.",
    ),
    Mistake(
        "x.size as the number of rows",
        {"np.ndindex(x.shape)": "range(x.size)"},
        "x.size is the number of elements, but x[i] with one index is a row, and x has fewer "
        "rows. np.ndindex(x.shape) yields the index of each element; x.reshape(-1) has one axis.",
        needs=r"\.size",
    ),
    Mistake(
        "f of one element",
        {"up = f(moved)": "up = f(moved[index])", "down = f(moved)": "down = f(moved[index])"},
        "f expects the whole array with one element perturbed, not that element alone: its value "
        "depends on the others too. Change one element of a copy, x.copy(), and call f with the "
        "copy.",
    ),
    Mistake(
        "f of a flat array",
        {
            "up = f(moved)": "up = f(moved.reshape(-1))",
            "down = f(moved)": "down = f(moved.reshape(-1))",
        },
        "f expects an array of x's shape and got a flat one. Reshape its argument: "
        "f(flat.reshape(x.shape)).",
    ),
    Mistake(
        "all elements at once, one number returned",
        {UP: ALL_UP, DOWN: ALL_DOWN, "return gradient": "return (up - down) / (2 * h)"},
        "All elements are perturbed together, which gives one number, the sum of all derivatives. "
        "Loop over the elements: perturb one and keep the others.",
    ),
    Mistake(
        "f called twice with the same values",
        {"(up - down)": "(up - up)"},
        "Both calls of f got the same values, so the difference is 0. `up = x` and `down = x`, or "
        "x[:], are all the same array, in which + h and - h cancel: use x.copy(). If you change a "
        "copy, call f with the copy, not with x.",
    ),
    Mistake(
        "return in the loop",
        {"    return gradient": "        return gradient"},
        "Only the first derivative is computed, the others are 0: the `return` is inside the loop "
        "and ends it. Indent it less.",
    ),
    Mistake(
        "h ignored",
        {"    gradient = np": "    h = 1e-5\n    gradient = np"},
        "The step is a constant, such as 1e-5. Use the argument h: 1e-5 is only its default.",
    ),
    Mistake(
        "relative step",
        {"x[index] + h": "x[index] * (1 + h)", "x[index] - h": "x[index] * (1 - h)"},
        "Each element is multiplied by 1 + h and 1 - h, so the step is proportional to the "
        "element, and 0 for 0. Add and subtract h.",
    ),
    Mistake(
        "copies made before the loop",
        {
            "    for index": "    plus, minus = x.copy(), x.copy()\n    for index",
            "        moved = x.copy()\n": "        plus[index] += h\n",
            UP: "minus[index] -= h",
            "up = f(moved)": "up = f(plus)",
            DOWN: "pass",
            "down = f(moved)": "down = f(minus)",
        },
        "The copies are made once, before the loop, so they keep all earlier perturbations. Make "
        "new copies for each element, inside the loop.",
    ),
    Mistake(
        "flat gradient",
        {"return gradient": "return gradient.reshape(-1)"},
        "The derivatives are right, but in a flat array. The gradient has x's shape: add "
        ".reshape(x.shape), or fill np.zeros_like(x).",
    ),
    Mistake(
        "two axes only",
        {"np.ndindex(x.shape)": "np.ndindex(x.shape[0], x.shape[1])"},
        "x can have any number of axes. Here it has one, so there is no x.shape[1]. "
        "np.ndindex(x.shape) works for any shape.",
        needs=r"shape\[1\]|, *\w+ *= *x\.shape",
    ),
    Mistake(
        "rows for elements, saved as a view",
        {"np.ndindex(x.shape)": "range(len(x))", "x[index] - h": "x[index] - h * (x.ndim == 1)"},
        "x[i] is one element only if x has one axis. Here it is a row and is perturbed as a "
        "whole; `old = x[i]` is a view of the row, so it changes too. np.ndindex(x.shape) yields "
        "the index of each element.",
    ),
]

WRITES_BACKWARD = False


def gradient(exercise):
    """A Function whose backward calls the learner's function."""

    class Neighbours(ta.Function):
        def forward(self, x):
            self.x = x
            return np.array(neighbours(x))

        def backward(self, dy):
            return dy * exercise.numerical_gradient(neighbours, self.x)

    return Neighbours.apply, [np.random.default_rng(0).standard_normal((2, 3))]
