"""Parameter: a tensor that training changes."""

from typing import Any

from tinyalex import device, kernels
from tinyalex.tensor import Tensor


class Parameter(Tensor):
    """A tensor that a Module owns and training changes, if `requires_grad`."""

    def __init__(self, array: Any, requires_grad: bool = True) -> None:
        super().__init__(array, requires_grad)
        with device.on_device_of(self.data):
            self.data = kernels.of(self.data).ready(self.data)  # the optimizer writes to it
