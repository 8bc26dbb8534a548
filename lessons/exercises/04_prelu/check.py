import numpy as np

from tinyalex.course import Formula, Mistake, Operation, Regions

HINTS = [
    "There are two cases. Where x > 0, y is x: its derivative with respect to x is 1, with "
    "respect to a it is 0. Elsewhere y is a[c] * x: its derivative with respect to x is a[c], "
    "with respect to a[c] it is x.",
    "np.where(condition, this, that) selects element by element, and a[:, None, None] broadcasts "
    "along the channels of (N, C, H, W). Multiply each derivative by dy; then sum da over the "
    "axes that a does not have: 0, 2 and 3.",
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
        "x = 0",
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
    layer = exercise.PReLU()
    layer.forward(x, a)
    return layer.backward(dy)


MISTAKES = [
    Mistake(
        "dx without dy",
        {"dx = dy * dy_dx": "dx = dy_dx"},
        "dx is the derivative of this layer alone. The chain rule multiplies it by dy, the "
        "upstream gradient.",
    ),
    Mistake(
        "da without dy",
        {"(dy * dy_da)": "dy_da"},
        "da sums the derivatives of this layer alone. The chain rule multiplies each by its dy "
        "before the sum.",
    ),
    Mistake(
        "mean",
        {".sum(axis=(0, 2, 3))": ".mean(axis=(0, 2, 3))"},
        "da is the mean over all uses of a[c]. The gradients of all uses are summed, not averaged.",
    ),
    Mistake(
        "da where x is positive too",
        {"np.where(positive, 0.0, self.x)": "self.x"},
        "da includes elements where x is positive. There y is x and does not depend on a: the "
        "derivative with respect to a is 0.",
    ),
    Mistake(
        "gradients exchanged",
        {"return dx, da": "return da, dx"},
        "The two gradients are exchanged. Return them in the order of forward's inputs: x, then a.",
    ),
    Mistake(
        "summed over the images only",
        {"axis=(0, 2, 3)": "axis=0"},
        "da still has an axis for rows and one for columns. a[c] is used in all of them: sum over "
        "axes 0, 2 and 3.",
    ),
    Mistake(
        "ReLU",
        {"np.where(positive, 1.0, self.a[:, None, None])": "np.where(positive, 1.0, 0.0)"},
        "Where x is not positive, dx is 0, as for ReLU. Here y is a[c] * x, whose derivative with "
        "respect to x is a[c].",
    ),
    Mistake(
        "one factor for all channels",
        {"self.a[:, None, None]": "self.a[0]"},
        "All channels use a[0]. Each channel has its own a[c]: a[:, None, None] broadcasts along "
        "the channels.",
    ),
    Mistake(
        "0 counted as positive",
        {"positive = self.x > 0": "positive = self.x >= 0"},
        "At x = 0 the derivative is 1. There y is a[c] * x, since 0 is not > 0, and the "
        "derivative is a[c]: use x > 0, not x >= 0.",
    ),
    Mistake(
        "da is 1 where x is positive",
        {"np.where(positive, 0.0, self.x)": "np.where(positive, 1.0, self.x)"},
        "da includes dy where x is positive. There y is x and does not depend on a: the "
        "derivative with respect to a is 0, not 1.",
    ),
]

PROBES = [
    {
        "x": RANDOM.uniform(0.2, 2, (2, 3, 3, 2))
        * np.tile([1, -1, -1, 1, 0, -1], 6).reshape(2, 3, 3, 2),
        "a": RANDOM.uniform(0.1, 0.9, 3),
        "dy": RANDOM.standard_normal((2, 3, 3, 2)),
    }
    for _ in range(2)
]


def arrays(inputs):
    x, dy = inputs["x"], inputs["dy"]
    a = np.broadcast_to(inputs["a"][:, None, None], x.shape)
    return {
        **{"x > 0": x > 0, "x < 0": x < 0, "x = 0": x == 0},
        **{"dy": dy, "x": x, "a": a, "dy * a": dy * a},
    }


def over(*axes):
    return lambda t: t.sum(axis=axes)


EXPLANATIONS = [
    Formula(
        """
        dx = dy * where(x > 0, 1, column(a))
        da = total(dy * where(x > 0, 0, x))
        """,
        {
            "column": Operation(
                lambda a: a[:, None, None],
                (),
                "a[c] for all elements of channel c",
                {"a[0], the first channel's": lambda a: a[0], "the mean of a": lambda a: a.mean()},
            ),
            "total": Operation(
                over(0, 2, 3),
                (),
                "the sum over images, rows and columns, axes 0, 2 and 3",
                {
                    "the sum over all axes, one number for all channels": lambda t: t.sum(),
                    "the sum over axes 0, 2 and 3, with axes of size 1 kept by keepdims=True": (
                        lambda t: t.sum(axis=(0, 2, 3), keepdims=True)
                    ),
                    "the mean over them": lambda t: t.mean(axis=(0, 2, 3)),
                    "the mean over the images": lambda t: t.sum(axis=(2, 3)).mean(axis=0),
                    "the sum over rows and columns only, without the images": over(2, 3),
                    "the sum over the images only, without rows and columns": over(0),
                    "the sum over axes 0 and 1": over(0, 1),
                    "the sum over axes 1, 2 and 3, one value for each image": over(1, 2, 3),
                    "the sum over axes 0, 1 and 2, one value for each column": over(0, 1, 2),
                    "the sum over axes 0, 1 and 3, one value for each row": over(0, 1, 3),
                    "the values of the first image only": lambda t: t[0].sum(axis=(1, 2)),
                },
            ),
        },
    ),
    Regions(
        "dx",
        {
            "where x > 0": ("x > 0", "dy"),
            "where x < 0": ("x < 0", "dy * a[c]"),
            "where x = 0": ("x = 0", "dy * a[c]"),
        },
        arrays,
    ),
]

WRITES_BACKWARD = True


def gradient(exercise):
    random = np.random.default_rng(1)
    inputs = [random.standard_normal((2, 3, 2, 2)), random.standard_normal(3)]
    return exercise.PReLU.apply, inputs
