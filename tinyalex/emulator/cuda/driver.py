"""CUDA's driver (libcuda): modules and launches."""

import ctypes

from tinyalex.emulator.cuda import array_arguments, compiler, errors, memory, work_records
from tinyalex.emulator.cuda.api import (
    INVALID_HANDLE,
    INVALID_IMAGE,
    INVALID_VALUE,
    LAUNCH_FAILED,
    NOT_FOUND,
    OUT_OF_RESOURCES,
    Handle,
    Pointer,
    Size,
    Status,
    api,
    new_handle,
    object_of,
    release_handle,
    store,
    store_wide,
)
from tinyalex.emulator.cuda.checked_arguments import CheckedArguments, values
from tinyalex.emulator.cuda.runtime.devices import CAPABILITY, MULTIPROCESSORS, thread
from tinyalex.emulator.cuda.runtime.streams import keeps_arguments, stream_of, submit
from tinyalex.emulator.cuda.settings import settings
from tinyalex.emulator.cuda.statistics import statistics
from tinyalex.emulator.cuda.wheel import cuda_version
from tinyalex.emulator.errors import LaunchError, LimitError
from tinyalex.emulator.kernels import library, limits

CONTEXT = 0x100
"""The context of GPU 0; that of GPU 1 follows."""

# CUfunction_attribute
ATTRIBUTE_MAX_THREADS, ATTRIBUTE_REGISTERS, ATTRIBUTE_MAX_DYNAMIC_SHARED = 0, 4, 8


class Module:
    """A compiled source, loaded on a device."""

    def __init__(self, image: bytes):
        path = compiler.library_of(image)
        if path is None:
            raise Status(
                INVALID_IMAGE,
                "the module was not compiled by the emulator. Load its source, or delete CuPy's "
                "cache, CUPY_CACHE_DIR, if it comes from there",
            )
        if not path.exists():
            raise Status(
                INVALID_IMAGE,
                f"{path} has been deleted. Delete CuPy's cache, CUPY_CACHE_DIR, as well",
            )
        self.device = thread.device
        self.kernels = library.load(path)


class Function:
    """A kernel of a module.

    max_dynamic_shared  bytes; raised by cuFuncSetAttribute
    """

    def __init__(self, module: Module, kernel: library.CompiledKernel):
        self.module, self.kernel = module, kernel
        self.max_dynamic_shared = limits.SHARED_BYTES
        self._slots = ctypes.c_size_t * max(1, len(kernel.parameters))
        self._arrays = [
            (i, array)
            for i, parameter in enumerate(kernel.parameters)
            if (array := array_arguments.of(parameter))
        ]

    def launch(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        shared_bytes: int,
        stream: int,
        slots: int,
    ) -> None:
        """Submit a launch. `slots`: the address of an array of arguments' addresses."""
        kernel = self.kernel
        launch = self._checked(grid, block, shared_bytes)
        addresses = list(self._slots.from_address(slots)) if kernel.parameters else []
        blocks = self._blocks(addresses)
        if (device := stream_of(stream).device) != thread.device:
            raise Status(
                INVALID_HANDLE,
                f"{kernel.name} is launched on GPU {thread.device} in a stream of GPU {device}. "
                "Make that GPU current",
            )
        # CuPy does not keep them.
        kept = values(kernel.parameters, addresses) if keeps_arguments(stream) else None
        if kept is not None:
            addresses = [ctypes.addressof(buffer) for buffer in kept]

        def count() -> None:
            statistics.launches[kernel.name] += 1
            work_records.note(lambda: work_records.Work(kernel.name, self._bytes(addresses)))

        def run() -> None:
            # Lazily or in a graph, memory may have been freed since the submission.
            used = blocks if kept is None else self._blocks(addresses)
            checked = CheckedArguments(kernel.parameters, addresses) if kernel.is_checked else None
            table = self._slots(*(checked or addresses))
            try:
                kernel.run(launch, ctypes.addressof(table), checked.arena if checked else None)
            except LimitError as error:
                raise Status(OUT_OF_RESOURCES, str(error)) from None
            except LaunchError as error:
                raise Status(LAUNCH_FAILED, str(error)) from None
            for i, block in used:
                if not block.is_intact():
                    raise Status(
                        LAUNCH_FAILED,
                        f"{kernel.name}: wrote outside the {block.size} bytes of argument {i}",
                    )

        submit(stream, kernel.name, run, count=count)

    def _checked(
        self, grid: tuple[int, ...], block: tuple[int, ...], shared_bytes: int
    ) -> library.Launch:
        name = self.kernel.name
        if min(*grid, *block) < 1:
            raise Status(
                INVALID_VALUE,
                f"{name}: expected sizes of at least 1, got grid {grid}, block {block}",
            )
        if self.module.device != thread.device:
            raise Status(
                INVALID_HANDLE,
                f"{name} was loaded on GPU {self.module.device}, but is launched on GPU "
                f"{thread.device}",
            )
        try:
            return limits.checked_launch(
                name, grid, block, shared_bytes, self.max_dynamic_shared, CAPABILITY, settings.order
            )
        except LimitError as error:
            raise Status(INVALID_VALUE, str(error)) from None

    def _blocks(self, addresses: list[int]) -> list[tuple[int, memory.Block]]:
        """The memory of the arrays; a Status if the GPU cannot access it."""
        blocks = []
        device = self.module.device
        for i, array in self._arrays:
            for start, size in array.extents(addresses[i]):
                if not (start and size):
                    continue
                found = memory.find(start)
                if found is None or start + size > found.end or found.device != device:
                    what = f"{self.kernel.name}: argument {i}"
                    found = memory.require(what, start, size, device)
                blocks.append((i, found))
        return blocks

    def _bytes(self, addresses: list[int]) -> int | None:
        """Of the elements of the arrays; None if one is a pointer."""
        sizes = [array.nbytes(addresses[i]) for i, array in self._arrays]
        return None if None in sizes else sum(filter(None, sizes))


@api
def cuInit(flags: int) -> None:
    pass


@api
def cuDriverGetVersion(version: Pointer) -> None:
    store(version, cuda_version())


@api
def cuGetErrorName(status: int, text: Pointer) -> None:
    store_wide(text, errors.driver_name(status))


@api
def cuGetErrorString(status: int, text: Pointer) -> None:
    store_wide(text, errors.message())


@api
def cuCtxGetCurrent(context: Pointer) -> None:
    store_wide(context, CONTEXT + thread.device)


@api
def cuCtxSetCurrent(context: Handle) -> None:
    if context:
        thread.device = context - CONTEXT


@api
def cuCtxGetDevice(device: Pointer) -> None:
    store(device, thread.device)


@api
def cuDevicePrimaryCtxRelease_v2(device: int) -> None:
    pass


@api
def cuStreamGetCtx(stream: Handle, context: Pointer) -> None:
    store_wide(context, CONTEXT + thread.device)


# Modules


@api
def cuModuleLoadData(module: Pointer, image: Pointer) -> None:
    store_wide(module, new_handle(Module(ctypes.string_at(image))))


@api
def cuModuleUnload(module: Handle) -> None:
    release_handle(module, Module)


@api
def cuModuleGetFunction(function: Pointer, module: Handle, name: Pointer) -> None:
    loaded, wanted = object_of(module, Module), ctypes.string_at(name).decode()
    if wanted not in loaded.kernels:
        raise Status(
            NOT_FOUND,
            f"no kernel {wanted!r}, only {', '.join(loaded.kernels) or 'none'}. The emulator finds "
            "kernels by `__global__ void NAME(`",
        )
    store_wide(function, new_handle(Function(loaded, loaded.kernels[wanted])))


@api
def cuFuncGetAttribute(value: Pointer, attribute: int, function: Handle) -> None:
    known = {
        ATTRIBUTE_MAX_THREADS: limits.MAX_THREADS,
        ATTRIBUTE_REGISTERS: 32,
        ATTRIBUTE_MAX_DYNAMIC_SHARED: object_of(function, Function).max_dynamic_shared,
    }
    store(value, known.get(attribute, 0))


@api
def cuFuncSetAttribute(function: Handle, attribute: int, value: int) -> None:
    if attribute == ATTRIBUTE_MAX_DYNAMIC_SHARED:
        if value > CAPABILITY.max_shared:
            raise Status(
                INVALID_VALUE,
                f"{value} bytes of shared memory, but a block has at most {CAPABILITY.max_shared} "
                f"on a GPU of compute capability {CAPABILITY.name}",
            )
        object_of(function, Function).max_dynamic_shared = value


# Launches


@api
def cuLaunchKernel(
    function: Handle,
    grid_x: int,
    grid_y: int,
    grid_z: int,
    block_x: int,
    block_y: int,
    block_z: int,
    shared_bytes: int,
    stream: Handle,
    arguments: Pointer,
    extra: Pointer,
) -> None:
    grid, block = (grid_x, grid_y, grid_z), (block_x, block_y, block_z)
    object_of(function, Function).launch(grid, block, shared_bytes, stream, arguments)


@api
def cuOccupancyMaxActiveBlocksPerMultiprocessor(
    blocks: Pointer, function: Handle, threads: int, shared_bytes: Size
) -> None:
    store(blocks, CAPABILITY.threads // max(threads, 1))


@api
def cuOccupancyMaxPotentialBlockSize(
    grid: Pointer, block: Pointer, function: Handle, callback: Pointer, shared: Size, limit: int
) -> None:
    store(grid, MULTIPROCESSORS)
    store(block, min(limit or limits.MAX_THREADS, limits.MAX_THREADS))


NOT_EMULATED = (
    "cuCtxCreate_v2",
    "cuCtxDestroy_v2",
    "cuLaunchCooperativeKernel",
    "cuLinkAddData_v2",
    "cuLinkAddFile_v2",
    "cuLinkComplete",
    "cuLinkCreate_v2",
    "cuLinkDestroy",
    "cuModuleGetGlobal_v2",
    "cuModuleLoad",
)
