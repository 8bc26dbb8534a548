"""DeZero on NumPy. It has no groups, LRN or ceil mode: only torchvision's AlexNet."""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Callable
from typing import Any

warnings.simplefilter("ignore")  # NumPy's, about names that later versions removed

import dezero  # noqa: E402
import dezero.functions as F  # noqa: E402
import dezero.layers as L  # noqa: E402
import dezero.optimizers  # noqa: E402
import numpy as np  # noqa: E402

from contenders.old_numpy import CpuOnly, Steps  # noqa: E402


class Network(Steps, dezero.Model):
    def __init__(self, layers: list[dict[str, Any]]) -> None:
        super().__init__()
        self.steps = [self.step(e) for e in layers]

    def step(self, e: dict[str, Any]) -> Callable:
        kind = e["kind"]
        if kind == "conv" and e["groups"] == 1:
            layer = L.Conv2d(e["out"], e["kernel"], e["stride"], e["padding"], in_channels=e["in"])
        elif kind == "linear":
            layer = L.Linear(e["out"], in_size=e["in"])
        elif kind == "relu":
            return F.relu
        elif kind == "max_pool" and not e["ceil"]:
            return lambda x: F.pooling(x, e["kernel"], e["stride"])
        elif kind == "dropout":
            return lambda x: F.dropout(x, e["p"])
        elif kind == "flatten":
            return lambda x: F.reshape(x, (len(x), -1))
        elif kind == "adaptive_avg_pool" and e["seen"] == e["shape"]:
            return lambda x: x
        else:
            raise ValueError(f"dezero_: does not have the layer {e}.")
        setattr(self, e["name"].replace(".", "_"), layer)  # registers its parameters
        return layer


class Contender(CpuOnly):
    def build(self, layers: list[dict[str, Any]]) -> Network:
        return Network(layers)

    def weights(self) -> list[np.ndarray]:
        layers = [step for step in self.model.steps if isinstance(step, L.Layer)]
        # Linear weights are (in, out) here.
        return [
            p
            for layer in layers
            for p in (layer.W.data.T if layer.W.ndim == 2 else layer.W.data, layer.b.data)
        ]

    def ready(self, images: np.ndarray, labels: np.ndarray, settings: dict[str, float]) -> None:
        # int16: with wider labels its cross-entropy turns the gradients, and so the
        # whole backward pass, into float64.
        self.images, self.labels = images, labels.astype(np.int16)
        self.optimizer = dezero.optimizers.MomentumSGD(settings["lr"], settings["momentum"]).setup(
            self.model
        )
        self.optimizer.add_hook(dezero.optimizers.WeightDecay(settings["weight_decay"]))

    def train(self) -> None:
        self.model.cleargrads()
        F.softmax_cross_entropy(self.model(self.images), self.labels).backward()
        self.optimizer.update()

    def infer(self) -> None:
        with dezero.test_mode(), dezero.no_grad():
            self.model(self.images)

    def loss(self, count: int) -> float:
        with dezero.test_mode(), dezero.no_grad():
            return float(
                F.softmax_cross_entropy(self.model(self.images[:count]), self.labels[:count]).data
            )

    def versions(self) -> dict[str, str]:
        return {"dezero": importlib.metadata.version("dezero"), "numpy": np.__version__}
