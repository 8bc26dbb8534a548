"""Exports a network as an ONNX graph with the same outputs."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tinyalex import nn
from tinyalex.functional.arguments import pair
from tinyalex.kernels.geometry import Shape
from tinyalex.models.alexnet_variants import AlexNet, Dropout2012
from tinyalex.models.onnx_files import load_onnx
from tinyalex.modes import no_grad
from tinyalex.nn.module import Module
from tinyalex.nn.tracing import eval_mode
from tinyalex.serialization import atomic_write
from tinyalex.tensor import Tensor

OPSET, IR = 17, 8
"""The versions of the operations and of the file format; both are of 2022."""


def export_onnx(
    model: nn.Sequential, path: str | os.PathLike[str], image_size: int | None = None
) -> None:
    """Export `model` in evaluation mode to ONNX: "images" (N, C, S, S) to "logits".

    image_size  S, the only size that the graph accepts; by default an AlexNet's own

    N is variable, and weights keep their names. Needs the extra onnx. Raises
    ValueError, naming the layer, for a layer or an option that ONNX does not support.
    """
    onnx = load_onnx()
    if image_size is None:
        if not isinstance(model, AlexNet):
            raise ValueError(
                f"export_onnx: the image size of a {type(model).__name__} is not known. "
                "Give image_size."
            )
        image_size = model.image_size
    parameters = dict(model.named_parameters())
    if wrong := {str(p.dtype) for p in parameters.values()} - {"float32"}:
        raise ValueError(
            f"export_onnx: expected a float32 network, got {wrong.pop()}. "
            "Convert it: model.to('float32')."
        )
    first = next((layer for layer in model.modules() if isinstance(layer, nn.Conv2d)), None)
    channels = 3 if first is None else first.weight.shape[1] * first.groups
    image = np.zeros((1, channels, image_size, image_size), np.float32)
    x = Tensor(image, device=next((p.device for p in parameters.values()), "cpu"))
    graph = GraphBuilder(onnx, {id(p): name for name, p in parameters.items()})
    with no_grad(), eval_mode(model):
        y = _translate(graph, model, "", x)
    graph.nodes.append(onnx.helper.make_node("Identity", [graph.last], ["logits"], name="logits"))
    inputs, outputs = (
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", *shape[1:]])]
        for name, shape in (("images", x.shape), ("logits", y.shape))
    )
    name = model.variant if isinstance(model, AlexNet) else type(model).__name__
    file = onnx.helper.make_model(
        onnx.helper.make_graph(graph.nodes, name, inputs, outputs, list(graph.constants.values())),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="tinyalex",
    )
    onnx.helper.set_model_props(file, model.metadata() if isinstance(model, AlexNet) else {})
    onnx.checker.check_model(file, full_check=True)
    with atomic_write(path) as unfinished:
        unfinished.write_bytes(file.SerializeToString())


class GraphBuilder:
    """A graph's nodes and constants so far, and the current layer."""

    layer: str
    input_shape: Shape
    output_shape: Shape
    """For one image, like the input's."""

    def __init__(self, onnx: Any, names: dict[int, str]) -> None:
        self.onnx, self.names = onnx, names
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.last = "images"
        """The output of the last node."""

    def add(
        self, operation: str, *inputs: str, first: str = "", label: str = "", **options: Any
    ) -> str:
        """Append a node and return the name of its output, "layer/label".

        By default, the first input is the last output, and the label the operation.
        """
        names = [first or self.last, *inputs]
        self.last = f"{self.layer}/{label or operation}"
        self.nodes.append(
            self.onnx.helper.make_node(operation, names, [self.last], name=self.last, **options)
        )
        return self.last

    def constant(self, label: str, value: Any) -> str:
        return self._store(f"{self.layer}/{label}", value)

    def parameters(self, *parameters: nn.Parameter | None) -> list[str]:
        """The names of those that are not None. A shared parameter is stored once."""
        return [self._store(self.names[id(p)], p.numpy()) for p in parameters if p is not None]

    def _store(self, name: str, value: Any) -> str:
        if name not in self.constants:
            array = np.asarray(value, order="C")
            self.constants[name] = self.onnx.numpy_helper.from_array(array, name)
        return name

    def window(
        self, kernel: Any, stride: Any, padding: Any, dilation: Any = None
    ) -> dict[str, Any]:
        """The options of a convolution or pooling with the layer's output size.

        ONNX rounds sizes down. Padding for the last windows results in sizes that are
        rounded up.
        """
        kernel = pair("export_onnx", "kernel_size", kernel, 1)
        stride = pair("export_onnx", "stride", stride, 1)
        before = pair("export_onnx", "padding", padding, 0)
        steps = pair("export_onnx", "dilation", 1 if dilation is None else dilation, 1)
        sizes = zip(self.input_shape[2:], self.output_shape[2:], strict=True)
        after = [
            max(b, (out - 1) * s + d * (k - 1) + 1 - size - b)
            for (size, out), k, s, b, d in zip(sizes, kernel, stride, before, steps, strict=True)
        ]
        options = {"kernel_shape": kernel, "strides": stride, "pads": [*before, *after]}
        return options if dilation is None else options | {"dilations": steps}


def _translate(graph: GraphBuilder, layer: Module, name: str, x: Tensor) -> Tensor:
    """Append a layer, or the layers of a Sequential, and return its output for x."""
    if isinstance(layer, nn.Sequential) and type(layer).forward is nn.Sequential.forward:
        for child_name, child in layer.named_children():
            x = _translate(graph, child, f"{name}.{child_name}" if name else child_name, x)
        return x
    kind = type(layer).__name__
    if type(layer) not in TRANSLATIONS:
        raise ValueError(
            f"export_onnx: {name or 'the network'} is a {kind}, which has no translation. "
            "Expected a Sequential of the layers in tinyalex.nn."
        )
    y = layer(x)
    graph.layer, graph.input_shape, graph.output_shape = name, x.shape, y.shape
    try:
        TRANSLATIONS[type(layer)](graph, layer)
    except ValueError as error:
        raise ValueError(f"export_onnx: {name}, {kind}({layer.extra_repr()}): {error}") from None
    return y


def _conv(graph: GraphBuilder, layer: nn.Conv2d) -> None:
    kernel, padding = layer.weight.shape[2:], layer.padding
    if padding == "same":
        dilation = pair("export_onnx", "dilation", layer.dilation, 1)
        padding = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True))
    elif padding == "valid":
        padding = 0
    window = graph.window(kernel, layer.stride, padding, layer.dilation)
    inputs = graph.parameters(layer.weight, layer.bias)
    graph.add("Conv", *inputs, group=layer.groups, **window)


def _linear(graph: GraphBuilder, layer: nn.Linear) -> None:
    if len(graph.input_shape) != 2:
        raise ValueError(
            f"expected an input (N, features), got {graph.input_shape}. Put a Flatten before it."
        )
    graph.add("Gemm", *graph.parameters(layer.weight, layer.bias), transB=1)


def _pool(graph: GraphBuilder, layer: nn.MaxPool2d | nn.AvgPool2d) -> dict[str, Any]:
    stride = layer.kernel_size if layer.stride in (None, ()) else layer.stride
    dilation = layer.dilation if isinstance(layer, nn.MaxPool2d) else None
    return graph.window(layer.kernel_size, stride, layer.padding, dilation)


def _avg_pool(graph: GraphBuilder, layer: nn.AvgPool2d) -> None:
    """The mean of each window's pixels, times their number / the layer's divisor.

    This factor is the layer's output for an image of ones.
    """
    graph.add("AveragePool", **_pool(graph, layer), count_include_pad=0)
    factor = layer(np.ones((1, 1, *graph.input_shape[2:]), np.float32)).numpy()
    if not (factor == 1).all():
        graph.add("Mul", graph.constant("share", factor))


def _adaptive_avg_pool(graph: GraphBuilder, layer: nn.AdaptiveAvgPool2d) -> None:
    (h, w), (oh, ow) = graph.input_shape[2:], graph.output_shape[2:]
    if h % oh or w % ow:
        raise ValueError(
            f"the {oh} x {ow} windows differ in size on an input of {h} x {w}, which ONNX does "
            "not support. Give an image_size that they divide evenly."
        )
    kernel = [h // oh, w // ow]
    if kernel != [1, 1]:
        graph.add("AveragePool", kernel_shape=kernel, strides=kernel)


def _zero_pad(graph: GraphBuilder, layer: nn.ZeroPad2d) -> None:
    left, right, top, bottom = layer.padding
    pads = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
    graph.add("Pad", graph.constant("pads", pads))


def _local_response_norm(graph: GraphBuilder, layer: nn.LocalResponseNorm) -> None:
    """ONNX divides alpha by the size and has no groups, so channels are split."""
    shape, groups = graph.input_shape, layer.groups
    if layer.size % 2 == 0 or len(shape) != 4:
        raise ValueError(
            "ONNX Runtime supports LRN for odd sizes and images (N, C, H, W), "
            f"got size {layer.size} and {shape}."
        )
    alpha = layer.alpha * (layer.size if layer.alpha_mode == "sum" else 1)
    lrn = partial(graph.add, "LRN", size=layer.size, alpha=alpha, beta=layer.beta, bias=layer.k)
    if groups == 1:
        lrn()
        return
    name, columns = f"{graph.layer}/Split", [f"{graph.layer}/column{i}" for i in range(groups)]
    widths = graph.constant("widths", np.full(groups, shape[1] // groups, np.int64))
    graph.nodes.append(
        graph.onnx.helper.make_node("Split", [graph.last, widths], columns, name=name, axis=1)
    )
    first, *others = (lrn(first=c, label=f"LRN{i}") for i, c in enumerate(columns))
    graph.add("Concat", *others, first=first, axis=1)


def _spatial_response_norm(graph: GraphBuilder, layer: nn.SpatialResponseNorm) -> None:
    """x / (k + a * size**2 * mean of x**2 over each zero-padded window)**beta"""
    image, before, after = graph.last, layer.size // 2, (layer.size - 1) // 2
    window: dict[str, Any] = {"kernel_shape": [layer.size] * 2, "count_include_pad": 1}
    window["pads"] = [before, before, after, after]
    factor = layer.alpha * (layer.size**2 if layer.alpha_mode == "sum" else 1)
    graph.add("Mul", image, label="squares")
    graph.add("AveragePool", label="means", **window)
    graph.add("Mul", graph.constant("alpha", np.float32(factor)), label="scaled")
    graph.add("Add", graph.constant("k", np.float32(layer.k)), label="sums")
    graph.add("Pow", graph.constant("beta", np.float32(layer.beta)), label="powers")
    graph.add("Div", graph.last, first=image)


def _flatten(graph: GraphBuilder, layer: nn.Flatten) -> None:
    shape = graph.output_shape
    if range(len(graph.input_shape))[layer.start_dim] == 0:
        raise ValueError("it flattens the batch axis, whose size is variable. Use start_dim=1.")
    if len(shape) == 2:
        graph.add("Flatten", axis=1)
    else:
        graph.add("Reshape", graph.constant("shape", np.array([-1, *shape[1:]], np.int64)))


TRANSLATIONS: dict[type, Callable[[GraphBuilder, Any], object]] = {
    nn.Conv2d: _conv,
    nn.Linear: _linear,
    nn.MaxPool2d: lambda graph, layer: graph.add("MaxPool", **_pool(graph, layer)),
    nn.AvgPool2d: _avg_pool,
    nn.AdaptiveAvgPool2d: _adaptive_avg_pool,
    nn.ZeroPad2d: _zero_pad,
    nn.LocalResponseNorm: _local_response_norm,
    nn.SpatialResponseNorm: _spatial_response_norm,
    nn.Dropout: lambda graph, layer: None,  # the identity in evaluation mode
    Dropout2012: lambda graph, layer: graph.add(
        "Mul", graph.constant("kept", np.float32(1 - layer.p))
    ),
    nn.Flatten: _flatten,
    nn.Softmax: lambda graph, layer: graph.add("Softmax", axis=layer.dim),
    nn.ReLU: lambda graph, layer: graph.add("Relu"),
    nn.Tanh: lambda graph, layer: graph.add("Tanh"),
    nn.Sigmoid: lambda graph, layer: graph.add("Sigmoid"),
}
"""The function that appends the nodes of each layer class."""
