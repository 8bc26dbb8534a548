"""Reads the weights of convolutions and linear layers from ONNX files."""

import os
from typing import Any

import numpy as np

from tinyalex.installation import pip_install
from tinyalex.models.onnx_sizes import check_structure


def load_onnx() -> Any:
    """The package onnx; raises ImportError with the command that installs it."""
    try:
        import onnx
    except ImportError:
        raise ImportError(
            "ONNX files need the package onnx, which is not installed: " + pip_install("onnx")
        ) from None
    return onnx


def read_onnx(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The weights and biases of Conv, Gemm and MatMul by name, and the file's metadata.

    Matrices are returned as (out, in). Raises ValueError for a file that is not a
    complete ONNX model, or whose weights are not stored in it as constants.
    """
    onnx = load_onnx()
    try:
        check_structure(path)
        # External data could be any file of this machine.
        model = onnx.load(path, load_external_data=False)
        if not model.graph.node or not model.opset_import:  # the end of the file
            raise ValueError("it has no graph, or ends early")
        _check_order(model.graph)
        reader = GraphReader(onnx, model.graph)
        for node in model.graph.node:
            if node.op_type in READERS:
                READERS[node.op_type](reader, node)
        return reader.weights, {entry.key: entry.value for entry in model.metadata_props}
    # Errors of protobuf, and of NumPy for a tensor that does not match its shape.
    except Exception as error:
        raise ValueError(
            f"load_weights: cannot read {str(path)!r} as an ONNX model: {error}.\n"
            "Export it again, or download it again."
        ) from error


def _check_order(graph: Any) -> None:
    """Raises ValueError for a graph that transposes feature maps.

    Keras flattens them in the order H, W, C, so the columns of its fc6 are in that
    order.
    """
    convolved = False
    for node in graph.node:
        convolved |= node.op_type == "Conv"
        axes = next((list(a.ints) for a in node.attribute if a.name == "perm"), [])
        if convolved and node.op_type == "Transpose" and len(axes) == 4:
            raise ValueError(
                f"the graph transposes feature maps ({node.name or node.output[0]!r}, axes "
                f"{axes}), as files from Keras do, and the weights after it are in that order; "
                "expected maps in the order N, C, H, W throughout"
            )


class GraphReader:
    """A graph's constants, and the weights read so far."""

    def __init__(self, onnx: Any, graph: Any) -> None:
        self.onnx = onnx
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = node.attribute[0].t
        self.operations = {name: node.op_type for node in graph.node for name in node.output}
        self.adds: dict[str, list[Any]] = {}
        for node in graph.node:
            if node.op_type == "Add" and len(node.input) == 2:
                for name in node.input:
                    self.adds.setdefault(name, []).append(node)
        self.weights: dict[str, np.ndarray] = {}

    def read(self, name: str, transposed: bool = False) -> None:
        if name not in self.weights:
            array = self.array(name)
            self.weights[name] = array.T if transposed else array

    def array(self, name: str) -> np.ndarray:
        if name not in self.constants:
            operation = self.operations.get(name)
            origin = f"the output of {operation}" if operation else "an input"
            raise ValueError(f"{name!r} is {origin} of the graph, not a constant in the file")
        tensor = self.constants[name]
        if tensor.data_location == self.onnx.TensorProto.EXTERNAL:
            raise ValueError(
                f"the values of {name!r} are in another file; expected a model in one file"
            )
        array = self.onnx.numpy_helper.to_array(tensor)
        return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _read_conv(reader: GraphReader, node: Any) -> None:
    for name in node.input[1:]:
        reader.read(name)


def _read_gemm(reader: GraphReader, node: Any) -> None:
    options = {a.name: reader.onnx.helper.get_attribute_value(a) for a in node.attribute}
    if options.get("alpha", 1) != 1 or options.get("beta", 1) != 1 or options.get("transA", 0):
        raise ValueError(
            f"the Gemm of {node.input[1]!r} has alpha, beta or transA, which would change the "
            "weights"
        )
    reader.read(node.input[1], transposed=not options.get("transB", 0))
    for name in node.input[2:]:
        reader.read(name)


def _read_matmul(reader: GraphReader, node: Any) -> None:
    """The matrix, and the constant of an Add of its output: the bias."""
    reader.read(node.input[1], transposed=True)
    for add in reader.adds.pop(node.output[0], []):
        for name in add.input:
            if name in reader.constants:
                reader.read(name)


READERS = {"Conv": _read_conv, "Gemm": _read_gemm, "MatMul": _read_matmul}
