from tinyalex.course import Mistake

HINTS = [
    "How many products does one output value sum? One for each element of the window, in each "
    "channel that the filter reads. That number is in both counts.",
    "A filter has as many weights as one output value has products, and there are f filters with "
    "a bias each. There are f * out * out output values.",
    "out = (size + 2 * padding - k) // stride + 1, and products = c // groups * k * k. Then "
    "parameters = f * (products + 1), and multiply_adds = f * out**2 * products.",
]

CASES = [
    ("one output value", {"size": 3, "c": 1, "f": 1, "k": 3}),
    ("several positions", {"size": 5, "c": 1, "f": 1, "k": 2}),
    ("channels and filters", {"size": 5, "c": 2, "f": 7, "k": 3}),
    ("padding", {"size": 5, "c": 2, "f": 3, "k": 3, "padding": 1}),
    ("a stride that does not fit", {"size": 8, "c": 2, "f": 3, "k": 3, "stride": 2}),
    ("groups", {"size": 6, "c": 8, "f": 12, "k": 3, "padding": 1, "groups": 2}),
    ("more groups", {"size": 9, "c": 12, "f": 8, "k": 5, "stride": 2, "padding": 2, "groups": 4}),
    ("AlexNet's conv1", {"size": 224, "c": 3, "f": 96, "k": 11, "stride": 4, "padding": 2}),
    ("AlexNet's conv2", {"size": 27, "c": 96, "f": 256, "k": 5, "padding": 2, "groups": 2}),
    ("AlexNet's fc6", {"size": 6, "c": 256, "f": 4096, "k": 6}),
]

RESULTS = ("out", "parameters", "multiply_adds")


def answer(exercise, **layer):
    return exercise.layer_cost(**layer)


OUT = "(size + 2 * padding - k) // stride + 1"
PARAMETERS, MULTIPLY_ADDS = "f * products + f", "f * out * out * products"

MISTAKES = [
    Mistake(
        "no biases",
        {PARAMETERS: "f * products"},
        "The biases are missing in parameters. Each filter has one.",
    ),
    Mistake(
        "one bias for the layer",
        {PARAMETERS: "f * products + 1"},
        "Only one bias is counted. Each of the f filters has one of its own.",
    ),
    Mistake(
        "groups ignored",
        {"c // groups": "c"},
        "groups is not used. A filter reads only the c / groups channels of its own group, so it "
        "has fewer weights, and its outputs have fewer products.",
    ),
    Mistake(
        "groups ignored in the arithmetic",
        {MULTIPLY_ADDS: "f * out * out * c * k * k"},
        "parameters is right, but multiply_adds does not use groups. An output value has one "
        "product for each weight of its filter.",
    ),
    Mistake(
        "groups ignored in the parameters",
        {PARAMETERS: "f * c * k * k + f"},
        "multiply_adds is right, but parameters does not use groups. A filter has a weight only "
        "for the channels that it reads.",
    ),
    Mistake(
        "divided by groups twice",
        {"c // groups": "c // groups // groups"},
        "groups divides twice, the channels and the filters. There are f filters in all groups "
        "together; only the channels that each one reads are fewer.",
    ),
    Mistake(
        "biases divided by groups",
        {PARAMETERS: "f * products + f // groups"},
        "The number of biases is divided by groups. Each of the f filters has a bias, in whichever "
        "group it is.",
    ),
    Mistake(
        "steps instead of positions",
        {OUT: OUT.removesuffix(" + 1")},
        "out is the number of steps of the window. There is one position more: + 1.",
    ),
    Mistake(
        "padding on one side",
        {"2 * padding": "padding"},
        "The padding is added once. There are zeros at both ends of a row: 2 * padding.",
    ),
    Mistake(
        "padding ignored",
        {" + 2 * padding": ""},
        "padding is not used. The window moves over a row of size + 2 * padding pixels.",
    ),
    Mistake(
        "stride ignored",
        {" // stride": ""},
        "stride is not used. The window moves by stride pixels from one position to the next.",
    ),
    Mistake(
        "rounded up",
        {OUT: "-(-(size + 2 * padding - k) // stride) + 1"},
        "The quotient is rounded up. A window that would extend past the padded row is not used: "
        "round down, with //.",
    ),
    Mistake(
        "not rounded",
        {"// stride": "/ stride"},
        "out is not an integer. The quotient is rounded down: use //.",
    ),
    Mistake(
        "one row of the window",
        {"* k * k": "* k"},
        "A window has k * k elements in each channel, not k.",
    ),
    Mistake(
        "one row of outputs",
        {MULTIPLY_ADDS: "f * out * products"},
        "Only one row of the output is counted in multiply_adds. There are out * out positions.",
    ),
    Mistake(
        "positions of the input",
        {MULTIPLY_ADDS: "f * size * size * products"},
        "multiply_adds counts the pixels of the input as positions. The window has out * out "
        "positions.",
    ),
    Mistake(
        "filters not counted in the arithmetic",
        {MULTIPLY_ADDS: "out * out * products"},
        "multiply_adds counts one filter. There are f of them at each position.",
    ),
    Mistake(
        "two operations for each multiply-add",
        {MULTIPLY_ADDS: "2 * f * out * out * products"},
        "multiply_adds is twice as large. One multiplication with its addition counts as one "
        "here; counted as two, they are called floating-point operations.",
    ),
    Mistake(
        "biases counted in the arithmetic",
        {MULTIPLY_ADDS: "f * out * out * (products + 1)"},
        "The additions of the biases are counted in multiply_adds. Count multiplications only.",
    ),
]

WRITES_BACKWARD = False
gradient = None
