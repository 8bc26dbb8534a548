"""Advice for a state that differs from a network in its number of classes only."""

from collections.abc import Mapping
from typing import Any


def advice(model: Any, shapes: Mapping[str, tuple[int, ...]], mismatches: int) -> list[str]:
    """A line with the remedy, if nothing but the last linear layer does not fit.

    shapes      of the state's arrays, by name
    mismatches  the number of names and shapes that do not fit the Module
    """
    matrices = [m for m in model.modules() if getattr(getattr(m, "weight", None), "ndim", 0) == 2]
    last = {id(p) for p in matrices[-1].parameters()} if matrices else set()
    own = {name: p.shape for name, p in model.named_parameters() if id(p) in last}
    given = {name: shapes[name] for name in own if name in shapes}
    fits = all(shape and shape[1:] == own[name][1:] for name, shape in given.items())
    counts = {shape[:1] for shape in given.values()} - {shape[:1] for shape in own.values()}
    if not fits or not len(given) == mismatches == len(last) or len(counts) != 1:
        return []
    ((classes,),) = counts
    return [f"Only the number of classes differs. Give num_classes={classes}."]
