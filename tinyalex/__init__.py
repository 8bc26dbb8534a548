"""AlexNet from scratch, on NumPy and CuPy: autograd and layers, written by hand."""

from tinyalex import data, functional, models, nn, optim, utils
from tinyalex.device import cuda_is_available, manual_seed
from tinyalex.function import Function, no_grad
from tinyalex.functional import flatten
from tinyalex.gradient_check.check import GradcheckError, gradcheck
from tinyalex.kernels.fast_paths import fast, set_fast
from tinyalex.serialization import load, save
from tinyalex.tensor import Tensor

__version__ = "0.1.0"

__all__ = [
    "Function",
    "GradcheckError",
    "Tensor",
    "cuda_is_available",
    "data",
    "fast",
    "flatten",
    "functional",
    "gradcheck",
    "load",
    "manual_seed",
    "models",
    "nn",
    "no_grad",
    "optim",
    "save",
    "set_fast",
    "utils",
]
