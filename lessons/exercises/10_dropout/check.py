import numpy as np

from tinyalex.course import Mistake

HINTS = [
    "In training each element is multiplied by 0 or by 1 / (1 - p). Compute this array of factors "
    "once, in forward, and store it: backward multiplies by the same factors.",
    "u >= p is a bool array; divided by (1 - p) it is the array of factors. If not training, the "
    "factor is 1.",
    "In forward:\n\n"
    "    self.scale = (u >= p) / (1 - p) if training else 1.0\n"
    "    return x * self.scale\n\n"
    "In backward:\n\n"
    "    return dy * self.scale",
]

RANDOM = np.random.default_rng(0)
U = np.array([0.9, 0.1, 0.3, 0.6])
X = np.array([1.0, 2.0, 3.0, 4.0])
DY = np.array([10.0, 20.0, 30.0, 40.0])

CASES = [
    ("p = 1/2", {"x": X, "dy": DY, "p": 0.5, "u": U, "training": True}),
    ("p = 1/5", {"x": X, "dy": DY, "p": 0.2, "u": U, "training": True}),
    (
        "u equal to p",
        {"x": X, "dy": DY, "p": 0.5, "u": np.array([0.5, 0.25, 0.75, 0.5]), "training": True},
    ),
    ("testing", {"x": X, "dy": DY, "p": 0.2, "u": U, "training": False}),
    (
        "a batch",
        {
            "x": RANDOM.standard_normal((5, 8)),
            "dy": RANDOM.standard_normal((5, 8)),
            "p": 0.3,
            "u": RANDOM.random((5, 8)),
            "training": True,
        },
    ),
]

RESULTS = ("y", "dx")


def answer(exercise, x, dy, **options):
    dropout = exercise.Dropout()
    y = dropout.forward(x, **options)
    return y, dropout.backward(dy)


MISTAKES = [
    Mistake(
        "not scaled",
        {" / (1 - p) if training": " * 1.0 if training"},
        "Kept elements are not scaled, so the next layer's input is smaller in training than in "
        "testing: divide by 1 - p. (The paper scales in testing instead; here it is inverted "
        "dropout.)",
    ),
    Mistake(
        "opposite mask",
        {"u >= p": "u < p"},
        "The mask is inverted. p is the fraction that is dropped, so an element is kept where u "
        ">= p.",
    ),
    Mistake(
        "divided by p",
        {"/ (1 - p)": "/ p"},
        "The factor is 1 / p, where p is the fraction that is dropped. The fraction that is kept "
        "is 1 - p: divide by (1 - p).",
    ),
    Mistake(
        "backward not scaled",
        {"return dy * self.scale": "return dy * (self.scale > 0)"},
        "backward uses the mask but not the factor. y is x / (1 - p) where x is kept, so the "
        "derivative is 1 / (1 - p).",
    ),
    Mistake(
        "backward without mask",
        {
            "return dy * self.scale": "return dy * np.max(self.scale)",
            "import tinyalex as ta": "import numpy as np\n\nimport tinyalex as ta",
        },
        "backward does not use the mask. The output does not depend on an element that was "
        "dropped: its gradient is 0. Store the mask in forward.",
    ),
    Mistake(
        "dropped in testing too",
        {" if training else 1.0": ""},
        "Elements are dropped in testing. If not training, y is x and dx is dy.",
    ),
    Mistake(
        "scaled in testing",
        {"else 1.0": "else 1 - p"},
        "In testing the elements are multiplied by 1 - p, as in the paper. Here the scaling is "
        "done in training, and testing is y = x.",
    ),
    Mistake(
        "> for >=",
        {"u >= p": "u > p"},
        "An element whose u is equal to p is dropped. Keep it where u >= p: u can be 0, and with "
        "p = 0 all elements must be kept.",
    ),
    Mistake(
        "backward as in testing",
        {"return dy * self.scale": "return dy"},
        "backward returns dy unchanged. In training it has the same mask and the same factor as "
        "forward: store them in self.",
    ),
]

WRITES_BACKWARD = True


def gradient(exercise):
    random = np.random.default_rng(1)
    x, u = random.standard_normal((4, 5)), random.random((4, 5))

    def dropout(x):
        return exercise.Dropout.apply(x, p=0.4, u=u, training=True)

    return dropout, [x]
