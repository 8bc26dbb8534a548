"""Detects a network that does not learn, and says what to try.

In training, its loss stays at ln K for K classes; in testing, its error is that of
guessing.
"""

import math

from tinyalex.training.metrics import Evaluation

STEPS = 500

TOLERANCE = 0.01
"""Relative. With equal probabilities, the loss of a batch varies less."""

REMEDIES = """\
  initial weights   He's (train_imagenet.py: --init he); biases of 0.1 instead of the paper's 1
                    (--variant caffe)
  learning rate     a tenth of it if the loss was higher at first, otherwise three times it
  pixel scale       sigmas of 0.01 are for pixels from 0 to 255 minus the mean, He's weights for
                    a standard deviation of 1
  labels            check that the images show the classes of their folders"""


class Plateau:
    """Counts consecutive steps with a loss near ln K. Resuming restarts the count."""

    def __init__(self, classes: int) -> None:
        self.level, self.classes, self.steps = math.log(classes), classes, 0

    def note(self, loss: float) -> bool:
        """Whether this is the 500th such step."""
        at_level = abs(loss - self.level) < TOLERANCE * self.level
        self.steps = self.steps + 1 if at_level else 0
        return self.steps == STEPS

    def advice(self) -> str:
        return (
            f"The loss has been {self.level:.3f} = ln {self.classes} for {STEPS} steps: "
            "all classes have the same probability, for every image.\n"
            f"It may still fall later. If it does not, try:\n{REMEDIES}"
        )


def guessing_advice(result: Evaluation) -> str | None:
    """What to try if an error is not below that of guessing; None if it is.

    Guessing gives the most frequent class for every image. An error that is lower by
    less than two standard errors counts as guessing.
    """
    counts = result.confusion.sum(axis=1)
    guess = 1 - counts.max() / counts.sum()
    if result.error < guess - 2 * result.standard_error(guess):
        return None
    return (
        f"This error is no better than guessing: the most frequent class, for each of the "
        f"{counts.sum()} images, has an error of {100 * guess:.2f} %.\nTry:\n{REMEDIES}\n"
        "  length            more epochs (--epochs), if the loss was still falling"
    )
