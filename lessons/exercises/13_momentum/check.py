import numpy as np

from tinyalex.learning import Mistake

HINTS = [
    "Two lines, as in the formula: first the new velocity from the old one, then the new weights with the new velocity.",
    "The learning rate is inside the velocity, with the gradient and with the decay. Make new arrays: `v = 0.9 * v` does, `v *= "
    "0.9` changes the array that was given.",
    "Line by line:\n\n    new_v = momentum * v - decay * lr * w - lr * g\n    return w + new_v, new_v",
]

RANDOM = np.random.default_rng(0)


def arrays(*shape):
    return {name: RANDOM.standard_normal(shape) for name in ("w", "v", "g")}


ONE = {"w": np.array([1.0, -2.0]), "v": np.array([0.0, 0.0]), "g": np.array([3.0, 4.0])}
MOVING = {"w": np.array([1.0, -2.0]), "v": np.array([0.5, 1.0]), "g": np.array([3.0, 4.0])}

CASES = [
    ("from rest, no decay", {**ONE, "lr": 0.1, "momentum": 0.9, "decay": 0.0}),
    ("moving", {**MOVING, "lr": 0.1, "momentum": 0.9, "decay": 0.0}),
    ("with decay", {**MOVING, "lr": 0.1, "momentum": 0.9, "decay": 0.5}),
    ("less momentum", {**MOVING, "lr": 0.1, "momentum": 0.5, "decay": 0.5}),
    ("the paper's numbers", {**arrays(4, 3), "lr": 0.01, "momentum": 0.9, "decay": 0.0005}),
]

RESULTS = ("w", "v")


def answer(exercise, w, v, g, lr, momentum, decay):
    return exercise.momentum_step(w, v, g, lr, momentum, decay)


MISTAKES = [
    Mistake(
        "torch's form",
        {"- decay * lr * w - lr * g": "+ decay * w + g", "w + new_v": "w - lr * new_v"},
        "This is torch's form: v collects gradients, and the rate is outside. In the paper v is the step itself, with the rate "
        "inside and the minus in front. The two differ as soon as the rate changes.",
    ),
    Mistake(
        "uphill",
        {"- lr * g": "+ lr * g"},
        "The step goes along the gradient, uphill. The loss falls against it: - lr * g.",
    ),
    Mistake(
        "subtracted twice",
        {"w + new_v": "w - new_v"},
        "v already has the minus of - lr * g in it, so it is added to w. Subtracting turns the step around.",
    ),
    Mistake(
        "the old velocity",
        {"w + new_v, new_v": "w + v, new_v"},
        "w moves by the old velocity. First make the new v, then move by that.",
    ),
    Mistake(
        "no momentum",
        {"momentum * v - decay": "- decay"},
        "The old velocity is forgotten: each step keeps `momentum` times the one before it.",
    ),
    Mistake(
        "(1 - momentum) of the gradient",
        {"- lr * g": "- lr * (1 - momentum) * g"},
        "The gradient is multiplied by 1 - momentum, as in a running mean. In the paper it has the full rate.",
    ),
    Mistake(
        "decay without the rate",
        {"decay * lr * w": "decay * w"},
        "The decay is not multiplied by the learning rate: it is decay * lr * w, so that it becomes weaker when the rate drops.",
    ),
    Mistake(
        "growth for decay",
        {"- decay * lr": "+ decay * lr"},
        "The weights grow by their own size. Decay pulls them towards 0: - decay * lr * w.",
    ),
    Mistake(
        "decay forgotten",
        {" - decay * lr * w": ""},
        "The decay is missing: v also gets - decay * lr * w.",
    ),
    Mistake(
        "decay beside the momentum",
        {"- decay * lr * w": "", "w + new_v,": "w + new_v - decay * lr * w,"},
        "The decay pulls at w directly, past the velocity (as in AdamW). In the paper it is part of v, and is carried on by "
        "momentum.",
    ),
    Mistake(
        "0.9 and 0.0005, whatever is given",
        {"momentum * v - decay": "0.9 * v - 0.0005"},
        "The paper's 0.9 and 0.0005 stand in the code. They are only what is taken if nobody says otherwise: use momentum and "
        "decay.",
    ),
    Mistake(
        "0.9, whatever is given",
        {"momentum * v": "0.9 * v"},
        "The paper's 0.9 stands in the code. It is only what is taken if nobody says otherwise: use momentum.",
    ),
]
