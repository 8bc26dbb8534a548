"""The normalization layers as Modules."""

from typing import Any

import numpy as np

from tinyalex import functional as F
from tinyalex.functional.arguments import at_least_one
from tinyalex.nn.module import Module
from tinyalex.nn.parameter import Parameter
from tinyalex.tensor import Tensor, wrap


class LocalResponseNorm(Module):
    """`functional.local_response_norm`. The paper uses size=5, alpha=1e-4, beta=0.75,
    k=2 and alpha_mode="sum" (section 3.3)."""

    def __init__(
        self,
        size: int,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 1.0,
        *,
        alpha_mode: str = "mean",
        groups: int = 1,
    ) -> None:
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k
        self.alpha_mode, self.groups = alpha_mode, groups

    def options(self) -> dict[str, Any]:
        """The options of `functional.local_response_norm`."""
        names = "size", "alpha", "beta", "k", "alpha_mode", "groups"
        return {name: getattr(self, name) for name in names}

    def forward(self, x: Any) -> Tensor:
        return F.local_response_norm(x, **self.options())

    def extra_repr(self) -> str:
        return f"{_norm_repr(self)}, groups={self.groups}"


def _norm_repr(layer: "LocalResponseNorm | SpatialResponseNorm") -> str:
    return (
        f"{layer.size}, alpha={layer.alpha}, beta={layer.beta}, k={layer.k}, "
        f"alpha_mode={layer.alpha_mode!r}"
    )


class SpatialResponseNorm(Module):
    """`functional.spatial_response_norm`, from the 2012 code; not in the paper."""

    def __init__(
        self,
        size: int,
        alpha: float = 1e-3,
        beta: float = 0.75,
        k: float = 1.0,
        *,
        alpha_mode: str = "mean",
    ) -> None:
        self.size, self.alpha, self.beta, self.k, self.alpha_mode = size, alpha, beta, k, alpha_mode

    def forward(self, x: Any) -> Tensor:
        options = self.size, self.alpha, self.beta, self.k
        return F.spatial_response_norm(x, *options, alpha_mode=self.alpha_mode)

    def extra_repr(self) -> str:
        return _norm_repr(self)


class BatchNorm2d(Module):
    """`functional.batch_norm` of images (N, C, H, W), weight and bias (num_features,).

    In training, normalizes by the statistics of the batch and updates the running ones;
    in evaluation, normalizes by the running ones.

    momentum             of the running mean and variance; None: their averages over all
                         batches so far, which `num_batches_tracked` counts
    affine               whether there are weight and bias
    track_running_stats  False: there are none; evaluation uses those of the batch too
    """

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Any

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        at_least_one("BatchNorm2d", "num_features", num_features)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = Parameter(np.ones(num_features, np.float32)) if affine else None
        self.bias = Parameter(np.zeros(num_features, np.float32)) if affine else None
        tracked = track_running_stats
        self.register_buffer("running_mean", np.zeros(num_features, "f") if tracked else None)
        self.register_buffer("running_var", np.ones(num_features, "f") if tracked else None)
        self.register_buffer("num_batches_tracked", np.array(0) if tracked else None)

    def forward(self, x: Any) -> Tensor:
        x = wrap(x)
        if x.ndim != 4:
            raise ValueError(f"BatchNorm2d: input has shape {x.shape}, expected (N, C, H, W).")
        updates = self.training and self.track_running_stats
        momentum = self.momentum
        if momentum is None:
            momentum = 1 / (self.num_batches_tracked.item() + 1) if updates else 0.0
        tensors = self.running_mean, self.running_var, self.weight, self.bias
        of_batch = self.training or not self.track_running_stats
        y = F.batch_norm(x, *tensors, of_batch, momentum, self.eps)
        if updates:
            self.num_batches_tracked.data += 1
        return y

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, track_running_stats={self.track_running_stats}"
        )


class LayerNorm(Module):
    """`functional.layer_norm`, weight and bias of the shape `normalized_shape`."""

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        is_size = isinstance(normalized_shape, (int, np.integer))
        self.normalized_shape = (normalized_shape,) if is_size else tuple(normalized_shape)
        self.eps, shape = eps, self.normalized_shape
        self.weight = Parameter(np.ones(shape, np.float32)) if elementwise_affine else None
        self.bias = Parameter(np.zeros(shape, np.float32)) if elementwise_affine and bias else None

    def forward(self, x: Any) -> Tensor:
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"
