"""Inputs for which a part of the formula vanishes, to find the part that is wrong."""

from dataclasses import dataclass, field
from typing import Any

from tinyalex.course.diagnosis.attempt import Attempt


@dataclass(frozen=True)
class Limit:
    """Arguments with which a part vanishes.

    words     what they do, as in "With alpha = 0, the second term vanishes"
    changes   the arguments
    if_right  what a right result there shows
    if_wrong  what a wrong one does
    """

    words: str
    changes: dict[str, Any]
    if_right: str = ""
    if_wrong: str = ""


@dataclass(frozen=True)
class Limits:
    """All conclusions from the limits, tried on the inputs of all trials."""

    limits: list[Limit] = field(default_factory=list)

    def explain(self, attempt: Attempt) -> str | None:
        texts = []
        for limit in self.limits:
            trials = [attempt.call(trial.inputs | limit.changes) for trial in attempt.trials]
            right = [trial is not None and trial.is_right(attempt.result) for trial in trials]
            if all(right) and limit.if_right:
                texts.append(f"{limit.words}, and your {attempt.result} is right. {limit.if_right}")
            elif not any(right) and limit.if_wrong:
                texts.append(f"{limit.words}, and your {attempt.result} is wrong. {limit.if_wrong}")
        return " ".join(texts) or None
