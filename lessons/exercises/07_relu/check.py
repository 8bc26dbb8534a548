import numpy as np

from tinyalex.course import Mistake, Regions

HINTS = [
    "ReLU's backward is a mask. Where x is positive, dx is dy; elsewhere dx is 0, whatever dy is.",
    "self.x > 0 is a bool array of x's shape. In a multiplication True is 1 and False is 0.",
    "return dy * (self.x > 0)",
]

RANDOM = np.random.default_rng(0)

CASES = [
    (
        "five elements",
        {"x": np.array([-2.0, -1.0, 0.5, 2.0, 3.0]), "dy": np.array([1.0, -2.0, 3.0, -4.0, 5.0])},
    ),
    ("x = 0", {"x": np.array([0.0, 1.0, -0.0]), "dy": np.array([5.0, 6.0, 7.0])}),
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
        "masked by dy",
        {"dy * (self.x > 0)": "np.maximum(dy, 0)"},
        "This is ReLU of the gradient. The mask depends on x, not on dy: a negative dy is passed "
        "on where x is positive.",
    ),
    Mistake(
        "masked by both",
        {"(self.x > 0)": "(self.x > 0) * (dy > 0)"},
        "Negative gradients are set to 0 too. The mask depends on x alone: where x is positive, "
        "dx is dy, with its sign.",
    ),
    Mistake(
        "derivative alone",
        {"dy * (self.x > 0)": "(self.x > 0) * 1.0"},
        "This is the derivative of ReLU alone. The chain rule multiplies it by dy, the upstream "
        "gradient.",
    ),
    Mistake(
        "times x",
        {"dy * (self.x > 0)": "dy * np.maximum(self.x, 0)"},
        "dy is multiplied by ReLU's output. Multiply it by ReLU's derivative: 1 where x > 0, else "
        "0.",
    ),
    Mistake(
        "opposite mask",
        {"self.x > 0": "self.x < 0"},
        "The mask is inverted: dx is dy where x > 0, and 0 elsewhere.",
    ),
    Mistake(
        "derivative 1 at 0",
        {"self.x > 0": "self.x >= 0"},
        "Your derivative at x = 0 is 1. ReLU has none there, and tinyalex, like other frameworks, "
        "uses 0: x > 0, not x >= 0.",
    ),
]

PROBES = [
    {
        "x": RANDOM.uniform(0.2, 2, 12) * np.tile([1, -1, 0], 4),
        "dy": RANDOM.uniform(0.2, 2, 12) * np.repeat([1, -1], 6),
    }
    for _ in range(2)
]


def arrays(inputs):
    x, dy = inputs["x"], inputs["dy"]
    return {"x > 0": x > 0, "x < 0": x < 0, "x = 0": x == 0, "dy": dy, "x": x}


CHAIN_RULE = (
    "The chain rule multiplies dy, the upstream gradient, by the derivative of ReLU; the values of "
    "x do not occur in it, only their signs."
)

EXPLANATIONS = [
    Regions(
        "dx",
        {
            "where x > 0": ("x > 0", "dy"),
            "where x < 0": ("x < 0", "0"),
            "where x = 0": ("x = 0", "0"),
        },
        arrays,
        {
            "x": CHAIN_RULE,
            "1": CHAIN_RULE,
            "dy * x": CHAIN_RULE,
            "the sign of dy": CHAIN_RULE,
            "dy": "The mask must be x > 0. (y >= 0, for example, is true for all elements, since y "
            "is never negative.)",
            "-dy": "The mask must be 0 there: np.sign is -1 for negative values.",
            "dy at some elements and 0 at others": "Your mask selects other elements than x > 0.",
            "the larger of dy and 0": "A mask of x does not depend on the sign of dy.",
        },
    ),
]

WRITES_BACKWARD = True


def gradient(exercise):
    x = np.random.default_rng(1).uniform(0.1, 2, (3, 4))
    return exercise.ReLU.apply, [x * np.where(np.indices(x.shape).sum(0) % 2, 1, -1)]
