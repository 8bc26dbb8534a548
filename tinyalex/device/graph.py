"""Work of a GPU that is captured once and repeated by one launch (CUDA graphs).

A GPU may finish the small kernels of a training step faster than Python launches them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar
from weakref import finalize

import numpy as np

from tinyalex.device import cublas
from tinyalex.device.arrays import Array, gpu_library, of, on
from tinyalex.device.randomness import seed, step_array

T = TypeVar("T")

WORKSPACE_BYTES = 32 << 20
"""For cuBLAS: what NVIDIA recommends for Hopper, and more than for other GPUs."""


ERROR_MEMORY_ALLOCATION = 2
"""cudaErrorMemoryAllocation."""


class Graph(Generic[T]):
    """`function(*inputs)` on the device `name`, whose work is captured and repeated.

    The first call runs the function, which compiles kernels and allocates memory. The
    second captures its work; this and all later calls launch what was captured: the
    same kernels with the same addresses and values. Both are repeated after a call of
    manual_seed, and in another thread. On the CPU, each call runs the function.

    inputs    arrays on the device, of the same shapes and dtypes in each call. They are
              copied to the memory that the captured work reads
    function  must neither wait for the GPU nor copy from or to the host. What it
              changes, and what changes its results, must be arrays that stay in place:
              later calls do not run its Python code. Its random numbers depend on
              `device.set_step`

    Returns the function's result. Its arrays are overwritten by the next call. Raises
    RuntimeError if the work cannot be captured, ValueError for other inputs.

    The graph owns the memory that the function allocates: no other computation gets it
    while the graph exists, even if the arrays no longer do.
    """

    def __init__(self, function: Callable[..., T], name: str) -> None:
        self.function, self.name = function, name
        self._inputs: list[Any] | None = None
        self._step: Array | None = None
        self._seed = 0
        self._graph: Any = None
        self._stream: Any = None

    def __call__(self, *inputs: Array) -> T:
        if self.name == "cpu":
            return self.function(*inputs)
        with on(self.name):
            self._check(inputs)
            step, key = step_array(self.name), seed()
            if self._inputs is None or step is not self._step or key != self._seed:
                self._inputs = self._graph = None
                copies = [x.copy() for x in inputs]
                result = self._warm_up(copies)
                self._inputs, self._step, self._seed = copies, step, key
                return result
            for x, own in zip(inputs, self._inputs, strict=True):
                own[...] = x
            if self._graph is None:
                self._capture(self._inputs)
            self._graph.launch()
            return self._result

    def _check(self, inputs: tuple[Array, ...]) -> None:
        expected = inputs if self._inputs is None else self._inputs
        if len(inputs) != len(expected):
            raise ValueError(
                f"Graph: expected {len(expected)} inputs, as in the first call, got "
                f"{len(inputs)}. Make another Graph for them."
            )
        for x, own in zip(inputs, expected, strict=True):
            if of(x) != self.name:
                raise ValueError(
                    f"Graph: expected inputs on {self.name}, got one on {of(x)}. Give "
                    f"device.to(x, {self.name!r})."
                )
            if (x.shape, x.dtype) != (own.shape, own.dtype):
                raise ValueError(
                    f"Graph: expected an input {own.shape} {own.dtype}, as in the first call, got "
                    f"{x.shape} {x.dtype}. Make another Graph for other shapes and dtypes."
                )

    def _warm_up(self, inputs: list[Any]) -> T:
        cuda = gpu_library().cuda
        if self._stream is None:
            self._stream, self._pool = cuda.Stream(non_blocking=True), cuda.MemoryPool(_allocate)
            self._workspace = gpu_library().empty(WORKSPACE_BYTES, np.uint8)
            # CuPy's pools do not free their memory when they are deleted.
            finalize(self, _free, self._pool, self.name).atexit = False
        current = cuda.get_current_stream()
        self._stream.wait_event(current.record())
        with self._own_stream():
            try:
                return self.function(*inputs)
            finally:
                current.wait_event(self._stream.record())

    def _capture(self, inputs: list[Any]) -> None:
        with self._own_stream():
            self._stream.begin_capture()
            try:
                self._result = self.function(*inputs)
                self._graph = self._stream.end_capture()
            except BaseException as error:
                with suppress(RuntimeError):  # the error may have ended the capture
                    self._stream.end_capture()
                if isinstance(error, RuntimeError):
                    raise RuntimeError(
                        f"Graph: this work cannot be captured: {error}\nCall the function "
                        "without a Graph (in training: graph=False, without --graph), or change "
                        "what waits for the GPU."
                    ) from error
                raise

    @contextmanager
    def _own_stream(self) -> Iterator[None]:
        """A context with this graph's stream, memory and workspace of cuBLAS.

        If the GPU is full, CuPy's common pool would free memory without arrays, which
        the captured work may use.
        """
        allocating = gpu_library().cuda.using_allocator(self._pool.malloc)
        with self._stream, allocating, cublas.workspace(self._workspace):
            yield


def _allocate(size: int) -> Any:
    """New memory for a graph's pool.

    If the GPU is full, a pool frees its unused blocks and tries again. In a capture
    these belong to the captured work.
    """
    cuda = gpu_library().cuda
    try:
        return cuda.MemoryPointer(cuda.Memory(size), 0)
    except cuda.runtime.CUDARuntimeError as error:
        if error.status != ERROR_MEMORY_ALLOCATION:
            raise
        if cuda.get_current_stream().is_capturing():
            raise MemoryError(
                "Graph: the GPU has too little free memory to capture this work. Use a smaller "
                "batch, or call the function without a Graph (in training: graph=False)."
            ) from error
        gpu_library().get_default_memory_pool().free_all_blocks()
        raise  # the pool tries again


def _free(pool: Any, name: str) -> None:
    """Free the memory of a pool that no array uses; an array frees its own later."""
    with on(name):
        pool.free_all_blocks()
