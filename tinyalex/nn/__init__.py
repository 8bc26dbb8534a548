"""Module, Parameter, layers and initial values, with torch's names and arguments."""

import sys

from tinyalex import functional
from tinyalex.equivalents import module_getattr
from tinyalex.nn import init, utils
from tinyalex.nn.activations import (
    GELU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
)
from tinyalex.nn.containers import Identity, ModuleList
from tinyalex.nn.layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    Conv2d,
    Dropout,
    Dropout2d,
    Flatten,
    Linear,
    MaxPool2d,
    ZeroPad2d,
)
from tinyalex.nn.locally_connected import LocallyConnected2d
from tinyalex.nn.losses import BCEWithLogitsLoss, CrossEntropyLoss, L1Loss, MSELoss, NLLLoss
from tinyalex.nn.module import Module
from tinyalex.nn.normalization import (
    BatchNorm2d,
    LayerNorm,
    LocalResponseNorm,
    SpatialResponseNorm,
)
from tinyalex.nn.parameter import Parameter
from tinyalex.nn.sequential import Sequential

__all__ = [
    "GELU",
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BCEWithLogitsLoss",
    "BatchNorm2d",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Dropout2d",
    "Flatten",
    "Identity",
    "L1Loss",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LocallyConnected2d",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ModuleList",
    "NLLLoss",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "SpatialResponseNorm",
    "Tanh",
    "ZeroPad2d",
    "functional",
    "init",
    "utils",
]

sys.modules[f"{__name__}.functional"] = functional  # import tinyalex.nn.functional as F
__getattr__ = module_getattr(sys.modules[__name__])
