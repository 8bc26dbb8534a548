"""The convolutions of a network on a GPU by im2col and by implicit GEMM."""

import time
from typing import Any

import networks
import numpy as np

from tinyalex.functional.convolution import conv_shape
from tinyalex.kernels.cuda import selection
from tinyalex.kernels.geometry import ConvFunction

ALGORITHMS = {"im2col": ConvFunction.im2col, "implicit": ConvFunction.implicit}


def measured(variant: str, batch: int, name: str, smoke: bool, seconds: float) -> list[Any]:
    """The seconds of a forward and a backward pass of each layer, without ReLU and
    normalization: {"variant", "batch", "layer", "dtype", "im2col", "implicit"}.

    smoke    run both, and leave the times out
    seconds  after these, TimeoutError
    """
    deadline = time.monotonic() + seconds
    rows: list[dict[str, Any]] = []
    for layer in networks.describe(variant)["layers"]:
        if layer["kind"] != "conv":
            continue
        for dtype in ("float32", "float16"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"stopped after {seconds:.0f} s, which --minutes left for it")
            row = {"variant": variant, "batch": batch, "layer": layer["name"], "dtype": dtype}
            for algorithm, function in ALGORITHMS.items():
                found = selection.milliseconds(
                    function, _shape(layer, batch), np.dtype(dtype), name, wants_dx=bool(rows)
                )
                row[algorithm] = None if smoke else found / 1e3
            rows.append(row)
    return rows


def _shape(layer: dict[str, Any], batch: int) -> Any:
    groups, kernel = layer["groups"], layer["kernel"]
    filters = layer["out"], layer["in"] // groups, kernel, kernel
    options = layer["stride"], layer["padding"], 1, groups
    return conv_shape((batch, *layer["seen"]), filters, *options)
