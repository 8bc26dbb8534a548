"""The experiment of lesson 17: a small AlexNet for CIFAR-10, and its ablations.

    python lessons/17_cifar10.py --full        34 runs, each of one to two minutes

First, the learning rate of the ReLU networks and that of the tanh network are chosen by
the validation error in runs with a seed that is not used again; these are not tested.
Then all variants are trained with the same five seeds, and tested.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyalex import data, device, nn, optim, training
from tinyalex import functional as F
from tinyalex.course import lesson
from tinyalex.nn import init

ALL = "all five"
VARIANTS = (ALL, "tanh", "no LRN", "no overlap", "no dropout", "no augmentation")
TUNED, RATES = (ALL, "tanh"), (0.01, 0.03)
"""The variants whose rate is chosen. The others have that of the network with all."""

CHOOSING_SEED, SEEDS = 100, range(5)
EPOCHS, BATCH = 10, 64
TRAINING, VALIDATION = 10_000, 5_000


class Split(NamedTuple):
    training: data.Dataset
    validation: data.Dataset
    test: data.Dataset


MEASURED = {"rate": ("training", "validation"), "compare": Split._fields}
"""The sets of images on which a network is measured, by the phase of the experiment."""


def network(variant: str) -> nn.Sequential:
    """Three convolutions and two linear layers, for images of 32 x 32 pixels."""
    unit = nn.Tanh() if variant == "tanh" else nn.ReLU()
    pool = nn.MaxPool2d(2, 2) if variant == "no overlap" else nn.MaxPool2d(3, 2, ceil_mode=True)
    norm = [nn.LocalResponseNorm(5, 1e-4, 0.75, 2.0, alpha_mode="sum")]
    if variant == "no LRN":
        norm = []
    dropout = [] if variant == "no dropout" else [nn.Dropout(0.5)]
    block1 = nn.Conv2d(3, 16, 5, padding=2), unit, *norm, pool  # 16 x 16 x 16
    block2 = nn.Conv2d(16, 32, 3, padding=1), unit, *norm, pool  # 32 x 8 x 8
    block3 = nn.Conv2d(32, 32, 3, padding=1), unit, pool  # 32 x 4 x 4
    top = nn.Linear(32 * 4 * 4, 128), unit, *dropout, nn.Linear(128, 10)
    net = nn.Sequential(*block1, *block2, *block3, nn.Flatten(), *top)
    init.kaiming_(net)
    return net


def train(
    variant: str,
    seed: int,
    lr: float,
    images: Split,
    device_name: str,
    measured: Sequence[str] = Split._fields,
) -> dict[str, float]:
    """Trains a network; its errors and losses on the sets named `measured`."""
    device.manual_seed(seed)
    net = network(variant).to(device_name)
    mean = data.mean_image(images.training.images)
    scale = float(1 / images.training.images.std())
    normalize = data.Normalize(mean, scale=scale)
    augment = data.Augment(mean, scale=scale, padding=4)
    transform = normalize if variant == "no augmentation" else augment
    loader = data.Loader(
        images.training, BATCH, shuffle=True, transform=transform, device=device_name
    )
    optimizer = optim.SGD(net.parameters(), lr=lr, momentum=0.9, weight_decay=0.0005)
    for epoch in range(EPOCHS):
        if epoch == EPOCHS - 2:
            optimizer.param_groups[0]["lr"] = lr / 10
        for step, (x, labels) in enumerate(loader.epoch(epoch), epoch * len(loader)):
            device.set_step(step)  # dropout's random numbers depend on it
            optimizer.zero_grad()
            F.cross_entropy(net(x), labels).backward()
            optimizer.step()
    result: dict[str, float] = {}
    for name in measured:
        dataset = getattr(images, name)
        batches = data.Loader(dataset, 256, transform=normalize, device=device_name)
        evaluation = training.evaluate(net, batches)
        result |= {f"{name}_error": evaluation.error, f"{name}_loss": evaluation.loss}
    return result


def split(cifar_train: data.Dataset, test: data.Dataset) -> Split:
    """Different images for training, for choosing and for the final measurement."""
    order = np.random.default_rng(17).permutation(len(cifar_train))
    chosen = order[:TRAINING], order[TRAINING : TRAINING + VALIDATION]
    return Split(cifar_train[chosen[0]], cifar_train[chosen[1]], test)


class Record:
    """Results of runs in a JSON file. A run that it contains is not repeated.

    origin  how the runs are made. ValueError if runs are missing in a file whose others
            were made differently, on another machine for example
    """

    def __init__(self, file: Path, origin: dict[str, str]) -> None:
        self.file, self.origin = file, origin
        self.content: dict[str, Any] = {**origin, "runs": []}
        if file.exists():
            self.content = json.loads(file.read_text(encoding="utf-8"))

    def run(
        self, phase: str, variant: str, seed: int, lr: float, images: Split, device_name: str
    ) -> dict[str, Any]:
        options = {"phase": phase, "variant": variant, "seed": seed, "lr": lr}
        for known in self.content["runs"]:
            if options.items() <= known.items():
                return known
        for key, text in self.origin.items():
            if key != "date" and self.content.get(key) != text:
                raise ValueError(
                    f"{self.file}: its {key} is {self.content.get(key)!r}, that of this run is "
                    f"{text!r}. Rename the file, to start a new one."
                )
        measured = MEASURED[phase]
        start = time.perf_counter()
        result = options | train(variant, seed, lr, images, device_name, measured)
        result["seconds"] = round(time.perf_counter() - start, 1)
        print(f"  {phase} {variant}, seed {seed}, lr {lr}: {measured[-1]} error ", end="")
        print(f"{result[f'{measured[-1]}_error']:.2%}, {result['seconds']} s", flush=True)
        self.content["runs"].append(result)
        lesson.record(self.file, self.content)  # the experiment can be stopped at any time
        return result


def experiment(file: Path, device_name: str = "cpu") -> dict[str, Any]:
    """The content of `file` after all runs. If they were interrupted, it continues.

    CIFAR-10 is read from TINYALEX_DATA, or downloaded (170 MB).
    """
    images = split(*data.cifar10())
    origin = lesson.origin("python lessons/17_cifar10.py --full", device_name)
    origin["images"] = ", ".join(f"{len(d)} {name}" for name, d in images._asdict().items())
    record = Record(file, origin)
    rates = {}
    for variant in TUNED:
        runs = [record.run("rate", variant, CHOOSING_SEED, lr, images, device_name) for lr in RATES]
        rates[variant] = min(runs, key=lambda run: run["validation_error"])["lr"]
    for seed in SEEDS:
        for variant in VARIANTS:
            lr = rates.get(variant, rates[ALL])
            record.run("compare", variant, seed, lr, images, device_name)
    return record.content
