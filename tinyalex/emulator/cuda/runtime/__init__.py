"""CUDA's runtime (libcudart), as far as CuPy calls it."""

from tinyalex.emulator.cuda.runtime import copies, devices, graphs, memory_pools, streams

__all__ = ["copies", "devices", "graphs", "memory_pools", "streams"]
