"""Feedback on an exception: the values in the line that raised it, and advice."""

import ast
import builtins
import linecache
import re
import traceback
from itertools import islice, zip_longest
from types import TracebackType
from typing import Any

import numpy as np

from tinyalex.course.formatting import Rows

MAX_SHOWN_VALUES = 6

ADVICE = {
    "NameError": "This name has no value: is it misspelled, or is an import missing?",
    "UnboundLocalError": "Assign this variable before it is read, and in every branch.",
    "IndexError": "An index is out of range. Print it and the array's shape before this line.",
    "TypeError": "Print type(...) of the values in this line: is one of them None?",
    "RecursionError": "A function calls itself infinitely: which call should return directly?",
    "AttributeError": "Is the name misspelled, or was this attribute of `self` never set?",
    "ModuleNotFoundError": "The exercises need only NumPy and tinyalex.",
    "ZeroDivisionError": "Something is divided by 0. Print the divisor before this line.",
}
"""By the name of the exception, if no message below matches."""

NOT_BROADCAST = r"operands could not be broadcast together with shapes \(([\d,]*)\) \(([\d,]*)\)"
"""The message on two shapes, which get advice of their own."""

MESSAGES = {
    r"NoneType": "A value in this line is None. Did a function or method return nothing? list.sort "
    "and list.append do.",
    r"truth value of an array": "`if`, `while`, `and`, `or` and `not` need a single bool, and here "
    "is an array with a bool for each element. Select element by element: "
    "np.where(condition, a, b), or multiply by the bool array. In a loop over single elements, "
    "index all axes.",
    r"not enough values to unpack \(expected (\d+), got (\d+)\)": "There are {0} names on the "
    "left, but {1} elements on the right. If they are the sizes of a shape: its length differs "
    "from case to case. An index or a slice, such as shape[0] and shape[1:], works for all.",
    r"too many values to unpack \(expected (\d+)": "There are only {0} names on the left, and more "
    "elements on the right. If they are the sizes of a shape: its length differs from case to "
    "case. An index or a slice, such as shape[0] and shape[1:], works for all.",
    r"could not broadcast input array from shape \(([\d,]*)\) into shape \(([\d,]*)\)": "The "
    "right-hand side has shape ({0}), but the elements that it is assigned to have shape ({1}). "
    "Is the wrong axis summed, or the wrong part indexed?",
    r"non-broadcastable output operand with shape \(([\d,]*)\).*?\(([\d,]*)\)": "An in-place "
    "operation, such as +=, keeps the shape of the array on its left, ({0}). The other array has "
    "more elements, and is not summed. Sum it first.",
    r"axis (-?\d+) is out of bounds for array of dimension (\d+)": "There is no axis {0}: the "
    "array has {1} axes, counted from 0. Do the axes still mean what they did, after earlier sums "
    "have removed some?",
    r"index (-?\d+) is out of bounds for axis (\d+) with size (\d+)": "Axis {1} has "
    "size {2}, so an index must be below {2}, and here it is {0}. Is it the axis that you mean? If "
    "so, test the index before it is used, or limit the loop.",
    r"(tuple|list) index out of range": "The {0} has fewer elements than this index needs. The "
    "length of a shape is the number of axes, and differs from case to case.",
    r"too many indices for array: array is (\d+)-dimensional, but (\d+)": "The array has {0} axes "
    "and {1} indices. Print its shape: did an earlier line remove an axis?",
    r"cannot reshape array of size (\d+) into shape \(([\d,]*)\)": "The array has {0} elements, "
    "and the shape ({1}) another number. reshape only changes the shape: it does not sum or "
    "repeat elements.",
    r"cannot assign (\d+) input values to the (\d+) output values": "The mask selects {1} "
    "elements, and the right-hand side has {0}: it needs a value for each selected element. Index "
    "it with the same mask: a[mask] = b[mask].",
    r"boolean index did not match": "The mask and the array have different shapes. A mask needs an "
    "element for each element of the array.",
    r"setting an array element with a sequence": "Here a single element is assigned a whole array. "
    "Index the array on the right-hand side, or sum it.",
    r"duplicate value in 'axis'": "An axis occurs twice in `axis`.",
    r"only (length-1|0-dimensional) arrays can be converted": "This function needs a single number "
    "and gets an array. Functions of math take numbers, those of NumPy (np.sqrt, np.exp) arrays.",
    r"only integer scalar arrays can be converted|indices must be integers|valid indices|arrays "
    r"used as indices": "An index must be an int, a slice or an array of ints or bools. Print it "
    "before this line.",
    r"'(list|tuple)' object cannot be interpreted as an integer": "An int is needed here, and this "
    "is a {0}. axis=... takes an int or a tuple of ints: tuple(axes). range(...) takes an int.",
    r"'float' object cannot be interpreted as an integer": "An int is needed here, and this is a "
    "float: `/` always gives a float, `//` an int.",
    r"int(64)?' object is not iterable|Value after \* must be an iterable, not int": (
        "Several values are needed here, and this is one int. shape[1] is one size, shape[1:] a "
        "tuple of sizes; range(n) counts to n."
    ),
    r"'int' object is not subscriptable": "An int has no elements. Which variable in this line is "
    "an int, and should be an array or a shape?",
    r"'(\S+)' object is not callable": "A value of type {0} is called. Is a `*` missing before a "
    "bracket, or are there round brackets for square ones?",
    r"unsupported operand type\(s\) for (\S+).*?: '(\w+)' and '(\w+)'": "`{0}` is not defined for "
    "a value of type {1} and one of type {2}. Which of the two is not what you expect? An element "
    "of a tuple has an index, shape[1]; the product of several is math.prod(shape[1:]).",
    r"can't multiply sequence": "A list or a tuple is multiplied by a number that is not an int. "
    "For arithmetic on each element make it an array.",
    r"'tuple' object does not support item assignment": "A tuple cannot be changed. Make a list of "
    "it first, list(shape), or build a new tuple.",
    r"math domain error": "The square root or the logarithm of a negative number, or the logarithm "
    "of 0. Print the argument before this line.",
    r"more dimensions than allowed by the axis remapping|not be broadcast with remapped": (
        "np.broadcast_to repeats elements, so it can only enlarge an array. To get from the large "
        "array to the small shape, sum."
    ),
    r"zero-size array": "This is the minimum or maximum of no elements: is a slice empty? Print "
    "its start and its end.",
    r"must have the same shape|must match exactly": "The arrays that are joined have different "
    "shapes. Print the shape of each.",
    r"need at least one array": "The list of arrays is empty: does the loop that fills it run?",
    r"Cannot cast ufunc '\w+' output from dtype\('float": "An array of ints cannot hold the "
    "result of this in-place operation. Create it with np.zeros_like of a floating array.",
    r"matmul: Input operand|shapes .* not aligned": "In a @ b the last axis of a must be as long "
    "as the last but one of b.",
    r"unexpected keyword argument '(\w+)'": "The function has no argument `{0}`. Is it misspelled?",
    r"missing \d+ required positional argument": "A call has too few arguments: compare it with "
    "the definition of the function.",
    r"takes .*positional arguments? but \d+ (was|were) given": "A call has too many arguments. A "
    "method is called as self.name(...) and has `self` as its first parameter.",
}
"""By a regular expression of the message, whose groups fill the text."""


def advice_on(error: BaseException) -> str:
    message = str(error)
    if found := re.search(NOT_BROADCAST, message):
        return _advice_on_shapes(*found.groups())
    for pattern, text in MESSAGES.items():
        if found := re.search(pattern, message):
            return text.format(*found.groups())
    default = "Print the values in this line before it runs."
    return ADVICE.get(type(error).__name__, default)


def _advice_on_shapes(first: str, second: str) -> str:
    shapes = [[int(n) for n in shape.split(",") if n] for shape in (first, second)]
    pairs = list(zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1))
    axis = next((i for i, (a, b) in enumerate(pairs, 1) if a != b and 1 not in (a, b)), None)
    if axis is None:
        return "Print the shapes of the arrays in this line."
    a, b = pairs[axis - 1]
    return (
        f"NumPy aligns shapes at the last axis, and two sizes must be equal or one of them 1. Here "
        f"axis -{axis} has size {a} in the first array and {b} in the second. Does one of them "
        "need an axis of size 1 (a[:, None], keepdims=True), or is the wrong axis summed?"
    )


def values_at(file: str, error: BaseException) -> Rows:
    """The values of the variables in the expression of `file` that raised."""
    last, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            last = trace
        trace = trace.tb_next
    if last is None:
        return []
    frame = last.tb_frame
    names = {**frame.f_globals, **frame.f_locals}
    shown = {}
    for node in _operands(_failing_source(last)):
        text = ast.unparse(node)
        try:
            shown[text] = _shown(_value(node, names))
        except Exception:
            continue
    found = {text: value for text, value in shown.items() if value}
    if isinstance(error, AttributeError) and (attributes := getattr(error.obj, "__dict__", {})):
        if type(error.obj).__module__ not in ("numpy", "builtins"):
            found = {"self": f"without {error.name}; it has {', '.join(attributes)}"}
    line = "; ".join(
        f"{text} is {value}" for text, value in islice(found.items(), MAX_SHOWN_VALUES)
    )
    return [("there", line)] if line else []


def _failing_source(trace: TracebackType) -> str:
    frame = traceback.extract_tb(trace, limit=1)[0]
    if frame.colno is None or frame.end_colno is None or frame.lineno != frame.end_lineno:
        return str(frame.line)
    line = linecache.getline(frame.filename, frame.lineno or 0)
    columns = line.encode()[frame.colno : frame.end_colno]  # they count bytes
    return columns.decode(errors="ignore").strip()


def _operands(source: str) -> list[ast.expr]:
    """Names, attributes and subscripts in a piece of source, the outermost first."""
    for text in (source, f"{source.rstrip(':')}:\n    pass", f"({source})"):
        try:
            tree = ast.parse(text)
            break
        except SyntaxError:
            continue
    else:
        return []
    called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
    nodes = (node for node in ast.walk(tree) if node not in called)
    return [n for n in nodes if isinstance(n, (ast.Name, ast.Attribute, ast.Subscript))]


def _value(node: ast.expr, names: dict[str, Any]) -> Any:
    """The value of an expression without calls: its evaluation has no side effects."""
    if any(isinstance(x, (ast.Call, ast.Await, ast.Yield, ast.NamedExpr)) for x in ast.walk(node)):
        raise ValueError("has side effects")
    if isinstance(node, ast.Attribute) and node.attr == "T":
        raise ValueError("says no more than the array")
    code = compile(ast.Expression(node), "<value>", "eval")
    return eval(code, {"__builtins__": builtins, **names})


def _shown(value: Any) -> str:
    """A short description; empty for modules, functions and others of no interest."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}" if value.ndim else f"{value}"
    if value is None or isinstance(value, (bool, int, float, np.generic, tuple)):
        text = str(value)
        return text if len(text) <= 40 else f"a {type(value).__name__}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return ""
