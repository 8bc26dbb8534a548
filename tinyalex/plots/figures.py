"""Figures without pyplot: no window system is needed, and nothing outside of the figure is touched."""

import os
from typing import Any

from tinyalex.serialization import atomic_write

INK = "#333333"


def new_figure(width: float, height: float, *, layout: str | None = "constrained") -> Any:
    """An empty figure; sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout, dpi=150)  # type: ignore[arg-type]  # matplotlib's stubs want the literal


def save(figure: Any, path: str | os.PathLike[str]) -> None:
    with atomic_write(path) as unfinished:
        figure.savefig(unfinished, format="png", facecolor="white")


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
