"""The Functions of Tensor's operators and methods."""

from tinyalex.ops.arithmetic import Add, Divide, Exp, Log, MatMul, Multiply, Power, Subtract, Tanh
from tinyalex.ops.indexing import Index
from tinyalex.ops.reduction import Max, Mean, Sum
from tinyalex.ops.shape import Cast, Move, Reshape, Transpose

__all__ = [
    "Add", "Cast", "Divide", "Exp", "Index", "Log", "MatMul", "Max", "Mean", "Move", "Multiply",
    "Power", "Reshape", "Subtract", "Sum", "Tanh", "Transpose",
]  # fmt: skip
