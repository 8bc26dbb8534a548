"""AlexNet from scratch, on NumPy and CuPy: autograd and layers, written by hand."""

import sys

from tinyalex import cuda, data, device, dtypes, functional, functions, models, nn, optim, utils
from tinyalex.creation import (
    arange,
    as_tensor,
    empty,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    tensor,
    zeros,
    zeros_like,
)
from tinyalex.device import cuda_is_available, manual_seed
from tinyalex.equivalents import module_getattr
from tinyalex.function import Function
from tinyalex.functional import cat, flatten, log_softmax, relu, sigmoid, softmax
from tinyalex.functions import is_tensor, max, min, stack, transpose, where
from tinyalex.gradient_check.check import GradcheckError, gradcheck
from tinyalex.kernels.fast_paths import fast, set_fast
from tinyalex.mixed_precision import autocast
from tinyalex.modes import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from tinyalex.modes import no_grad as inference_mode
from tinyalex.optim.grad_scaler import GradScaler
from tinyalex.serialization import load, save
from tinyalex.tensor import Tensor

__version__ = "0.1.0"

__all__ = [
    "Function", "GradScaler", "GradcheckError", "Tensor", "arange", "as_tensor", "autocast", "cat",
    "cuda", "cuda_is_available", "data", "device", "empty", "enable_grad", "eye", "fast", "flatten",
    "from_numpy", "full", "full_like", "functional", "gradcheck", "inference_mode",
    "is_grad_enabled", "is_tensor", "linspace", "load", "log_softmax", "manual_seed", "max", "min",
    "models", "nn", "no_grad", "ones", "ones_like", "optim", "rand", "rand_like", "randint",
    "randn", "randn_like", "randperm", "relu", "save", "set_fast", "set_grad_enabled", "sigmoid",
    "softmax", "stack", "tensor", "transpose", "utils", "where", "zeros", "zeros_like",
]  # fmt: skip

# As in torch: ta.exp(x) is x.exp(), and ta.float32 is a dtype.
globals().update(functions.of_methods(), **dtypes.BY_NAME)

__getattr__ = module_getattr(sys.modules[__name__])
