"""The networks."""

from tinyalex.models.cifar import cifar

__all__ = ["cifar"]
