"""Exercise 12: how large a layer's first weights should be.

Lesson 12 watched the spread of the activations, layer by layer.
"""

import math


def he_sigma(shape):
    """The standard deviation of a layer's first weights, after He et al. 2015.

        sigma = sqrt(2 / fan_in)

    fan_in is how many numbers one output is summed from. Each adds its variance; half of it is lost in the ReLU, hence the 2.

    shape  of the weight: (out, in) of a linear layer, or (O, C, KH, KW) of a convolution

    >>> he_sigma((10, 200))
    0.1
    >>> round(he_sigma((96, 3, 11, 11)), 4)
    0.0742
    """
    raise NotImplementedError
