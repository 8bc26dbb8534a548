"""Work of a GPU that is captured once and repeated by one launch (CUDA graphs).

A GPU may finish the small kernels of a training step faster than Python launches them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar

import numpy as np

from tinyalex.device import cublas
from tinyalex.device.arrays import Array, gpu_library, on

T = TypeVar("T")

WORKSPACE_BYTES = 32 << 20
"""For cuBLAS: what NVIDIA recommends for Hopper, and more than for other GPUs."""


class Graph(Generic[T]):
    """`function(*inputs)` on the device `name`, whose work is captured and repeated.

    The first call runs the function, which compiles kernels and allocates memory. The
    second captures its work; this and all later calls launch what was captured: the
    same kernels with the same addresses and numbers. On the CPU, each call runs the
    function.

    inputs    arrays on the device, of the same shapes and dtypes in each call. They are
              copied to the memory that the captured work reads
    function  must neither wait for the GPU nor copy from or to the host. What it
              changes, and what changes its results, must be arrays that stay in place:
              later calls do not run its Python code

    Returns the function's result. Its arrays are overwritten by the next call. Raises
    RuntimeError if the work cannot be captured, ValueError for other inputs.

    The graph owns the memory that the function allocates: no other computation gets it,
    even if the arrays no longer exist.
    """

    def __init__(self, function: Callable[..., T], name: str) -> None:
        self.function, self.name = function, name
        self._inputs: list[Any] = []
        self._graph: Any = None

    def __call__(self, *inputs: Array) -> T:
        if self.name == "cpu":
            return self.function(*inputs)
        with on(self.name):
            if not self._inputs:
                self._inputs = [x.copy() for x in inputs]
                return self._warm_up()
            self._copy(inputs)
            if self._graph is None:
                self._capture()
            self._graph.launch()
            return self._result

    def _copy(self, inputs: tuple[Array, ...]) -> None:
        for x, own in zip(inputs, self._inputs, strict=True):
            if (x.shape, x.dtype) != (own.shape, own.dtype):
                raise ValueError(
                    f"Graph: expected an input {own.shape} {own.dtype}, as in the first call, got "
                    f"{x.shape} {x.dtype}."
                )
            own[...] = x

    def _warm_up(self) -> T:
        cuda = gpu_library().cuda
        self._stream, self._pool = cuda.Stream(non_blocking=True), cuda.MemoryPool()
        self._workspace = gpu_library().empty(WORKSPACE_BYTES, np.uint8)
        current = cuda.get_current_stream()
        self._stream.wait_event(current.record())
        with self._own_stream():
            result = self.function(*self._inputs)
        current.wait_event(self._stream.record())
        return result

    def _capture(self) -> None:
        with self._own_stream():
            self._stream.begin_capture()
            try:
                self._result = self.function(*self._inputs)
                self._graph = self._stream.end_capture()
            except BaseException as error:
                with suppress(RuntimeError):  # the error may have ended the capture
                    self._stream.end_capture()
                if isinstance(error, RuntimeError):
                    raise RuntimeError(f"Graph: this work cannot be captured: {error}") from error
                raise

    @contextmanager
    def _own_stream(self) -> Iterator[None]:
        """A context with this graph's stream, memory and workspace of cuBLAS.

        CuPy's common pool would free memory without arrays if the GPU is full.
        """
        allocating = gpu_library().cuda.using_allocator(self._pool.malloc)
        with self._stream, allocating, cublas.workspace(self._workspace):
            yield
