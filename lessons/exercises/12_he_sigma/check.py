from tinyalex.course import Mistake

HINTS = [
    "The size of the first axis is the number of outputs. How many products does one output sum? "
    "In a convolution: one for each element of the window, in all channels.",
    "fan_in is the product of all sizes but the first: `in` for a linear layer, C*KH*KW for a "
    "convolution.",
    "math.prod(shape[1:]) is that product, and the result is math.sqrt(2 / fan_in).",
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


FAN_IN, FAN_OUT = "math.prod(shape[1:])", "shape[0] * math.prod(shape[2:])"

MISTAKES = [
    Mistake(
        "fan-out",
        {FAN_IN: FAN_OUT},
        "This is fan_out, the number of outputs that use one input. fan_in is the number of "
        "inputs of one output: the product of all sizes but the first.",
    ),
    Mistake(
        "variance",
        {"math.sqrt(2 / fan_in)": "2 / fan_in"},
        "2 / fan_in is the variance. sigma, the standard deviation, is its square root.",
    ),
    Mistake(
        "without the 2",
        {"2 / fan_in": "1 / fan_in"},
        "This is right for layers without ReLU. ReLU halves the mean square, and the factor 2 "
        "compensates.",
    ),
    Mistake(
        "Glorot",
        {"2 / fan_in": f"2 / (fan_in + {FAN_OUT})"},
        "This is Glorot and Bengio's rule, 2 / (fan_in + fan_out), for tanh. He's has fan_in "
        "alone.",
    ),
    Mistake(
        "window ignored",
        {FAN_IN: "shape[1]"},
        "Only the channels are counted. One output of a convolution is a sum over its window in "
        "each channel: C*KH*KW.",
    ),
    Mistake(
        "rows of the window only",
        {FAN_IN: "math.prod(shape[1:3])"},
        "Only the rows of the window are counted. It has KH*KW elements in each channel.",
    ),
]

WRITES_BACKWARD = False
gradient = None
