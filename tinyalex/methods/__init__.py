"""The methods of Tensor, by topic: the classes that it inherits from."""

from tinyalex.methods.arithmetic import Arithmetic
from tinyalex.methods.conversions import Conversions
from tinyalex.methods.reductions import Reductions
from tinyalex.methods.shapes import Shapes

__all__ = ["Arithmetic", "Conversions", "Reductions", "Shapes"]
