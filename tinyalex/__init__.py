"""AlexNet from scratch, on CuPy with NumPy as the fallback: an autograd engine and its layers, forward and backward by hand."""

from tinyalex.device import cuda_is_available, manual_seed
from tinyalex.function import Function, no_grad
from tinyalex.tensor import Tensor

__all__ = ["Function", "Tensor", "cuda_is_available", "manual_seed", "no_grad"]
