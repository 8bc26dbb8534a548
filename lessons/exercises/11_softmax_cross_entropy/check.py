import numpy as np

import tinyalex as ta
from tinyalex.learning import Mistake

HINTS = [
    "Never take the logarithm of p. log p[n, k] = logits[n, k] - log(sum of exp(logits[n, j])), and if the largest logit of each "
    "row is taken out first, exp never sees a number above 0.",
    "All logarithms at once; log_p[np.arange(N), target] are the N numbers of the right classes:\n\n"
    "    shifted = logits - logits.max(axis=1, keepdims=True)\n"
    "    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))",
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
        "a right class with hardly a chance",
        {"logits": np.array([[0.0, 1000.0]]), "target": np.array([0])},
    ),
    (
        "one small row in a batch",
        {"logits": np.array([[0.0, 1.0], [2000.0, 2001.0]]), "target": np.array([0, 1])},
    ),
    ("a batch", {"logits": 3 * RANDOM.standard_normal((6, 5)), "target": RANDOM.integers(0, 5, 6)}),
]

RESULTS = ("loss", "dlogits")


def answer(exercise, logits, target):
    return exercise.softmax_cross_entropy(logits, target)


MISTAKES = [
    Mistake(
        "one-hot forgotten",
        {"    dlogits[rows, target] -= 1\n": ""},
        "dlogits is p alone: every class would be pushed down, the right one too. Subtract 1 at the right class.",
    ),
    Mistake(
        "one-hot added",
        {"dlogits[rows, target] -= 1": "dlogits[rows, target] += 1"},
        "At the right class 1 is added; it is subtracted: raising the right logit lowers the loss, so its gradient is negative.",
    ),
    Mistake(
        "the opposite sign",
        {"-log_p[rows": "log_p[rows"},
        "The loss is negative: log of a probability is, and a minus in front makes it a loss.",
    ),
    Mistake(
        "gradient not divided by N",
        {"dlogits / len(logits)": "dlogits"},
        "The loss is a mean over N images, so each changes it by 1/N only: divide the gradient by N.",
    ),
    Mistake(
        "sum for mean",
        {".mean()": ".sum()"},
        "The loss is the sum over the images. Take the mean, so that it does not depend on how many there are.",
    ),
    Mistake(
        "mean over everything",
        {"-log_p[rows, target].mean()": "-log_p[rows, target].sum() / log_p.size"},
        "The loss is divided by N*K. The mean is over the N images; each has one right class.",
    ),
    Mistake(
        "softmax over the batch",
        {
            "logits.max(axis=1, keepdims=True)": "logits.max(axis=0, keepdims=True)",
            "np.exp(shifted).sum(axis=1, keepdims=True)": "np.exp(shifted).sum(axis=0, keepdims=True)",
        },
        "The probabilities add up to 1 down the batch. They should along each row, the classes of one image: axis=1.",
    ),
    Mistake(
        "exp of large numbers",
        {" - logits.max(axis=1, keepdims=True)": ""},
        "exp(1000) is too large for a float, and becomes inf (exp(-1000) becomes 0). Subtract each row's largest logit first: no "
        "probability changes, and exp stays in range.",
    ),
    Mistake(
        "log of softmax",
        {
            "log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))": "log_p = np.log(np.exp(shifted) / np.exp(shifted).sum("
            "axis=1, keepdims=True))"
        },
        "The probability is too small for a float and became 0, and its logarithm minus infinity. Do not compute p first: log p = "
        "shifted - log(sum of exp(shifted)).",
    ),
    Mistake(
        "log of softmax, held up by a small number",
        {
            "log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))": "log_p = np.log(np.exp(shifted) / np.exp(shifted).sum("
            "axis=1, keepdims=True) + 1e-12)"
        },
        "Adding a small number before the logarithm changes every loss a little, and this one a lot: it cannot say how wrong the "
        "network is. Do not compute p first: log p = shifted - log(sum of exp(shifted)).",
    ),
    Mistake(
        "the largest of all",
        {"logits.max(axis=1, keepdims=True)": "logits.max()"},
        "The largest logit of the whole batch is subtracted, so that a row that lies far below it becomes all zeros after exp. "
        "Take each row's own: logits.max(axis=1, keepdims=True).",
    ),
]


def gradient(exercise):
    """The learner's loss with the learner's gradient."""

    class CrossEntropy(ta.Function):
        def forward(self, logits, target):
            loss, self.dlogits = exercise.softmax_cross_entropy(logits, target)
            return np.asarray(loss)

        def backward(self, dloss):
            return dloss * self.dlogits, None

    random = np.random.default_rng(1)
    return CrossEntropy.apply, [random.standard_normal((4, 3)), random.integers(0, 3, 4)]
