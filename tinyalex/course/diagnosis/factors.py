"""Factors written as products of powers of an exercise's constants."""

from collections.abc import Iterator, Sequence
from itertools import combinations, product

import numpy as np

NUMBERS = (1.0, 2.0, 0.5, 3.0, 1 / 3, 4.0, 0.25)
EXPONENTS = (1.0, -1.0, 2.0, -2.0, 0.5, -0.5)
MAX_CONSTANTS = 2
RTOL = 1e-5

Powers = dict[str, float]
"""The exponent of each constant, such as {"alpha": 1, "beta": -1}."""


def identify(
    ratios: Sequence[float], constants: Sequence[dict[str, float]]
) -> tuple[float, Powers] | None:
    """(number, powers) of which the product is each trial's ratio, the simplest first.

    `constants` has their values in the same trials. They differ from trial to trial, so
    that a product fits all of them only if it is the ratio's cause.
    """
    values = np.array(ratios)
    if not (
        np.isfinite(values).all() and values.all() and (np.sign(values) == np.sign(values[0])).all()
    ):
        return None
    logs = {name: np.log([c[name] for c in constants]) for name in constants[0]}
    target = np.log(np.abs(values))
    for powers in _candidates(tuple(logs)):
        rest = target - sum(exponent * logs[name] for name, exponent in powers.items())
        for number in NUMBERS:
            if np.abs(rest - np.log(number)).max() < RTOL:
                return float(np.sign(values[0])) * number, powers
    return None


def _candidates(names: tuple[str, ...]) -> Iterator[Powers]:
    for count in range(MAX_CONSTANTS + 1):
        for exponents in product(EXPONENTS, repeat=count):
            for chosen in combinations(names, count):
                yield dict(zip(chosen, exponents, strict=True))


def write(number: float, powers: Powers) -> str:
    """As Python: 2*alpha/beta."""
    above = [_power(name, e) for name, e in powers.items() if e > 0]
    below = [_power(name, -e) for name, e in powers.items() if e < 0]
    size = abs(number)
    if size < 1:
        below.insert(0, f"{1 / size:g}")
    elif size > 1 or not above:
        above.insert(0, f"{size:g}")
    text = "*".join(above or ["1"])
    if below:
        text += "/" + (below[0] if len(below) == 1 else f"({'*'.join(below)})")
    return f"-{text}" if number < 0 else text


def _power(name: str, exponent: float) -> str:
    if exponent == 0.5:
        return f"sqrt({name})"
    return name if exponent == 1 else f"{name}**{exponent:g}"
