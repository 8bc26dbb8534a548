"""The formula of an exercise, and mistakes in it that explain a learner's results.

The learner's results are compared with those of all formulas that differ from the right
one by one or two common mistakes (edits.py), on inputs for which they all differ. If
none agrees, a result is fitted by the terms of the right formula (terms.py). The
learner's code may be written in any way.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Set
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from tinyalex.course.diagnosis import terms
from tinyalex.course.diagnosis.attempt import Attempt, Trial, equal
from tinyalex.course.diagnosis.edits import Vocabulary, edits, scalings
from tinyalex.course.diagnosis.expression import (
    BUILT_IN,
    Call,
    Node,
    Operation,
    Power,
    Product,
    Sum,
    evaluate,
    names_in,
    nodes_in,
    parse,
    replaced,
    write,
)


class Statement(NamedTuple):
    target: str
    value: Node

    def __str__(self) -> str:
        return f"{self.target} = {write(self.value)}"


Program = tuple[Statement, ...]


class ProgramEdit(NamedTuple):
    """A program with a mistake, in a statement up to the index `last`."""

    program: Program
    text: str
    rare: bool
    last: int


class Formula:
    """The right formula of an exercise.

    text          assignments; a result that has an input's name is written with a "'"
    operations    the functions in it, by name
    alternatives  for a variable, expressions that are confused with it, each with a
                  remark or an empty text
    constants     (inputs) -> further names and their values
    """

    def __init__(
        self,
        text: str,
        operations: dict[str, Operation] | None = None,
        *,
        alternatives: dict[str, dict[str, str]] | None = None,
        constants: Callable[[dict[str, Any]], dict[str, Any]] = lambda inputs: {},
    ) -> None:
        lines = [line.split("=", 1) for line in text.strip().splitlines()]
        self.program = tuple(Statement(a.strip(), parse(b.strip())) for a, b in lines)
        self.operations = BUILT_IN | (operations or {})
        self.constants = constants
        self.alternatives = {
            name: {parse(expression): remark for expression, remark in others.items()}
            for name, others in (alternatives or {}).items()
        }

    def results(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The values that the right formula assigns."""
        values = self._run(self.program, inputs | self.constants(inputs))
        return {_result(statement): values[statement.target] for statement in self.program}

    def explain(self, attempt: Attempt) -> str | None:
        if attempt.result not in map(_result, self.program):
            return None
        with np.errstate(all="ignore"):
            return self._wrong_formula(attempt) or self._wrong_factors(attempt)

    def _run(self, program: Program, names: dict[str, Any]) -> dict[str, Any]:
        names = dict(names)
        for statement in program:
            names[statement.target] = evaluate(statement.value, names, self.operations)
        return names

    # Mistakes in the formula

    def _wrong_formula(self, attempt: Attempt) -> str | None:
        """The formula with one or two mistakes that has the learner's results.

        Either it explains all wrong results, or only the first of them.
        """
        known = self._vocabulary(attempt.trials[0].inputs)
        assigned = [r for r in map(_result, self.program) if r in attempt.trials[0].got]
        wrong = {r for r in assigned if not all(t.is_right(r) for t in attempt.trials)}
        if not wrong:
            return None
        for results in dict.fromkeys([frozenset(wrong), frozenset({attempt.result})]):
            if found := self._search(known, attempt.trials, results):
                return self._described(*found)
        return None

    def _needed(self, results: Set[str]) -> set[str]:
        """The targets of the statements on which the results depend."""
        needed = set(results)
        for statement in reversed(self.program):
            if _result(statement) in needed or statement.target in needed:
                needed |= names_in(statement.value) | {statement.target}
        return needed

    def _search(
        self, known: Vocabulary, trials: list[Trial], results: Set[str]
    ) -> tuple[Program, list[str]] | None:
        """The program with one or two mistakes that has these results in all trials."""
        needed = self._needed(results)
        with_values = [(self._values(trial), trial) for trial in trials]

        def agrees(candidate: Program) -> bool:
            for values, trial in with_values:
                try:
                    values = self._run_changed(candidate, values)
                except Exception:  # such as arrays that do not fit together
                    return False
                for statement in candidate:
                    result = _result(statement)
                    if result in results and not (
                        result in trial.got
                        and _equal_at_first(values[statement.target], trial.got[result])
                        and equal(values[statement.target], trial.got[result])
                    ):
                        return False
            return True

        single = sorted(self._edits(self.program, known, needed), key=lambda edit: edit.rare)
        for edit in single:
            if agrees(edit.program):
                return edit.program, [edit.text]
        common = replace(known, with_rare=False)
        for first in single:
            if first.rare:
                break
            for second in self._edits(first.program, common, needed, first.last):
                if agrees(second.program):
                    return second.program, [first.text, second.text]
        return None

    def _values(self, trial: Trial) -> dict[str, Any]:
        """The inputs, the constants, and the right values of the variables."""
        return self._run(self.program, trial.inputs | self.constants(trial.inputs))

    def _run_changed(self, program: Program, values: dict[str, Any]) -> dict[str, Any]:
        """Run the statements from the first that is not the right formula's."""
        same = 0
        while same < len(program) and program[same] is self.program[same]:
            same += 1
        later = {statement.target for statement in program[same:]}
        known = {name: value for name, value in values.items() if name not in later}
        return self._run(program[same:], known)

    def _vocabulary(self, inputs: dict[str, Any]) -> Vocabulary:
        names = inputs | self.constants(inputs)
        values = self._run(self.program, names)
        used = set().union(*(names_in(statement.value) for statement in self.program)) | set(names)
        arrays = {n for n in used if np.ndim(values[n]) and np.asarray(values[n]).dtype.kind == "f"}
        numbers = {n for n in used if np.ndim(values[n]) == 0 and not isinstance(values[n], bool)}
        return Vocabulary(frozenset(arrays), frozenset(numbers), self.alternatives, self.operations)

    def _edits(
        self, program: Program, known: Vocabulary, targets: Set[str], last: int | None = None
    ) -> Iterator[ProgramEdit]:
        """All formulas with one mistake in one of the targets, the last ones first.

        `last` is the index of the last statement that may be changed.
        """
        end = len(program) if last is None else last + 1
        for i, (target, value) in reversed(list(enumerate(program[:end]))):
            if target not in targets:
                continue
            label = f", in `{program[i]}`" if target not in self._final else ""
            scaled = () if isinstance(value, (Sum, Product)) else scalings(value, known)
            for edit in (*edits(value, known), *scaled):
                changed = (*program[:i], Statement(target, edit.node), *program[i + 1 :])
                yield ProgramEdit(changed, edit.text + label, edit.rare, i)
        if last is None:
            yield from self._edits_everywhere(program, known)

    def _edits_everywhere(self, program: Program, known: Vocabulary) -> Iterator[ProgramEdit]:
        """The same mistake in all places, as if a variable of the learner is wrong."""
        nodes = Counter(node for statement in program for node in nodes_in(statement.value))

        def changed(others: dict[Node, Node]) -> Program:
            new = (Statement(target, replaced(value, others.get)) for target, value in program)
            return tuple(b if a == b else a for a, b in zip(new, program, strict=True))

        end = len(program) - 1
        for node, count in nodes.items():
            if count > 1 and isinstance(node, (Power, Product, Call)):
                for edit in edits(node, known):
                    text = f"{edit.text}, in all places"
                    yield ProgramEdit(changed({node: edit.node}), text, edit.rare, end)
        for name, operation in self.operations.items():
            calls = [node for node in nodes if isinstance(node, Call) and node.function == name]
            for variant in operation.variants or () if len(calls) > 1 else ():
                others: dict[Node, Node] = {c: replace(c, variant=variant) for c in calls}
                text = f"each `{name}(...)` should be {operation.text}, and is {variant}"
                yield ProgramEdit(changed(others), text, False, end)

    @property
    def _final(self) -> set[str]:
        """The variables that no other statement uses."""
        used = set().union(*(names_in(statement.value) for statement in self.program))
        return {s.target for s in self.program if s.target not in used}

    def _described(self, wrong: Program, texts: list[str]) -> str:
        sentences = [text if text[0] == "`" else text[0].upper() + text[1:] for text in texts]
        parts = [" ".join(map(_ended, sentences))]
        lines = [
            f"    {changed}"
            for statement, changed in zip(self.program, wrong, strict=True)
            if str(statement) != str(changed)
        ]
        if lines:
            parts = [f"{parts[0]} Your results are those of", "\n".join(lines)]
        for name, operation in self.operations.items():
            if operation.text and f"{name}(" in "".join(parts) and operation.text not in parts[0]:
                parts.append(f"{name}(...) is {operation.text}.")
        return "\n\n".join(parts)

    def _wrong_factors(self, attempt: Attempt) -> str | None:
        """The wrong factors of terms, if the first wrong result consists of them."""
        for statement in self.program:
            result = _result(statement)
            if all(trial.is_right(result) or result not in trial.got for trial in attempt.trials):
                continue
            values = [self._values(trial) for trial in attempt.trials]
            return terms.explain(statement.value, result, attempt.trials, values, self.operations)
        return None


def _equal_at_first(value: Any, got: np.ndarray) -> bool:
    """A fast test of the shape and of one element, which few wrong candidates pass."""
    value = np.asarray(value)
    if value.shape != got.shape:
        return False
    if not got.size:
        return True
    a, b = float(value.flat[-1]), float(got.flat[-1])
    return not abs(a - b) > 1e-3 * max(abs(a), abs(b), 1e-3 * float(np.abs(got).max()))


def _result(statement: Statement) -> str:
    return statement.target.removesuffix("'")


def _ended(sentence: str) -> str:
    return sentence if sentence[-1] in ".?" else f"{sentence}."
