"""The losses as Modules."""

from typing import Any

from tinyalex import functional as F
from tinyalex.nn.module import Module
from tinyalex.tensor import Tensor


class CrossEntropyLoss(Module):
    """`functional.cross_entropy`, with the same options."""

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        self.weight, self.ignore_index = weight, ignore_index
        self.reduction, self.label_smoothing = reduction, label_smoothing

    def forward(self, input: Any, target: Any) -> Tensor:
        options = self.weight, self.ignore_index, self.reduction, self.label_smoothing
        return F.cross_entropy(input, target, *options)
