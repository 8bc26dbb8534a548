"""Exercises for the lessons: a file to complete, checks that name mistakes, and hints.

  tinyalex learn start 5       copy the exercise of lesson 5 to my/
  tinyalex learn check 5       check what you have written
  tinyalex learn hint 5        the next of three hints, or hint --level N
  tinyalex learn solution 5    print a correct answer
  tinyalex learn status        your progress
  tinyalex learn assemble      train a network made of your answers: after lesson 4, 8
                               or 14, or `assemble 8`

The exit status of check is 0 if the answer is correct, 1 if not, and 2 if there is
nothing to check.
"""

import argparse

from tinyalex.cli.options import Commands, add_command, quoted


def lesson_number(text: str) -> int:
    if not text.isdecimal() or len(text) > 4:
        raise argparse.ArgumentTypeError(f"expected the number of a lesson, got {quoted(text)}")
    return int(text)


def add_parser(commands: Commands) -> None:
    p = add_command(commands, "learn", run, __doc__)
    p.add_argument("action", choices=("start", "check", "hint", "solution", "status", "assemble"))
    p.add_argument(
        "lesson",
        nargs="?",
        type=lesson_number,
        metavar="LESSON",
        help="number of the lesson; status and assemble need none",
    )
    p.add_argument("--level", type=int, choices=(1, 2, 3), help="which hint")


def run(args: argparse.Namespace) -> int:
    from tinyalex import course

    if args.action == "assemble":
        course.assemble(args.lesson)
        return 0
    status = 0
    if args.action == "status":
        text = course.status()
    elif args.lesson is None:
        raise ValueError(f"which lesson? For example: tinyalex learn {args.action} 5")
    else:
        exercise = course.find(args.lesson)
        if args.action == "check":
            verdict = course.check(exercise)
            text, status = verdict.text, {"right": 0, "not started": 2}.get(verdict.kind, 1)
        elif args.action == "start":
            text = course.start(exercise)
        elif args.action == "hint":
            text = course.hint(exercise, args.level)
        else:
            text = exercise.solution.read_text(encoding="utf-8").rstrip()
    print(text)
    return status
