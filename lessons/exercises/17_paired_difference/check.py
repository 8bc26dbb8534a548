import numpy as np

from tinyalex.course import Mistake

HINTS = [
    "Compute the N differences first. Everything else is computed from them; a and b are not "
    "needed again.",
    "d.std() divides by N. d.std(ddof=1) divides by N - 1. The standard error of the mean of N "
    "values is their standard deviation divided by the root of N.",
    "With d = b - a:\n\n"
    "    D = d.mean()\n"
    "    se = d.std(ddof=1) / np.sqrt(len(d))\n"
    "    return D, se, D - t * se, D + t * se",
]

RANDOM = np.random.default_rng(0)
SEEDS = RANDOM.normal(25, 3, 8)

CASES = [
    (
        "two seeds",
        {"a": np.array([20.0, 24.0]), "b": np.array([23.0, 25.0]), "t": 12.706},
    ),
    (
        "always the same difference",
        {"a": np.array([20.0, 24.0, 22.0]), "b": np.array([21.0, 25.0, 23.0]), "t": 4.303},
    ),
    (
        "differences of both signs",
        {"a": np.array([20.0, 24.0, 22.0]), "b": np.array([19.0, 26.0, 24.0]), "t": 4.303},
    ),
    (
        "B is better",
        {
            "a": np.array([20.0, 24.0, 22.0, 26.0, 23.0]),
            "b": np.array([19.0, 21.0, 20.0, 25.0, 22.5]),
            "t": 2.776,
        },
    ),
    (
        "eight seeds with very different errors",
        {"a": SEEDS, "b": SEEDS + RANDOM.normal(0.5, 0.4, 8), "t": 2.365},
    ),
]

RESULTS = ("D", "se", "low", "high")


def answer(exercise, a, b, t):
    return exercise.paired_difference(a, b, t)


S, SE = "d.std(ddof=1)", "s / np.sqrt(len(d))"
RETURNED = "return D, se, D - t * se, D + t * se"

MISTAKES = [
    Mistake(
        "A minus B",
        {"b - a": "a - b"},
        "The difference is A minus B. It is defined as B minus A, which is positive if B has the "
        "larger error.",
    ),
    Mistake(
        "unpaired",
        {SE: "np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(d))"},
        "The variances of a and b are added, which is right for different seeds and images. Here "
        "they are paired: compute the standard deviation of the differences.",
    ),
    Mistake(
        "divided by N in the variance",
        {S: "d.std()"},
        "The variance is divided by N, which is too small on average: the differences are closer "
        "to their own mean than to the true one. Divide by N - 1: std(ddof=1).",
    ),
    Mistake(
        "standard deviation",
        {SE: "s"},
        "This is s, the standard deviation of one difference. The standard error of the mean of N "
        "differences is s / sqrt(N).",
    ),
    Mistake(
        "divided by N",
        {SE: "s / len(d)"},
        "s is divided by N. The variance of a mean is s^2 / N, so its root is s / sqrt(N).",
    ),
    Mistake(
        "divided by the root of N - 1",
        {SE: "s / np.sqrt(len(d) - 1)"},
        "s is divided by sqrt(N - 1). N - 1 belongs into the variance of the differences; the mean "
        "is that of N values, so divide by sqrt(N).",
    ),
    Mistake(
        "variance",
        {SE: "s**2 / len(d)"},
        "This is the variance of the mean. The standard error is its square root.",
    ),
    Mistake(
        "standard error of the sum",
        {SE: "s * np.sqrt(len(d))"},
        "s is multiplied by sqrt(N), which is the standard deviation of the sum of N differences. "
        "For their mean, divide.",
    ),
    Mistake(
        "1.96",
        {RETURNED: "return D, se, D - 1.96 * se, D + 1.96 * se"},
        "1.96 is right for a standard error that is known exactly. This one is computed from a few "
        "differences: use t.",
    ),
    Mistake(
        "one standard error",
        {RETURNED: "return D, se, D - se, D + se"},
        "The interval is one standard error to each side. It must be t standard errors.",
    ),
    Mistake(
        "half of the interval",
        {RETURNED: "return D, se, D - t * se / 2, D + t * se / 2"},
        "t * se is the distance from D to each end, not the length of the whole interval.",
    ),
    Mistake(
        "t times s",
        {RETURNED: "return D, se, D - t * s, D + t * s"},
        "The interval has t times s to each side, where a single difference would be expected. For "
        "their mean it is t times the standard error.",
    ),
    Mistake(
        "interval around 0",
        {RETURNED: "return D, se, -t * se, t * se"},
        "The interval is around 0. It must be around D; then see whether it contains 0.",
    ),
    Mistake(
        "ends exchanged",
        {RETURNED: "return D, se, D + t * se, D - t * se"},
        "The ends of the interval are exchanged: the lower one first.",
    ),
    Mistake(
        "without signs",
        {"b - a": "abs(b - a)"},
        "The signs of the differences are removed. Without them, two equal methods seem to differ: "
        "differences of opposite signs must cancel.",
    ),
    Mistake(
        "relative",
        {"b - a": "(b - a) / a"},
        "The differences are divided by A's errors. They are asked for in the unit of the errors: "
        "b - a.",
    ),
]

WRITES_BACKWARD = False
gradient = None
