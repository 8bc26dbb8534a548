"""Chainer on NumPy."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

warnings.simplefilter("ignore")  # deprecations

import chainer  # noqa: E402
import chainer.functions as F  # noqa: E402
import chainer.links as L  # noqa: E402
import numpy as np  # noqa: E402

from contenders.old_numpy import CpuOnly, Steps  # noqa: E402


class Network(Steps, chainer.ChainList):
    def __init__(self, layers: list[dict[str, Any]]) -> None:
        super().__init__()
        self.steps = [self.step(e) for e in layers]

    def step(self, e: dict[str, Any]) -> Callable:
        kind = e["kind"]
        if kind in ("conv", "linear"):
            if kind == "conv":
                link = L.Convolution2D(
                    e["in"], e["out"], e["kernel"], e["stride"], e["padding"], groups=e["groups"]
                )
            else:
                link = L.Linear(e["in"], e["out"])
            self.add_link(link)
            return link
        if kind == "relu":
            return F.relu
        if kind == "max_pool":
            return lambda x: F.max_pooling_2d(x, e["kernel"], e["stride"], cover_all=e["ceil"])
        if kind == "avg_pool" and not e["ceil"]:
            return lambda x: F.average_pooling_2d(x, e["kernel"], e["stride"])
        if kind == "lrn":
            # alpha multiplies the sum, as in the paper.
            return lambda x: F.local_response_normalization(
                x, e["size"], e["k"], e["alpha"], e["beta"]
            )
        if kind == "dropout":
            return lambda x: F.dropout(x, e["p"])
        if kind == "flatten":
            return lambda x: F.reshape(x, (len(x), -1))
        if kind == "adaptive_avg_pool" and e["seen"] == e["shape"]:
            return lambda x: x
        raise ValueError(f"chainer_: does not have the layer {e}.")


class Contender(CpuOnly):
    def build(self, layers: list[dict[str, Any]]) -> Network:
        return Network(layers)

    def weights(self) -> list[np.ndarray]:
        return [p.array for link in self.model.children() for p in (link.W, link.b)]

    def ready(self, images: np.ndarray, labels: np.ndarray, settings: dict[str, float]) -> None:
        self.images, self.labels = images, labels.astype(np.int32)
        self.optimizer = chainer.optimizers.MomentumSGD(settings["lr"], settings["momentum"])
        self.optimizer.setup(self.model)
        self.optimizer.add_hook(chainer.optimizer_hooks.WeightDecay(settings["weight_decay"]))

    def train(self) -> None:
        self.model.cleargrads()
        with chainer.using_config("train", True):
            F.softmax_cross_entropy(self.model(self.images), self.labels).backward()
        self.optimizer.update()

    def infer(self) -> None:
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            self.model(self.images)

    def loss(self, count: int) -> float:
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            return float(
                F.softmax_cross_entropy(self.model(self.images[:count]), self.labels[:count]).array
            )

    def versions(self) -> dict[str, str]:
        return {"chainer": chainer.__version__, "numpy": np.__version__}
