"""NCCL: operations of several processes on arrays, each on a GPU of its own."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from types import ModuleType
from typing import Any

from tinyalex.device.arrays import Array, gpu_library, of, on

MIN_VERSION = 22600
"""2.26 is the first version that orders the operations of several communicators."""


class Nccl:
    """Collective operations between processes, each with a GPU of its own, by NCCL.

    rank, size  this process, and the number of processes
    share_id    gives rank 0's argument to all ranks: share_id(x) returns rank 0's x
    device      the GPU of this process, "cuda" or "cuda:1"

    Arrays are flat, C-contiguous, on this GPU, and of one dtype and size in all
    processes. Operations work in place, in the order of the current stream; none waits
    for the GPU. All processes must call the same operations in the same order.
    """

    def __init__(self, rank: int, size: int, share_id: Callable[[Any], Any], device: str):
        self._nccl, self._cuda = _library(), gpu_library().cuda
        self.rank, self.size, self.device = rank, size, device
        # `columns` has three communicators, in two streams. Without it, GPUs may begin
        # their operations in different orders, and wait for each other forever.
        os.environ.setdefault("NCCL_LAUNCH_ORDER_IMPLICIT", "1")
        unique_id = share_id(self._nccl.get_unique_id() if rank == 0 else None)
        with on(device):
            self._communicator = self._nccl.NcclCommunicator(size, unique_id, rank)
            self._background = self._cuda.Stream(non_blocking=True)
        # Arguments of the operations in the background. While they are referenced,
        # CuPy's pool does not give their memory to other arrays.
        self._in_use: dict[object, tuple[Any, ...]] = {}

    def all_reduce(self, x: Array) -> None:
        """x becomes the sum over all ranks."""
        data = self._address(x)
        self._call("allReduce", data, data, x.size, *self._sum(x))

    def reduce(self, x: Array, root: int) -> None:
        """The root's x becomes the sum over all ranks."""
        data = self._address(x)
        self._call("reduce", data, data, x.size, *self._sum(x), root)

    def broadcast(self, x: Array, root: int) -> None:
        """x becomes the root's x."""
        data = self._address(x)
        self._call("broadcast", data, data, x.size, self._dtype(x), root)

    def all_gather(self, x: Array, counts: Sequence[int]) -> None:
        """x holds a section of counts[r] elements for each rank r, one after another.

        On entry each rank has filled its own section; on return all are filled.
        """
        sections = self._sections(x, counts)
        if len(set(counts)) == 1:
            own, data = self._address(sections[self.rank]), self._address(x)
            self._call("allGather", own, data, counts[0], self._dtype(x))
            return
        with self._group():
            for root, section in enumerate(sections):
                if section.size:
                    self.broadcast(section, root)

    def reduce_scatter(self, x: Array, counts: Sequence[int]) -> None:
        """This rank's section of x becomes its sum over all ranks.

        The sections are those of `all_gather`; the others are undefined on return.
        """
        sections = self._sections(x, counts)
        if len(set(counts)) == 1:
            own, data = self._address(sections[self.rank]), self._address(x)
            self._call("reduceScatter", data, own, counts[0], *self._sum(x))
            return
        with self._group():
            for root, section in enumerate(sections):
                if section.size:
                    self.reduce(section, root)

    def send(self, x: Array, to: int) -> None:
        """May wait, on the GPU, until the other process receives."""
        self._call("send", self._address(x), x.size, self._dtype(x), to)

    def receive(self, x: Array, source: int) -> None:
        self._call("recv", self._address(x), x.size, self._dtype(x), source)

    def start(self, operation: str, *arguments: Any) -> Callable[[], None]:
        """Start an operation, such as start("all_reduce", x), in the background.

        It follows the work that the current stream has been given. The returned
        function lets the current stream wait for the operation; the arrays may be used
        or deleted only after that. Call it in the stream in which they were created.
        """
        with on(self.device):
            ready, done = (self._cuda.Event(disable_timing=True) for _ in range(2))
            ready.record()
            self._background.wait_event(ready)
            with self._background:
                getattr(self, operation)(*arguments)
                done.record()
        self._in_use[done] = arguments

        def wait() -> None:
            with on(self.device):
                self._cuda.get_current_stream().wait_event(done)
            self._in_use.pop(done, None)

        return wait

    def close(self) -> None:
        """Wait for all operations, and leave the communicator."""
        with on(self.device):
            self._cuda.Device().synchronize()
            self._communicator.destroy()
        self._in_use.clear()

    def _call(self, name: str, *arguments: int) -> None:
        """Enqueue a method of CuPy's communicator in the current stream."""
        with on(self.device):
            stream = self._cuda.get_current_stream().ptr
            getattr(self._communicator, name)(*arguments, stream)

    @contextmanager
    def _group(self) -> Iterator[None]:
        """A context whose operations NCCL begins together, at its end."""
        self._nccl.groupStart()
        try:
            yield
        finally:
            self._nccl.groupEnd()

    def _address(self, x: Any) -> int:
        if not (x.ndim == 1 and x.flags.c_contiguous and of(x) == self.device):
            raise ValueError(
                f"NCCL: expected a flat, C-contiguous array on {self.device}, got an array of "
                f"shape {x.shape} on {of(x)}. Pass x.reshape(-1) of a contiguous array on "
                f"{self.device}."
            )
        address: int = x.data.ptr
        return address

    def _dtype(self, x: Array) -> int:
        dtype = getattr(self._nccl, f"NCCL_{x.dtype.name.upper()}", None)
        if dtype is None:
            raise TypeError(f"NCCL: expected an array of floats or integers, got {x.dtype}.")
        return int(dtype)

    def _sum(self, x: Array) -> tuple[int, int]:
        return self._dtype(x), self._nccl.NCCL_SUM

    def _sections(self, x: Array, counts: Sequence[int]) -> list[Array]:
        if len(counts) != self.size or sum(counts) != x.size:
            raise ValueError(
                f"NCCL: expected {self.size} counts with a sum of {x.size}, the size of the "
                f"array, got {list(counts)}."
            )
        return [x[end - n : end] for n, end in zip(counts, accumulate(counts), strict=True)]


def _library() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of CuPy, if NCCL is missing
        from cupy.cuda import nccl
    major = gpu_library().cuda.runtime.runtimeGetVersion() // 1000
    if not nccl.available:
        raise RuntimeError(
            "NCCL, which connects the GPUs of several processes, cannot be loaded. Install it: "
            f"pip install nvidia-nccl-cu{major}; or use --device cpu."
        )
    if (version := nccl.get_version()) < MIN_VERSION:
        raise RuntimeError(
            f"NCCL is version {version}, expected at least {MIN_VERSION} (2.26): in older ones, "
            "several communicators of a GPU may wait for each other forever. Update it: "
            f"pip install --upgrade nvidia-nccl-cu{major}; or use --device cpu."
        )
    library: ModuleType = nccl
    return library
