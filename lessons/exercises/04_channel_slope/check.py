import numpy as np

from tinyalex.learning import Mistake

HINTS = [
    "Two cases. Where x > 0, y is x: its slope along x is 1, along a it is 0. Elsewhere y is a[c] * x: its slope along x is a[c], "
    "and along a[c] it is x.",
    "np.where(condition, this, that) chooses element by element, and a[:, None, None] lies along the channels of (N, C, H, W). "
    "Each slope is multiplied by dy; da is then summed over the axes that a does not have: 0, 2 and 3.",
    "Line by line:\n\n"
    "    dx = dy * np.where(self.x > 0, 1.0, self.a[:, None, None])\n"
    "    da = (dy * np.where(self.x > 0, 0.0, self.x)).sum(axis=(0, 2, 3))",
]

RANDOM = np.random.default_rng(0)

CASES = [
    (
        "one channel",
        {
            "x": np.array([[[[2.0, -3.0], [-1.0, 4.0]]]]),
            "a": np.array([0.5]),
            "dy": np.array([[[[1.0, 10.0], [2.0, 3.0]]]]),
        },
    ),
    (
        "two channels",
        {
            "x": np.array([[[[2.0, -3.0, -1.0]], [[-2.0, 4.0, -5.0]]]]),
            "a": np.array([0.5, 10.0]),
            "dy": np.array([[[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]]]]),
        },
    ),
    (
        "0 itself",
        {
            "x": np.array([[[[0.0, 1.0, -1.0]]]]),
            "a": np.array([0.5]),
            "dy": np.array([[[[2.0, 4.0, 6.0]]]]),
        },
    ),
    (
        "two images, three channels",
        {
            "x": RANDOM.standard_normal((2, 3, 4, 5)),
            "a": np.array([0.1, 0.25, -0.5]),
            "dy": RANDOM.standard_normal((2, 3, 4, 5)),
        },
    ),
]

RESULTS = ("dx", "da")


def answer(exercise, x, a, dy):
    layer = exercise.ChannelSlope()
    layer.forward(x, a)
    return layer.backward(dy)


MISTAKES = [
    Mistake(
        "dx without dy",
        {"dx = dy * slope": "dx = slope"},
        "dx is the slope of this layer alone. The chain rule multiplies it by dy, the slope of all that follows.",
    ),
    Mistake(
        "da without dy",
        {"(dy * np.where(positive, 0.0, self.x))": "np.where(positive, 0.0, self.x)"},
        "da has the slope of this layer alone. The chain rule multiplies each by its dy, before they are summed.",
    ),
    Mistake(
        "mean",
        {".sum(axis=(0, 2, 3))": ".mean(axis=(0, 2, 3))"},
        "da is a mean over the places where a[c] is used. Each use changes the result by its full share: they add up, so take the "
        "sum.",
    ),
    Mistake(
        "da where x is positive too",
        {"np.where(positive, 0.0, self.x)": "self.x"},
        "da counts places where x is positive. There y is x, and a has no part in it: its slope along a is 0.",
    ),
    Mistake(
        "the other way round",
        {"return dx, da": "return da, dx"},
        "The two gradients are exchanged. They come back in the order in which forward takes its inputs: x, then a.",
    ),
    Mistake(
        "summed over the images only",
        {"axis=(0, 2, 3)": "axis=0"},
        "da still has an axis for rows and one for columns. a[c] is used at every one of them: sum over axes 0, 2 and 3.",
    ),
    Mistake(
        "ReLU",
        {"np.where(positive, 1.0, self.a[:, None, None])": "np.where(positive, 1.0, 0.0)"},
        "Where x is not positive, dx is 0, as it would be for ReLU. This layer lets a[c] * x through, whose slope along x is a[c].",
    ),
    Mistake(
        "one slope for all channels",
        {"self.a[:, None, None]": "self.a[0]"},
        "All channels have the slope of the first. Each has its own: a[:, None, None] lies along the channels.",
    ),
    Mistake(
        "0 counted as positive",
        {"positive = self.x > 0": "positive = self.x >= 0"},
        "At x = 0 the slope is 1 here. There y is a[c] * x, since 0 is not > 0, and its slope a[c]: x > 0, without the =.",
    ),
    Mistake(
        "da is not 0 where x is positive, but 1",
        {"np.where(positive, 0.0, self.x)": "np.where(positive, 1.0, self.x)"},
        "da counts dy itself where x is positive. There y is x, and does not depend on a: its slope along a is 0, not 1.",
    ),
]


def gradient(exercise):
    random = np.random.default_rng(1)
    return exercise.ChannelSlope.apply, [
        random.standard_normal((2, 3, 2, 2)),
        random.standard_normal(3),
    ]
