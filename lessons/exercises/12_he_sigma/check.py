import math
from itertools import combinations, product

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
        "This is Glorot and Bengio's rule, sqrt(2 / (fan_in + fan_out)), for tanh. He's has "
        "fan_in alone.",
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

PROBES = [{"shape": shape} for shape in [(11, 13), (29, 7), (7, 3, 5, 2), (13, 11, 2, 3)]]

# sigma as a function of a count n. The right one is the first.
FUNCTIONS = {
    "sqrt(2 / n)": (lambda n: math.sqrt(2 / n), ""),
    "2 / n": (lambda n: 2 / n, "That is the variance: the square root is missing."),
    "sqrt(2) / n": (
        lambda n: math.sqrt(2) / n,
        "Only the 2 is under the root: sqrt(2 / n) is sqrt(2) / sqrt(n).",
    ),
    "2 / sqrt(n)": (lambda n: 2 / math.sqrt(n), "The 2 is outside of the root."),
    "sqrt(1 / n)": (
        lambda n: math.sqrt(1 / n),
        "The 2 is missing: ReLU halves the mean square, and the 2 compensates.",
    ),
    "1 / n": (lambda n: 1 / n, "The square root of 2 / n is neither (2 / n) / 2 nor 1 / n."),
    "sqrt(n / 2)": (
        lambda n: math.sqrt(n / 2),
        "The fraction is inverted: more inputs need smaller weights.",
    ),
    "sqrt(2 * n)": (
        lambda n: math.sqrt(2 * n),
        "n is multiplied: more inputs need smaller weights.",
    ),
    "sqrt(n)": (lambda n: math.sqrt(n), "More inputs need smaller weights: divide by n."),
    "1 / sqrt(2 * n)": (
        lambda n: 1 / math.sqrt(2 * n),
        "The 2 is in the denominator: `1 / 2 * n` and `2 * n` in a divisor differ from 2 / n.",
    ),
    "2 * n": (lambda n: 2 * n, "n must divide, and the square root is missing."),
    "n / 2": (lambda n: n / 2, "The fraction is inverted, and the square root is missing."),
    "sqrt(2) * sqrt(n)": (lambda n: math.sqrt(2) * math.sqrt(n), "Divide by sqrt(n)."),
    "sqrt(6 / n)": (
        lambda n: math.sqrt(6 / n),
        "That is the bound of a uniform distribution with this variance, not sigma.",
    ),
    "sqrt(3 / n)": (lambda n: math.sqrt(3 / n), "The constant is 2, not 3."),
    "sqrt(4 / n)": (lambda n: math.sqrt(4 / n), "The constant under the root is 2, not 4."),
    "(2 / n)**2": (lambda n: (2 / n) ** 2, "2 / n is squared: sigma is its square root."),
    "(2 / n)**(1/4)": (lambda n: (2 / n) ** 0.25, "The square root is taken twice."),
    "sqrt(2 // n)": (
        lambda n: math.sqrt(2 // n),
        "`//` divides and rounds down, so 2 // n is 0 for all n above 2. Use `/`.",
    ),
    "1 / sqrt(n) / 2": (lambda n: 0.5 / math.sqrt(n), "sqrt(2 / n) is sqrt(2) / sqrt(n)."),
}

# n as a function of the sizes. Names for a linear layer and for a convolution.
SIZES = {2: ("out", "in"), 4: ("O", "C", "KH", "KW")}


def counts(shape):
    """(text, value) of what may be taken for fan_in, the right one first."""
    names = SIZES[len(shape)]
    yield "*".join(names[1:]), math.prod(shape[1:])
    for count in range(1, len(shape) + 1):
        for chosen in combinations(range(len(shape)), count):
            yield "*".join(names[i] for i in chosen), math.prod(shape[i] for i in chosen)
    if len(shape) == 4:
        c, h, w = shape[1:]
        yield "C*KH*KH", c * h * h
        yield "C*KW*KW", c * w * w
        yield "C + KH*KW", c + h * w
        yield "C*(KH + KW)", c * (h + w)
    fan_in, fan_out = math.prod(shape[1:]), shape[0] * math.prod(shape[2:])
    yield "fan_in + fan_out", fan_in + fan_out
    yield "(fan_in + fan_out) / 2", (fan_in + fan_out) / 2
    for count in range(2, len(shape) + 1):
        for chosen in combinations(range(len(shape)), count):
            yield " + ".join(names[i] for i in chosen), sum(shape[i] for i in chosen)
    yield "1", 1
    yield "the number of sizes", len(shape)
    yield "the number of sizes after the first", len(shape) - 1
    yield "the largest size", max(shape)
    yield f"{'*'.join(names[1:])} + {names[0]}", fan_in + shape[0]
    for exponents in product(range(-1, 3), repeat=len(shape)):
        factors = [(name, e) for name, e in zip(names, exponents) if e]
        above = "*".join("*".join([name] * e) for name, e in factors if e > 0)
        below = "".join(f"/{name}" for name, e in factors if e < 0)
        yield (above or "1") + below, math.prod(n**e for n, e in zip(shape, exponents))


class FanIn:
    """sigma as a function of a count, for linear layers and for convolutions."""

    def explain(self, attempt):
        if any(trial.got["sigma"].ndim for trial in attempt.trials):
            return None
        fitting, right = {}, []
        for axes in SIZES:
            trials = [t for t in attempt.trials if len(t.inputs["shape"]) == axes]
            if trials and all(t.is_right("sigma") for t in trials):
                right.append(axes)
            elif trials:
                fitting[axes] = self.fitting(trials)
        if not any(fitting.values()):
            return None
        common = set.intersection(*map(set, fitting.values()))
        found = {
            axes: next((one for one in all_ if one in common), all_[0])
            for axes, all_ in fitting.items()
            if all_
        }
        texts = [self.text(axes, *one) for axes, one in found.items()]
        texts += [f"It is right for {KINDS[axes]}." for axes in right]
        texts += [f"It is wrong for {KINDS[axes]}, too." for axes in fitting if axes not in found]
        remarks = dict.fromkeys(FUNCTIONS[function][1] for function, _ in found.values())
        return " ".join([*texts, *filter(None, remarks), *self.remarks(found)])

    def fitting(self, trials):
        """All (function, count) that are sigma in all trials, one mistake first."""
        all_counts = [list(counts(trial.inputs["shape"])) for trial in trials]
        found = []
        for i, (text, _) in enumerate(all_counts[0]):
            values = [(known[i][1], float(t.got["sigma"])) for known, t in zip(all_counts, trials)]
            for name, (f, _) in FUNCTIONS.items():
                if all(n > 0 and math.isclose(f(n), got, rel_tol=1e-9) for n, got in values):
                    found.append(((name != "sqrt(2 / n)") + (i > 0), i, name, text))
        return [(name, text) for *_, name, text in sorted(found)]

    def text(self, axes, function, count):
        n = "*".join(SIZES[axes][1:])
        text = f"For {KINDS[axes]}, your sigma is {function} with n = {count}"
        if count == n:
            return f"{text}; it should be sqrt(2 / n)."
        if function == "sqrt(2 / n)":
            return f"{text}; n should be {n}."
        return f"{text}; it should be sqrt(2 / n) with n = {n}."

    def remarks(self, found):
        names = {count for _, count in found.values()}
        if names & {"out*in", "O*C*KH*KW"}:
            yield "The first size is the number of outputs, each with its own sum: leave it out."
        if names & {"C*KH*KH", "C*KW*KW"}:
            yield "A window need not be square."
        if any("/" in name and name != "(fan_in + fan_out) / 2" for name in names):
            yield "`2 / a * b` is (2 / a) * b: divide by the product in brackets, 2 / (a * b)."
        if "1" in names:
            yield "The product of no sizes is 1."
        if any(" + " in name and "*" not in name and "fan" not in name for name in names):
            yield "The sizes are multiplied, not added: each channel has KH*KW elements."
        if names & {"C", "KH*KW", "C*KH", "C*KW"}:
            yield "One output sums over KH*KW elements in each of C channels."
        if names & {"out", "O", "O*KH*KW"}:
            yield "The first size is the number of outputs; one output sums over the others."


KINDS = {2: "a linear layer (out, in)", 4: "a convolution (O, C, KH, KW)"}

EXPLANATIONS = [FanIn()]

WRITES_BACKWARD = False
gradient = None
