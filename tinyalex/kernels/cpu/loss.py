"""Softmax cross-entropy in NumPy."""

import numpy as np

from tinyalex.kernels.cpu.half_precision import in_float32


def check_labels(op: str, labels: np.ndarray, ignore: int, classes: int) -> None:
    """Raises ValueError unless all labels but `ignore` are from 0 to classes - 1."""
    valid = labels[labels != ignore]
    if valid.size and not (0 <= valid.min() and valid.max() < classes):
        raise ValueError(
            f"{op}: target has values {valid.min()} to {valid.max()}, but input has the "
            f"classes 0 to {classes - 1}. Number the classes from 0, and give other samples the "
            f"label ignore_index={ignore}."
        )


@in_float32("p", "loss", "weight")
def cross_entropy(
    x: np.ndarray,
    t: np.ndarray,
    w: np.ndarray,
    p: np.ndarray,
    loss: np.ndarray,
    weight: np.ndarray,
    ignore: int,
) -> None:
    """p = softmax(x), weight = w[t] (0 where t is `ignore`), loss = -weight * log p[t].

    x, p (N, C), t, loss, weight (N,), w (C,).
    """
    counted = t != ignore
    t = np.where(counted, t, 0)
    weight[...] = np.where(counted, w[t], 0)
    x = x - x.max(axis=1, keepdims=True)
    log_p = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    np.exp(log_p, out=p)
    loss[...] = np.where(counted, -weight * log_p[np.arange(len(x)), t], 0)


def find_errors(x: np.ndarray, t: np.ndarray, wrong: np.ndarray) -> None:
    """wrong = whether the argmax of a row of logits is not its class.

    x (N, C), t (N,), wrong (N,) bool.
    """
    np.not_equal(x.argmax(axis=1), t, out=wrong)


def weighted_mean(x: np.ndarray, counts: np.ndarray, y: np.ndarray, total: np.ndarray) -> None:
    """total = sum of counts, y = (sum of x) / total. x, counts (N,), y, total ().

    total, and the sums, are float32 for half precision.
    """
    total[...] = counts.sum(dtype=total.dtype)
    y[...] = x.sum(dtype=total.dtype) / total


def weighted_mean_backward(dy: np.ndarray, total: np.ndarray, dx: np.ndarray) -> None:
    """dx = dy / total, 0 if total is 0. dx (N,), dy, total ()."""
    dx[...] = 0 if total == 0 else dy / total


@in_float32("dx")
def cross_entropy_backward(
    dloss: np.ndarray,
    p: np.ndarray,
    t: np.ndarray,
    weight: np.ndarray,
    dx: np.ndarray,
    total: np.ndarray | None = None,
) -> None:
    """dx = dloss * weight * (p - onehot(t)). dx, p (N, C), the others (N,).

    total  (), of `weighted_mean`: dloss () is the gradient of the mean, of which each
           sample gets dloss / total, or 0 if total is 0
    """
    if total is not None:
        dloss = np.zeros_like(dloss) if total == 0 else dloss / total
    dx[...] = p
    dx[np.arange(len(p)), t.clip(0, p.shape[1] - 1)] -= 1  # an ignored label has weight 0
    dx *= (dloss * weight)[:, None]
