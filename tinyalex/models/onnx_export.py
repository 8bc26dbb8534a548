"""Exports a network as an ONNX graph with the same outputs."""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tinyalex import nn
from tinyalex.function import no_grad
from tinyalex.functional.arguments import pair
from tinyalex.models.onnx_files import load_onnx
from tinyalex.models.variants import AlexNet, Dropout2012
from tinyalex.nn.module import Module, testing
from tinyalex.serialization import atomic_write
from tinyalex.tensor import Tensor

OPSET, IR = 17, 8
"""The versions of the operations and of the file format; both are of 2022."""


def export_onnx(
    model: nn.Sequential, path: str | os.PathLike[str], image_size: int | None = None
) -> None:
    """Export `model` in evaluation mode to ONNX: "images" (N, C, S, S) to "logits".

    image_size  S, the only size that the graph accepts; by default an AlexNet's own

    N is variable, and weights keep their names. Needs tinyalex[onnx]. Raises
    ValueError, naming the layer, for a layer or an option that ONNX does not have.
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
    with no_grad(), testing(model):
        y = _translate(graph, model, "", x)
    graph.nodes.append(onnx.helper.make_node("Identity", [graph.last], ["logits"], name="logits"))
    inputs, outputs = (
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", *shape[1:]])]
        for name, shape in (("images", x.shape), ("logits", y.shape))
    )
    name = model.variant if isinstance(model, AlexNet) else type(model).__name__
    file = onnx.helper.make_model(
        onnx.helper.make_graph(graph.nodes, name, inputs, outputs, graph.constants),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="tinyalex",
    )
    onnx.helper.set_model_props(file, model.metadata() if isinstance(model, AlexNet) else {})
    onnx.checker.check_model(file, full_check=True)
    with atomic_write(path) as unfinished:
        unfinished.write_bytes(file.SerializeToString())


class GraphBuilder:
    """The nodes and constants so far."""

    def __init__(self, onnx: Any, names: dict[int, str]) -> None:
        self.onnx, self.names = onnx, names
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.layer = ""
        """The name of the current layer."""
        self.last = "images"
        """The output of the last node: the input of the next."""

    def node(self, operation: str, inputs: Iterable[str], label: str = "", **options: Any) -> str:
        """Append a node and return the name of its output, "layer/label".

        The label is the operation by default.
        """
        self.last = f"{self.layer}/{label or operation}"
        make_node = self.onnx.helper.make_node
        self.nodes.append(
            make_node(operation, list(inputs), [self.last], name=self.last, **options)
        )
        return self.last

    def constant(self, name: str, value: Any) -> str:
        name = f"{self.layer}/{name}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    def parameters(self, *parameters: nn.Parameter | None) -> list[str]:
        """The names of those that are not None. A shared parameter is stored once."""
        named = {self.names[id(p)]: p for p in parameters if p is not None}
        stored = {tensor.name for tensor in self.constants}
        for name in [name for name in named if name not in stored]:
            array = np.ascontiguousarray(named[name].numpy())
            self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return list(named)


def _translate(graph: GraphBuilder, layer: Module, name: str, x: Tensor) -> Tensor:
    """Append a layer, or the layers of a Sequential, and return its output for x."""
    if isinstance(layer, nn.Sequential) and type(layer).forward is nn.Sequential.forward:
        for child_name, child in layer.named_children():
            x = _translate(graph, child, f"{name}.{child_name}" if name else child_name, x)
        return x
    if type(layer) not in TRANSLATIONS:
        raise ValueError(
            f"export_onnx: {name or 'the network'} is a {type(layer).__name__}, which has no "
            "translation. Expected a Sequential of the layers in tinyalex.nn."
        )
    y = layer(x)
    graph.layer = name
    try:
        TRANSLATIONS[type(layer)](graph, layer, x, y)
    except ValueError as error:
        raise ValueError(
            f"export_onnx: {name}, {type(layer).__name__}({layer.extra_repr()}): {error}"
        ) from None
    return y


# The layers. x and y are a layer's input and output for one image.


def _conv(graph: GraphBuilder, layer: nn.Conv2d, x: Tensor, y: Tensor) -> None:
    kernel = layer.weight.shape[2:]
    stride = pair("Conv2d", "stride", layer.stride, 1)
    dilation = pair("Conv2d", "dilation", layer.dilation, 1)
    if layer.padding == "same":
        before = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True))
    else:
        before = pair("Conv2d", "padding", 0 if layer.padding == "valid" else layer.padding, 0)
    graph.node(
        "Conv",
        [graph.last, *graph.parameters(layer.weight, layer.bias)],
        kernel_shape=kernel,
        strides=stride,
        dilations=dilation,
        group=layer.groups,
        pads=_pads(x, y, kernel, stride, before, dilation),
    )


def _linear(graph: GraphBuilder, layer: nn.Linear, x: Tensor, y: Tensor) -> None:
    if x.ndim != 2:
        raise ValueError(
            f"expected an input (N, features), got {x.shape}. Put a Flatten before it."
        )
    graph.node("Gemm", [graph.last, *graph.parameters(layer.weight, layer.bias)], transB=1)


def _max_pool(graph: GraphBuilder, layer: nn.MaxPool2d, x: Tensor, y: Tensor) -> None:
    dilation = pair("MaxPool2d", "dilation", layer.dilation, 1)
    graph.node("MaxPool", [graph.last], **_window(layer, x, y, dilation), dilations=dilation)


def _avg_pool(graph: GraphBuilder, layer: nn.AvgPool2d, x: Tensor, y: Tensor) -> None:
    """The mean over each window's pixels, times their number / the layer's divisor.

    The factor is the layer's output for an image of ones.
    """
    graph.node("AveragePool", [graph.last], **_window(layer, x, y), count_include_pad=0)
    factor = layer(np.ones((1, 1, *x.shape[2:]), np.float32)).numpy()
    if not (factor == 1).all():
        graph.node("Mul", [graph.last, graph.constant("share", np.ascontiguousarray(factor))])


def _adaptive_avg_pool(
    graph: GraphBuilder, layer: nn.AdaptiveAvgPool2d, x: Tensor, y: Tensor
) -> None:
    sizes = tuple(zip(x.shape[2:], y.shape[2:], strict=True))
    if any(size % count for size, count in sizes):
        raise ValueError(
            f"the {y.shape[2]} x {y.shape[3]} windows differ in size on an input of "
            f"{x.shape[2]} x {x.shape[3]}, which ONNX does not have. "
            "Give an image_size that they divide evenly."
        )
    kernel = [size // count for size, count in sizes]
    if kernel != [1, 1]:
        graph.node("AveragePool", [graph.last], kernel_shape=kernel, strides=kernel)


def _zero_pad(graph: GraphBuilder, layer: nn.ZeroPad2d, x: Tensor, y: Tensor) -> None:
    left, right, top, bottom = layer.padding
    pads = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
    graph.node("Pad", [graph.last, graph.constant("pads", pads)])


def _local_response_norm(
    graph: GraphBuilder, layer: nn.LocalResponseNorm, x: Tensor, y: Tensor
) -> None:
    """ONNX divides alpha by the size and has no groups, so channels are split."""
    if layer.size % 2 == 0 or x.ndim != 4:
        raise ValueError(
            "ONNX Runtime has LRN for odd sizes and images (N, C, H, W), "
            f"got size {layer.size} and {x.shape}."
        )
    alpha = layer.alpha * (layer.size if layer.alpha_mode == "sum" else 1)
    options: dict[str, Any] = {"size": layer.size, "alpha": alpha}
    options |= {"beta": layer.beta, "bias": layer.k}
    if layer.groups == 1:
        graph.node("LRN", [graph.last], **options)
        return
    widths = graph.constant("widths", np.full(layer.groups, x.shape[1] // layer.groups, np.int64))
    columns = [f"{graph.layer}/column{i}" for i in range(layer.groups)]
    graph.nodes.append(
        graph.onnx.helper.make_node(
            "Split", [graph.last, widths], columns, name=f"{graph.layer}/Split", axis=1
        )
    )
    normalized = [
        graph.node("LRN", [column], f"LRN{i}", **options) for i, column in enumerate(columns)
    ]
    graph.node("Concat", normalized, axis=1)


def _spatial_response_norm(
    graph: GraphBuilder, layer: nn.SpatialResponseNorm, x: Tensor, y: Tensor
) -> None:
    """x / (k + a * size**2 * mean of x**2 over each zero-padded window)**beta"""
    image, before, after = graph.last, layer.size // 2, (layer.size - 1) // 2
    window: dict[str, Any] = {"kernel_shape": [layer.size] * 2, "count_include_pad": 1}
    window["pads"] = [before, before, after, after]
    factor = layer.alpha * (layer.size**2 if layer.alpha_mode == "sum" else 1)
    graph.node("Mul", [image, image], "squares")
    graph.node("AveragePool", [graph.last], "means", **window)
    graph.node("Mul", [graph.last, graph.constant("alpha", np.float32(factor))], "scaled")
    graph.node("Add", [graph.last, graph.constant("k", np.float32(layer.k))], "sums")
    graph.node("Pow", [graph.last, graph.constant("beta", np.float32(layer.beta))], "powers")
    graph.node("Div", [image, graph.last])


def _dropout_2012(graph: GraphBuilder, layer: Dropout2012, x: Tensor, y: Tensor) -> None:
    graph.node("Mul", [graph.last, graph.constant("kept", np.float32(1 - layer.p))])


def _flatten(graph: GraphBuilder, layer: nn.Flatten, x: Tensor, y: Tensor) -> None:
    if range(x.ndim)[layer.start_dim] == 0:
        raise ValueError("it flattens the batch axis, whose size is variable. Use start_dim=1.")
    if y.ndim == 2:
        graph.node("Flatten", [graph.last], axis=1)
    else:
        shape = np.array([-1, *y.shape[1:]], np.int64)
        graph.node("Reshape", [graph.last, graph.constant("shape", shape)])


def _softmax(graph: GraphBuilder, layer: nn.Softmax, x: Tensor, y: Tensor) -> None:
    graph.node("Softmax", [graph.last], axis=layer.dim)


def _elementwise(operation: str) -> Callable[..., None]:
    def translate(graph: GraphBuilder, layer: Module, x: Tensor, y: Tensor) -> None:
        graph.node(operation, [graph.last])

    return translate


def _identity(graph: GraphBuilder, layer: Module, x: Tensor, y: Tensor) -> None:
    """Dropout is the identity in evaluation mode."""


TRANSLATIONS: dict[type, Callable[..., None]] = {
    nn.Conv2d: _conv,
    nn.Linear: _linear,
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _avg_pool,
    nn.AdaptiveAvgPool2d: _adaptive_avg_pool,
    nn.ZeroPad2d: _zero_pad,
    nn.LocalResponseNorm: _local_response_norm,
    nn.SpatialResponseNorm: _spatial_response_norm,
    nn.Dropout: _identity,
    Dropout2012: _dropout_2012,
    nn.Flatten: _flatten,
    nn.Softmax: _softmax,
    nn.ReLU: _elementwise("Relu"),
    nn.Tanh: _elementwise("Tanh"),
    nn.Sigmoid: _elementwise("Sigmoid"),
}


def _window(
    layer: nn.MaxPool2d | nn.AvgPool2d, x: Tensor, y: Tensor, dilation: Sequence[int] = (1, 1)
) -> dict[str, Any]:
    kernel = pair("pool", "kernel_size", layer.kernel_size, 1)
    before = pair("pool", "padding", layer.padding, 0)
    has_stride = layer.stride is not None and layer.stride != ()
    stride = pair("pool", "stride", layer.stride, 1) if has_stride else kernel
    pads = _pads(x, y, kernel, stride, before, dilation)
    return {"kernel_shape": kernel, "strides": stride, "pads": pads}


def _pads(
    x: Tensor,
    y: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    before: Sequence[int],
    dilation: Sequence[int],
) -> list[int]:
    """(top, left, bottom, right); bottom, right at least top, left and enough for y.

    ONNX rounds sizes down. With room for their last windows, sizes that the layer
    rounds up are the same.
    """
    sizes = zip(x.shape[2:], y.shape[2:], kernel, stride, before, dilation, strict=True)
    return [
        *before,
        *(max(b, (out - 1) * s + d * (k - 1) + 1 - size - b) for size, out, k, s, b, d in sizes),
    ]
