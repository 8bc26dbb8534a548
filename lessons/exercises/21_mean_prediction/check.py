import numpy as np

from tinyalex.course import Mistake

HINTS = [
    "Three steps: the softmax of each prediction, the mean over networks and views, and then the k "
    "largest elements of each row. Only the last step uses the labels.",
    "The networks and views are the axes 0 and 1: p.mean(axis=(0, 1)) has the shape (N, K). "
    "np.argsort sorts from small to large, so sort -mean.",
    "With the softmax p (subtract logits.max(axis=-1, keepdims=True) first):\n\n"
    "    mean = p.mean(axis=(0, 1))\n"
    "    best = np.argsort(-mean, axis=1)[:, :k]\n"
    "    right = (best == labels[:, None]).any(axis=1)\n"
    "    return 1 - right.mean()",
]

RANDOM = np.random.default_rng(0)


def predictions(networks, views, images, classes):
    """Logits that favour the label, and labels."""
    labels = RANDOM.integers(0, classes, images)
    logits = 2 * RANDOM.standard_normal((networks, views, images, classes))
    logits *= RANDOM.uniform(0.2, 3, (networks, views, images, 1))
    logits[..., np.arange(images), labels] += 1.5
    return {"logits": logits, "labels": labels}


CASES = [
    (
        "one network, one view",
        {
            "logits": np.array([[[[1.0, 2.0, 0.5], [0.3, -1.0, 3.0], [1.0, 0.2, 0.6]]]]),
            "labels": np.array([1, 2, 1]),
            "k": 1,
        },
    ),
    (
        "three networks, one of them certain",
        {
            "logits": np.array([[[[5.0, 0.1, 0.3]]], [[[0.2, 1.0, 0.9]]], [[[0.1, 0.8, 0.6]]]]),
            "labels": np.array([1]),
            "k": 1,
        },
    ),
    (
        "two views, one of them certain",
        {
            "logits": np.array([[[[4.0, 0.1, 0.3]], [[0.2, 1.0, 0.9]]]]),
            "labels": np.array([0]),
            "k": 1,
        },
    ),
    (
        "the two most probable",
        {
            "logits": np.array([[[[1.0, 2.0, 0.5, 0.7], [0.3, -1.0, 3.0, 2.0]]]]),
            "labels": np.array([0, 1]),
            "k": 2,
        },
    ),
    (
        "large logits",
        {
            "logits": np.array([[[[998.0, 1000.0], [-1001.0, -1000.0], [1000.0, 998.0]]]]),
            "labels": np.array([1, 1, 1]),
            "k": 1,
        },
    ),
    ("a hundred images", predictions(3, 4, 100, 6) | {"k": 1}),
    ("five networks, ten views, top 5", predictions(5, 10, 200, 20) | {"k": 5}),
    ("a few views, top 3", predictions(2, 3, 500, 12) | {"k": 3}),
]

RESULTS = ("error",)


def answer(exercise, logits, labels, k):
    return exercise.mean_prediction_error(logits, labels, k)


SHIFTED = "logits - logits.max(axis=-1, keepdims=True)"
SOFTMAX = "np.exp(shifted) / np.exp(shifted).sum(axis=-1, keepdims=True)"
BEST = "np.argsort(-mean, axis=1)[:, :k]"
RIGHT = "(best == labels[:, None]).any(axis=1)"
MEAN = "p.mean(axis=(0, 1))"
ERROR = "1 - right.mean()"

MISTAKES = [
    Mistake(
        "accuracy",
        {ERROR: "right.mean()"},
        "This is the accuracy, the fraction of images that are right. The error is 1 minus the "
        "accuracy.",
    ),
    Mistake(
        "logits averaged",
        {SOFTMAX: "logits"},
        "The logits are averaged. One network or view with large logits then outweighs all others. "
        "Average probabilities: softmax first, then the mean.",
    ),
    Mistake(
        "mean of the errors",
        {
            f"{MEAN}\n    best = {BEST}\n    right = {RIGHT}": "np.argsort(-p, axis=-1)[..., :k]\n"
            "    right = (mean == labels[:, None]).any(axis=-1)"
        },
        "This is the mean of the errors of the single predictions. Average the probabilities "
        "first; the mean prediction has one error, usually a lower one.",
    ),
    Mistake(
        "majority vote",
        {SOFTMAX: "(logits == logits.max(axis=-1, keepdims=True)) * 1.0"},
        "Each prediction has one vote, whether it is certain or not. Average the probabilities "
        "instead, in which a certain prediction counts more.",
    ),
    Mistake(
        "most confident prediction",
        {MEAN: "p.max(axis=(0, 1))"},
        "This is the maximum over networks and views, so the most confident prediction decides. "
        "Take the mean.",
    ),
    Mistake(
        "first network only",
        {MEAN: "p[0].mean(axis=0)"},
        "Only the first network is used. Average over the axes 0 and 1, networks and views.",
    ),
    Mistake(
        "first view only",
        {MEAN: "p[:, 0].mean(axis=0)"},
        "Only the first view is used. Average over the axes 0 and 1, networks and views.",
    ),
    Mistake(
        "softmax over the images",
        {SOFTMAX: "np.exp(shifted) / np.exp(shifted).sum(axis=2, keepdims=True)"},
        "The probabilities sum to 1 over the images. They must sum to 1 over the classes, the last "
        "axis.",
    ),
    Mistake(
        "not divided by the sum",
        {SOFTMAX: "np.exp(shifted)"},
        "The exponentials are not divided by their sum over the classes. For one prediction this "
        "does not change the order, but in a mean each must have the same weight.",
    ),
    Mistake(
        "exp overflows",
        {SHIFTED: "logits"},
        "exp(1000) overflows to inf and exp(-1000) underflows to 0; inf / inf and 0 / 0 are nan. "
        "Subtract the maximum of each prediction first: the probabilities stay the same.",
    ),
    Mistake(
        "least probable",
        {"-mean": "mean"},
        "These are the k least probable classes: np.argsort sorts from small to large. Sort -mean, "
        "or take the last k.",
    ),
    Mistake(
        "top 1",
        {"[:, :k]": "[:, :1]"},
        "Only the most probable class counts. Any of the k most probable may be the label.",
    ),
    Mistake(
        "one too many",
        {"[:, :k]": "[:, : k + 1]"},
        "k + 1 classes are accepted. The slice [:k] has k elements.",
    ),
    Mistake(
        "k-th only",
        {"[:, :k]": "[:, k - 1 : k]"},
        "Only the class in place k is compared. Any of the first k may be the label: [:, :k].",
    ),
    Mistake(
        "number of images",
        {ERROR: "len(labels) - right.sum()"},
        "This is the number of wrong images. Divide it by N.",
    ),
    Mistake(
        "per cent",
        {ERROR: "100 * (1 - right.mean())"},
        "The error is in per cent. Return the fraction, from 0 to 1.",
    ),
]

WRITES_BACKWARD = False
gradient = None
