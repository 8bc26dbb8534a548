"""Detects a network that does not learn, and says what to try.

In training, its loss stays at ln K for K classes; in testing, its error is that of
guessing.
"""

import math
from collections.abc import Mapping

from tinyalex.training.metrics import Evaluation

STEPS = 500

TOLERANCE = 0.01
"""Relative. With equal probabilities, the loss of a batch varies less."""

COMMON_REMEDIES = {
    "learning rate": "a tenth of it if the loss was higher at first, otherwise three times it",
    "labels": "check that the images show the classes of their folders",
}
"""What to try, by topic, with trained or untrained weights."""

REMEDIES = {
    "initial weights": "He's (nn.init.kaiming_)",
    "pixel scale": "a standard deviation of 1 for He's weights; sigmas of 0.01 are for 0 to 255",
} | COMMON_REMEDIES


def as_lines(remedies: Mapping[str, str]) -> str:
    return "\n".join(f"  {topic:<17} {text}" for topic, text in remedies.items())


class Plateau:
    """Counts consecutive steps with a loss near ln K. Resuming restarts the count."""

    def __init__(self, classes: int, remedies: Mapping[str, str] = REMEDIES) -> None:
        self.level, self.classes, self.steps = math.log(classes), classes, 0
        self.remedies = remedies

    def note(self, loss: float) -> bool:
        """Whether this is the 500th such step."""
        at_level = abs(loss - self.level) < TOLERANCE * self.level
        self.steps = self.steps + 1 if at_level else 0
        return self.steps == STEPS

    def advice(self) -> str:
        return (
            f"The loss has been {self.level:.3f} = ln {self.classes} for {STEPS} steps: "
            "all classes have the same probability, for every image.\n"
            f"It may still fall later. If it does not, try:\n{as_lines(self.remedies)}"
        )


def guessing_advice(result: Evaluation, remedies: Mapping[str, str] = REMEDIES) -> str | None:
    """What to try if an error is not below that of guessing; None if it is.

    Guessing gives the most frequent class for every image. An error that is lower by
    less than two standard errors counts as guessing. If even an error of 0 would, the
    advice is to evaluate on more images.
    """
    counts = result.confusion.sum(axis=1)
    guess = 1 - counts.max() / counts.sum()
    margin = 2 * result.standard_error(guess)
    guessing = (
        f"the most frequent class, for each of the {counts.sum()} images, has an error of "
        f"{100 * guess:.2f} %"
    )
    if guess <= margin:
        return (
            f"This error cannot be compared with guessing: {guessing} (standard error "
            f"{50 * margin:.2f}).\nUse more images for evaluation, of several classes."
        )
    if result.error < guess - margin:
        return None
    remedies = {**remedies, "length": "more epochs (--epochs), if the loss was still falling"}
    return f"This error is no better than guessing: {guessing}.\nTry:\n{as_lines(remedies)}"
