"""Training steps on a GPU by one launch each, of a CUDA graph."""

from typing import Any

from tinyalex import device
from tinyalex.device import Array, Graph
from tinyalex.nn.partitioned import Partitioned
from tinyalex.optim import Optimizer
from tinyalex.optim.grad_scaler import divides_gradients
from tinyalex.tensor import Tensor
from tinyalex.training.scheme import Scheme, StepResult


class CapturedStep:
    """Forward pass, loss, backward pass and update, captured in a `device.Graph`.

    Batches have one size. What changes from step to step is in the GPU's memory: the
    batch, the step of `device.set_step`, which dropout reads, the options of the
    optimizer and the state of the scheme's GradScaler. The step is captured again
    after a change of a parameter's or buffer's array, of requires_grad, of the modes of
    train() and eval(), or of the parameters of the optimizer; and as `device.Graph`
    does. Other attributes, such as a Dropout's p, have the values of the capture.

    Raises ValueError if the steps of `scheme` cannot be captured.
    """

    def __init__(self, scheme: Scheme, optimizer: Optimizer) -> None:
        if type(scheme) is not Scheme:
            raise ValueError(
                "graph: several processes exchange arrays within a step, which a graph does not "
                "repeat. Give graph=False, or a Scheme of one process."
            )
        if isinstance(scheme.model, Partitioned):
            raise ValueError(
                "graph: a graph has the work of one GPU, but the network's columns are on several "
                "devices. Give graph=False, or a network on one GPU."
            )
        if scheme.scaler.is_enabled() and not divides_gradients(optimizer):
            raise ValueError(
                f"graph: with a GradScaler, {type(optimizer).__name__} waits for the GPU in each "
                "step. Give optim.SGD, graph=False, or a scheme whose scaler is not enabled."
            )
        self.scheme, self.optimizer = scheme, optimizer
        self._key: Any = None
        self._graph: Graph[StepResult]
        self._gradients: list[tuple[Tensor, Array | None]] = []

    def __call__(self, images: Array, labels: Array) -> StepResult:
        """The result of the step, pending on the GPU."""
        arrays, key = self._dependencies()
        self._is_prepared = key == self._key
        if self._is_prepared:
            for p, grad in self._gradients:  # another step may have replaced them
                p.grad = grad
            self.optimizer.prepare()
        else:
            self._graph, self._gradients = Graph(self._compute, self.scheme.device), []
        self._key = None  # after an error, all of it is done again
        result = self._graph(images, labels)
        self._arrays, self._key = arrays, key
        with device.on(self.scheme.device):  # copies: the next step overwrites the arrays
            return result._replace(loss=result.loss.copy(), errors=result.errors.copy())

    def _dependencies(self) -> tuple[list[Array], Any]:
        """The arrays with which the GPU computes, and a value that changes with what is
        to be captured. It contains their ids, which are unique while they exist."""
        model, parameters = self.scheme.model, self._parameters()
        tensors = [*model.parameters(), *model.buffers(), *parameters]
        modes = [module.training for module in model.modules()]
        arrays = [t.data for t in tensors]
        return arrays, ([*map(id, arrays)], [t.requires_grad for t in tensors], modes)

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def _compute(self, images: Array, labels: Array) -> StepResult:
        self._gradients = []  # of the step before: their memory is reused
        self.optimizer.zero_grad()
        result = self.scheme.compute_gradients(images, labels)
        assert result is not None
        if not self._is_prepared:
            self.optimizer.prepare()  # needs the gradients of this step, or of one before
        self.scheme.scaler.apply(self.optimizer)
        self.scheme.scaler.update()
        self._gradients = [(p, p.grad) for p in self._parameters()]
        return result
