from tinyalex.learning import Mistake

HINTS = [
    "The first axis counts the outputs. How many numbers is one of them summed from? For a convolution: all that its window sees.",
    "fan_in is the product of all sizes but the first: `in` for a linear layer, C*KH*KW for a convolution.",
    "math.prod(shape[1:]) is that product, and math.sqrt(2 / fan_in) the answer.",
]

CASES = [
    ("a linear layer", {"shape": (10, 200)}),
    ("the paper's second linear layer", {"shape": (4096, 4096)}),
    ("a convolution with 3 x 3 windows", {"shape": (8, 2, 3, 3)}),
    ("the paper's first convolution", {"shape": (96, 3, 11, 11)}),
    ("a window that is not square", {"shape": (4, 6, 1, 5)}),
]

RESULTS = ("sigma",)


def answer(exercise, shape):
    return exercise.he_sigma(shape)


MISTAKES = [
    Mistake(
        "fan-out",
        {"math.prod(shape[1:])": "shape[0] * math.prod(shape[2:])"},
        "This counts the outputs that a number goes into (fan-out). What matters forward is how many numbers one output is summed "
        "from: all axes but the first.",
    ),
    Mistake(
        "variance",
        {"math.sqrt(2 / fan_in)": "2 / fan_in"},
        "2 / fan_in is the variance. sigma, the standard deviation, is its square root.",
    ),
    Mistake(
        "without the 2",
        {"2 / fan_in": "1 / fan_in"},
        "This is right for layers without a ReLU. ReLU throws half of the variance away, and the 2 puts it back.",
    ),
    Mistake(
        "Glorot's mean",
        {"2 / fan_in": "2 / (fan_in + shape[0] * math.prod(shape[2:]))"},
        "This is Glorot and Bengio's rule, 2 / (fan_in + fan_out), made for tanh. He's has fan_in alone.",
    ),
    Mistake(
        "the window forgotten",
        {"math.prod(shape[1:])": "shape[1]"},
        "Only the channels are counted. One output of a convolution is summed from a whole window of each of them: C*KH*KW.",
    ),
    Mistake(
        "one side of the window",
        {"math.prod(shape[1:])": "math.prod(shape[1:3])"},
        "Of the window only the rows are counted. It has KH*KW numbers in each channel.",
    ),
]
