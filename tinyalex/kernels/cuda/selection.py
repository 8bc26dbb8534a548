"""The selection of a convolution algorithm on a GPU."""

import os
import warnings

import numpy as np

from tinyalex import device
from tinyalex.device import cublas
from tinyalex.kernels.geometry import ConvFunction, ConvShape

SETTINGS = "im2col", "implicit", "fastest"

REPEATS = 3


def _from_environment() -> str:
    text = os.environ.get("TINYALEX_GPU_CONVOLUTION") or "im2col"
    if text not in SETTINGS:
        expected = ", ".join(SETTINGS)
        warnings.warn(
            f"TINYALEX_GPU_CONVOLUTION: expected one of {expected}, got {text!r}. It is ignored.",
            stacklevel=1,
        )
        return "im2col"
    return text


setting = _from_environment()
"""im2col    `functional.Conv2d`, the default: the other has not been measured on a GPU
implicit  `functional.implicit_convolution.ImplicitConv2d`
fastest   the faster of both for a shape, measured when it is first used. They round
          differently, so that results may differ from one process to the next."""

_measured: dict[tuple[ConvShape, np.dtype, str, bool, bool], type[ConvFunction]] = {}
"""By shape, dtype, device, whether there is dx, and whether TF32 is allowed."""


def convolution_algorithm(
    shape: ConvShape, dtype: np.dtype, name: str, wants_dx: bool
) -> type[ConvFunction] | None:
    """The algorithm for a convolution on the GPU `name`; None for im2col."""
    if setting == "implicit":
        return ConvFunction.implicit
    if setting == "im2col":
        return None
    if device.why_no_cuda():
        return None
    key = shape, dtype, name, wants_dx, cublas.may_use_tf32()
    if key not in _measured:
        if _is_capturing(name):
            return None
        _measured[key] = _fastest(shape, dtype, name, wants_dx)
    return _measured[key]


def _fastest(shape: ConvShape, dtype: np.dtype, name: str, wants_dx: bool) -> type[ConvFunction]:
    """The algorithm that takes less time. If the GPU's free memory is too small to
    measure it, im2col, whose tiles are as small as necessary."""
    algorithms = ConvFunction.im2col, ConvFunction.implicit
    try:
        return min(algorithms, key=lambda each: milliseconds(each, shape, dtype, name, wants_dx))
    except MemoryError as error:
        warnings.warn(
            f"TINYALEX_GPU_CONVOLUTION=fastest: {name} has too little free memory to measure the "
            f"convolution of {shape.x} with {shape.w}: {error} im2col is used.",
            stacklevel=1,
        )
        return ConvFunction.im2col


def _is_capturing(name: str) -> bool:
    """Whether a graph records the work of the current stream: it cannot be measured."""
    import cupy

    with device.on(name):
        return cupy.cuda.get_current_stream().is_capturing()


def milliseconds(
    algorithm: type[ConvFunction], shape: ConvShape, dtype: np.dtype, name: str, wants_dx: bool
) -> float:
    """The least time of a forward and a backward pass, without ReLU and normalization.
    The first compiles kernels, and is not counted.

    All memory is freed at the end. A graph's pool would otherwise keep it.
    """
    import cupy

    pool = cupy.cuda.MemoryPool()
    with device.on(name), cupy.cuda.using_allocator(pool.malloc):
        try:
            return _milliseconds(algorithm, shape, dtype, wants_dx)
        finally:
            pool.free_all_blocks()


def _milliseconds(
    algorithm: type[ConvFunction], shape: ConvShape, dtype: np.dtype, wants_dx: bool
) -> float:
    import cupy

    # Not constants: a GPU's clock depends on the bits that it computes with.
    random = np.random.default_rng(0)
    x, w, bias, dy = (
        cupy.asarray(random.standard_normal(size, np.float32)).astype(dtype)
        for size in (shape.x, shape.w, shape.w[:1], (shape.x[0], shape.w[0], *shape.out))
    )

    def run() -> float:
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        function = algorithm()
        function.needs_input_grad = wants_dx, True, True
        function.forward(x, w, bias, shape=shape)
        function.backward(dy)
        end.record()
        end.synchronize()
        return cupy.cuda.get_elapsed_time(start, end)

    return min([run() for _ in range(1 + REPEATS)][1:])
