"""`tinyalex learn`: the exercises in lessons/exercises, and feedback on answers.

Exercise NN_name belongs to lesson NN. Its folder has exercise.py, with a function or
methods to write, solution.py and check.py (see `Checks`). The learner edits a copy of
exercise.py, my/NN_name.py.

`check` compares the results of the learner's code and of the solution. If they differ,
it injects known mistakes into the solution, and reports one with the same result. If
there is none, the explanations of a check.py look for the mistake in the results: see
the package `diagnosis`.
"""

from tinyalex.course.assembly import assemble
from tinyalex.course.commands import hint, start, status
from tinyalex.course.diagnosis.attempt import Attempt, Trial
from tinyalex.course.diagnosis.expression import Operation
from tinyalex.course.diagnosis.formula import Formula
from tinyalex.course.diagnosis.limits import Limit, Limits
from tinyalex.course.diagnosis.regions import Regions
from tinyalex.course.exercise import Exercise, Mistake, exercises, find, load
from tinyalex.course.verdict import Verdict, check

__all__ = [
    "Attempt",
    "Exercise",
    "Formula",
    "Limit",
    "Limits",
    "Mistake",
    "Operation",
    "Regions",
    "Trial",
    "Verdict",
    "assemble",
    "check",
    "exercises",
    "find",
    "hint",
    "load",
    "start",
    "status",
]
