"""flatten: merges several axes into one, in C order."""

import math
from typing import Any

from tinyalex.ops.reduction import axis_of
from tinyalex.tensor import Tensor, tensor_method, wrap


@tensor_method
def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Merge axes start_dim to end_dim (both included) into one.

    >>> import numpy as np
    >>> flatten(np.zeros((8, 256, 6, 6)), 1).shape
    (8, 9216)
    """
    x = wrap(input)
    start = axis_of("flatten", "start_dim", start_dim, x.shape)
    end = axis_of("flatten", "end_dim", end_dim, x.shape)
    if start > end:
        raise ValueError(
            f"flatten: start_dim={start_dim} is after end_dim={end_dim} in an input of shape "
            f"{x.shape}. Swap them."
        )
    shape = x.shape or (1,)
    return x.reshape(*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])
