import numpy as np

import tinyalex as ta
from tinyalex.course import Mistake

HINTS = [
    "Which axes of dy were repeated? Those in front that `shape` does not have, and those where "
    "`shape` has size 1. Sum over all of them.",
    "The number of axes in front is dy.ndim - len(shape). Sum over these first. The remaining "
    "axes are those of `shape`: sum over the ones of size 1 with keepdims=True, which keeps them.",
    "A sum over no axes, axis=(), changes nothing, so this works for every shape:\n\n"
    "    dy = dy.sum(axis=tuple(range(dy.ndim - len(shape))))\n"
    "    ones = tuple(axis for axis, size in enumerate(shape) if size == 1)\n"
    "    return dy.sum(axis=ones, keepdims=True)",
]

COUNT = np.arange(1.0, 7.0).reshape(2, 3)
MORE = np.arange(1.0, 25.0).reshape(4, 2, 3)

CASES = [
    ("nothing was repeated", {"dy": COUNT, "shape": (2, 3)}),
    ("a bias", {"dy": COUNT, "shape": (3,)}),
    ("a column", {"dy": COUNT, "shape": (2, 1)}),
    ("a new axis, and one of size 1", {"dy": MORE, "shape": (2, 1)}),
    ("two new axes", {"dy": MORE, "shape": (3,)}),
    ("two axes of size 1", {"dy": MORE, "shape": (1, 2, 1)}),
    ("a single number", {"dy": MORE, "shape": ()}),
]

RESULTS = ("gradient",)


def answer(exercise, dy, shape):
    return exercise.unbroadcast(dy, shape)


MISTAKES = [
    Mistake(
        "mean",
        {
            "dy.sum(axis=tuple(range(new)))": "dy.mean(axis=tuple(range(new)))",
            "dy.sum(axis=repeated": "dy.mean(axis=repeated",
        },
        "This is the mean over the uses. The gradients of all uses are summed, not averaged.",
    ),
    Mistake(
        "axes of size 1 forgotten",
        {"return dy.sum(axis=repeated, keepdims=True)": "return dy"},
        "The axes in front are summed. Those where `shape` has size 1 were repeated too: sum over "
        "them with keepdims=True.",
    ),
    Mistake(
        "keepdims forgotten",
        {", keepdims=True": ""},
        "The right axes are summed, but those of size 1 are removed. keepdims=True keeps them.",
    ),
    Mistake(
        "first use only",
        {"dy = dy.sum(axis=tuple(range(new)))": "dy = dy[(0,) * new]"},
        "Only the first use of each element is counted. It was used once per index of the new "
        "axis: sum over that axis.",
    ),
    Mistake(
        "new axes forgotten",
        {"dy = dy.sum(axis=tuple(range(new)))": "pass"},
        "The axes that `shape` does not have are still there: NumPy added dy.ndim - len(shape) "
        "axes in front. Sum over them.",
    ),
    Mistake(
        "new axes at the end",
        {"tuple(range(new))": "tuple(range(dy.ndim - new, dy.ndim))"},
        "The sum is over the last axes. Broadcasting aligns shapes at the last axis and adds new "
        "axes in front: sum over the first ones.",
    ),
    Mistake(
        "one new axis only",
        {"tuple(range(new))": "tuple(range(min(new, 1)))"},
        "Only one of the new axes is summed. There are dy.ndim - len(shape) of them: use `while "
        "dy.ndim > len(shape)`, not `if`.",
    ),
]

WRITES_BACKWARD = True


def gradient(exercise):
    """x + bias, whose backward uses the learner's function."""

    class Add(ta.Function):
        def forward(self, x, bias):
            self.shapes = x.shape, bias.shape
            return x + bias

        def backward(self, dy):
            return tuple(exercise.unbroadcast(dy, shape) for shape in self.shapes)

    random = np.random.default_rng(0)
    return Add.apply, [random.standard_normal((2, 1, 3)), random.standard_normal((4, 1))]
