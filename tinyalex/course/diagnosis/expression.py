"""Arithmetic expressions as trees: parsed, evaluated and written."""

import ast
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np


@dataclass(frozen=True)
class Name:
    id: str


@dataclass(frozen=True)
class Number:
    value: float


@dataclass(frozen=True)
class Sum:
    """Terms with their signs, 1 or -1."""

    terms: tuple[tuple[int, "Node"], ...]


@dataclass(frozen=True)
class Product:
    """Factors with their exponents: 1, or -1 for a divisor."""

    factors: tuple[tuple[int, "Node"], ...]


@dataclass(frozen=True)
class Power:
    base: "Node"
    exponent: "Node"


@dataclass(frozen=True)
class Compare:
    symbol: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True)
class Call:
    """`variant` is the description of another function that is used in its place."""

    function: str
    arguments: tuple["Node", ...]
    variant: str = ""


Node: TypeAlias = Name | Number | Sum | Product | Power | Compare | Call


@dataclass(frozen=True)
class Operation:
    """A function that a formula may use.

    uses      inputs that it gets in addition to its arguments
    text      what it returns, as in "the sum over the channels j around c"
    variants  functions that learners may use in its place, by what they return
    indices   if f(a*b) is not f(a)*b: the index of a factor outside of f, and inside
    """

    function: Callable[..., Any]
    uses: tuple[str, ...] = ()
    text: str = ""
    variants: dict[str, Callable[..., Any]] | None = None
    indices: tuple[str, str] | None = None


COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


BUILT_IN = {
    "abs": Operation(np.abs),
    "exp": Operation(np.exp),
    "log": Operation(np.log),
    "sqrt": Operation(np.sqrt),
    "where": Operation(np.where),
}


PRIME = "\u02b9"
"""A letter in Python's names, for the "'" of the names in a formula."""


def parse(source: str) -> Node:
    return _tree(ast.parse(source.replace("'", PRIME), mode="eval").body)


def _tree(node: ast.expr) -> Node:
    match node:
        case ast.BinOp(left, ast.Add() | ast.Sub(), right):
            sign = 1 if isinstance(node.op, ast.Add) else -1
            return Sum(
                (*terms_of(_tree(left)), *((sign * s, t) for s, t in terms_of(_tree(right))))
            )
        case ast.BinOp(left, ast.Mult() | ast.Div(), right):
            sign = 1 if isinstance(node.op, ast.Mult) else -1
            return Product(
                (*factors_of(_tree(left)), *((sign * s, t) for s, t in factors_of(_tree(right))))
            )
        case ast.BinOp(left, ast.Pow(), right):
            return Power(_tree(left), _tree(right))
        case ast.UnaryOp(ast.USub(), operand):
            return Sum(((-1, _tree(operand)),))
        case ast.Compare(left, [op], [right]):
            symbol = {ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<="}[type(op)]
            return Compare(symbol, _tree(left), _tree(right))
        case ast.Call(ast.Name(function), arguments):
            return Call(function, tuple(map(_tree, arguments)))
        case ast.Name(name):
            return Name(name.replace(PRIME, "'"))
        case ast.Constant(value) if isinstance(value, (int, float)):
            return Number(value)
    raise ValueError(f"cannot use {ast.unparse(node)!r} in a formula")


def terms_of(node: Node) -> tuple[tuple[int, Node], ...]:
    return node.terms if isinstance(node, Sum) else ((1, node),)


def factors_of(node: Node) -> tuple[tuple[int, Node], ...]:
    return node.factors if isinstance(node, Product) else ((1, node),)


def evaluate(node: Node, names: dict[str, Any], operations: dict[str, Operation]) -> Any:
    def value(node: Node) -> Any:
        match node:
            case Name(name):
                return names[name]
            case Number(number):
                return number
            case Sum(terms):
                (sign, first), *rest = terms
                total = value(first) if sign > 0 else -value(first)
                for sign, term in rest:
                    total = total + value(term) if sign > 0 else total - value(term)
                return total
            case Product(factors):
                result = None
                for exponent, factor in factors:
                    x = value(factor)
                    if exponent > 0:
                        result = x if result is None else result * x
                    else:
                        result = 1.0 / x if result is None else result / x
                return result
            case Power(base, exponent):
                return np.power(np.asarray(value(base), float), value(exponent))
            case Compare(symbol, left, right):
                return COMPARISONS[symbol](value(left), value(right))
            case Call(function, arguments, variant):
                operation = operations[function]
                f = (operation.variants or {})[variant] if variant else operation.function
                return f(*map(value, arguments), *(names[name] for name in operation.uses))

    return value(node)


def write(node: Node) -> str:
    """The expression as Python, with spaces as in a formula."""
    match node:
        case Name(name):
            return name
        case Number(number):
            return f"{number:g}"
        case Sum(terms):
            text = "".join(f" {'-' if s < 0 else '+'} {_inner(t, Sum)}" for s, t in terms)
            return text[3:] if terms[0][0] > 0 else "-" + text[3:]
        case Product(factors):
            text = "".join(f"{'*' if e > 0 else '/'}{_inner(f, Sum, Product)}" for e, f in factors)
            return text[1:] if factors[0][0] > 0 else "1" + text
        case Power(base, exponent):
            base_text = _inner(base, Sum, Product, Power)
            if _is_signed_name_or_number(exponent):
                return f"{base_text}**{write(exponent)}"
            return f"{base_text}**{_inner(exponent, Sum, Product)}"
        case Compare(symbol, left, right):
            return f"{write(left)} {symbol} {write(right)}"
        case Call(function, arguments):
            return f"{function}({', '.join(map(write, arguments))})"


def _inner(node: Node, *bracketed: type) -> str:
    text = write(node)
    has_brackets = isinstance(node, (Compare, *bracketed)) or text.startswith("-")
    return f"({text})" if has_brackets else text


def _is_signed_name_or_number(node: Node) -> bool:
    terms = terms_of(node)
    return len(terms) == 1 and isinstance(terms[0][1], (Name, Number))


def names_in(node: Node) -> set[str]:
    match node:
        case Name(name):
            return {name}
        case Number():
            return set()
    return set().union(*map(names_in, children(node)))


def children(node: Node) -> tuple[Node, ...]:
    match node:
        case Sum(terms):
            return tuple(term for _, term in terms)
        case Product(factors):
            return tuple(factor for _, factor in factors)
        case Power(base, exponent):
            return base, exponent
        case Compare(_, left, right):
            return left, right
        case Call(_, arguments):
            return arguments
    return ()


def with_child(node: Node, i: int, child: Node) -> Node:
    """The node with another child at index i."""
    new = [child if k == i else old for k, old in enumerate(children(node))]
    match node:
        case Sum(terms):
            return Sum(tuple((sign, x) for (sign, _), x in zip(terms, new, strict=True)))
        case Product(factors):
            return Product(tuple((e, x) for (e, _), x in zip(factors, new, strict=True)))
        case Power():
            return Power(*new)
        case Compare(symbol):
            return Compare(symbol, *new)
        case Call():
            return replace(node, arguments=tuple(new))
    return node


def product(factors: Iterable[tuple[int, Node]]) -> Node:
    flat = tuple((e * inner, f) for e, factor in factors for inner, f in factors_of(factor))
    if not flat:
        return Number(1)
    return flat[0][1] if len(flat) == 1 and flat[0][0] > 0 else Product(flat)


def sum_of(terms: tuple[tuple[int, Node], ...]) -> Node:
    return terms[0][1] if len(terms) == 1 and terms[0][0] > 0 else Sum(terms)


def nodes_in(node: Node) -> Iterator[Node]:
    """The node and all nodes below it."""
    yield node
    for child in children(node):
        yield from nodes_in(child)


def replaced(node: Node, change: Callable[[Node], Node | None]) -> Node:
    """The expression with `change(x)` in place of each node x where it is not None."""
    if (new := change(node)) is not None:
        return new
    for i, child in enumerate(children(node)):
        changed = replaced(child, change)
        if changed is not child:
            node = with_child(node, i, changed)
    return node
