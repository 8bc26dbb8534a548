"""autocast: matrix products in float16, other operations where its range suffices.

float16 has half the bytes of float32, and GPUs have units for its matrix products. It
has 11 significant bits, and its largest number is 65504, its smallest 6e-8: sums,
squares, exponentials and losses need more. Which operation computes in which dtype is
decided in `DTYPES`, and applied by `Function.apply` and `float_tensors`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyalex import device, ops
from tinyalex.function import GraphTensor, casting

WIDEST = "the widest dtype of the inputs"

DTYPES: dict[Any, Any] = {
    **dict.fromkeys(
        ("conv2d", "linear", "locally_connected2d", ops.MatMul),
        np.dtype("float16"),
    ),
    **dict.fromkeys(
        (
            *("softmax", "log_softmax", "gelu", "normalize", "layer_norm", "batch_norm"),
            *("cross_entropy", "nll_loss", "mse_loss", "l1_loss"),
            "binary_cross_entropy_with_logits",
            *(ops.Exp, ops.Log, ops.Log1p, ops.Power, ops.Square, ops.Rsqrt),
            *(ops.Sum, ops.Mean, ops.Var, ops.Std, ops.Norm, ops.PNorm, ops.CumSum),
        ),
        np.dtype("float32"),
    ),
    "cat": WIDEST,
}
"""The dtype of each operation: a function in `functional` by its name, or a Function of
Tensor's operators and methods. Others compute in the dtype of their inputs; of two, `+`
and other operators take the wider one, as NumPy does."""


class autocast(casting):  # noqa: N801 - used like a keyword: `with autocast():`
    """A context, or a decorator, in which operations choose float16 or float32.

    Matrix products (conv2d, linear, matmul) cast inputs to float16 and add in float32.
    Losses, softmax, sums, norms, powers and exponentials cast them to float32. Other
    operations, such as ReLU, pooling, LRN and dropout, compute in the dtype they get.
    Parameters stay float32, and so do their gradients. float64 is not cast.

    device_type    "cpu" or "cuda": cast only tensors there; None: everywhere
    dtype          float16; there is no bfloat16
    enabled        False: no casts, also within another autocast
    cache_enabled  has no effect: a parameter is cast at each use

    It affects forward passes in this thread. A backward pass computes in the dtypes of
    its forward pass. Gradients below 6e-8 are 0 in float16: `GradScaler` prevents that.

    >>> import tinyalex as ta
    >>> x, w = ta.ones(2, 3), ta.ones(3, 4)
    >>> with autocast():
    ...     (x @ w).dtype, (x @ w).sum().dtype
    (dtype('float16'), dtype('float32'))
    """

    def __init__(
        self,
        device_type: str | None = None,
        dtype: Any = "float16",
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if device_type not in (None, "cpu", "cuda"):
            raise ValueError(
                f"autocast: device_type must be 'cpu' or 'cuda', got {device_type!r}. Leave it out "
                "for all devices; a dtype is given as dtype='float16'."
            )
        if dtype is not None and dtype not in ("float16", np.float16):
            raise ValueError(
                f"autocast: dtype must be float16, got {dtype!r}. NumPy has no bfloat16; for "
                "float32, use enabled=False."
            )
        self.device_type = device_type
        super().__init__(self.cast if enabled else None)

    def cast(self, operation: Any, inputs: Sequence[Any]) -> Sequence[Any]:
        """The inputs in the dtype that DTYPES gives the operation."""
        dtype = DTYPES.get(operation)
        if dtype is None:
            return inputs
        if dtype is WIDEST:
            widths = [x.dtype for x in inputs if self.applies_to(x)]
            dtype = max(widths, key=lambda d: d.itemsize, default=None)
        return [
            ops.Cast.apply(x, dtype=dtype) if self.applies_to(x) and x.dtype != dtype else x
            for x in inputs
        ]

    def applies_to(self, x: Any) -> bool:
        """Whether `x` is a tensor of float16 or float32 on the device."""
        return (
            isinstance(x, GraphTensor)
            and x.dtype in (np.float16, np.float32)
            and (self.device_type is None or device.of(x.data).startswith(self.device_type))
        )
