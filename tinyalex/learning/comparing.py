"""How what a learner's function gives back differs from what it should give, in words."""

import re
import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyalex.tensor import Tensor

RTOL = 1e-6
"""Right answers may be computed in another order, so that their last digits differ."""

WIDTH = 100
"""Of lines in a terminal."""

SHOWN = 36
"""Arrays of so many numbers, or fewer, are shown, to be tried again by hand."""

ADVICE = {
    "NameError": "Nobody has given this name a value: a typo, or an import that is missing?",
    "UnboundLocalError": "This name gets its value further down, or only in some cases. Give it one before it is read.",
    "IndexError": "An index runs past the end. Print it and the array's shape just before this line.",
    "ValueError": "Print the shapes of the arrays in this line just before it: which axis does not fit?",
    "TypeError": "Print type(...) of the things in this line just before it: one is not what it seems, None perhaps.",
    "ZeroDivisionError": "Print what this line divides by.",
    "RecursionError": "A function calls itself without end. When should it return without calling itself?",
    "AttributeError": "A typo, or something that `self` was never given?",
    "ModuleNotFoundError": "NumPy is all that an exercise needs.",
}
"""What often helps, by the name of the exception."""


@dataclass
class Outcome:
    """What came back, or the error that came instead; and the inputs, as they were left."""

    inputs: dict[str, Any]
    returned: Any = None
    error: BaseException | None = None


def difference(
    expected: Outcome, got: Outcome, names: tuple[str, ...]
) -> tuple[str, tuple[str, str], str] | None:
    """(kind of verdict, (name, what is different), advice); None if there is no difference."""
    count = len(names)
    several = got.returned if count > 1 else (got.returned,)
    if not isinstance(several, (tuple, list)) or len(several) != count:
        text = f"expected {count} things, ({', '.join(names)}), got {_thing(got.returned)}"
        return "form", ("returned", text), "Return them in this order, with commas between them."
    for name, right, mine in zip(
        names, expected.returned if count > 1 else (expected.returned,), several, strict=True
    ):
        if unlike := _unlike(np.asarray(right), mine):
            kind, text, advice = unlike
            return kind, (name, text), advice or _by_hand(expected.inputs)
    for name, right in expected.inputs.items():
        mine = got.inputs[name]
        if isinstance(right, np.ndarray) and not (
            mine.shape == right.shape and _close(mine, right).all()
        ):
            advice = "Others still need it as it was. Work on a copy: `a = a * 2` makes a new array, `a *= 2` and `a[...] = ` do not."
            return "input", ("input " + name, "was changed"), advice
    return None


def alike(expected: Outcome, got: Outcome, names: tuple[str, ...]) -> bool:
    """Of errors the type, and of an IndexError the words too: NumPy's tell too many indices from one that is too large."""
    if expected.error or got.error:
        if isinstance(expected.error, IndexError) and _words(expected.error) != _words(got.error):
            return False
        return type(expected.error) is type(got.error)
    return difference(expected, got, names) is None


def _words(error: BaseException | None) -> str:
    return re.sub(r"-?\d+", "", str(error))


def _unlike(right: np.ndarray, mine: Any) -> tuple[str, str, str] | None:
    """(kind of verdict, what is different, advice) of one result."""
    if mine is None:
        return "form", f"expected {_thing(right)}, got None", "Is a `return` missing?"
    if not isinstance(mine, (np.ndarray, np.generic, int, float)):
        advice = (
            "Make it an array, with np.array or np.stack."
            if isinstance(mine, (list, tuple))
            else "Work with plain arrays."
        )
        return "form", f"expected {_thing(right)}, got {_thing(mine)}", advice
    mine = np.asarray(mine)
    if mine.shape != right.shape:
        advice = "Print the shape after each of your lines: where does it first differ from what you had in mind?"
        return "form", f"expected {_thing(right)}, got {_thing(mine)}", advice
    if mine.dtype.kind not in "biuf":
        return (
            "form",
            f"expected numbers, got an array of {mine.dtype}",
            "Print it: what is in there?",
        )
    close = _close(mine, right)
    if not close.all():
        index = tuple(map(int, np.argwhere(~close)[0]))
        at = f"at {list(index)}: " if index else ""
        a, b = f"{right[index]:.6g}", f"{mine[index]:.6g}"
        if a == b:
            a, b = f"{right[index]:.12g}", f"{mine[index]:.12g}"
        share = f"   ({close.sum()} of {close.size} numbers are right)" if close.size > 1 else ""
        return "values", f"{at}expected {a}, got {b}{share}", _advice(mine)
    if right.ndim and mine.dtype != right.dtype:
        return (
            "form",
            f"the numbers are right, but {mine.dtype} where {right.dtype} came in",
            _advice(mine),
        )
    return None


def _advice(mine: np.ndarray) -> str:
    if mine.dtype != np.float64:
        return f"Your array holds {mine.dtype}: np.zeros_like(x), or np.zeros(shape, x.dtype), keeps the precision that x has."
    if not np.isfinite(mine).all():
        return "nan and inf come from 0 / 0, from the log of 0, and from exp of a large number: print what goes into those."
    return ""


def _by_hand(inputs: dict[str, Any]) -> str:
    if all(value.size <= SHOWN for value in inputs.values() if isinstance(value, np.ndarray)):
        return "Take this one number, and work it out by hand from the formula: which term differs?"
    return "This case has too many numbers to show. Make arrays of these shapes, of ones perhaps, and print that place."


def _close(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    scale = np.abs(b[np.isfinite(b)]).max(initial=0)
    return np.isclose(a, b, rtol=RTOL, atol=1e-9 * scale, equal_nan=True)


def _thing(x: Any) -> str:
    if isinstance(x, (np.ndarray, np.generic)):
        return f"an array of shape {x.shape}" if x.ndim else "a number"
    if isinstance(x, (tuple, list)):
        return f"a {type(x).__name__} of {len(x)}"
    return "None" if x is None else "a Tensor" if isinstance(x, Tensor) else f"a {type(x).__name__}"


def describe(words: str, inputs: dict[str, Any]) -> list[tuple[str, str]]:
    """Rows: "two images: x of shape (2, 1, 3, 4), stride=2", and below it x in full, if it has few numbers."""
    line, below = [], []
    for name, value in inputs.items():
        if isinstance(value, np.ndarray):
            line.append(
                f"{name}={value.tolist()}" if value.size <= 6 else f"{name} of shape {value.shape}"
            )
            if 6 < value.size <= SHOWN:
                below.append((f"{name} =", _nested(value)))
        elif callable(value):
            line.append(
                f"{name}={value.__name__}, {value.__doc__}"
                if value.__doc__
                else f"{name}={value.__name__}"
            )
        else:
            text = repr(value)
            line.append(f"{name}={text if len(text) <= 70 else text[:70] + ' ...'}")
    return [("tried", f"{words}: {', '.join(line)}"), *below]


def _nested(x: np.ndarray) -> str:
    """As nested lists, a matrix a line, or if that is too long each of its rows."""
    text = str(x.tolist())
    lines = text.replace("]], ", "]],\n")
    if max(map(len, lines.splitlines())) > WIDTH - 15:
        lines = text.replace("], ", "],\n")
    return "\n".join(
        " " * (x.ndim - len(line) + len(line.lstrip("["))) + line for line in lines.splitlines()
    )


def advice_on(error: BaseException) -> str:
    return ADVICE.get(type(error).__name__, "Print what this line works with, just before it.")


def row(label: str, what: str, width: int) -> str:
    """Two columns, the first of them `width` wide. Code and arrays keep their lines."""
    indent = " " * (width + 2)
    if label == "where" or label.endswith(" ="):
        return f"  {label:<{width}}{textwrap.indent(what, indent).lstrip()}"
    return textwrap.fill(
        f"  {label:<{width}}{what}", WIDTH, subsequent_indent=indent, break_on_hyphens=False
    )


def wrapped(text: str) -> str:
    """Paragraphs to read in a terminal; tables as they are."""
    lines = [
        line
        if "  " in line
        else textwrap.fill(line, WIDTH, break_on_hyphens=False, break_long_words=False)
        for line in text.splitlines()
    ]
    return "\n".join(lines)
