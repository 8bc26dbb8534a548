"""Base class of the adapters that infer from an ONNX graph, on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET = 22


class OnnxInference:
    """A contender without training.

    A subclass defines `compile(model, threads)`, with the bytes of the ONNX model, and
    `run()`, which returns the outputs for `self.images`.
    """

    def __init__(self, network: dict[str, Any], args: Any) -> None:
        self.layers, self.threads = network["layers"], args.threads
        self.parameters = {
            f"{e['name']}.{which}": np.empty(shape, np.float32)
            for e in self.layers
            for which, shape in parameter_shapes(e).items()
        }

    def weights(self) -> list[np.ndarray]:
        return list(self.parameters.values())

    def ready(self, images: np.ndarray, labels: np.ndarray, settings: dict[str, float]) -> None:
        self.images, self.labels = images, labels
        self.compile(model(self.layers, self.parameters, images.shape), self.threads)
        self.parameters.clear()

    def compile(self, model: bytes, threads: int) -> None:
        raise TypeError(f"{type(self).__name__} has no compile(model, threads).")

    def run(self) -> np.ndarray:
        raise TypeError(f"{type(self).__name__} has no run(). Write one that returns outputs.")

    def train(self) -> None:
        raise ValueError(f"{type(self).__module__} does not train: use --mode infer.")

    def infer(self) -> None:
        self.run()

    def loss(self, count: int) -> float:
        """Of the graph that is timed, whose batch size is fixed."""
        z = self.run()[:count].astype(np.float64)
        z -= z.max(axis=1, keepdims=True)
        picked = np.take_along_axis(z, self.labels[:count, None], axis=1)[:, 0]
        return float(np.mean(np.log(np.exp(z).sum(axis=1)) - picked))

    def wait(self) -> None:
        pass

    def peak_memory(self) -> None:
        return None


def parameter_shapes(e: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shapes of a layer's weight and bias; empty without parameters."""
    if e["kind"] == "conv":
        return {
            "weight": (e["out"], e["in"] // e["groups"], e["kernel"], e["kernel"]),
            "bias": (e["out"],),
        }
    if e["kind"] == "linear":
        return {"weight": (e["out"], e["in"]), "bias": (e["out"],)}
    return {}


def model(
    layers: list[dict[str, Any]], parameters: dict[str, np.ndarray], shape: tuple[int, ...]
) -> bytes:
    """The network as an ONNX model for images of this shape, N included."""
    nodes, value = [], "images"
    for e in layers:
        if e["kind"] == "dropout" or (e["kind"] == "adaptive_avg_pool" and e["seen"] == e["shape"]):
            continue  # the identity in inference
        inputs = [value, *(f"{e['name']}.{which}" for which in parameter_shapes(e))]
        operator, attributes = node(e)
        value = e["name"]
        nodes.append(helper.make_node(operator, inputs, [value], **attributes))
    outputs = [shape[0], *layers[-1]["shape"]]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, outputs)],
        [numpy_helper.from_array(array, name) for name, array in parameters.items()],
    )
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=10).SerializeToString()


def node(e: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The ONNX operator of a layer, and its attributes."""
    kind = e["kind"]
    if kind == "conv":
        window = {"kernel_shape": [e["kernel"]] * 2, "strides": [e["stride"]] * 2}
        return "Conv", {**window, "pads": [e["padding"]] * 4, "group": e["groups"]}
    if kind == "linear":
        return "Gemm", {"transB": 1}
    if kind == "relu":
        return "Relu", {}
    if kind in ("max_pool", "avg_pool"):
        window = {"kernel_shape": [e["kernel"]] * 2, "strides": [e["stride"]] * 2}
        operator = "MaxPool" if kind == "max_pool" else "AveragePool"
        return operator, {**window, "ceil_mode": int(e["ceil"])}
    if kind == "lrn":
        # ONNX divides alpha by the size.
        alpha = e["size"] * e["alpha"]
        return "LRN", {"size": e["size"], "alpha": alpha, "beta": e["beta"], "bias": float(e["k"])}
    if kind == "flatten":
        return "Flatten", {}
    raise ValueError(f"onnx_inference: does not have the layer {e}.")
