"""Copies of arrays to a GPU during its computations.

The copy of an ordinary NumPy array takes its turn in the stream in which the GPU
computes. These copies have a stream of their own, and are read from pinned memory.
"""

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np

from tinyalex.device.arrays import Array, gpu_library, of, on, to_numpy

DEPTH = 2
"""Buffers of an Uploader: the number of arrays that are copied ahead."""


class Uploader:
    """Copies arrays to the device `name` while the GPU computes.

        receive = uploader.start(x)     # perhaps in another thread
        y = receive()                   # x on the device

    In `receive` the GPU waits for the copy, not the host. `start` waits while DEPTH
    arrays have been started and not received, and for the copy that used its memory
    before. Arrays are received in the order in which they were started, all in one
    stream. `close` ends the use.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._stream: Any = None
        self._free: SimpleQueue[_Buffer] = SimpleQueue()

    def start(self, x: Array) -> Callable[[], Array]:
        """Start the copy of `x`, which may be changed afterwards.

        The returned function is called once. It returns a new array on the device, or
        `x` itself if it is there.
        """
        if of(x) == self.name:
            return lambda: x
        with on(self.name):
            if self._stream is None:
                stream = gpu_library().cuda.Stream(non_blocking=True)
                buffers = [_Buffer(stream) for _ in range(DEPTH)]
                self._stream = stream
                for buffer in buffers:
                    self._free.put(buffer)
            buffer = self._free.get()
            try:
                buffer.fill(to_numpy(x))
            except BaseException:
                self._free.put(buffer)
                raise

        def receive() -> Array:
            try:
                with on(self.name):
                    return buffer.take()
            finally:
                self._free.put(buffer)

        return receive

    def close(self) -> None:
        """Wait for the copies: after them, other arrays may use the pinned memory."""
        if self._stream is not None:
            self._stream.synchronize()


class _Buffer:
    """Pinned memory, and as much memory of the current GPU, to which it is copied.

    Two events order two streams: `copied` follows the copy to the GPU, and `taken` the
    last use of the GPU's memory.
    """

    def __init__(self, stream: Any) -> None:
        event = gpu_library().cuda.Event
        self.stream = stream
        self.copied = event(block=True, disable_timing=True)  # the host waits for it
        self.taken = event(disable_timing=True)
        self._allocate(1)

    def fill(self, x: np.ndarray) -> None:
        self.copied.synchronize()  # of the array before
        if self.pinned.size < x.nbytes:
            self._allocate(x.nbytes)
        source = self.pinned[: x.nbytes].view(x.dtype).reshape(x.shape)
        source[...] = x
        self.array = self.on_gpu[: x.nbytes].view(x.dtype).reshape(x.shape)
        self.stream.wait_event(self.taken)
        self.array.set(source, self.stream)
        self.copied.record(self.stream)

    def _allocate(self, size: int) -> None:
        cupy = gpu_library()
        pinned = np.frombuffer(cupy.cuda.alloc_pinned_memory(size), np.uint8, size)
        self.pinned, self.on_gpu = pinned, cupy.empty(size, np.uint8)
        # The pool may return memory that the GPU still computes with.
        self.taken.record()

    def take(self) -> Array:
        """A copy, which is an array like any other. It is short: within the GPU."""
        current = gpu_library().cuda.get_current_stream()
        current.wait_event(self.copied)
        y: Array = self.array.copy()
        self.taken.record(current)
        return y
