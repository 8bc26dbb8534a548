"""PyTorch in NCHW or, with --channels-last, in NHWC; with --compile, `torch.compile` in
its default mode. gpu_steps.py also asks for other precisions."""

import time
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn


def module(e: dict[str, Any], inplace: bool) -> nn.Module:
    """A layer described by networks.py. `inplace`: of ReLU, as in torchvision's
    AlexNet."""
    kind = e["kind"]
    if kind == "conv":
        return nn.Conv2d(
            e["in"], e["out"], e["kernel"], e["stride"], e["padding"], groups=e["groups"]
        )
    if kind == "linear":
        return nn.Linear(e["in"], e["out"])
    if kind == "relu":
        return nn.ReLU(inplace)
    if kind == "max_pool":
        return nn.MaxPool2d(e["kernel"], e["stride"], ceil_mode=e["ceil"])
    if kind == "avg_pool":
        return nn.AvgPool2d(e["kernel"], e["stride"], ceil_mode=e["ceil"])
    if kind == "lrn":
        return nn.LocalResponseNorm(
            e["size"], e["size"] * e["alpha"], e["beta"], e["k"]
        )  # torch divides alpha by the size
    if kind == "adaptive_avg_pool":
        return nn.AdaptiveAvgPool2d(e["size"])
    if kind == "dropout":
        return nn.Dropout(e["p"])
    if kind == "flatten":
        return nn.Flatten()
    raise ValueError(f"torch_: does not know the layer {kind!r}.")


class Contender:
    def __init__(self, network: dict[str, Any], args: Any) -> None:
        torch.set_num_threads(args.threads)
        self.on_gpu = args.device != "cpu"
        precision = getattr(args, "precision", "float32")
        if self.on_gpu:
            tf32 = precision == "tf32"
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
            torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
            torch.backends.cudnn.benchmark = True
        self.infers = args.mode == "infer"
        self.names = [e["name"] for e in network["layers"]]
        self.model = nn.Sequential(
            *(module(e, inplace=args.mode != "layers") for e in network["layers"])
        )
        self.device, self.channels_last = args.device, args.channels_last
        self.compiles = args.compile
        self.autocast = partial(
            torch.autocast, "cuda", dtype=torch.float16, enabled=precision == "half"
        )

    def weights(self) -> list[np.ndarray]:
        return [p.detach().numpy() for p in self.model.parameters()]

    def ready(self, images: np.ndarray, labels: np.ndarray, settings: dict[str, float]) -> None:
        self.images, self.labels = (
            torch.from_numpy(images).to(self.device),
            torch.from_numpy(labels).to(self.device),
        )
        self.model.to(self.device)
        if self.channels_last:
            self.model.to(memory_format=torch.channels_last)
            self.images = self.images.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.model.parameters(), **settings, fused=True)
        self.criterion = nn.CrossEntropyLoss()
        self.forward = torch.compile(self.model) if self.compiles else self.model

    def train(self) -> None:
        self.model.train()
        self.optimizer.zero_grad()
        with self.autocast():
            loss = self.criterion(self.forward(self.images), self.labels)
        loss.backward()
        self.optimizer.step()

    def infer(self) -> None:
        self.model.eval()
        with torch.inference_mode():
            self.forward(self.images)

    def loss(self, count: int) -> float:
        self.model.eval()
        with torch.inference_mode(), self.autocast():
            if self.infers:
                # All images, because torch.compile compiles for their number.
                outputs = self.forward(self.images)[:count]
            else:
                outputs = self.model(self.images[:count])
            return self.criterion(outputs, self.labels[:count]).item()

    def layers(self) -> dict[str, list[float]]:
        """A step split at layer boundaries: each output is detached and is the next
        layer's leaf, whose gradient is passed back."""
        self.model.train()
        self.optimizer.zero_grad()
        seconds: dict[str, list[float]] = {}
        passed = []
        x = self.images
        for name, layer in [
            *zip(self.names, self.model, strict=True),
            ("loss", lambda x: self.criterion(x, self.labels)),
        ]:
            x = x.detach().requires_grad_(bool(passed))  # images need no gradient
            began = time.perf_counter()
            y = layer(x)
            self.wait()
            seconds[name] = [time.perf_counter() - began, 0.0]
            passed.append((name, x, y))
            x = y
        grad = None
        for name, x, y in reversed(passed):
            if y.requires_grad:
                began = time.perf_counter()
                y.backward(grad)
                self.wait()
                seconds[name][1] = time.perf_counter() - began
                grad = x.grad
        began = time.perf_counter()
        self.optimizer.step()
        self.wait()
        return {**seconds, "update": [0.0, time.perf_counter() - began]}

    def wait(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()

    def peak_memory(self) -> int | None:
        return torch.cuda.max_memory_reserved() if self.on_gpu else None

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__, "numpy": np.__version__}
