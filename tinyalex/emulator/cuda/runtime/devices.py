"""Devices: their number, properties and limits, and the current one of each thread."""

import ctypes
import threading

from tinyalex.emulator.cuda import memory, work_queue
from tinyalex.emulator.cuda.api import (
    Pointer,
    Size,
    Status,
    api,
    functions,
    store,
    store_wide,
)
from tinyalex.emulator.cuda.settings import settings
from tinyalex.emulator.cuda.wheel import cuda_major, cuda_version
from tinyalex.emulator.kernels.limits import (
    CAPABILITIES,
    MAX_BLOCK,
    MAX_GRID,
    MAX_THREADS,
    SHARED_BYTES,
)

NO_DEVICE = 100
INVALID_DEVICE = 101
PEER_ALREADY_ENABLED = 704
PEER_NOT_ENABLED = 705

NAME = b"emulated GPU (tinyalex)"
CAPABILITY = CAPABILITIES[settings.capability]
MAJOR, MINOR = map(int, CAPABILITY.name.split("."))
MULTIPROCESSORS = 132
REGISTERS = 65536
CONSTANT_BYTES = 64 << 10
L2_BYTES = 50 << 20
SHARED_OF_MULTIPROCESSOR = CAPABILITY.max_shared + 1024


class _Thread(threading.local):
    device = 0


thread = _Thread()
"""thread.device is the current device of this thread."""


def check_device(device: int) -> None:
    if not 0 <= device < settings.devices:
        raise Status(
            INVALID_DEVICE,
            f"expected a GPU from 0 to {settings.devices - 1}, got {device}. The setting `devices` "
            "is the number of emulated GPUs",
        )


def finish(device: int) -> None:
    """Wait until a device has done all of its work."""
    work_queue.count_wait(device)
    work_queue.wait(lambda task: task.device == device)


@api
def cudaDriverGetVersion(version: Pointer) -> None:
    store(version, cuda_version())


@api
def cudaGetDeviceCount(count: Pointer) -> None:
    store(count, settings.devices)
    if not settings.devices:
        raise Status(NO_DEVICE, "the emulator's setting `devices` is 0")


@api
def cudaGetDevice(device: Pointer) -> None:
    store(device, thread.device)


@api
def cudaSetDevice(device: int) -> None:
    check_device(device)
    thread.device = device


@api
def cudaGetLastError() -> None:
    pass


@api
def cudaPeekAtLastError() -> None:
    pass


@api
def cudaDeviceSynchronize() -> None:
    finish(thread.device)


# Properties

# The number in cudaDeviceAttr, the member of cudaDeviceProp, the value; others are 0.
# fmt: off
_VALUES: tuple[tuple[int, str, int], ...] = (
    (1, "maxThreadsPerBlock", MAX_THREADS),
    (8, "sharedMemPerBlock", SHARED_BYTES),
    (9, "totalConstMem", CONSTANT_BYTES),
    (10, "warpSize", 32),
    (11, "memPitch", 2**31 - 1),
    (12, "regsPerBlock", REGISTERS),
    (13, "clockRate", 1_980_000),  # kHz
    (14, "textureAlignment", 512),
    (16, "multiProcessorCount", MULTIPROCESSORS),
    (19, "canMapHostMemory", 1),
    (31, "concurrentKernels", 1),
    (36, "memoryClockRate", 2_619_000),  # kHz
    (37, "memoryBusWidth", 5120),  # bits
    (38, "l2CacheSize", L2_BYTES),
    (39, "maxThreadsPerMultiProcessor", CAPABILITY.threads),
    (40, "asyncEngineCount", 3),
    (41, "unifiedAddressing", 1),
    (51, "texturePitchAlignment", 32),
    (75, "major", MAJOR),
    (76, "minor", MINOR),
    (78, "streamPrioritiesSupported", 1),
    (81, "sharedMemPerMultiprocessor", SHARED_OF_MULTIPROCESSOR),
    (82, "regsPerMultiprocessor", REGISTERS),
    (83, "managedMemory", 1),
    (87, "singleToDoublePrecisionPerfRatio", 2),
    (95, "cooperativeLaunch", 1),
    (97, "sharedMemPerBlockOptin", CAPABILITY.max_shared),
    (106, "maxBlocksPerMultiProcessor", 32),
    (111, "reservedSharedMemPerBlock", 1 << 10),
)
# fmt: on

MEMORY_POOLS = 115
PCI_BUS = 33


def attributes(device: int) -> dict[int, int]:
    """The device's attributes that are not 0, by the number in cudaDeviceAttr."""
    sizes = zip(range(2, 8), (*MAX_BLOCK, *MAX_GRID), strict=True)
    values = {number: value for number, _, value in _VALUES}
    return {**values, **dict(sizes), PCI_BUS: device + 1, MEMORY_POOLS: 1}


_INT, _UNSIGNED, _SIZE = ctypes.c_int, ctypes.c_uint, ctypes.c_size_t


# With a star the members that CUDA 13 no longer has. fmt: off
_MEMBERS = (
    ("name", ctypes.c_char * 256),
    ("uuid", ctypes.c_char * 16),
    ("luid", ctypes.c_char * 8),
    ("luidDeviceNodeMask", _UNSIGNED),
    ("totalGlobalMem", _SIZE),
    ("sharedMemPerBlock", _SIZE),
    ("regsPerBlock", _INT),
    ("warpSize", _INT),
    ("memPitch", _SIZE),
    ("maxThreadsPerBlock", _INT),
    ("maxThreadsDim", _INT * 3),
    ("maxGridSize", _INT * 3),
    ("*clockRate", _INT),
    ("totalConstMem", _SIZE),
    ("major", _INT),
    ("minor", _INT),
    ("textureAlignment", _SIZE),
    ("texturePitchAlignment", _SIZE),
    ("*deviceOverlap", _INT),
    ("multiProcessorCount", _INT),
    ("*kernelExecTimeoutEnabled", _INT),
    ("integrated", _INT),
    ("canMapHostMemory", _INT),
    ("*computeMode", _INT),
    ("maxTexture1D", _INT * 2),
    ("*maxTexture1DLinear", _INT),
    ("textures", _INT * 37),
    ("surfaceAlignment", _SIZE),
    ("concurrentKernels", _INT),
    ("ECCEnabled", _INT),
    ("pciBusID", _INT),
    ("pciDeviceID", _INT),
    ("pciDomainID", _INT),
    ("tccDriver", _INT),
    ("asyncEngineCount", _INT),
    ("unifiedAddressing", _INT),
    ("*memoryClockRate", _INT),
    ("memoryBusWidth", _INT),
    ("l2CacheSize", _INT),
    ("persistingL2CacheMaxSize", _INT),
    ("maxThreadsPerMultiProcessor", _INT),
    ("streamPrioritiesSupported", _INT),
    ("globalL1CacheSupported", _INT),
    ("localL1CacheSupported", _INT),
    ("sharedMemPerMultiprocessor", _SIZE),
    ("regsPerMultiprocessor", _INT),
    ("managedMemory", _INT),
    ("isMultiGpuBoard", _INT),
    ("multiGpuBoardGroupID", _INT),
    ("hostNativeAtomicSupported", _INT),
    ("*singleToDoublePrecisionPerfRatio", _INT),
    ("pageableMemoryAccess", _INT),
    ("concurrentManagedAccess", _INT),
    ("computePreemptionSupported", _INT),
    ("canUseHostPointerForRegisteredMem", _INT),
    ("cooperativeLaunch", _INT),
    ("*cooperativeMultiDeviceLaunch", _INT),
    ("sharedMemPerBlockOptin", _SIZE),
    ("pageableMemoryAccessUsesHostPageTables", _INT),
    ("directManagedMemAccessFromHost", _INT),
    ("maxBlocksPerMultiProcessor", _INT),
    ("accessPolicyMaxWindowSize", _INT),
    ("reservedSharedMemPerBlock", _SIZE),
)
# fmt: on


class Properties(ctypes.Structure):
    """cudaDeviceProp, up to the last member that CuPy reads."""

    _fields_ = tuple(
        (name.lstrip("*"), type_)
        for name, type_ in _MEMBERS
        if cuda_major() < 13 or not name.startswith("*")
    )


@api
def cudaGetDeviceProperties(properties: Pointer, device: int) -> None:
    check_device(device)
    values = {
        **{member: value for _, member, value in _VALUES},
        "name": NAME,
        "totalGlobalMem": settings.memory_bytes,
        "maxThreadsDim": (_INT * 3)(*MAX_BLOCK),
        "maxGridSize": (_INT * 3)(*MAX_GRID),
        "pciBusID": device + 1,
    }
    target = Properties.from_address(properties)
    ctypes.memset(properties, 0, ctypes.sizeof(target))
    for name, value in values.items():
        if hasattr(Properties, name):  # CUDA 13 has fewer
            setattr(target, name, value)


functions["cudaGetDeviceProperties_v2"] = functions["cudaGetDeviceProperties"]  # in CUDA 12


@api
def cudaDeviceGetAttribute(value: Pointer, attribute: int, device: int) -> None:
    check_device(device)
    store(value, attributes(device).get(attribute, 0))


@api
def cudaDeviceGetPCIBusId(text: Pointer, length: int, device: int) -> None:
    check_device(device)
    bus_id = b"0000:%02x:00.0\0" % (device + 1)
    ctypes.memmove(text, bus_id, min(length, len(bus_id)))


@api
def cudaDeviceGetLimit(value: Pointer, limit: int) -> None:
    store_wide(value, 1024)


@api
def cudaDeviceSetLimit(limit: int, value: Size) -> None:
    pass


# Access of one GPU to the memory of another


@api
def cudaDeviceCanAccessPeer(can: Pointer, device: int, peer: int) -> None:
    check_device(device)
    check_device(peer)
    store(can, int(device != peer))


@api
def cudaDeviceEnablePeerAccess(peer: int, flags: int) -> None:
    check_device(peer)
    if (thread.device, peer) in memory.peers:
        raise Status(PEER_ALREADY_ENABLED, f"of GPU {thread.device} to GPU {peer}")
    memory.peers.add((thread.device, peer))


@api
def cudaDeviceDisablePeerAccess(peer: int) -> None:
    if (thread.device, peer) not in memory.peers:
        raise Status(PEER_NOT_ENABLED, f"of GPU {thread.device} to GPU {peer}")
    memory.peers.remove((thread.device, peer))
