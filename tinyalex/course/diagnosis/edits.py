"""Common mistakes in an expression: a factor forgotten, a sign, another variable."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tinyalex.course.diagnosis.expression import (
    COMPARISONS,
    Call,
    Compare,
    Name,
    Node,
    Number,
    Operation,
    Power,
    Product,
    Sum,
    children,
    factors_of,
    product,
    sum_of,
    terms_of,
    with_child,
    write,
)


@dataclass(frozen=True)
class Vocabulary:
    """What a learner may write in place of something else.

    arrays, numbers  names: those of one set can be confused with each other
    alternatives     expressions that can be confused with a name, each with a remark
    operations       the functions, by name
    with_rare        whether rare mistakes are among the edits
    """

    arrays: frozenset[str]
    numbers: frozenset[str]
    alternatives: dict[str, dict[Node, str]]
    operations: dict[str, Operation]
    with_rare: bool = True


@dataclass(frozen=True)
class Edit:
    """An expression with a mistake, and that in words. Rare ones are tried last."""

    node: Node
    text: str
    rare: bool = False


def edits(node: Node, known: Vocabulary, context: str = "") -> Iterator[Edit]:
    """All expressions that differ from `node` by one mistake.

    `context` is the product or the call that surrounds it, as text.
    """
    for edit in _edits_here(node, known, context):
        if known.with_rare or not edit.rare:
            yield edit
    inner = f" in {_code(node)}" if isinstance(node, (Product, Call)) else context
    for i, child in enumerate(children(node)):
        for edit in edits(child, known, inner):
            yield Edit(with_child(node, i, edit.node), edit.text, edit.rare)


def _edits_here(node: Node, known: Vocabulary, context: str) -> Iterator[Edit]:
    """The edits of the node itself, without those of its children."""
    match node:
        case Sum():
            yield from _edits_of_sum(node, known)
        case Product():
            yield from _edits_of_product(node, known)
        case Power():
            yield from _edits_of_power(node)
        case Compare(symbol, left, right):
            for other in COMPARISONS.keys() - {symbol}:
                yield from _replaced(node, Compare(other, left, right), "")
        case Call():
            yield from _edits_of_call(node, known, context)
        case Name():
            yield from _edits_of_name(node, known, context)


def _code(node: Node) -> str:
    return f"`{write(node)}`"


def _replaced(right: Node, wrong: Node, context: str, rare: bool = False) -> Iterator[Edit]:
    if wrong != right:
        text = f"{_code(wrong)} takes the place of {_code(right)}{context}"
        yield Edit(wrong, text, rare)


def _edits_of_sum(node: Sum, known: Vocabulary) -> Iterator[Edit]:
    terms = node.terms
    for i, (sign, term) in enumerate(terms):
        if len(terms) > 1:
            rest = sum_of((*terms[:i], *terms[i + 1 :]))
            yield Edit(rest, f"the term {_code(term)} is missing")
            flipped = sum_of((*terms[:i], (-sign, term), *terms[i + 1 :]))
            wrong, right = ("added", "subtracted") if sign < 0 else ("subtracted", "added")
            yield Edit(flipped, f"the term {_code(term)} is {wrong} and should be {right}")
        for name in sorted(known.numbers) if known.with_rare else ():
            scaled = product(((1, Name(name)), (1, term)))
            text = f"the term {_code(term)} is multiplied by `{name}`, and should not be"
            yield Edit(Sum((*terms[:i], (sign, scaled), *terms[i + 1 :])), text, rare=True)
    if len(terms) > 1:
        negative = sum_of(tuple((-sign, term) for sign, term in terms))
        yield Edit(negative, f"{_code(negative)} has the opposite sign of {_code(node)}")
        multiplied = product((1, term) for _, term in terms)
        yield from _replaced(node, multiplied, "", rare=True)


def _edits_of_product(node: Product, known: Vocabulary) -> Iterator[Edit]:
    factors = node.factors
    for i, (exponent, factor) in enumerate(factors):
        before, after = factors[:i], factors[i + 1 :]
        missing = product((*before, *after))
        inverse = product((*before, (-exponent, factor), *after))
        twice = product((*before, (exponent, factor), (exponent, factor), *after))
        role = "the factor" if exponent > 0 else "the division by"
        yield Edit(missing, f"{role} {_code(factor)} is missing in {_code(node)}")
        wrong, right = ("divided", "multiplied") if exponent > 0 else ("multiplied", "divided")
        text = f"{_code(node)} is {wrong} by {_code(factor)} and should be {right} by it"
        yield Edit(inverse, text, rare=True)
        yield Edit(twice, f"{_code(factor)} occurs twice in {_code(node)}")
    yield from scalings(node, known)
    yield from _factors_moved_inside(node, known)


def scalings(node: Node, known: Vocabulary) -> Iterator[Edit]:
    """The expression multiplied by a variable that is not among its factors."""
    factors = factors_of(node)
    used = {factor for _, factor in factors}
    for name in sorted(known.arrays | known.numbers) if known.with_rare else ():
        if (extra := Name(name)) not in used:
            text = f"{_code(node)} is multiplied by `{name}`, and should not be"
            yield Edit(product(((1, extra), *factors)), text, rare=True)


def _factors_moved_inside(node: Product, known: Vocabulary) -> Iterator[Edit]:
    for i, (exponent, call) in enumerate(node.factors):
        if not isinstance(call, Call) or exponent < 0:
            continue
        indices = known.operations[call.function].indices
        for j, (power, factor) in enumerate(node.factors if indices else ()):
            if j == i or not (isinstance(factor, Name) and factor.id in known.arrays):
                continue
            inner = product((*factors_of(call.arguments[0]), (power, factor)))
            moved = replace(call, arguments=(inner, *call.arguments[1:]))
            rest = [(e, moved if k == i else f) for k, (e, f) in enumerate(node.factors) if k != j]
            text = _moved(factor, call, "inside", indices[1], indices[0])  # type: ignore[index]
            yield Edit(product(rest), text)


def _moved(factor: Node, call: Call, side: str, wrong: str, right: str) -> str:
    name = write(factor)
    return (
        f"`{name}` is {side} of `{call.function}(...)`, so it is `{name}[{wrong}]` and should be "
        f"`{name}[{right}]`"
    )


def _edits_of_power(node: Power) -> Iterator[Edit]:
    base, exponent, shown = node.base, node.exponent, _code(node)
    yield Edit(base, f"the exponent of {shown} is missing")
    negative = sum_of(tuple((-sign, term) for sign, term in terms_of(exponent)))
    yield Edit(Power(base, negative), f"the exponent of {shown} has the opposite sign")
    for sign in (1, -1):
        other = Sum((*terms_of(exponent), (sign, Number(1))))
        yield Edit(Power(base, other), f"the exponent of {shown} is `{write(other)}`", rare=True)
    for number in (-1, 2, -2, 0.5, -0.5):
        fixed = sum_of(((1 if number > 0 else -1, Number(abs(number))),))
        if fixed != exponent:
            yield Edit(Power(base, fixed), f"the exponent of {shown} is {number:g}", rare=True)


def _edits_of_call(node: Call, known: Vocabulary, context: str) -> Iterator[Edit]:
    operation = known.operations[node.function]
    for variant in operation.variants or ():
        if not node.variant:
            text = f"{_code(node)} should be {operation.text}, and is {variant}"
            yield Edit(replace(node, variant=variant), text)
    for argument in node.arguments:
        yield from _replaced(node, argument, context)
    if node.function == "where":
        yield from _edits_of_where(node, known, context)
    factors = factors_of(node.arguments[0]) if operation.indices else ()
    for i, (exponent, factor) in enumerate(factors if len(factors) > 1 else ()):
        rest = product((*factors[:i], *factors[i + 1 :]))
        call = replace(node, arguments=(rest, *node.arguments[1:]))
        text = _moved(factor, node, "outside", *operation.indices)  # type: ignore[misc]
        yield Edit(Product(((1, call), (exponent, factor))), text)


def _edits_of_where(node: Call, known: Vocabulary, context: str) -> Iterator[Edit]:
    condition, *values = node.arguments
    yield from _replaced(node, replace(node, arguments=(condition, *reversed(values))), context)
    for i, value in enumerate(values):
        others: list[Node] = [Number(0), Number(1)]
        if isinstance(value, Number):
            others += [Name(name) for name in sorted(known.arrays)]
        for other in others:
            changed = [other if k == i else v for k, v in enumerate(values)]
            yield from _replaced(node, replace(node, arguments=(condition, *changed)), context)


def _edits_of_name(node: Name, known: Vocabulary, context: str) -> Iterator[Edit]:
    for alternative, remark in known.alternatives.get(node.id, {}).items():
        for edit in _replaced(node, alternative, context):
            yield replace(edit, text=f"{edit.text}. {remark}" if remark else edit.text)
    if node.id in known.arrays:
        for other in sorted(known.arrays):
            yield from _replaced(node, Name(other), context)
        yield from _replaced(node, Power(node, Number(0.5)), context, rare=True)
    if node.id in known.numbers:
        for other in sorted(known.numbers):
            yield from _replaced(node, Name(other), context, rare=True)
        yield from _replaced(node, Number(1), context, rare=True)
