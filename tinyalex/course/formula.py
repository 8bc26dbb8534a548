"""The formula of an exercise, and mistakes in it that explain a learner's results.

A learner's result is compared with those of all formulas that differ from the right one
by one or two common mistakes (expression.py), on inputs for which they all differ. If
none agrees, the result is fitted by the terms of the right formula, and their factors
are identified (factors.py). The learner's code may be written in any way.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from tinyalex.course import factors
from tinyalex.course.attempt import Attempt, Trial, equal
from tinyalex.course.edits import COMMON, Vocabulary, edits
from tinyalex.course.expression import (
    BUILT_IN,
    Node,
    Operation,
    Sum,
    evaluate,
    names_in,
    parse,
    with_variant,
    write,
)

MAX_PAIRED_COST = COMMON + COMMON
"""Of pairs of mistakes, only those of two common ones are tried."""

ORDINALS = ("first", "second", "third", "fourth", "fifth")


class Statement(NamedTuple):
    target: str
    value: Node

    def __str__(self) -> str:
        return f"{self.target} = {write(self.value)}"


Program = tuple[Statement, ...]


class ProgramEdit(NamedTuple):
    program: Program
    text: str
    cost: int


class Formula:
    """The right formula of an exercise.

    text          assignments, of which the last ones are the results
    operations    the functions in it, by name
    constants     arguments that are numbers, and their functions: for the names of
                  factors
    alternatives  expressions that are confused with a variable of the formula
    derived       (inputs) -> further names and their values
    isolated      (description, changed inputs, what a right result shows, what a wrong
                  one does): inputs for which parts of the formula vanish
    """

    def __init__(
        self,
        text: str,
        operations: dict[str, Operation] | None = None,
        *,
        constants: tuple[str, ...] = (),
        alternatives: dict[str, tuple[str, ...]] | None = None,
        derived: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        shown: dict[str, str] | None = None,
    ) -> None:
        lines = [line.split("=", 1) for line in text.strip().splitlines()]
        self.program: Program = tuple(Statement(a.strip(), parse(b.strip())) for a, b in lines)
        self.operations = BUILT_IN | (operations or {})
        self.constants = constants
        self.alternatives = alternatives or {}
        self.derived = derived
        self.shown = shown or {}

    def names(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return inputs | (self.derived(inputs) if self.derived else {})

    def run(self, program: Program, names: dict[str, Any]) -> dict[str, Any]:
        """The value of each variable."""
        names = dict(names)
        for target, value in program:
            names[target] = evaluate(value, names, self.operations)
        return names

    def explain(self, attempt: Attempt) -> str | None:
        program = self._needed(attempt.result)
        if not program:
            return None
        trials = [(self.names(trial.inputs), trial) for trial in attempt.trials]
        with np.errstate(all="ignore"):
            return self._wrong_formula(program, trials) or self._factors(program, trials)

    def _needed(self, result: str) -> Program:
        """The statements on which the result depends."""
        needed, program = {result}, []
        for statement in reversed(self.program):
            if statement.target in needed:
                needed |= names_in(statement.value)
                program.insert(0, statement)
        return tuple(program)

    def _wrong_formula(
        self, program: Program, trials: list[tuple[dict[str, Any], Trial]]
    ) -> str | None:
        """The formula with one or two mistakes that has the learner's results."""
        known = self._vocabulary(program, trials[0][0])
        result = program[-1].target

        def agrees(candidate: Program) -> bool:
            for names, trial in trials:
                try:
                    value = self.run(candidate, names)[result]
                except (ValueError, TypeError, LookupError, ArithmeticError):
                    return False
                if not equal(value, trial.got):
                    return False
            return True

        single = sorted(self._edits(program, known), key=lambda edit: edit.cost)
        for edit in single:
            if agrees(edit.program):
                return self._described(program, edit.program, [edit.text])
        for first in single:
            for second in self._edits(first.program, known):
                if first.cost + second.cost <= MAX_PAIRED_COST and agrees(second.program):
                    return self._described(program, second.program, [first.text, second.text])
        return None

    def _vocabulary(self, program: Program, names: dict[str, Any]) -> Vocabulary:
        values = self.run(program, names)
        used = set().union(*(names_in(statement.value) for statement in program)) | set(names)
        used -= {program[-1].target}
        arrays = {n for n in used if np.ndim(values[n]) and np.asarray(values[n]).dtype.kind == "f"}
        numbers = {n for n in used if np.ndim(values[n]) == 0 and not isinstance(values[n], bool)}
        alternatives = {name: tuple(map(parse, texts)) for name, texts in self.alternatives.items()}
        return Vocabulary(frozenset(arrays), frozenset(numbers), alternatives, self.operations)

    def _edits(self, program: Program, known: Vocabulary) -> Iterator[ProgramEdit]:
        """All formulas with one mistake, those in the last statement first."""
        for i, (target, value) in reversed(list(enumerate(program))):
            place = f", in `{program[i]}`" if i < len(program) - 1 else ""
            for edit in edits(value, known):
                changed = (*program[:i], Statement(target, edit.node), *program[i + 1 :])
                yield ProgramEdit(changed, edit.text + place, edit.cost)
        for name, operation in self.operations.items():
            for variant in operation.variants or ():
                changed = tuple(
                    Statement(target, with_variant(value, name, variant))
                    for target, value in program
                )
                text = f"each `{name}(...)` should be {operation.text}, and is {variant}"
                yield ProgramEdit(changed, text, COMMON)

    def _described(self, right: Program, wrong: Program, texts: list[str]) -> str:
        sentences = [text if text[0] == "`" else text[0].upper() + text[1:] for text in texts]
        what = " ".join(f"{sentence}." for sentence in sentences)
        lines = [f"    {w}" for r, w in zip(right, wrong, strict=True) if str(r) != str(w)]
        parts = [what]
        if lines:
            parts = [f"{what} Your results are those of", "\n".join(lines)]
        legend = [
            f"{name}(...) is {operation.text}."
            for name, operation in self.operations.items()
            if operation.text and f"{name}(" in "".join(parts)
        ]
        return "\n\n".join([*parts, *legend])

    # Terms

    def _factors(
        self, program: Program, trials: list[tuple[dict[str, Any], Trial]]
    ) -> str | None:
        """The factors of the terms, if the learner's result consists of these terms."""
        value = program[-1].value
        terms = [t for _, t in value.terms] if isinstance(value, Sum) else [value]
        signs = [s for s, _ in value.terms] if isinstance(value, Sum) else [1]
        rows = []
        used = []
        for names, trial in trials:
            if trial.got.shape != trial.right.shape:
                return None
            values = self.run(program, names)
            columns = [s * np.broadcast_to(evaluate(t, values, self.operations), trial.right.shape).ravel() for s, t in zip(signs, terms, strict=True)]
            matrix = np.stack(columns, axis=1).astype(float)
            if matrix.shape[0] <= matrix.shape[1] or np.linalg.matrix_rank(matrix) < len(terms):
                continue
            if not np.isfinite(trial.got).all():
                return None
            found, *_ = np.linalg.lstsq(matrix, trial.got.ravel().astype(float), rcond=None)
            if not equal((matrix @ found).reshape(trial.right.shape), trial.got):
                return None
            rows.append(found)
            used.append({name: float(values[name]) for name in self.constants} )
        if len(rows) < 2:
            return None
        texts = []
        for i, (ratios, term) in enumerate(zip(np.transpose(rows), terms, strict=True)):
            name = f"The {ORDINALS[i]} term, `{write(term)}`," if len(terms) > 1 else f"`{write(term)}`"
            if np.allclose(ratios, 1, rtol=1e-6):
                continue
            if np.allclose(ratios, 0, atol=1e-9):
                texts.append(f"{name} is missing.")
                continue
            found_factor = factors.identify(list(ratios), used)
            if found_factor is None:
                shown = " and ".join(f"{r:.4g}" for r in ratios[:2])
                texts.append(f"{name} is wrong by a factor, {shown} in two cases.")
                continue
            factor = factors.write(*found_factor)
            texts.append(f"{name} is multiplied by {factor}" + self._cause(*found_factor))
        right = [ORDINALS[i] for i, r in enumerate(np.transpose(rows)) if np.allclose(r, 1, rtol=1e-6)]
        if right and texts and len(terms) > 1:
            texts.append(f"The {' and the '.join(right)} term {'is' if len(right) == 1 else 'are'} right.")
        return " ".join(texts) or None

    @staticmethod
    def _cause(number: float, powers: factors.Powers) -> str:
        missing = [name for name, e in powers.items() if e < 0]
        extra = [name for name, e in powers.items() if e > 0]
        parts = []
        if missing:
            parts.append(f"is {' and '.join(f'`{n}`' for n in missing)} missing?")
        if extra:
            parts.append(f"does {' and '.join(f'`{n}`' for n in extra)} occur too often?")
        if number < 0:
            parts.append("the sign is wrong.")
        return ": " + " ".join(parts) if parts else "."
