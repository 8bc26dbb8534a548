import numpy as np

from tinyalex.course import Mistake

HINTS = [
    "update_ratio: compute the step first, then two norms, each of a whole array. dead_units: the "
    "channels are axis 1; a channel is dead if something holds for all elements on the other axes.",
    "np.sqrt((a**2).sum()) is the norm for any number of axes. (y == 0).all(axis=...) takes "
    "several axes: (0, 2, 3) of a convolution, 0 of a linear layer.",
    "Line by line:\n\n    step = lr * (g + decay * w)\n    return np.sqrt((step**2).sum() / "
    "(w**2).sum())\n\n    axes = (0, *range(2, y.ndim))\n    return (y == 0).all(axis=axes).mean()",
]

RANDOM = np.random.default_rng(0)


def activations(*shape, dead=0):
    """Outputs of a ReLU, of which the first `dead` channels are 0."""
    y = np.maximum(RANDOM.standard_normal(shape), 0)
    y[:, :dead] = 0
    return y


LINEAR = np.array([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 5.0], [0.0, 2.0, 0.0, 1.0]])

CASES = [
    (
        "two weights, a linear layer",
        {
            "w": np.array([3.0, 4.0]),
            "g": np.array([0.0, 10.0]),
            "lr": 0.1,
            "decay": 0.0,
            "y": LINEAR,
        },
    ),
    (
        "another rate, and a matrix",
        {
            "w": np.array([[1.0, -2.0], [2.0, 4.0]]),
            "g": np.array([[0.5, 1.0], [-1.0, 0.0]]),
            "lr": 0.02,
            "decay": 0.0,
            "y": activations(4, 5, dead=2),
        },
    ),
    (
        "with decay",
        {
            "w": np.array([1.0, -2.0]),
            "g": np.array([3.0, 1.0]),
            "lr": 0.1,
            "decay": 0.5,
            "y": activations(6, 4),
        },
    ),
    (
        "a convolution",
        {
            "w": RANDOM.standard_normal((4, 3, 2, 2)),
            "g": RANDOM.standard_normal((4, 3, 2, 2)),
            "lr": 0.01,
            "decay": 0.01,
            "y": activations(2, 8, 3, 3, dead=3),
        },
    ),
    (
        "few images, many zeros",
        {
            "w": RANDOM.standard_normal((2, 5)),
            "g": RANDOM.standard_normal((2, 5)),
            "lr": 0.3,
            "decay": 0.0005,
            "y": np.maximum(RANDOM.standard_normal((3, 6, 2, 1)) - 1, 0),
        },
    ),
]

RESULTS = ("ratio", "dead")


def answer(exercise, w, g, lr, decay, y):
    return exercise.update_ratio(w, g, lr, decay), exercise.dead_units(y)


STEP = "lr * (g + decay * w)"
RATIO = "np.sqrt((step**2).sum()) / np.sqrt((w**2).sum())"
DEAD = "(y == 0).all(axis=axes).mean()"

MISTAKES = [
    Mistake(
        "no rate",
        {STEP: "g + decay * w"},
        "The learning rate is missing: this compares the gradient with the weights, not the step.",
    ),
    Mistake(
        "no decay",
        {STEP: "lr * g"},
        "The decay is missing in the step: it is lr * (g + decay * w).",
    ),
    Mistake(
        "decay without the rate",
        {STEP: "lr * g + decay * w"},
        "The decay is not multiplied by lr. Both terms of the step are.",
    ),
    Mistake(
        "decay with the opposite sign",
        {STEP: "lr * (g - decay * w)"},
        "The decay is subtracted from the gradient. Both have the same sign in the step.",
    ),
    Mistake(
        "squares",
        {RATIO: "(step**2).sum() / (w**2).sum()"},
        "This is the square of the ratio: the norm is the square root of the sum of squares.",
    ),
    Mistake(
        "mean of the ratios",
        {RATIO: "abs(step / w).mean()"},
        "This is the mean of the elements' ratios. A single weight near 0 makes it large: divide "
        "the norm of the whole step by the norm of all weights.",
    ),
    Mistake(
        "sums of magnitudes",
        {RATIO: "abs(step).sum() / abs(w).sum()"},
        "Magnitudes are summed. The norm sums squares, and takes the square root of the sum.",
    ),
    Mistake(
        "largest magnitudes",
        {RATIO: "abs(step).max() / abs(w).max()"},
        "The largest elements are compared. The norm is of all elements: the square root of the "
        "sum of squares.",
    ),
    Mistake(
        "inverted",
        {RATIO: "np.sqrt((w**2).sum()) / np.sqrt((step**2).sum())"},
        "The fraction is inverted. This is the number of steps, 1 / ratio.",
    ),
    Mistake(
        "norm of the new weights",
        {RATIO: "np.sqrt((step**2).sum()) / np.sqrt(((w - step)**2).sum())"},
        "The step is divided by the norm of the weights after it. Use the weights before it.",
    ),
    Mistake(
        "largest singular value",
        {RATIO: "np.linalg.norm(step, 2) / np.linalg.norm(w, 2)"},
        "np.linalg.norm(a, 2) of a matrix is its largest singular value. Without the 2, it is the "
        "square root of the sum of squares.",
        needs=r"norm\([^)]*, *(ord *= *)?2\)",
    ),
    Mistake(
        "fraction of zeros",
        {DEAD: "(y == 0).mean()"},
        "This is the fraction of elements that are 0. About half of a ReLU's elements are; a "
        "channel is dead only if it is 0 for all images and at all positions.",
    ),
    Mistake(
        "any zero",
        {".all(axis=axes)": ".any(axis=axes)"},
        "This counts the channels that are 0 somewhere. A dead channel is 0 everywhere: all.",
    ),
    Mistake(
        "living units",
        {DEAD: "(y != 0).any(axis=axes).mean()"},
        "This is the fraction of channels that are not dead.",
    ),
    Mistake(
        "sum of the channels",
        {DEAD: "(y == 0).all(axis=axes).sum()"},
        "This is the number of dead channels. Divide it by the number of channels.",
    ),
    Mistake(
        "images",
        {"(0, *range(2, y.ndim))": "tuple(range(1, y.ndim))"},
        "This is the fraction of images that are 0 in all channels. Keep the channels, axis 1.",
    ),
    Mistake(
        "positions as units",
        {DEAD: "(y == 0).all(axis=0).mean()"},
        "Each position of a map is counted as a unit of its own. A channel is dead if it is 0 at "
        "all positions: axes 2 and 3 too.",
    ),
    Mistake(
        "first image only",
        {DEAD: "(y[:1] == 0).all(axis=axes).mean()"},
        "Only the first image is examined. A channel that is 0 for one image may be positive for "
        "another.",
    ),
]

WRITES_BACKWARD = False
gradient = None
