"""The modules that `import cupy` finds."""

from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np

from standin import creation, devices, memory, raw
from standin.api import API, VERSION, missing
from standin.arrays import Flags, ndarray
from standin.functions import FUNCTIONS, UFUNCS, ufunc
from standin.state import thread, wait

COMPUTE_TYPES = {
    f"COMPUTE_TYPE_{name}": number
    for number, name in enumerate(
        ["TBD", "DEFAULT", "PEDANTIC", "FP16", "FP32", "FP64", "BF16", "TF32"]
    )
}

compute_types: dict[str, int] = {}
"""The arguments of `cupy._core.set_compute_type`, as in {"f": 7}; without effect."""


def set_compute_type(dtype: Any, compute_type: int) -> None:
    letter = _letter(dtype)
    if compute_type not in COMPUTE_TYPES.values():
        raise ValueError(f"Unknown compute type: {compute_type}")
    compute_types[letter] = compute_type


def get_compute_type(dtype: Any) -> int:
    return compute_types.get(_letter(dtype), COMPUTE_TYPES["COMPUTE_TYPE_DEFAULT"])


def _letter(dtype: Any) -> str:
    """One setting for half, single and double precision each, complex or not."""
    letter = np.dtype(dtype).char.lower()
    if letter not in "efd":
        raise TypeError(f"dtype is not supported: {dtype}")
    return letter


class StandInModule(ModuleType):
    """A module with a section in cupy_api.json."""

    def __init__(self, name: str, names: dict[str, Any]) -> None:
        super().__init__(name, f"The stand-in for {name}.")
        self.__spec__ = ModuleSpec(name, None, is_package=True)
        self.__path__: list[str] = []
        vars(self).update(names)

    def __getattr__(self, name: str) -> Any:
        owner = self.__name__
        if owner not in API or name.startswith("__"):
            raise AttributeError(f"module {owner!r} has no attribute {name!r}")
        raise missing(owner, name)


def from_numpy() -> dict[str, Any]:
    """The types and constants of NumPy that CuPy passes on: float32, pi, newaxis."""
    return {
        name: getattr(np, name)
        for name, known in API["cupy"].items()
        if hasattr(np, name)
        and (known["kind"] == "value" or (known["kind"] == "type" and known["numpy"]))
    }


def range_push(message: str, id_color: int = -1) -> None:
    """A mark for profilers; there is none."""


def range_pop() -> None:
    pass


runtime = StandInModule(
    "cupy.cuda.runtime",
    {
        "CUDARuntimeError": devices.CUDARuntimeError,
        "deviceCanAccessPeer": lambda device, peer: int(device != peer),
        "deviceSynchronize": lambda: wait("deviceSynchronize()"),
        "driverGetVersion": lambda: devices.CUDA_VERSION,
        "getDevice": lambda: thread.device,
        "getDeviceCount": lambda: memory.DEVICES,
        "getDeviceProperties": devices.device_properties,
        "is_hip": False,
        "memGetInfo": lambda: devices.Device().mem_info,
        "runtimeGetVersion": lambda: devices.CUDA_VERSION,
        "setDevice": devices.set_device,
    },
)

memory_module = StandInModule(
    "cupy.cuda.memory",
    {
        name: getattr(memory, name)
        for name in ("Memory", "MemoryPointer", "MemoryPool", "OutOfMemoryError")
    },
)

nvtx = StandInModule("cupy.cuda.nvtx", {"RangePush": range_push, "RangePop": range_pop})

cuda_module = StandInModule(
    "cupy.cuda",
    {
        "Device": devices.Device,
        "Event": devices.Event,
        "Memory": memory.Memory,
        "MemoryPointer": memory.MemoryPointer,
        "MemoryPool": memory.MemoryPool,
        "PinnedMemoryPool": memory.PinnedMemoryPool,
        "Stream": devices.Stream,
        "get_current_stream": devices.current_stream,
        "get_device_id": lambda: thread.device,
        "get_elapsed_time": devices.get_elapsed_time,
        "get_local_runtime_version": lambda: devices.CUDA_VERSION,
        "is_available": lambda: True,
        "memory": memory_module,
        "nvtx": nvtx,
        "runtime": runtime,
    },
)

routines_linalg = StandInModule(
    "cupy._core._routines_linalg",
    {"get_compute_type": get_compute_type, "set_compute_type": set_compute_type, **COMPUTE_TYPES},
)

flags_module = StandInModule("cupy._core.flags", {"Flags": Flags})

core = StandInModule(
    "cupy._core",
    {
        "_routines_linalg": routines_linalg,
        "flags": flags_module,
        "get_compute_type": get_compute_type,
        "ndarray": ndarray,
        "set_compute_type": set_compute_type,
        "ufunc": ufunc,
    },
)

linalg = StandInModule(
    "cupy.linalg", {**FUNCTIONS["cupy.linalg"], "LinAlgError": np.linalg.LinAlgError}
)

random = StandInModule("cupy.random", {})  # tinyalex draws its own numbers

CREATION = (
    "array",
    "asarray",
    "asanyarray",
    "ascontiguousarray",
    "asnumpy",
    "empty",
    "empty_like",
    "get_array_module",
)

cupy = StandInModule(
    "cupy",
    {
        "__version__": VERSION,
        **from_numpy(),
        **UFUNCS,
        **FUNCTIONS["cupy"],
        **{name: getattr(creation, name) for name in CREATION},
        "RawKernel": raw.RawKernel,
        "RawModule": raw.RawModule,
        "_core": core,
        "cuda": cuda_module,
        "get_default_memory_pool": lambda: memory.default_pool,
        "get_default_pinned_memory_pool": lambda: memory.default_pinned_pool,
        "is_available": lambda: True,
        "linalg": linalg,
        "ndarray": ndarray,
        "random": random,
        "ufunc": ufunc,
    },
)

MODULES = {
    module.__name__: module
    for module in (
        cupy,
        cuda_module,
        runtime,
        memory_module,
        nvtx,
        core,
        routines_linalg,
        flags_module,
        linalg,
        random,
    )
}
