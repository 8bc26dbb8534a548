"""The layers as functions. Names, arguments and results are torch.nn.functional's."""

import sys

from tinyalex.equivalents import module_getattr
from tinyalex.functional.activation import relu, sigmoid, tanh
from tinyalex.functional.adaptive_pooling import adaptive_avg_pool2d
from tinyalex.functional.convolution import conv2d
from tinyalex.functional.dropout import dropout
from tinyalex.functional.flattening import flatten
from tinyalex.functional.joining import cat
from tinyalex.functional.linear import linear
from tinyalex.functional.loss import cross_entropy
from tinyalex.functional.normalization import local_response_norm, spatial_response_norm
from tinyalex.functional.padding import pad
from tinyalex.functional.pooling import avg_pool2d, max_pool2d
from tinyalex.functional.softmax import log_softmax, softmax

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "cat",
    "conv2d",
    "cross_entropy",
    "dropout",
    "flatten",
    "linear",
    "local_response_norm",
    "log_softmax",
    "max_pool2d",
    "pad",
    "relu",
    "sigmoid",
    "softmax",
    "spatial_response_norm",
    "tanh",
]

__getattr__ = module_getattr(sys.modules[__name__])
