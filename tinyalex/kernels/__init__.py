"""The inner loops, one module a device, the same names and signatures in each.

A primitive writes into arrays that its caller gives. `of(x)` finds the module for the device of `x`.
"""

from types import ModuleType

from tinyalex import device
from tinyalex.device import Array
from tinyalex.kernels import cpu, cuda


def of(x: Array) -> ModuleType:
    """The primitives for the device that `x` lies on."""
    return cpu if device.of(x) == "cpu" else cuda
