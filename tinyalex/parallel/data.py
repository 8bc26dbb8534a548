"""Data parallelism: each process computes a part of the batch."""

from collections.abc import Iterable
from typing import Any

from tinyalex import device
from tinyalex import functional as F
from tinyalex.device import Array
from tinyalex.nn import BatchNorm2d, Module, Parameter
from tinyalex.parallel.buckets import GradientBuckets
from tinyalex.parallel.communicator import Communicator
from tinyalex.training.metrics import (
    Evaluation,
    find_errors,
    log_probabilities,
    merge_evaluations,
    score,
)
from tinyalex.training.scheme import Scheme, StepResult


class DataParallel(Scheme):
    """Each rank has all parameters of `model`, and computes a part of each batch.

    The gradients of the ranks are added up (parallel/buckets.py). A sample's dropout
    mask depends on its index in the whole batch: training computes the same for any
    number of ranks, except for rounding.

    model       this rank's network: the whole one, or a column of it
    world       all ranks of the run
    comm        the ranks with the same parameters, which divide the batches
    shared      the parameters whose gradients are added up; None: all
    step_bytes  the most that this rank has sent in a step
    """

    def __init__(
        self,
        model: Module,
        world: Communicator,
        comm: Communicator,
        shared: Iterable[Parameter] | None = None,
    ) -> None:
        for name, module in model.named_modules():
            if isinstance(module, BatchNorm2d) and world.size > 1:
                raise ValueError(
                    f"parallel: {name or 'the network'} is a BatchNorm2d, which would normalize by "
                    "the statistics of each process's part of the batch. Train in one process, or "
                    "without batch normalization."
                )
        super().__init__(model, comm.device)
        self.world, self.comm = world, comm
        self.shard = comm.rank, comm.size
        self.is_main = world.rank == 0
        parameters = model.parameters() if shared is None else shared
        self.buckets = GradientBuckets(list(parameters), comm)
        self.step_bytes = 0

    def compute_gradients(self, images: Array, labels: Array) -> StepResult | None:
        before = self.world.sent_bytes
        result = self._compute(images, labels)
        self.step_bytes = max(self.step_bytes, self.world.sent_bytes - before)
        return result

    def _compute(self, images: Array, labels: Array) -> StepResult | None:
        counts = self.comm.gather_integers(len(labels))[:, 0].tolist()
        first, total = sum(counts[: self.comm.rank]), sum(counts)
        if total == 0:
            return None
        device.set_step(device.step(), first)
        with self.precision():
            logits = self.model(images)
            loss = F.cross_entropy(logits, labels, reduction="sum") * (1 / total)
        with self.buckets:
            self.scaler.scale(loss).backward()
        with device.on_device_of(logits.data):
            errors = find_errors(logits.data, labels).sum()
            sums = device.xp(errors).stack([loss.data, errors.astype(loss.dtype)])
            self.comm.all_reduce(sums)
            return StepResult(sums[0], sums[1], total, logits.shape[1])

    def evaluate(self, batches: Iterable[tuple[Array, Array]]) -> Evaluation:
        with self.precision():
            own = score(*log_probabilities(self.model, batches))
        return merge_evaluations(self.comm.gather_objects(own))

    def describe_ranks(self) -> str:
        """What each rank holds and sends: a line for each. A collective operation."""
        own = sum(p.data.nbytes for p in self.model.parameters()), self.step_bytes
        return "\n".join(
            f"rank {rank}: parameters {held / 1e6:.1f} MB, with gradients and velocities "
            f"{3 * held / 1e6:.1f} MB; sent {sent / 1e6:.2f} MB a step"
            for rank, (held, sent) in enumerate(self.world.gather_objects(own))
        )

    def any_rank(self, *flags: bool) -> tuple[bool, ...]:
        return tuple(map(bool, self.world.gather_integers(*flags).max(axis=0)))

    def gather(self, value: Any) -> list[Any]:
        return self.world.gather_objects(value)
