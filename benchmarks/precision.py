"""The precisions of a training step, and how tinyalex is switched to each.

float32  matrix multiplications in full float32
tf32     float32 storage; matrix multiplications round inputs to 10 bits of mantissa
half     `autocast`: matrix multiplications of float16, accumulated in float32
"""

from contextlib import AbstractContextManager, nullcontext

from failures import NotAvailableError

import tinyalex as ta
from tinyalex import device

PRECISIONS = ("float32", "tf32", "half")


def switch(precision: str) -> None:
    """Set how float32 matrices are multiplied on the GPU.

    Raises NotAvailableError if the GPU does not have the precision.
    """
    try:
        device.allow_tf32(precision == "tf32")
    except RuntimeError as error:  # a GPU without TF32
        if precision == "tf32":
            raise NotAvailableError(str(error)) from None


def forward_context(precision: str) -> AbstractContextManager:
    """The context of the forward pass and the loss."""
    return ta.autocast() if precision == "half" else nullcontext()
