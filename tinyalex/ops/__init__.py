"""The Functions of Tensor's operators and methods."""

from tinyalex.ops.arithmetic import (
    Add,
    And,
    Clamp,
    Divide,
    Equal,
    FloorDivide,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    MatMul,
    Maximum,
    Minimum,
    Multiply,
    NotEqual,
    Or,
    Power,
    Remainder,
    Subtract,
    Where,
    Xor,
)
from tinyalex.ops.elementwise import (
    Abs,
    Ceil,
    Cos,
    Exp,
    Floor,
    Log,
    Log1p,
    Round,
    Rsqrt,
    Sign,
    Sin,
    Sqrt,
    Square,
    Tanh,
)
from tinyalex.ops.indexing import Index
from tinyalex.ops.reduction import CumSum, Max, Mean, Min, Norm, PNorm, Std, Sum, Var
from tinyalex.ops.shape import Cast, Expand, Move, Reshape, Transpose

__all__ = [
    "Abs", "Add", "And", "Cast", "Ceil", "Clamp", "Cos", "CumSum", "Divide", "Equal", "Exp",
    "Expand", "Floor", "FloorDivide", "Greater", "GreaterEqual", "Index", "Less", "LessEqual",
    "Log", "Log1p", "MatMul", "Max", "Maximum", "Mean", "Min", "Minimum", "Move", "Multiply",
    "Norm", "NotEqual", "Or", "PNorm", "Power", "Remainder", "Reshape", "Round", "Rsqrt", "Sign",
    "Sin", "Sqrt", "Square", "Std", "Subtract", "Sum", "Tanh", "Transpose", "Var", "Where", "Xor",
]  # fmt: skip
