"""How good a network is: loss, error, and which classes it takes for which."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyalex import device
from tinyalex import functional as F
from tinyalex.device import Array
from tinyalex.function import no_grad
from tinyalex.nn.module import testing


@dataclass
class Evaluation:
    """Mean `loss`, `error` (share of wrong answers, 0 to 1), and `confusion` (K, K): [true class, answer] counted."""

    loss: float
    error: float
    confusion: np.ndarray


def wrong_answers(logits: Array, labels: Array) -> Array:
    """How many rows of logits (N, C) are not largest at their label: an array of shape (), which a GPU need not be waited for."""
    return (logits.argmax(axis=1) != labels).sum()


def evaluate(model: Any, batches: Iterable[tuple[Array, Array]]) -> Evaluation:
    """The model's answers to all batches (images, labels), in testing mode. The mode is put back afterwards."""
    loss, count, confusion = 0.0, 0, None
    with no_grad(), testing(model):
        for images, labels in batches:
            logits = model(images)
            loss += F.cross_entropy(logits, labels, reduction="sum").item()
            count += len(labels)
            if confusion is None:
                confusion = np.zeros((logits.shape[1], logits.shape[1]), np.int64)
            np.add.at(confusion, (device.to_numpy(labels), logits.numpy().argmax(axis=1)), 1)
    if confusion is None:
        raise ValueError("evaluate: got no images. Give the data set at least one.")
    return Evaluation(loss / count, 1 - float(np.trace(confusion)) / count, confusion)
