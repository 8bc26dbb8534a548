"""The layers as functions. Names, arguments and results are torch.nn.functional's."""

import sys

from tinyalex.equivalents import module_getattr
from tinyalex.functional.activation import relu, sigmoid, tanh
from tinyalex.functional.adaptive_pooling import adaptive_avg_pool2d
from tinyalex.functional.batch_normalization import batch_norm
from tinyalex.functional.convolution import conv2d
from tinyalex.functional.dropout import dropout, dropout2d
from tinyalex.functional.flattening import flatten
from tinyalex.functional.gelu import gelu
from tinyalex.functional.joining import cat
from tinyalex.functional.layer_normalization import layer_norm
from tinyalex.functional.leaky_relu import leaky_relu
from tinyalex.functional.linear import linear
from tinyalex.functional.locally_connected import locally_connected2d
from tinyalex.functional.logistic_loss import binary_cross_entropy_with_logits
from tinyalex.functional.loss import cross_entropy
from tinyalex.functional.negative_log_likelihood import nll_loss
from tinyalex.functional.normalization import local_response_norm, spatial_response_norm
from tinyalex.functional.one_hot_vectors import one_hot
from tinyalex.functional.padding import pad
from tinyalex.functional.pooling import avg_pool2d, max_pool2d
from tinyalex.functional.regression_loss import l1_loss, mse_loss
from tinyalex.functional.softmax import log_softmax, softmax
from tinyalex.functional.unit_vectors import normalize

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "cat",
    "conv2d",
    "cross_entropy",
    "dropout",
    "dropout2d",
    "flatten",
    "gelu",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "locally_connected2d",
    "log_softmax",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "relu",
    "sigmoid",
    "softmax",
    "spatial_response_norm",
    "tanh",
]

__getattr__ = module_getattr(sys.modules[__name__])
