import math


def he_sigma(shape):
    fan_in = math.prod(shape[1:])
    return math.sqrt(2 / fan_in)
