"""The primitives: inner loops, in one package per device with the same signatures.

A primitive writes into arrays that its caller allocates. `of(x)` returns the package
for the device of x.
"""

from types import ModuleType

from tinyalex import device
from tinyalex.device import Array
from tinyalex.kernels import cpu, cuda


def of(x: Array) -> ModuleType:
    """The primitives for the device of `x`."""
    return on(device.of(x))


def on(name: str) -> ModuleType:
    """The primitives for the device `name`."""
    if name == "cpu":
        return cpu
    if name.partition(":")[0] != "cuda":
        raise ValueError(f"expected the device cpu, cuda or cuda:1, got {name!r}.")
    return cuda
