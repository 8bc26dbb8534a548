"""Where arrays live, how a loop over images is cut into tiles and threads, and where random numbers come from.

Two idioms keep the rest of tinyalex free of devices: `xp = device.xp(x)` is the array library of `x`, NumPy or CuPy, and
`k = kernels.of(x)` its set of primitives. Only this package and `kernels/` know which libraries there are.

A device is "cpu", "cuda" (the first GPU) or "cuda:1". CuPy is imported, and CUDA touched, when a GPU is first asked for: a process that
has used CUDA cannot fork any more.
"""

from tinyalex.device.arrays import Array, asarray, beside, common, current, is_array, of, on, to, to_numpy, xp
from tinyalex.device.buffers import empty
from tinyalex.device.choice import allow_tf32, check, cuda_is_available, default, memory, set_default, why_no_cuda
from tinyalex.device.randomness import draw, generator, key, manual_seed, random_words, same_draws, seed, set_step, uniform
from tinyalex.device.threads import blas_can_do_without_copies, blas_libraries, one_blas_thread, workers
from tinyalex.device.tiles import Scratch, for_tiles

__all__ = [
    "Array", "Scratch", "allow_tf32", "asarray", "beside", "blas_can_do_without_copies", "blas_libraries", "check", "common",
    "cuda_is_available", "current", "default", "draw", "empty", "for_tiles", "generator", "is_array", "key", "manual_seed", "memory",
    "of", "on", "one_blas_thread", "random_words", "same_draws", "seed", "set_default", "set_step", "to", "to_numpy", "uniform",
    "why_no_cuda", "workers", "xp",
]  # fmt: skip
