"""The networks."""

from tinyalex.models.alexnet import VARIANTS, alexnet
from tinyalex.models.cifar import cifar

__all__ = ["VARIANTS", "alexnet", "cifar"]
