"""How good a network is: loss, errors, and which classes it takes for which."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex import functional as F
from tinyalex.device import Array
from tinyalex.function import no_grad
from tinyalex.nn.module import testing

TOP = 5
"""Answers of which one must be right in the contest's second error rate."""


@dataclass
class Evaluation:
    """Mean `loss`, `error` and `top5_error` (shares of wrong answers, 0 to 1), and `confusion` (K, K): [true class, answer] counted.

    An answer is wrong by top5_error where the true class is not among the five likeliest: with five classes or fewer that is 0, and
    str() leaves it out.
    """

    loss: float
    error: float
    confusion: np.ndarray
    top5_error: float

    def standard_error(self, share: float) -> float:
        """Of one of the two errors: by how much it would vary with other images of the same kind."""
        return math.sqrt(share * (1 - share) / self.confusion.sum())

    def __str__(self) -> str:
        parts = [f"loss {self.loss:.4f}"]
        for name, share in (("top-1", self.error), ("top-5", self.top5_error))[
            : 1 if len(self.confusion) <= TOP else 2
        ]:
            parts.append(
                f"{name} error {100 * share:.2f} % (standard error {100 * self.standard_error(share):.2f})"
            )
        return ", ".join(parts) + f", {self.confusion.sum()} images"


def wrong_answers(logits: Array, labels: Array) -> Array:
    """How many rows of logits (N, C) are not largest at their label: an array of shape (), which a GPU need not be waited for."""
    return (logits.argmax(axis=1) != labels).sum()


def answers(model: Any, batches: Iterable[tuple[Array, Array]]) -> tuple[np.ndarray, np.ndarray]:
    """What the model says of each image, in testing mode, as log probabilities float32 (N, K); and the labels, (N,).

    Images are (n, C, H, W); or (n, V, C, H, W), V views of each, whose probabilities are averaged (section 4.1; data.TenViews).
    """
    said, true = [], []
    with no_grad(), testing(model):
        for images, labels in batches:
            if len(labels) == 0:  # none of the batch's pictures could be read
                continue
            views = images.shape[1] if images.ndim == 5 else 1
            with device.on_device_of(images):
                one_by_one = images.reshape(-1, *images.shape[2:]) if images.ndim == 5 else images
            logits = model(one_by_one)
            answer = F.log_softmax(logits, 1).numpy()
            said.append(mean_answer(answer.reshape(-1, views, answer.shape[1]).swapaxes(0, 1)))
            true.append(device.to_numpy(labels))
    if not said:
        raise ValueError("evaluate: got no images. Give the data set at least one.")
    return np.concatenate(said), np.concatenate(true)


def mean_answer(said: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """The mean of several answers, log probabilities (N, K) each: of views of the same images, or of several networks."""
    with np.errstate(invalid="ignore"):  # a network that has diverged says NaN
        return np.logaddexp.reduce(said, axis=0) - np.log(np.float32(len(said)))


def score(said: np.ndarray, labels: np.ndarray) -> Evaluation:
    """How good answers are: log probabilities (N, K), labels (N,)."""
    count, classes = said.shape
    right = said[np.arange(count), labels]
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, said.argmax(axis=1)), 1)
    # Of equal answers argmax takes the first. NaN is larger than nothing: a network that has diverged is wrong.
    ahead = (said > right[:, None]) | (
        (said == right[:, None]) & (np.arange(classes) < labels[:, None])
    )
    among_top = (ahead.sum(axis=1) < TOP) & np.isfinite(right)
    error = 1 - float(np.trace(confusion)) / count
    return Evaluation(
        -float(right.mean(dtype=np.float64)), error, confusion, 1 - float(among_top.mean())
    )


def evaluate(model: Any, batches: Iterable[tuple[Array, Array]]) -> Evaluation:
    """How good the model's answers to all batches (images, labels) are. Its mode is put back afterwards."""
    return score(*answers(model, batches))
