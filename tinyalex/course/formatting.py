"""The layout of feedback in a terminal."""

import textwrap
from typing import Any

import numpy as np

WIDTH_COLUMNS = 100

MAX_SHOWN_ELEMENTS = 36
"""Larger arrays are described by their shape."""


Rows = list[tuple[str, str]]
"""(label, text)"""


def describe(case: str, inputs: dict[str, Any]) -> Rows:
    """The case with its inputs, then the elements of small arrays."""
    arguments, arrays = [], []
    for name, value in inputs.items():
        if isinstance(value, np.ndarray) and value.size > 6:
            arguments.append(f"{name} of shape {value.shape}")
            if value.size <= MAX_SHOWN_ELEMENTS:
                arrays.append((f"{name} =", np.array2string(value, separator=", ")))
        elif isinstance(value, np.ndarray):
            arguments.append(f"{name}={value.tolist()}")
        elif callable(value):
            arguments.append(f"{name}={value.__name__}, {value.__doc__}")
        else:
            text = repr(value)
            arguments.append(f"{name}={text if len(text) <= 70 else text[:70] + ' ...'}")
    return [("tried", f"{case}: {', '.join(arguments)}"), *arrays]


def row(label: str, text: str, width: int) -> str:
    """Two columns. Code and arrays are not wrapped."""
    indent = " " * (width + 2)
    if label == "where" or label.endswith(" ="):
        return f"  {label:<{width}}{textwrap.indent(text, indent).lstrip()}"
    line = f"  {label:<{width}}{text}"
    return textwrap.fill(line, WIDTH_COLUMNS, subsequent_indent=indent, break_on_hyphens=False)


def wrapped(text: str) -> str:
    """Wrapped text. Lines with two spaces, of code and tables, are kept."""
    return "\n".join(
        line
        if "  " in line
        else textwrap.fill(line, WIDTH_COLUMNS, break_on_hyphens=False, break_long_words=False)
        for line in text.splitlines()
    )
