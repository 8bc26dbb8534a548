"""The trainings that lesson 16 examines: `Healthy`, and A to F, with one fault each.

The lesson shows measurements and asks for the faults. Read on after its answer only.
"""

from typing import Any

import numpy as np

from tinyalex import data, nn
from tinyalex.functional import cross_entropy, softmax
from tinyalex.nn import init
from tinyalex.tensor import Tensor


class Healthy:
    """Three layers with weights, for the training images (N, 3, 32, 32)."""

    rate = 0.02

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def network(self) -> Any:
        """He's initial weights, except for small ones in the last layer."""
        network: Any = nn.Sequential(
            {
                "conv1": nn.Conv2d(3, 16, 5, stride=2, padding=2),
                "relu1": nn.ReLU(),
                "pool1": nn.MaxPool2d(3, 2, ceil_mode=True),
                "conv2": nn.Conv2d(16, 32, 3, padding=1),
                "relu2": nn.ReLU(),
                "pool2": nn.MaxPool2d(3, 2, ceil_mode=True),
                "flatten": nn.Flatten(),
                "fc3": nn.Linear(32 * 4 * 4, 10),
            }
        )
        init.kaiming_(network)
        init.normal_(network.fc3.weight, 0.0, 0.01)
        return network

    def transform(self) -> data.Normalize:
        """Pixels with mean 0 and standard deviation 1."""
        scale = 1 / float(self.images.std())
        return data.Normalize(data.mean_image(self.images), scale=scale)

    def labels(self, labels: np.ndarray, step: int) -> np.ndarray:
        """The labels of a batch, in the order of its images."""
        return labels

    def loss(self, logits: Tensor, labels: Any) -> Tensor:
        return cross_entropy(logits, labels)


class A(Healthy):
    """cross_entropy contains a softmax: here there are two."""

    def loss(self, logits: Tensor, labels: Any) -> Tensor:
        return cross_entropy(softmax(logits, 1), labels)


class B(Healthy):
    """The biases of conv2 are so negative that its ReLU is 0 for every image."""

    def network(self) -> Any:
        network = super().network()
        init.constant_(network.conv2.bias, -30.0)
        return network


class C(Healthy):
    """The labels of each batch are shuffled, but not its images."""

    def labels(self, labels: np.ndarray, step: int) -> np.ndarray:
        return np.random.default_rng(step).permutation(labels)


class D(Healthy):
    """Pixels from 0 to 255: no mean is subtracted, and they are not scaled."""

    def transform(self) -> data.Normalize:
        return data.Normalize(np.zeros(3))


class Detach(nn.Module):
    """Returns its input without the graph: gradients end here."""

    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


class E(Healthy):
    """The output of pool1 is detached from the graph."""

    def network(self) -> Any:
        layers = dict(super().network().named_children())
        layers["pool1"] = nn.Sequential(layers["pool1"], Detach())
        return nn.Sequential(layers)


class F(Healthy):
    """All initial weights are much too small."""

    def network(self) -> Any:
        network = super().network()
        for p in network.parameters():
            if p.ndim > 1:
                init.normal_(p, 0.0, 0.001)
        return network


PATIENTS: dict[str, type[Healthy]] = {fault.__name__: fault for fault in (A, B, C, D, E, F)}
