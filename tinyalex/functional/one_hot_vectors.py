"""one_hot: class indices as vectors with a single 1."""

from typing import Any

import numpy as np

from tinyalex import device
from tinyalex.tensor import Tensor, wrap


def one_hot(tensor: Any, num_classes: int = -1) -> Tensor:
    """int64 (..., num_classes), 1 at each class index of tensor (...) and 0 elsewhere.

    num_classes  -1: one more than the largest index

    `one_hot(y, n).astype("float32") @ weight` selects rows of `weight`, as an embedding
    does. Waits for a GPU, to check the indices.

    >>> one_hot([0, 2]).numpy().tolist()
    [[1, 0, 0], [0, 0, 1]]
    """
    labels = wrap(np.asarray(tensor) if isinstance(tensor, (list, tuple, int)) else tensor)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"one_hot: expected integers, got {labels.dtype}. Use astype('int64').")
    with device.on(labels.device):
        low, high = 0, -1
        if labels.size:
            low, high = int(labels.data.min()), int(labels.data.max())
        classes = high + 1 if num_classes == -1 else num_classes
        if low < 0 or high >= classes or classes < 1:
            raise ValueError(
                f"one_hot: expected class indices from 0 to {classes - 1}, got {low} to {high}. "
                f"{'Replace negative ones.' if low < 0 else 'Give a larger num_classes.'}"
            )
        indices = device.xp(labels.data).arange(classes)
        return Tensor((labels.data[..., None] == indices).astype(np.int64), device=labels.device)
