"""Example calls of every primitive, with small arrays of odd sizes.

Tests and benchmarks/gpu.py compare the results of both devices; `explain` runs them
too.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyalex.kernels.examples import convolution, layers, normalization, pooling, training
from tinyalex.kernels.examples.example import Example, on_arrays

__all__ = ["Example", "examples", "on_arrays"]


def examples(dtype: Any) -> Iterator[Example]:
    """All examples with arrays of a floating dtype; reproducible."""
    for make in (
        convolution.convolution,
        convolution.normalized_convolution,
        convolution.implicit_convolution,
        pooling.max_pooling,
        pooling.average_pooling,
        normalization.normalization,
        normalization.sums,
        layers.activation,
        layers.linear,
        layers.loss,
        layers.dropout,
        training.training,
    ):
        yield from make(np.random.default_rng(0), np.dtype(dtype))
