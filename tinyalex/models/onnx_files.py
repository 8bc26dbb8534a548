"""Reads the weights of an ONNX graph: those of its convolutions and linear layers, in the order in which it computes them."""

import os
from typing import Any

import numpy as np


def load_onnx() -> Any:
    """The package onnx, or ImportError that says how to get it."""
    try:
        import onnx
    except ImportError:
        raise ImportError(
            "ONNX files need the package onnx, which is not installed: pip install 'tinyalex[onnx]'"
        ) from None
    return onnx


def read_onnx(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The weights and biases by their names in the graph, and the file's metadata.

    Weights of Conv, Gemm and MatMul (with an Add behind it, its bias) come as they are, but for matrices (in, out), which are transposed
    to (out, in). ValueError for a file that is not a whole ONNX model, or whose weights are not plain numbers in it.
    """
    onnx = load_onnx()
    try:
        model = onnx.load(path, load_external_data=False)  # which could be any file of this machine
        if not model.graph.node or not model.opset_import:  # which stands behind the graph
            raise ValueError("it has no graph, or ends early")
        _check_order(onnx, model.graph)
        graph = Graph(onnx, model.graph)
        for node in model.graph.node:
            if node.op_type in TAKERS:
                TAKERS[node.op_type](graph, node)
        return graph.weights, {entry.key: entry.value for entry in model.metadata_props}
    # protobuf has errors of its own, and numbers that do not fit their shape end in NumPy's.
    except Exception as error:
        raise ValueError(
            f"load_weights: cannot read {str(path)!r} as an ONNX model: {error}.\nExport it again, or fetch it anew."
        ) from error


def _check_order(onnx: Any, graph: Any) -> None:
    """ValueError for maps that change their order on the way: Keras flattens them as H, W, C, and has fc6's columns in that order."""
    convolved = False
    for node in graph.node:
        convolved |= node.op_type == "Conv"
        axes = next((list(a.ints) for a in node.attribute if a.name == "perm"), [])
        if convolved and node.op_type == "Transpose" and len(axes) == 4:
            raise ValueError(
                f"the graph puts its maps into another order ({node.name or node.output[0]!r}, axes {axes}), as files made from Keras do, "
                "and the weights behind it have that order too; expected maps in the order N, C, H, W throughout"
            )


class Graph:
    """The graph's constant tensors, and the weights found so far."""

    def __init__(self, onnx: Any, graph: Any) -> None:
        self.onnx = onnx
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = node.attribute[0].t
        self.makers = {name: node.op_type for node in graph.node for name in node.output}
        self.adds = [node for node in graph.node if node.op_type == "Add"]
        self.weights: dict[str, np.ndarray] = {}

    def take(self, name: str, transposed: bool = False) -> None:
        array = self.array(name)
        self.weights[name] = array.T if transposed else array

    def array(self, name: str) -> np.ndarray:
        if name not in self.constants:
            origin = f"the output of {self.makers[name]}" if name in self.makers else "an input"
            raise ValueError(f"{name!r} is {origin} of the graph, not numbers in the file")
        tensor = self.constants[name]
        if tensor.data_location == self.onnx.TensorProto.EXTERNAL:
            raise ValueError(
                f"the numbers of {name!r} are in another file; expected a model in one file"
            )
        array = self.onnx.numpy_helper.to_array(tensor)
        return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _take_conv(graph: Graph, node: Any) -> None:
    for name in node.input[1:]:
        graph.take(name)


def _take_gemm(graph: Graph, node: Any) -> None:
    options = {a.name: graph.onnx.helper.get_attribute_value(a) for a in node.attribute}
    if options.get("alpha", 1) != 1 or options.get("beta", 1) != 1 or options.get("transA", 0):
        raise ValueError(
            f"the Gemm of {node.input[1]!r} has alpha, beta or transA, which would alter the weights"
        )
    graph.take(node.input[1], transposed=not options.get("transB", 0))
    for name in node.input[2:]:
        graph.take(name)


def _take_matmul(graph: Graph, node: Any) -> None:
    graph.take(node.input[1], transposed=True)
    for add in graph.adds:
        if node.output[0] in add.input:
            for name in add.input:
                if name in graph.constants:
                    graph.take(name)


TAKERS = {"Conv": _take_conv, "Gemm": _take_gemm, "MatMul": _take_matmul}
