"""JAX on the CPU, compiled. Images are NHWC and linear weights (in, out): NCHW makes a
step slower, weights (out, in) the inference of one image."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

LAYOUT = ("NHWC", "HWIO", "NHWC")


class Contender:
    def __init__(self, network: dict[str, Any], args: Any) -> None:
        # XLA reads it when the first array is made, and otherwise uses all cores.
        os.environ["NPROC"] = str(args.threads)
        self.layers = network["layers"]
        self.parameters: Any = [uninitialized(e) for e in self.layers]

    def weights(self) -> list[np.ndarray]:
        """Views with the axes (O, C, KH, KW) and (out, in)."""
        axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
        return [array.transpose(axes[array.ndim]) for e in self.parameters for array in e]

    def ready(self, images: np.ndarray, labels: np.ndarray, settings: dict[str, float]) -> None:
        self.images = jnp.asarray(images.transpose(0, 2, 3, 1))
        self.labels = jnp.asarray(labels)
        self.parameters = jax.tree.map(jnp.asarray, self.parameters)
        self.velocities = jax.tree.map(jnp.zeros_like, self.parameters)
        self.key = jax.random.key(0)
        self.step = jax.jit(partial(step, self.layers, settings), donate_argnums=(0, 1, 2))
        self.forward = jax.jit(partial(forward, self.layers))
        self.mean_loss = jax.jit(partial(mean_loss, self.layers))
        self.pending: Any = None

    def train(self) -> None:
        state = self.parameters, self.velocities, self.key
        self.pending = self.step(*state, self.images, self.labels)
        self.parameters, self.velocities, self.key = self.pending

    def infer(self) -> None:
        self.pending = self.forward(self.parameters, self.images)

    def loss(self, count: int) -> float:
        return float(self.mean_loss(self.parameters, self.images[:count], self.labels[:count]))

    def wait(self) -> None:
        jax.block_until_ready(self.pending)

    def peak_memory(self) -> None:
        return None

    def versions(self) -> dict[str, str]:
        return {"jax": jax.__version__, "jaxlib": jax.lib.__version__, "numpy": np.__version__}


def uninitialized(e: dict[str, Any]) -> tuple[np.ndarray, ...]:
    """A layer's weight and bias; empty without parameters."""
    if e["kind"] == "conv":
        shape: tuple[int, ...] = (e["kernel"], e["kernel"], e["in"] // e["groups"], e["out"])
    elif e["kind"] == "linear":
        shape = (e["in"], e["out"])
    else:
        return ()
    return np.empty(shape, np.float32), np.empty(e["out"], np.float32)


def step(
    layers: list[dict[str, Any]],
    settings: dict[str, float],
    parameters: Any,
    velocities: Any,
    key: Any,
    images: Any,
    labels: Any,
) -> tuple[Any, Any, Any]:
    """The parameters, velocities and random key after a step of SGD."""
    key, dropout_key = jax.random.split(key)
    gradients = jax.grad(partial(mean_loss, layers))(parameters, images, labels, dropout_key)

    def velocity(v: Any, g: Any, p: Any) -> Any:
        return settings["momentum"] * v + g + settings["weight_decay"] * p

    velocities = jax.tree.map(velocity, velocities, gradients, parameters)
    parameters = jax.tree.map(lambda p, v: p - settings["lr"] * v, parameters, velocities)
    return parameters, velocities, key


def mean_loss(
    layers: list[dict[str, Any]], parameters: Any, images: Any, labels: Any, key: Any = None
) -> Any:
    log_p = jax.nn.log_softmax(forward(layers, parameters, images, key))
    return -jnp.take_along_axis(log_p, labels[:, None], axis=1).mean()


def forward(layers: list[dict[str, Any]], parameters: Any, x: Any, key: Any = None) -> Any:
    """The outputs for images (N, H, W, C); with dropout if there is a random key."""
    for e, own in zip(layers, parameters, strict=True):
        if e["kind"] == "dropout":
            if key is not None:
                key, mask_key = jax.random.split(key)
                kept = jax.random.bernoulli(mask_key, 1 - e["p"], x.shape)
                x = jnp.where(kept, x / (1 - e["p"]), 0)
        else:
            x = apply(e, own, x)
    return x


def apply(e: dict[str, Any], own: tuple[Any, ...], x: Any) -> Any:
    """A layer without random numbers; `own` are its parameters."""
    kind = e["kind"]
    if kind == "conv":
        weight, bias = own
        padding = [(e["padding"], e["padding"])] * 2
        y = lax.conv_general_dilated(
            x,
            weight,
            (e["stride"], e["stride"]),
            padding,
            dimension_numbers=LAYOUT,
            feature_group_count=e["groups"],
        )
        return y + bias
    if kind == "linear":
        weight, bias = own
        return x @ weight + bias
    if kind == "relu":
        return jax.nn.relu(x)
    if kind == "max_pool":
        return lax.reduce_window(x, -jnp.inf, lax.max, *window(e))
    if kind == "avg_pool":
        count = lax.reduce_window(jnp.ones_like(x), 0.0, lax.add, *window(e))
        return lax.reduce_window(x, 0.0, lax.add, *window(e)) / count
    if kind == "lrn":
        n = e["size"]
        padding = [(0, 0)] * 3 + [(n // 2, (n - 1) // 2)]
        sums = lax.reduce_window(x * x, 0.0, lax.add, (1, 1, 1, n), (1, 1, 1, 1), padding)
        return x * (e["k"] + e["alpha"] * sums) ** -e["beta"]
    if kind == "flatten":
        return x.transpose(0, 3, 1, 2).reshape(len(x), -1)  # linear weights expect C, H, W
    if kind == "adaptive_avg_pool" and e["seen"] == e["shape"]:
        return x
    raise ValueError(f"jax_: does not have the layer {e}.")


def window(e: dict[str, Any]) -> tuple[Any, ...]:
    """A pooling window's size and strides, and the padding that ceil mode needs."""
    kernel, stride = e["kernel"], e["stride"]
    past_edge = [
        max(0, (out - 1) * stride + kernel - seen)
        for out, seen in zip(e["shape"][1:], e["seen"][1:], strict=True)
    ]
    padding = [(0, 0), (0, past_edge[0]), (0, past_edge[1]), (0, 0)]
    return (1, kernel, kernel, 1), (1, stride, stride, 1), padding
