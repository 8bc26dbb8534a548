import numpy as np

import tinyalex as ta
from tinyalex.course import Formula, Mistake, Operation

HINTS = [
    "Do not compute the logarithm of p. Use log p[n, k] = logits[n, k] - log(sum of exp(logits[n, "
    "j])), and subtract the maximum of each row first, so that exp has no argument above 0.",
    "All logarithms at once; log_p[np.arange(N), target] are those of the target classes:\n\n"
    "    shifted = logits - logits.max(axis=1, keepdims=True)\n"
    "    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))\n\n"
    "For the gradient, differentiate both terms of log(sum of exp(logits[n, j])) - logits[n, "
    "target[n]], and remember that the loss is a mean.",
    "With log_p:\n\n"
    "    loss = -log_p[np.arange(N), target].mean()\n"
    "    p = np.exp(log_p)\n"
    "    p[np.arange(N), target] -= 1\n"
    "    return loss, p / N",
]

RANDOM = np.random.default_rng(0)

CASES = [
    ("one image, three classes", {"logits": np.array([[1.0, 2.0, 0.5]]), "target": np.array([2])}),
    (
        "two images",
        {"logits": np.array([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]]), "target": np.array([1, 0])},
    ),
    (
        "large logits",
        {"logits": np.array([[1000.0, 998.0], [-1000.0, -1001.0]]), "target": np.array([1, 0])},
    ),
    (
        "a target class with a very small probability",
        {"logits": np.array([[0.0, 1000.0]]), "target": np.array([0])},
    ),
    (
        "one row much smaller than another",
        {"logits": np.array([[0.0, 1.0], [2000.0, 2001.0]]), "target": np.array([0, 1])},
    ),
    ("a batch", {"logits": 3 * RANDOM.standard_normal((6, 5)), "target": RANDOM.integers(0, 5, 6)}),
]

RESULTS = ("loss", "dlogits")


def answer(exercise, logits, target):
    return exercise.softmax_cross_entropy(logits, target)


MAXIMUM = "logits.max(axis=1, keepdims=True)"
SUM = "np.exp(shifted).sum(axis=1, keepdims=True)"
LOG_P = f"shifted - np.log({SUM})"

MISTAKES = [
    Mistake(
        "one-hot missing",
        {"    dlogits[rows, target] -= 1\n": ""},
        "dlogits is p alone, which would reduce the logits of all classes, the target too. "
        "Subtract 1 at the target class.",
    ),
    Mistake(
        "one-hot added",
        {"dlogits[rows, target] -= 1": "dlogits[rows, target] += 1"},
        "1 is added at the target class. Subtract it: a larger target logit reduces the loss, so "
        "its gradient is negative.",
    ),
    Mistake(
        "loss with the opposite sign",
        {"-log_p[rows": "log_p[rows"},
        "The loss is negative. The logarithm of a probability is negative; the loss is minus this "
        "logarithm.",
    ),
    Mistake(
        "gradient not divided by N",
        {"dlogits / len(logits)": "dlogits"},
        "The gradient is that of a sum. The loss is a mean over N images: divide the gradient by "
        "N.",
    ),
    Mistake(
        "sum for mean",
        {".mean()": ".sum()"},
        "The loss is the sum over the images. Return the mean, which does not depend on the batch "
        "size.",
    ),
    Mistake(
        "mean over N*K",
        {"-log_p[rows, target].mean()": "-log_p[rows, target].sum() / log_p.size"},
        "The loss is divided by N*K. The mean is over the N images, each with one target class.",
    ),
    Mistake(
        "softmax over the batch",
        {
            MAXIMUM: MAXIMUM.replace("axis=1", "axis=0"),
            SUM: SUM.replace("axis=1", "axis=0"),
        },
        "The probabilities sum to 1 over the batch. They must sum to 1 over the classes of each "
        "image: axis=1.",
    ),
    Mistake(
        "exp overflows",
        {f" - {MAXIMUM}": ""},
        "exp(1000) overflows to inf (and exp(-1000) underflows to 0). Subtract the maximum of "
        "each row first: the probabilities stay the same, and exp stays in range.",
    ),
    Mistake(
        "exp overflows in softmax",
        {f" - {MAXIMUM}": "", LOG_P: f"np.log(np.exp(shifted) / {SUM})"},
        "exp(1000) overflows to inf, and inf / inf is nan (exp(-1000) underflows to 0, and 0 / 0 "
        "is nan too). Subtract the maximum of each row first: the probabilities stay the same, and "
        "exp stays in range.",
    ),
    Mistake(
        "log of softmax",
        {LOG_P: f"np.log(np.exp(shifted) / {SUM})"},
        "The probability underflows to 0, and its logarithm is minus infinity. Do not compute p "
        "first: log p = shifted - log(sum of exp(shifted)).",
    ),
    Mistake(
        "log of softmax plus a constant",
        {LOG_P: f"np.log(np.exp(shifted) / {SUM} + 1e-12)"},
        "The constant added before the logarithm changes every loss, and limits that of a very "
        "wrong prediction. Do not compute p first: log p = shifted - log(sum of exp(shifted)).",
    ),
    Mistake(
        "maximum of the batch",
        {MAXIMUM: "logits.max()"},
        "The maximum of the whole batch is subtracted, so exp of a row with much smaller logits "
        "underflows to 0. Subtract the maximum of each row: logits.max(axis=1, keepdims=True).",
    ),
]

PROBES = [
    {"logits": 2 * RANDOM.standard_normal((n, k)), "target": RANDOM.permutation(np.arange(n) % k)}
    for n, k in [(4, 3), (5, 7)]
]


def log_softmax(logits, axis=1):
    shifted = logits - logits.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def of_target(a, target):
    return a[np.arange(len(a)), target]


EXPLANATIONS = [
    Formula(
        """
        log_p = log_softmax(logits)
        p = exp(log_p)
        loss = 0 - mean(of_target(log_p))
        dlogits = (p - one_hot) / N
        """,
        {
            "log_softmax": Operation(
                log_softmax,
                (),
                "log p over the classes, axis 1",
                {
                    "log p over the images, axis 0": lambda x: log_softmax(x, 0),
                    "log p over the whole batch": lambda x: log_softmax(x, (0, 1)),
                },
            ),
            "of_target": Operation(
                of_target,
                ("target",),
                "log_p[n, target[n]], one value for each image",
                {
                    "log_p[:, target], which pairs each image with the targets of all": (
                        lambda a, t: a[:, t]
                    ),
                    "the values of all classes": lambda a, t: a,
                    "the largest value of each image": lambda a, t: a.max(axis=1),
                    "the values of the first image": lambda a, t: a[0],
                    "the sum over the classes": lambda a, t: a.sum(axis=1),
                },
            ),
            "mean": Operation(
                lambda a, k: a.mean(),
                ("K",),
                "the mean over the images",
                {
                    "the sum": lambda a, k: a.sum(),
                    "the sum divided by K, the number of classes": lambda a, k: a.sum() / k,
                    "the sum divided by N*K": lambda a, k: a.sum() / a.size / k,
                    "the value of each image, without the mean": lambda a, k: a,
                },
            ),
        },
        alternatives={
            "one_hot": {
                "targets": "one_hot is 1 at the target class and 0 elsewhere; the target is an "
                "index, not a value to subtract",
            },
            "log_p": {"log_p / 0.6931471805599453": "The logarithm is natural: np.log, not log2."},
        },
        constants=lambda inputs: {
            "N": inputs["logits"].shape[0],
            "K": inputs["logits"].shape[1],
            "one_hot": np.eye(inputs["logits"].shape[1])[inputs["target"]],
            "targets": inputs["target"][:, None] * 1.0,
        },
    ),
]

WRITES_BACKWARD = True


def gradient(exercise):
    """A Function of the learner's loss and gradient."""

    class CrossEntropy(ta.Function):
        def forward(self, logits, target):
            loss, self.dlogits = exercise.softmax_cross_entropy(logits, target)
            return np.asarray(loss)

        def backward(self, dloss):
            return dloss * self.dlogits, None

    random = np.random.default_rng(1)
    return CrossEntropy.apply, [random.standard_normal((4, 3)), random.integers(0, 3, 4)]
