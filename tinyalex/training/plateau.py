"""Detects a network that does not learn: its loss stays at ln K for K classes."""

import math

STEPS = 500

TOLERANCE = 0.01
"""Relative. With equal probabilities, the loss of a batch varies less."""


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
        return f"""\
The loss has been {self.level:.3f} = ln {self.classes} for {STEPS} steps: \
all classes have the same probability, for every image.
It may still fall later. If it does not, try:
  initial weights   He's (train_imagenet.py: --init he); biases of 0.1 instead of the paper's 1
                    (--variant caffe)
  learning rate     a tenth of it if the loss was higher at first, otherwise three times it
  pixel scale       sigmas of 0.01 are for pixels from 0 to 255 minus the mean, He's weights for
                    a standard deviation of 1
  labels            check that the images show the classes of their folders"""
