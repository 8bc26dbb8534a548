"""Figures without pyplot: they need no window system, and change no global state."""

import os
from typing import Any

from tinyalex.serialization import atomic_write

INK = "#333333"
TEXT: dict[str, Any] = {"color": INK, "parse_math": False}
"""Options of text, which may contain $."""


def new_figure(width: float, height: float, *, layout: str | None = "constrained") -> Any:
    """An empty figure; sizes in inches."""
    from matplotlib.figure import Figure

    # matplotlib's stubs expect a literal.
    return Figure(figsize=(width, height), layout=layout, dpi=150)  # type: ignore[arg-type]


def save(figure: Any, path: str | os.PathLike[str]) -> None:
    with atomic_write(path) as unfinished:
        figure.savefig(unfinished, format="png", facecolor="white")


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
