"""How a network computes training steps: in one process, or in several."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from tinyalex import device
from tinyalex import functional as F
from tinyalex.device import Array
from tinyalex.mixed_precision import autocast
from tinyalex.nn import Module
from tinyalex.optim import GradScaler
from tinyalex.training.metrics import Evaluation, evaluate, find_errors


class StepResult(NamedTuple):
    """Of the whole batch. The arrays may be pending on a device.

    loss     (), the mean
    errors   an array whose sum is the number of errors: a flag for each image, or ()
    images   the number of images
    classes  the number of classes
    """

    loss: Array
    errors: Array
    images: int
    classes: int


class Scheme:
    """Computes steps in this process. `tinyalex.parallel` has schemes for several.

    model    the network, or this process's part of it
    device   of the batches
    shard    the part of each batch that this process reads (data.Loader)
    is_main  whether this process writes the files
    scaler   of the loss; where it is enabled, the network runs within `autocast`
    """

    def __init__(self, model: Module, device_name: str) -> None:
        self.model, self.device = model, device_name
        self.shard = 0, 1
        self.is_main = True
        self.scaler = GradScaler(enabled=False)

    def compute_gradients(self, images: Array, labels: Array) -> StepResult | None:
        """Set the parameters' `.grad`, None before, for the mean loss of a batch.

        None if there is no image in the whole batch: none could be read.
        """
        if len(labels) == 0:
            return None
        with self.precision():
            logits = self.model(images)
            loss = F.cross_entropy(logits, labels)
        self.scaler.scale(loss).backward(device.shared_ones((), loss.dtype, loss.device))
        return StepResult(loss.data, find_errors(logits.data, labels), *logits.shape)

    def evaluate(self, batches: Iterable[tuple[Array, Array]]) -> Evaluation:
        """Evaluate the model on all images, of which `batches` has this process's."""
        with self.precision():
            return evaluate(self.model, batches)

    def precision(self) -> AbstractContextManager[None]:
        """The context for forward passes: `autocast`, if the scaler is enabled."""
        return autocast() if self.scaler.is_enabled() else nullcontext()

    def any_rank(self, *flags: bool) -> tuple[bool, ...]:
        """For each flag, whether it is set in any process."""
        return flags

    def gather(self, value: Any) -> list[Any]:
        """The value of each process."""
        return [value]
