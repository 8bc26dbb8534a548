"""flatten: several axes become one, in C order."""

import math
from typing import Any

from tinyalex.tensor import Tensor, as_tensor


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Axes start_dim to end_dim (both included) as one.

    >>> import numpy as np
    >>> flatten(np.zeros((8, 256, 6, 6)), 1).shape
    (8, 9216)
    """
    x = as_tensor(input)
    shape = x.shape or (1,)
    try:
        start, end = (range(len(shape))[d] for d in (start_dim, end_dim))
    except IndexError:
        raise ValueError(
            f"flatten: start_dim={start_dim} and end_dim={end_dim} are not both axes of an input of shape {x.shape}."
        ) from None
    if start > end:
        raise ValueError(
            f"flatten: start_dim={start_dim} comes after end_dim={end_dim} in an input of shape {x.shape}."
        )
    return x.reshape(*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])
