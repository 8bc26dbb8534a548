"""Common confusions that the source of an answer shows, whatever its results are."""

import ast
from collections.abc import Iterator


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
        case ast.Compare(ast.BinOp(a, ast.Mult(), b), _, [ast.Constant(0)]):
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
    found = []
    shared = {"self"}  # names and attributes that hold an argument's array
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            shared |= {argument.arg for argument in function.args.args}
    for node in sorted(ast.walk(tree), key=lambda node: getattr(node, "lineno", 0)):
        match node:
            case ast.Assign([ast.Name() | ast.Attribute() as target], value):
                if ast.unparse(value) in shared:
                    shared.add(ast.unparse(target))
                else:
                    shared.discard(ast.unparse(target))
            case ast.Assign(targets):
                for whole in targets:
                    for part in whole.elts if isinstance(whole, ast.Tuple) else [whole]:
                        if isinstance(part, ast.Subscript) and ast.unparse(part.value) in shared:
                            found.append((node.lineno, ast.unparse(node)))
            case ast.AugAssign(ast.Name() | ast.Attribute() as target):
                if ast.unparse(target) in shared:
                    found.append((node.lineno, ast.unparse(node)))
            case ast.AugAssign(ast.Subscript(value)):
                if ast.unparse(value) in shared:
                    found.append((node.lineno, ast.unparse(node)))
    return found
