"""How well a network classifies: loss, error rates, confusion matrix."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyalex import device, kernels
from tinyalex import functional as F
from tinyalex.device import Array
from tinyalex.modes import no_grad
from tinyalex.nn.tracing import eval_mode

TOP = 5
"""The k of the top-k error of ImageNet's challenge."""


@dataclass
class Evaluation:
    """Mean `loss`, error rates (0 to 1), `confusion[true class, predicted class]`.

    `top5_error` counts images whose true class is not among the five most probable.
    With five classes or fewer it is 0, and str() omits it.
    """

    loss: float
    error: float
    confusion: np.ndarray
    top5_error: float

    def standard_error(self, error: float) -> float:
        """The standard error of an error rate, for a random choice of images."""
        return math.sqrt(error * (1 - error) / self.confusion.sum())

    def __str__(self) -> str:
        errors = {"top-1": self.error, "top-5": self.top5_error}
        if len(self.confusion) <= TOP:
            del errors["top-5"]
        parts = [
            f"{name} error {100 * error:.2f} % "
            f"(standard error {100 * self.standard_error(error):.2f})"
            for name, error in errors.items()
        ]
        return ", ".join([f"loss {self.loss:.4f}", *parts, f"{self.confusion.sum()} images"])


def find_errors(logits: Array, labels: Array) -> Array:
    """Whether the argmax of each row of logits (N, C) is not its label: (N,), bool.

    Does not wait for the GPU.
    """
    k = kernels.of(logits)
    with device.on_device_of(logits):
        wrong = device.xp(logits).empty(len(logits), bool)
        labels = labels.astype(np.int64, copy=False)
        k.find_errors(k.ready(logits), k.ready(labels), wrong)
    return wrong


def log_probabilities(
    model: Any, batches: Iterable[tuple[Array, Array]]
) -> tuple[np.ndarray, np.ndarray]:
    """The log probabilities of a model in evaluation mode, (N, K), and the labels (N,).

    Images are (n, C, H, W), or V views of each, (n, V, C, H, W), whose probabilities
    are averaged (section 4.1; data.TenViews).
    """
    results, all_labels = [], []
    with no_grad(), eval_mode(model):
        for images, labels in batches:
            # Also if no image of the batch could be read: several processes may have to
            # run the model together.
            views = 1
            if images.ndim == 5:
                views = images.shape[1]
                with device.on_device_of(images):
                    images = images.reshape(len(labels) * views, *images.shape[2:])
            result = F.log_softmax(model(images), 1).numpy()
            by_view = result.reshape(len(labels), views, result.shape[1]).swapaxes(0, 1)
            results.append(mean_log_probabilities(by_view))
            all_labels.append(device.to_numpy(labels))
    if not results:
        require_images(0)
    return np.concatenate(results), np.concatenate(all_labels)


def mean_log_probabilities(predictions: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """The log of the mean of probabilities, from their logs: arrays (N, K).

    For several views of the same images, or several networks.
    """
    with np.errstate(invalid="ignore"):  # a network that has diverged returns NaN
        total = np.logaddexp.reduce(predictions, axis=0)
        return total - np.log(np.float32(len(predictions)))


def score(predictions: np.ndarray, labels: np.ndarray) -> Evaluation:
    """Compares predictions, log probabilities (N, K), with labels (N,).

    Without images, all results are 0.
    """
    count, classes = predictions.shape
    if count == 0:
        return Evaluation(0.0, 0.0, np.zeros((classes, classes), np.int64), 0.0)
    at_label = predictions[np.arange(count), labels]
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, predictions.argmax(axis=1)), 1)
    # The first of equal elements ranks highest, as in argmax.
    is_first = np.arange(classes) < labels[:, None]
    column = at_label[:, None]
    ahead = (predictions > column) | ((predictions == column) & is_first)
    # Comparisons with NaN are false. A diverged network counts as wrong.
    among_top = (ahead.sum(axis=1) < TOP) & np.isfinite(at_label)
    return Evaluation(
        loss=-float(at_label.mean(dtype=np.float64)),
        error=1 - float(np.trace(confusion)) / count,
        confusion=confusion,
        top5_error=1 - float(among_top.mean()),
    )


def evaluate(model: Any, batches: Iterable[tuple[Array, Array]]) -> Evaluation:
    """Evaluates the model on all batches (images, labels), and restores its mode.

    Raises ValueError if there are no images.
    """
    predictions, labels = log_probabilities(model, batches)
    require_images(len(labels))
    return score(predictions, labels)


def require_images(count: int) -> None:
    if count == 0:
        raise ValueError("evaluate: got no images. Give the data set at least one.")


def merge_evaluations(parts: Sequence[Evaluation]) -> Evaluation:
    """The evaluation of all images, from those of parts of them.

    Raises ValueError if there are no images.
    """
    counts = [int(part.confusion.sum()) for part in parts]
    total = sum(counts)
    require_images(total)
    loss, top5_error = (
        sum(n * getattr(part, name) for n, part in zip(counts, parts, strict=True)) / total
        for name in ("loss", "top5_error")
    )
    confusion = np.sum([part.confusion for part in parts], axis=0)
    return Evaluation(loss, 1 - float(np.trace(confusion)) / total, confusion, top5_error)
