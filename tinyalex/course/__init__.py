"""`tinyalex learn`: the exercises in lessons/exercises, and feedback on answers.

Exercise NN_name belongs to lesson NN. Its folder has exercise.py, with a function or
methods to write, solution.py and check.py (see `Checks`). The learner edits a copy of
exercise.py, my/NN_name.py.

`check` compares what the learner's code and the solution return. If they differ, it
puts known mistakes into the solution: one that returns the same is the learner's.
"""

from tinyalex.course.commands import hint, start, status
from tinyalex.course.exercise import Exercise, Mistake, exercises, find, load
from tinyalex.course.verdict import Verdict, check

__all__ = [
    "Exercise",
    "Mistake",
    "Verdict",
    "check",
    "exercises",
    "find",
    "hint",
    "load",
    "start",
    "status",
]
