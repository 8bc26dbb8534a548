"""`tinyalex learn`: the exercises in lessons/exercises, and what is said about a learner's answer.

An exercise is a folder NN_name, NN being the number of its lesson, with three files:

    exercise.py   what the learner gets: one function to write, or the methods of one class
    solution.py   a right answer
    check.py      HINTS             three, each says more than the one before
                  CASES             (words, inputs by name), simple ones first. Functions among them are described by their docstrings
                  RESULTS           the names of what comes back
                  answer(module, **inputs)   gets it, from the learner's module or the solution's
                  MISTAKES          what people write instead of lines of the solution
                  gradient(module)  (f, inputs) for gradcheck, where the exercise has a derivative
                  WRITES_BACKWARD   False where the learner writes f's forward pass, or neither: gradcheck's advice is about backward

The learner's copy is my/NN_name.py. What it answers is compared with what the solution answers. Where they differ, the solution is
tried once more with each of the mistakes in it: the same mistake makes the same wrong numbers, in whatever words it is written.
"""

from tinyalex.learning.course import hint, start, status
from tinyalex.learning.folders import Exercise, exercises, find, load
from tinyalex.learning.judging import Mistake, Verdict, check

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
