"""A double-buffered upload in CuPy: pinned memory, two streams and events.

tinyalex has none of these. The emulator must reveal a missing wait between them: see
host_mutants.py.
"""

import numpy as np


class Uploader:
    """Copies batches to the GPU in a stream of its own, during other computations.

    Two buffers of pinned memory alternate, and two arrays on the GPU. `copied` is the
    event after a copy between them, `used` the one after the last use of the array.
    """

    def __init__(self, shape):
        import cupy
        import cupyx

        self.stream = cupy.cuda.Stream(non_blocking=True)
        self.pinned = [cupyx.empty_pinned(shape, np.float32) for _ in range(2)]
        self.arrays = [cupy.empty(shape, np.float32) for _ in range(2)]
        self.copied, self.used = ([cupy.cuda.Event() for _ in range(2)] for _ in range(2))
        self.current = cupy.cuda.get_current_stream()
        for used in self.used:
            used.record()  # the memory pool may return memory that is still in use

    def upload(self, batch, i):
        """The batch on the GPU, valid until `release(i)`."""
        slot = i % 2
        self.copied[slot].synchronize()
        self.pinned[slot][...] = batch
        self.stream.wait_event(self.used[slot])
        self.arrays[slot].set(self.pinned[slot], self.stream)
        self.copied[slot].record(self.stream)
        self.current.wait_event(self.copied[slot])
        return self.arrays[slot]

    def release(self, i):
        self.used[i % 2].record(self.current)


def sums_of_squares(batches):
    """The sum of the squares of each batch, computed on the current GPU."""
    import cupy
    import cupyx

    uploader = Uploader(batches[0].shape)
    sums = cupy.empty(len(batches), np.float32)
    for i, batch in enumerate(batches):
        x = uploader.upload(batch, i)
        sums[i] = (x * x).sum()
        uploader.release(i)
    result = cupyx.empty_pinned(sums.shape, np.float32)
    sums.get(out=result, blocking=False)
    uploader.current.synchronize()
    return result.copy()
