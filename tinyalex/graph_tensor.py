"""GraphTensor: a tensor as the graph uses it, and the form of an array."""

from typing import Any, NamedTuple

import numpy as np

from tinyalex import device
from tinyalex.device import Array


class Form(NamedTuple):
    """Shape, dtype and device of an array, and of its gradient."""

    shape: tuple[int, ...]
    dtype: np.dtype
    device: str

    @classmethod
    def of(cls, x: Array) -> "Form":
        return cls(x.shape, x.dtype, device.of(x))

    def __str__(self) -> str:
        return f"{self.dtype} array of shape {self.shape}"


def describe(x: Any) -> str:
    """An array's form, or the type of another object, for messages."""
    return str(Form.of(x)) if device.is_array(x) else f"a {type(x).__name__}"


class GraphTensor:
    """A tensor as the graph uses it. `tinyalex.Tensor` is the only subclass."""

    data: Array
    requires_grad = False
    creator: Any = None
    """The Function that computed this tensor; None: it is a leaf."""
    _data_version = 0
    """The version of a leaf. A result of an operation has that of its creator (see
    `version`)."""

    @property
    def version(self) -> int:
        """How often `data` has been changed."""
        return (self if self.creator is None else self.creator)._data_version

    @version.setter
    def version(self, count: int) -> None:
        (self if self.creator is None else self.creator)._data_version = count

    @property
    def result_form(self) -> Form:
        """The shape, dtype and device. A Function has an attribute of the same name for
        its result."""
        return Form.of(self.data)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    def __len__(self) -> int:
        return len(self.data)

    @property
    def result_class(self) -> Any:
        """The class of an operation's output."""
        return type(self)

    def result(self, array: Array) -> Any:
        """`array`, computed from this tensor, as a tensor that needs no gradient."""
        raise NotImplementedError

    def accumulate_grad(self, grad: Array) -> None:
        """Receive the complete gradient of this leaf."""
