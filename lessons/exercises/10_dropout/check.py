import numpy as np

from tinyalex.learning import Mistake

HINTS = [
    "In training each number is multiplied by 0 or by 1 / (1 - p). Make that array of factors once, in forward, and keep it: "
    "backward multiplies by the same ones.",
    "u >= p is an array of True and False; divided by (1 - p) it has the factors. Without training the factor is 1.",
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
    ("a fifth dropped", {"x": X, "dy": DY, "p": 0.2, "u": U, "training": True}),
    (
        "u as large as p",
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
        "What is kept is not scaled, so that the next layer gets less in training than in testing: divide by 1 - p. (The paper "
        "does it the other way, and halves in testing; here it is the inverted form.)",
    ),
    Mistake(
        "the dropped ones kept",
        {"u >= p": "u < p"},
        "The gate is open where it should be closed: p is how many are dropped, so a number is kept where u >= p.",
    ),
    Mistake(
        "divided by p",
        {"/ (1 - p)": "/ p"},
        "It is divided by p, the share that is dropped. Of all numbers 1 - p are kept, and their sum must make up for the others: "
        "/ (1 - p).",
    ),
    Mistake(
        "backward not scaled",
        {"return dy * self.scale": "return dy * (self.scale > 0)"},
        "backward has the gates, but not the factor: y is x / (1 - p) where it is kept, so its slope is 1 / (1 - p).",
    ),
    Mistake(
        "backward without gates",
        {
            "return dy * self.scale": "return dy * np.max(self.scale)",
            "import tinyalex as ta": "import numpy as np\n\nimport tinyalex as ta",
        },
        "backward lets everything through. A number that was dropped had no part in the result: its gradient is 0. Keep forward's "
        "mask.",
    ),
    Mistake(
        "testing drops too",
        {" if training else 1.0": ""},
        "Numbers are dropped in testing. Dropout is for training only: otherwise y is x, and dx is dy.",
    ),
    Mistake(
        "testing scaled",
        {"else 1.0": "else 1 - p"},
        "In testing the numbers are multiplied by 1 - p, as the paper does it. Here the scaling is done in training, so testing "
        "does nothing.",
    ),
    Mistake(
        "> for >=",
        {"u >= p": "u > p"},
        "A number whose u is p is dropped. It is kept where u >= p: u can be 0, and with p = 0 nothing may be dropped.",
    ),
    Mistake(
        "backward as in testing",
        {"return dy * self.scale": "return dy"},
        "backward passes dy on as it is. In training it has the same gates as forward, and the same factor: keep them in self.",
    ),
]


def gradient(exercise):
    random = np.random.default_rng(1)
    x, u = random.standard_normal((4, 5)), random.random((4, 5))

    def dropout(x):
        return exercise.Dropout.apply(x, p=0.4, u=u, training=True)

    return dropout, [x]
