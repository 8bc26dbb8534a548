"""A launch, as the compiled library reads it."""

import ctypes


class Stacks(ctypes.Structure):
    """Mirrors on_cpu::Stacks."""

    _fields_ = (("start", ctypes.c_void_p * 1024), ("count", ctypes.c_uint))


class Launch(ctypes.Structure):
    """Mirrors on_cpu::Launch."""

    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("max_shared_bytes", ctypes.c_uint),
        ("order", ctypes.c_uint),
        ("exceeds_limits", ctypes.c_uint),
        ("waits", ctypes.c_uint64),
        ("error", ctypes.c_char * 512),
        ("code", ctypes.c_void_p * 2),
        ("stacks", ctypes.POINTER(Stacks)),
        ("arena", ctypes.c_void_p),
        ("arena_bytes", ctypes.c_size_t),
        ("arrays", ctypes.c_void_p),
        ("array_count", ctypes.c_size_t),
    )

    @classmethod
    def of(
        cls,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        shared_bytes: int,
        max_shared_bytes: int,
        order: int,
    ) -> "Launch":
        sizes = (ctypes.c_uint * 3)(*grid), (ctypes.c_uint * 3)(*block)
        return cls(*sizes, shared_bytes, max_shared_bytes, order)
