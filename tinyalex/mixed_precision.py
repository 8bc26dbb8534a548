"""autocast: matrix multiplications in float16, others where its range suffices.

float16 has half the bytes of float32, and GPUs have units for its matrix
multiplications. It has 11 significant bits, and its largest number is 65504, its
smallest 6e-8: sums, squares, exponentials and losses need more. Which operation
computes in which dtype is decided in `DTYPES`, and applied by `Function.apply` and
`float_tensors`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyalex import device, ops
from tinyalex.graph_tensor import GraphTensor
from tinyalex.modes import casting

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

    Matrix multiplications (conv2d, linear, matmul) cast inputs to float16 and add in
    float32. Losses, softmax, sums, norms, powers and exponentials cast them to float32.
    Other operations, such as ReLU, pooling, LRN and dropout, compute in the dtype they
    get. Parameters stay float32, and so do their gradients. An operation on a tensor of
    float64 or of integers casts no inputs.

    device_type    "cpu" or "cuda": for tensors there only, others are cast as in the
                   context around; None: everywhere
    dtype          float16; there is no bfloat16
    enabled        False: no casts, also within another autocast
    cache_enabled  has no effect: a parameter is cast at each use

    It affects forward passes in this thread. A backward pass computes in the dtypes of
    its forward pass. Gradients of at most 3e-8 (2**-25) are 0 in float16: `GradScaler`
    prevents that.

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
        if not _is_half(dtype):
            raise ValueError(
                f"autocast: dtype must be float16, got {dtype!r}. There is no bfloat16; for "
                "float32, use enabled=False."
            )
        self.device_type, self.enabled = device_type, enabled
        super().__init__(self.cast)

    def cast(self, operation: Any, inputs: Sequence[Any]) -> Sequence[Any] | None:
        """The inputs in the dtype that DTYPES gives the operation; None if a tensor is
        on a device of another type."""
        dtype = DTYPES.get(operation)
        if dtype is None:
            return inputs
        tensors = [x for x in inputs if isinstance(x, GraphTensor)]
        kind = self.device_type
        if kind and not all(device.of(x.data).startswith(kind) for x in tensors):
            return None
        if not self.enabled or any(x.dtype not in (np.float16, np.float32) for x in tensors):
            return inputs
        if dtype is WIDEST:
            dtype = max((x.dtype for x in tensors), key=lambda d: d.itemsize, default=None)
        return [
            ops.Cast.apply(x, dtype=dtype) if isinstance(x, GraphTensor) and x.dtype != dtype else x
            for x in inputs
        ]


def _is_half(dtype: Any) -> bool:
    try:
        return dtype is None or np.dtype(dtype) == np.float16
    except TypeError:  # "bfloat16" is no dtype of NumPy
        return False
