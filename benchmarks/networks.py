#!/usr/bin/env python3
"""The networks as plain data, from which each framework builds its layers.

    python benchmarks/networks.py paper      # prints it as JSON

They are derived from tinyalex's models. Where frameworks define a parameter
differently, the data has the paper's definition and each framework's adapter converts
it: LRN's alpha multiplies the *sum* of the squares.
"""

import json
import sys
from typing import Any

from tinyalex import models, nn
from tinyalex.nn import init
from tinyalex.nn.module import Module
from tinyalex.nn.tracing import Step

VARIANTS = ("torchvision", "paper", "quick", "alexnet")
"""Two of models.alexnet (224 x 224 pixels), two of models.cifar (32 x 32)."""

Layer = dict[str, Any]


def build(variant: str) -> tuple[Module, tuple[int, int, int]]:
    """The model, with uninitialised weights, and the shape of its images."""
    if variant not in VARIANTS:
        raise ValueError(f"networks: expected one of {', '.join(VARIANTS)}, got {variant!r}.")
    with init.skipped():
        if variant in models.VARIANTS:
            model = models.alexnet(variant)
            return model, (3, model.image_size, model.image_size)
        return models.cifar(variant), (3, 32, 32)


def describe(variant: str) -> dict[str, Any]:
    """{"variant", "image": [C, H, W], "classes", "layers": [...]}, with the options,
    shapes and costs of each layer."""
    model, image = build(variant)
    steps = models.outline(model, image)
    return {
        "variant": variant,
        "image": list(image),
        "classes": steps[-1].shape[0],
        "layers": [_layer(step) | _sizes(step) for step in steps],
    }


def _sizes(step: Step) -> Layer:
    """The layer's name, shapes and costs for one image."""
    return {
        "name": step.name,
        "seen": list(step.input_shape),
        "shape": list(step.shape),
        "multiply_adds": step.multiply_adds,
        "parameters": step.parameters,
    }


def _layer(step: Step) -> Layer:
    module = step.module
    if isinstance(module, nn.Conv2d):
        out, per_group, kernel, _ = module.weight.shape
        channels = {"in": per_group * module.groups, "out": out, "groups": module.groups}
        return {
            "kind": "conv",
            "kernel": kernel,
            "stride": module.stride,
            "padding": module.padding,
            **channels,
        }
    if isinstance(module, nn.Linear):
        return {"kind": "linear", "in": module.weight.shape[1], "out": module.weight.shape[0]}
    if isinstance(module, (nn.MaxPool2d, nn.AvgPool2d)):
        kind = "max_pool" if isinstance(module, nn.MaxPool2d) else "avg_pool"
        return {
            "kind": kind,
            "kernel": module.kernel_size,
            "stride": module.stride,
            "ceil": _extends_past_edge(step),
        }
    if isinstance(module, nn.LocalResponseNorm):
        alpha = module.alpha if module.alpha_mode == "sum" else module.alpha / module.size
        return {
            "kind": "lrn",
            "size": module.size,
            "alpha": alpha,
            "beta": module.beta,
            "k": module.k,
        }
    if isinstance(module, nn.AdaptiveAvgPool2d):
        return {"kind": "adaptive_avg_pool", "size": list(step.shape[1:])}
    if isinstance(module, nn.Dropout):
        return {"kind": "dropout", "p": module.p}
    kinds = {nn.ReLU: "relu", nn.Flatten: "flatten"}
    if type(module) not in kinds:
        raise TypeError(
            f"networks: {step.name} is a {type(module).__name__}, which has no description here. "
            "Add one, and a builder to each file in contenders/."
        )
    return {"kind": kinds[type(module)]}


def _extends_past_edge(step: Step) -> bool:
    """Whether the last window extends past the edge, which requires ceil_mode."""
    module: Any = step.module
    height, out = step.input_shape[1], step.shape[1]
    return (out - 1) * module.stride + module.kernel_size > height


def flop(network: dict[str, Any], mode: str) -> int:
    """FLOP for one image, two for each multiply-add of *direct* convolutions and linear
    layers.

    Training has three passes (outputs, gradients of inputs, gradients of weights), less
    the gradient of the image, which is not computed. Winograd convolution needs fewer
    operations; the saving appears as higher FLOP/s.
    """
    passes = [2 * layer["multiply_adds"] for layer in network["layers"]]
    if mode == "infer":
        return sum(passes)
    first = next(work for work in passes if work)
    return 3 * sum(passes) - first


def parameters(network: dict[str, Any]) -> int:
    return sum(layer["parameters"] for layer in network["layers"])


def lacks(framework: str, network: dict[str, Any]) -> str | None:
    """The layers that the framework lacks, as text; None if it has all."""
    layers = network["layers"]
    missing = []
    if framework in ("chainer", "dezero"):
        missing += ["average pooling that rounds up"] * any(
            e["kind"] == "avg_pool" and e["ceil"] for e in layers
        )
    if framework not in ("torch", "torch-compile"):
        missing += ["adaptive pooling"] * any(
            e["kind"] == "adaptive_avg_pool" and e["seen"] != e["shape"] for e in layers
        )
    if framework == "dezero":
        missing += ["local response normalisation"] * any(e["kind"] == "lrn" for e in layers)
        missing += ["groups in convolutions"] * any(e.get("groups", 1) > 1 for e in layers)
        missing += ["max pooling that rounds up"] * any(
            e["kind"] == "max_pool" and e["ceil"] for e in layers
        )
    return f"has no {', no '.join(missing)}" if missing else None


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: python benchmarks/networks.py {'|'.join(VARIANTS)}")
    print(json.dumps(describe(sys.argv[1])))
