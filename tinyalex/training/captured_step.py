"""Training steps on a GPU by one launch each, of a CUDA graph."""

from collections.abc import Sequence

from tinyalex import device
from tinyalex.device import Array, Graph
from tinyalex.nn.partitioned import Partitioned
from tinyalex.optim import Optimizer
from tinyalex.optim.grad_scaler import divides_gradients
from tinyalex.training.scheme import Scheme, StepResult


class CapturedStep:
    """Forward pass, loss, backward pass and update, captured in a `device.Graph`.

    Batches have one size. What changes from step to step is in the GPU's memory: the
    batch, the step of `device.set_step`, which dropout reads, the options of the
    optimizer and the state of the scheme's GradScaler. It is captured again if a
    parameter has a new array.

    Raises ValueError if the steps of `scheme` cannot be captured.
    """

    def __init__(self, scheme: Scheme, optimizer: Optimizer) -> None:
        if type(scheme) is not Scheme:
            raise ValueError(
                "graph: several processes exchange arrays within a step, which a graph does not "
                "repeat. Leave out --graph, or --parallel."
            )
        if isinstance(scheme.model, Partitioned):
            raise ValueError(
                "graph: a graph has the work of one GPU, but the network's columns are on "
                "several. Leave out --graph, or --devices."
            )
        if scheme.scaler.is_enabled() and not divides_gradients(optimizer):
            raise ValueError(
                f"graph: with a GradScaler, {type(optimizer).__name__} waits for the GPU in each "
                "step. Use optim.SGD, or leave out --graph or --amp."
            )
        self.scheme, self.optimizer = scheme, optimizer
        self._arrays: Sequence[Array] = ()
        self._graph: Graph[StepResult]

    def __call__(self, images: Array, labels: Array) -> StepResult:
        """The result of the step, pending on the GPU: the next step overwrites it."""
        arrays = [p.data for p in self.scheme.model.parameters()]
        if [*map(id, arrays)] != [*map(id, self._arrays)]:
            self._arrays, self._graph = arrays, Graph(self._compute, self.scheme.device)
            self._is_prepared = False
        device.step_array(self.scheme.device)
        if self._is_prepared:
            self.optimizer.prepare()
        result = self._graph(images, labels)
        self._is_prepared = True
        return result

    def _compute(self, images: Array, labels: Array) -> StepResult:
        self.optimizer.zero_grad()
        result = self.scheme.compute_gradients(images, labels)
        assert result is not None
        if not self._is_prepared:
            self.optimizer.prepare()  # needs the gradients of this step, or of one before
        self.scheme.scaler.apply(self.optimizer)
        self.scheme.scaler.update()
        return result
