"""Devices, arrays, memory, uploads, CUDA graphs, tiles, threads, random numbers.

`xp = device.xp(x)` is the array library of `x`, NumPy or CuPy; `k = kernels.of(x)` its
primitives. Only this package and `kernels/` import CuPy.

A device is "cpu", "cuda" (the first GPU) or "cuda:1". CuPy is imported, and CUDA
initialized, when a GPU is first requested: after that, a process can no longer fork.
"""

import sys
from types import ModuleType
from typing import Any

from tinyalex.device.arrays import (
    Array,
    Device,
    asarray,
    common,
    current,
    is_array,
    of,
    on,
    on_device_of,
    shared_ones,
    sum_dtype,
    to,
    to_numpy,
    write,
    xp,
)
from tinyalex.device.availability import why_no_cuda
from tinyalex.device.blas import (
    blas_libraries,
    single_threaded_blas,
)
from tinyalex.device.graph import Graph
from tinyalex.device.nccl import Nccl
from tinyalex.device.randomness import (
    draw,
    first_sample,
    generator,
    key,
    manual_seed,
    random_words,
    same_draws,
    seed,
    set_step,
    step,
    step_array,
    uniform,
)
from tinyalex.device.selection import (
    allow_tf32,
    check,
    cuda_is_available,
    default,
    gpu_count,
    hardware_id,
    memory,
    set_default,
)
from tinyalex.device.tiles import (
    Scratch,
    cores,
    for_tiles,
    limit_threads,
    section,
    section_sizes,
    workers,
)
from tinyalex.device.uploads import Uploader

__all__ = [
    "Array",
    "Device",
    "Graph",
    "Nccl",
    "Scratch",
    "Uploader",
    "allow_tf32",
    "asarray",
    "blas_libraries",
    "check",
    "common",
    "cores",
    "cuda_is_available",
    "current",
    "default",
    "draw",
    "first_sample",
    "for_tiles",
    "generator",
    "gpu_count",
    "hardware_id",
    "is_array",
    "key",
    "limit_threads",
    "manual_seed",
    "memory",
    "of",
    "on",
    "on_device_of",
    "random_words",
    "same_draws",
    "section",
    "section_sizes",
    "seed",
    "set_default",
    "set_step",
    "shared_ones",
    "single_threaded_blas",
    "step",
    "step_array",
    "sum_dtype",
    "to",
    "to_numpy",
    "uniform",
    "why_no_cuda",
    "workers",
    "write",
    "xp",
]  # fmt: skip


class _Callable(ModuleType):
    """In torch, `device` is a class: `ta.device("cuda")` makes a Device."""

    def __call__(self, *args: Any, **options: Any) -> Device:
        return Device(*args, **options)


sys.modules[__name__].__class__ = _Callable
