import numpy as np

from tinyalex.learning import Mistake

HINTS = [
    "ReLU is a gate. Where x was positive it passes dy on as it is; elsewhere nothing gets through, whatever dy is.",
    "self.x > 0 is an array of True and False, of x's shape, and counts as 1 and 0 in a product.",
    "return dy * (self.x > 0)",
]

RANDOM = np.random.default_rng(0)

CASES = [
    (
        "five numbers",
        {"x": np.array([-2.0, -1.0, 0.5, 2.0, 3.0]), "dy": np.array([1.0, -2.0, 3.0, -4.0, 5.0])},
    ),
    ("0 itself", {"x": np.array([0.0, 1.0, -0.0]), "dy": np.array([5.0, 6.0, 7.0])}),
    (
        "images",
        {"x": RANDOM.standard_normal((2, 3, 4, 4)), "dy": RANDOM.standard_normal((2, 3, 4, 4))},
    ),
]

RESULTS = ("dx",)


def answer(exercise, x, dy):
    relu = exercise.ReLU()
    relu.forward(x)
    return relu.backward(dy)


MISTAKES = [
    Mistake(
        "gated by dy",
        {"dy * (self.x > 0)": "np.maximum(dy, 0)"},
        "This is ReLU of the gradient. What is let through depends on x, not on dy: a negative dy passes where x was positive.",
    ),
    Mistake(
        "gated by both",
        {"(self.x > 0)": "(self.x > 0) * (dy > 0)"},
        "Negative gradients are cut off too. A gate only looks at x: where it was positive, dy passes with its sign.",
    ),
    Mistake(
        "slope alone",
        {"dy * (self.x > 0)": "(self.x > 0) * 1.0"},
        "This is the slope of ReLU alone. The chain rule multiplies it by dy, the slope of all that follows.",
    ),
    Mistake(
        "times x",
        {"dy * (self.x > 0)": "dy * np.maximum(self.x, 0)"},
        "dy is multiplied by ReLU's output. The slope is what it takes: 1 where x > 0, else 0.",
    ),
    Mistake(
        "the opposite gate",
        {"self.x > 0": "self.x < 0"},
        "The gate is open where it should be closed: dy passes where x > 0.",
    ),
    Mistake(
        "0 let through",
        {"self.x > 0": "self.x >= 0"},
        "At x = 0 the slope is 1 here. ReLU has a kink there; tinyalex, like the others, takes 0: x > 0, without the =.",
    ),
]


def gradient(exercise):
    x = np.random.default_rng(1).uniform(0.1, 2, (3, 4))
    return exercise.ReLU.apply, [x * np.where(np.indices(x.shape).sum(0) % 2, 1, -1)]
