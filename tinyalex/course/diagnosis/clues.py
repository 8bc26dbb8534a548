"""Common confusions that the source of an answer shows, whatever its results are."""

import ast
from collections.abc import Iterator
from typing import TypeVar


def clues(source: str) -> list[str]:
    """A sentence for each confusion in the code."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    return list(dict.fromkeys(text for node in ast.walk(tree) for text in _clues_in(node)))


def _clues_in(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.BinOp(ast.BinOp(_, ast.Pow(), ast.Constant(1)), ast.Div(), ast.Constant(n)):
            yield (
                f"`{ast.unparse(node)}` is divided by {n!r}, and is not a root: `**` comes before "
                f"`/`. Write ** (1/{n!r})."
            )
        case ast.Compare(
            ast.BinOp(a, ast.Mult(), ast.Name() | ast.Attribute() as b),
            [ast.Lt() | ast.LtE() | ast.Gt() | ast.GtE()],
            [ast.Constant(0)],
        ):
            left, right = ast.unparse(a), ast.unparse(b)
            rest = ast.unparse(node)[len(ast.unparse(node.left)) :]
            yield (
                f"`{ast.unparse(node)}` compares the product, since `*` comes before the "
                f"comparison. Is {left} * ({right}{rest}) meant?"
            )
        case ast.BinOp(_, ast.BitXor(), _):
            yield f"In `{ast.unparse(node)}`, ^ is not a power but XOR of bits. A power is **."
        case ast.Call(ast.Attribute(ast.Name("np" | "numpy"), "where"), [_], []):
            yield (
                "np.where with one argument returns the indices of the True elements, as a tuple. "
                "np.where(condition, a, b) selects a or b for each element."
            )
        case ast.Call(ast.Attribute(ast.Name("np" | "numpy"), "max" | "min" as f), [_, b], []):
            if isinstance(b, ast.Constant) and b.value == 0:
                yield (
                    f"`{ast.unparse(node)}` is the {f}imum along axis 0, and has one axis less. "
                    f"np.{f}imum compares element by element."
                )


def lines_that_modify(source: str) -> list[tuple[int, str]]:
    """(line, code) of assignments to an argument's elements, also by another name."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    found: dict[tuple[int, str], None] = {}
    attributes: set[str] = set()  # those that hold an argument's array, in all methods
    for function in sorted(_nodes(tree, ast.FunctionDef), key=lambda node: node.lineno):
        shared = attributes | {argument.arg for argument in function.args.args}
        for node in sorted(_nodes(function, ast.stmt), key=lambda node: node.lineno):
            if any(_modifies(node, shared)):
                found[node.lineno, ast.unparse(node)] = None
        attributes = {name for name in shared if "." in name}
    return sorted(found)


Node = TypeVar("Node", bound=ast.AST)


def _nodes(tree: ast.AST, kind: type[Node]) -> list[Node]:
    return [node for node in ast.walk(tree) if isinstance(node, kind)]


def _modifies(node: ast.stmt, shared: set[str]) -> Iterator[bool]:
    """Whether each target of an assignment modifies one of the arrays in `shared`.

    Names that the statement assigns are added to `shared`, or removed from it.
    """
    match node:
        case ast.AugAssign(ast.Subscript(target) | target):
            yield ast.unparse(target) in shared
        case ast.Assign(targets, value):
            held = ast.unparse(value) in shared
            for target in targets:
                if isinstance(target, ast.Tuple):
                    yield from (_assigned(part, False, shared) for part in target.elts)
                else:
                    yield _assigned(target, held, shared)


def _assigned(target: ast.expr, held: bool, shared: set[str]) -> bool:
    """Whether the assignment to `target` modifies an array of `shared`.

    held  whether the value is such an array
    """
    if isinstance(target, ast.Subscript):
        return ast.unparse(target.value) in shared
    (shared.add if held else shared.discard)(ast.unparse(target))
    return False
