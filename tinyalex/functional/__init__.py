"""The layers as functions, with the names, arguments and answers of torch.nn.functional. One idea a file."""

from tinyalex.functional.activation import relu, tanh
from tinyalex.functional.convolution import conv2d
from tinyalex.functional.dropout import dropout
from tinyalex.functional.flattening import flatten
from tinyalex.functional.linear import linear
from tinyalex.functional.loss import cross_entropy
from tinyalex.functional.normalization import local_response_norm
from tinyalex.functional.pooling import avg_pool2d, max_pool2d

__all__ = [
    "avg_pool2d",
    "conv2d",
    "cross_entropy",
    "dropout",
    "flatten",
    "linear",
    "local_response_norm",
    "max_pool2d",
    "relu",
    "tanh",
]
