"""CUDA's runtime (libcudart), as far as CuPy calls it."""

from tinyalex.emulator.cuda.runtime import (
    allocation,
    copies,
    devices,
    graphs,
    memory_pools,
    streams,
)

__all__ = ["allocation", "copies", "devices", "graphs", "memory_pools", "streams"]
