"""Exercise 12: the standard deviation of a layer's initial weights.

Lesson 12 derived it: the mean square of the values should stay the same from layer to
layer.
"""

import math


def he_sigma(shape):
    """The standard deviation of a layer's initial weights, after He et al. 2015.

        sigma = sqrt(2 / fan_in)

    fan_in is the number of products that one output sums. Their mean squares add up,
    and ReLU halves the mean square of the inputs: hence the 2.

    shape  of the weight: (out, in) of a linear layer, (O, C, KH, KW) of a convolution

    >>> he_sigma((10, 200))
    0.1
    >>> round(he_sigma((96, 3, 11, 11)), 4)
    0.0742
    """
    raise NotImplementedError
