"""tinyalex on NumPy or CuPy; gpu_steps.py also asks for other precisions and for steps
that are captured in a CUDA graph."""

import importlib.metadata
import time
from typing import Any

import gpu_timing
import networks
import numpy as np
import precision
from layer_passes import BACKWARD
from layer_times import LayerTimes, synchronizer

import tinyalex as ta
from tinyalex import device, optim
from tinyalex import functional as F
from tinyalex.training.captured_step import CapturedStep
from tinyalex.training.scheme import Scheme


class Contender:
    def __init__(self, network: dict[str, Any], args: Any) -> None:
        self.model, _ = networks.build(network["variant"])
        self.device = device.check(args.device)
        self.wait = synchronizer(self.device)
        self.precision = getattr(args, "precision", "float32")
        self.captures = getattr(args, "graph", False)
        if self.device != "cpu":
            precision.switch(self.precision)
        self.steps = 0

    def weights(self) -> list[np.ndarray]:
        return [p.data for p in self.model.parameters()]

    def ready(self, images: np.ndarray, labels: np.ndarray, settings: dict[str, float]) -> None:
        self.model.to(self.device)
        self.images, self.labels = device.to(images, self.device), device.to(labels, self.device)
        self.optimizer = optim.SGD(self.model.parameters(), **settings)
        self.captured = CapturedStep(Scheme(self.model, self.device), self.optimizer)

    def train(self) -> None:
        self.model.train()
        self.steps += 1
        device.set_step(self.steps)  # for dropout's masks
        if self.captures:
            with precision.forward_context(self.precision):
                self.captured(self.images, self.labels)
            return
        self.optimizer.zero_grad()
        with precision.forward_context(self.precision):
            loss = F.cross_entropy(self.model(self.images), self.labels)
        loss.backward()
        self.optimizer.step()

    def infer(self) -> None:
        self.model.eval()
        with ta.no_grad(), precision.forward_context(self.precision):
            self.model(self.images)

    def loss(self, count: int) -> float:
        self.model.eval()
        with ta.no_grad(), precision.forward_context(self.precision):
            return F.cross_entropy(self.model(self.images[:count]), self.labels[:count]).item()

    def layers(self) -> dict[str, list[float]]:
        self.model.train()
        self.optimizer.zero_grad()
        with LayerTimes(self.model, self.wait) as times:
            F.cross_entropy(self.model(self.images), self.labels).backward()
        began = time.perf_counter()
        self.optimizer.step()
        self.wait()
        return {**times.seconds, "update": [0.0, time.perf_counter() - began]}

    def layer_events(self) -> dict[str, list[float]] | None:
        """As `layers`, by CUDA events; None on an emulated GPU."""
        self.model.train()
        self.optimizer.zero_grad()
        with gpu_timing.LayerEvents(self.model) as times:
            F.cross_entropy(self.model(self.images), self.labels).backward()
        times.observe("update", BACKWARD, self.optimizer.step)
        return times.seconds()

    def peak_memory(self) -> int | None:
        if self.device == "cpu":
            return None
        import cupy

        return cupy.get_default_memory_pool().total_bytes()  # the peak, unless the GPU was full

    def versions(self) -> dict[str, str]:
        found = {"tinyalex": importlib.metadata.version("tinyalex"), "numpy": np.__version__}
        if self.device != "cpu":
            import cupy

            found["cupy"] = cupy.__version__
        return found
