"""Exercise 15: the size, the parameters and the arithmetic of a layer.

With this function and AlexNet's description, lesson 15 fills in its whole table.
"""


def layer_cost(size, c, f, k, stride=1, padding=0, groups=1):
    """The cost of a convolution for one square image.

    size     of the input, in pixels: it is size x size
    c, f     channels of the input; filters
    k        the window is k x k
    groups   each filter reads the channels of its group only. It divides c and f

    returns (out, parameters, multiply_adds):

    out            the size of the output, rounded down
    parameters     the elements of the weight (f, c/groups, k, k), and a bias per filter
    multiply_adds  multiplications of a weight by an input value, for all output values
                   of the image. Zeros of the padding count as input values; biases are
                   not counted

    A linear layer has k = size, and its output has size 1. The three formulas are not
    given here: derive them, or look at lesson 15.

    >>> layer_cost(224, 3, 96, 11, stride=4, padding=2)
    (55, 34944, 105415200)
    """
    raise NotImplementedError
