"""A network that has not begun to learn: its loss stays at ln K, what equal probabilities for all K classes cost."""

import math

STEPS = 500
NEAR = 0.01
"""As near as this, in proportion, a loss counts as ln K. Mean losses of batches are steadier than that."""


class Plateau:
    """Counts the steps, in a row, whose loss is ln K; `advice` is what to try.

    The counting begins anew when a run is resumed.
    """

    def __init__(self, classes: int) -> None:
        self.level, self.classes, self.steps = math.log(classes), classes, 0

    def note(self, loss: float) -> bool:
        """Whether this step is the 500th of a row."""
        self.steps = self.steps + 1 if abs(loss - self.level) < NEAR * self.level else 0
        return self.steps == STEPS

    def advice(self) -> str:
        return (
            f"The loss has been {self.level:.3f} = ln {self.classes} for {STEPS} steps: "
            "every class gets the same probability, whatever the image.\n"
            "It may still fall by itself, later. What people did about it where it did not:\n"
            "  initial weights   He's (train_imagenet.py: --init he); biases of 0.1, not the paper's 1 (--variant caffe)\n"
            "  rate              a tenth of it if the loss was higher at first, three times as much if it was here from step 1 on\n"
            "  pixel scale       sigmas of 0.01 belong to pixels from 0 to 255 minus the mean, He's weights to a deviation of 1\n"
            "  labels            do the pictures show what their folders say?"
        )
