"""The sliding window that convolution and pooling share: its geometry, and the size of what it leaves.

rows seen by output row i:   i*stride + u*dilation - padding   for u = 0 .. kernel-1
output rows:                 floor((rows + padding before and after - dilation*(kernel-1) - 1) / stride) + 1
"""

from typing import NamedTuple

from tinyalex.functional.checks import Pair


class Window(NamedTuple):
    """Rows and columns each. `padding` is what comes before the first row and column; what comes after only shows in the size."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair = (1, 1)

    def reach(self, axis: int) -> int:
        """How many pixels the window spans."""
        return self.dilation[axis] * (self.kernel[axis] - 1) + 1


def output_size(op: str, size: tuple[int, ...], window: Window, after: Pair, ceil_mode: bool = False, inside: bool = False) -> Pair:
    """(OH, OW) for an image of `size` with `after` more rows and columns of padding behind it.

    ceil_mode  round up: the last window may hang over the edge
    inside     ... but it must begin before the padding behind the image does (pooling asks that, or it would see nothing)
    ValueError if not even one window fits.
    """
    out = []
    for axis in range(2):
        room = size[axis] + window.padding[axis] + after[axis] - window.reach(axis)
        stride = window.stride[axis]
        count = (-(-room // stride) if ceil_mode else room // stride) + 1
        if ceil_mode and inside and (count - 1) * stride >= size[axis] + window.padding[axis]:
            count -= 1
        if count < 1 or (room < 0 and not inside):
            raise ValueError(
                f"{op}: a window of {window.reach(0)} x {window.reach(1)} pixels does not fit into an image of {size[0]} x {size[1]} "
                f"with padding {window.padding}. Use a larger image or padding, or a smaller kernel."
            )
        out.append(count)
    return out[0], out[1]
