COUNTED = """
import math

def layer_cost(size, c, f, k, stride=1, padding=0, groups=1):
    positions = range(0, size + 2 * padding - k + 1, stride)
    out = len(positions)
    weight = (f, c // groups, k, k)
    weights = math.prod(weight)
    return out, weights + f, weights * out**2
"""

BY_GROUP = """
def layer_cost(size, c, f, k, stride=1, padding=0, groups=1):
    out = 1 + (size - k + 2 * padding) // stride
    parameters = multiply_adds = 0
    for group in range(groups):
        filters, channels = f // groups, c // groups
        parameters += filters * (channels * k**2 + 1)
        multiply_adds += filters * channels * (k * out) ** 2
    return out, parameters, multiply_adds
"""

RIGHT = [COUNTED, BY_GROUP]

WRONG = [
    ("no biases", COUNTED.replace("weights + f", "weights")),
    ("one bias for the layer", COUNTED.replace("weights + f", "weights + 1")),
    ("steps instead of positions", COUNTED.replace("- k + 1", "- k")),
    ("groups ignored", COUNTED.replace("c // groups", "c")),
    ("padding on one side", BY_GROUP.replace("2 * padding", "padding")),
    ("padding ignored", COUNTED.replace(" + 2 * padding", "")),
    ("stride ignored", COUNTED.replace("+ 1, stride", "+ 1")),
    ("not rounded", BY_GROUP.replace("//", "/")),
    ("one row of the window", COUNTED.replace("k, k)", "k)")),
    ("one row of outputs", COUNTED.replace("out**2", "out")),
    ("positions of the input", COUNTED.replace("out**2", "size**2")),
    ("two operations for each multiply-add", COUNTED.replace("weights * out", "2 * weights * out")),
    (
        "biases counted in the arithmetic",
        COUNTED.replace("weights * out", "(weights + f) * out"),
    ),
    ("divided by groups twice", COUNTED.replace("(f, c", "(f // groups, c")),
]
