"""Module, Parameter, layers and initial values, with torch's names and arguments."""

import sys

from tinyalex.equivalents import module_getattr
from tinyalex.nn import init
from tinyalex.nn.layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    Conv2d,
    CrossEntropyLoss,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Sigmoid,
    Softmax,
    SpatialResponseNorm,
    Tanh,
    ZeroPad2d,
)
from tinyalex.nn.module import Module
from tinyalex.nn.parameter import Parameter
from tinyalex.nn.sequential import Sequential

__all__ = [
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Linear",
    "LocalResponseNorm",
    "MaxPool2d",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "SpatialResponseNorm",
    "Tanh",
    "ZeroPad2d",
    "init",
]

__getattr__ = module_getattr(sys.modules[__name__])
