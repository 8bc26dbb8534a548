import numpy as np

from tinyalex.course import Formula, Mistake

HINTS = [
    "Two lines, as in the formula: first compute the new velocity from the old one, then the new "
    "weights from the new velocity.",
    "In the velocity, both the gradient and the decay are multiplied by the learning rate. Make "
    "new arrays: `v = 0.9 * v` creates one, `v *= 0.9` modifies the argument.",
    "Line by line:\n\n    new_v = momentum * v - decay * lr * w - lr * g\n    return w + new_v, "
    "new_v",
]

RANDOM = np.random.default_rng(0)


def arrays(*shape):
    return {name: RANDOM.standard_normal(shape) for name in ("w", "v", "g")}


ONE = {"w": np.array([1.0, -2.0]), "v": np.array([0.0, 0.0]), "g": np.array([3.0, 4.0])}
MOVING = {"w": np.array([1.0, -2.0]), "v": np.array([0.5, 1.0]), "g": np.array([3.0, 4.0])}

CASES = [
    ("v = 0, no decay", {**ONE, "lr": 0.1, "momentum": 0.9, "decay": 0.0}),
    ("v not 0, no decay", {**MOVING, "lr": 0.1, "momentum": 0.9, "decay": 0.0}),
    ("with decay", {**MOVING, "lr": 0.1, "momentum": 0.9, "decay": 0.5}),
    ("another momentum", {**MOVING, "lr": 0.1, "momentum": 0.5, "decay": 0.5}),
    ("the paper's constants", {**arrays(4, 3), "lr": 0.01, "momentum": 0.9, "decay": 0.0005}),
]

RESULTS = ("w", "v")


def answer(exercise, w, v, g, lr, momentum, decay):
    return exercise.momentum_step(w, v, g, lr, momentum, decay)


MISTAKES = [
    Mistake(
        "torch's rule",
        {"- decay * lr * w - lr * g": "+ decay * w + g", "w + new_v": "w - lr * new_v"},
        "This is torch's rule: v sums gradients, and w changes by -lr * v. In the paper v is the "
        "step itself and includes -lr. The two differ when the learning rate changes.",
    ),
    Mistake(
        "gradient ascent",
        {"- lr * g": "+ lr * g"},
        "The step is in the direction of the gradient, which increases the loss. Use - lr * g.",
    ),
    Mistake(
        "v subtracted",
        {"w + new_v": "w - new_v"},
        "v is subtracted from w. v already includes the minus of - lr * g: add it.",
    ),
    Mistake(
        "old velocity",
        {"w + new_v, new_v": "w + v, new_v"},
        "w changes by the old velocity. Compute the new v first, and add that.",
    ),
    Mistake(
        "no momentum",
        {"momentum * v - decay": "- decay"},
        "The old velocity is not used. The new one includes momentum * v.",
    ),
    Mistake(
        "1 - momentum",
        {"- lr * g": "- lr * (1 - momentum) * g"},
        "The gradient is multiplied by 1 - momentum, as in a moving average. In the paper it is "
        "multiplied by lr alone.",
    ),
    Mistake(
        "decay without the rate",
        {"decay * lr * w": "decay * w"},
        "The decay is not multiplied by the learning rate. It is decay * lr * w, which becomes "
        "smaller when the rate does.",
    ),
    Mistake(
        "decay with the opposite sign",
        {"- decay * lr": "+ decay * lr"},
        "The decay term increases the weights. Decay moves them towards 0: - decay * lr * w.",
    ),
    Mistake(
        "no decay",
        {" - decay * lr * w": ""},
        "The decay is missing. v also includes - decay * lr * w.",
    ),
    Mistake(
        "decay outside the velocity",
        {"- decay * lr * w": "", "w + new_v,": "w + new_v - decay * lr * w,"},
        "The decay is applied to w directly and not to the velocity (as in AdamW). In the paper "
        "it is part of v, so momentum applies to it.",
    ),
    Mistake(
        "constants for momentum and decay",
        {"momentum * v - decay": "0.9 * v - 0.0005"},
        "The code has the constants 0.9 and 0.0005. They are only defaults: use the arguments "
        "momentum and decay.",
    ),
    Mistake(
        "constant for momentum",
        {"momentum * v": "0.9 * v"},
        "The code has the constant 0.9. It is only a default: use the argument momentum.",
    ),
]

PROBES = [
    {**arrays(4, 3), "lr": lr, "momentum": momentum, "decay": decay}
    for lr, momentum, decay in [(0.13, 0.71, 0.37), (0.29, 0.83, 0.43), (0.07, 0.37, 0.59)]
]

EXPLANATIONS = [
    Formula(
        """
        v' = momentum * v - decay * lr * w - lr * g
        w' = w + v'
        """,
        alternatives={"v'": {"momentum * v' - lr * g": "This is Nesterov's momentum."}},
        constants=lambda inputs: {"(1 - momentum)": 1 - inputs["momentum"]},
    ),
]

WRITES_BACKWARD = False
gradient = None
