"""Networks that hold parts of the layers of a whole network.

Each parameter is divided along axis 0: the filters of a convolution, the units of a
linear layer. A part of a layer computes the same channels or features of its output.
"""

import copy
from typing import NamedTuple

import numpy as np

from tinyalex import device
from tinyalex.kernels.geometry import Shape
from tinyalex.nn.layers import Conv2d, Dropout, Linear
from tinyalex.nn.module import Module
from tinyalex.nn.normalization import LocalResponseNorm
from tinyalex.nn.parameter import Parameter
from tinyalex.nn.sequential import Sequential

Layers = dict[str, Module]


class Section(NamedTuple):
    """A range of axis 0 of the parameter `name` of a whole network."""

    name: str
    start: int
    stop: int
    total: int

    def of(self, whole: np.ndarray) -> np.ndarray:
        return whole[self.start : self.stop]


def part_of(layer: Module, part: int, parts: int) -> Module:
    """The layer with the part's section of its parameters, which are copied, and of its
    groups."""
    result = copy.copy(layer)
    for name, value in vars(layer).items():
        if isinstance(value, Parameter):
            start, stop = device.section(len(value), part, parts)
            with device.on_device_of(value.data):
                own = Parameter(value.data[start:stop].copy())
            own.requires_grad = value.requires_grad
            setattr(result, name, own)
    if isinstance(result, (Conv2d, LocalResponseNorm)) and result.groups > 1:
        result.groups //= parts
    return result


class Partitioned(Module):
    """A network whose parameters are sections of those of a whole network.

    `state_dict` and `load_state_dict` are those of the whole network.
    """

    sections: dict[str, Section]
    """By the name of each parameter."""

    def state_shapes(self) -> dict[str, Shape]:
        shapes = super().state_shapes()
        return {s.name: (s.total, *shapes[name][1:]) for name, s in self.sections.items()}

    def state_dict(self) -> dict[str, np.ndarray]:
        return self.merge(super().state_dict())

    def merge(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The whole network's arrays, from arrays for some parameters of this one."""
        whole: dict[str, np.ndarray] = {}
        for name, array in arrays.items():
            section = self.sections[name]
            if section.name not in whole:
                whole[section.name] = np.empty((section.total, *array.shape[1:]), array.dtype)
            section.of(whole[section.name])[...] = array
        return whole

    def _set_state(self, arrays: dict[str, np.ndarray]) -> None:
        own = {name: section.of(arrays[section.name]) for name, section in self.sections.items()}
        super()._set_state(own)


def layers_of(network: Sequential) -> Layers:
    """The layers by name, without nesting: "features.0" for the first of `features`."""
    layers: Layers = {}
    for name, child in network.named_children():
        if isinstance(child, Sequential):
            layers |= {f"{name}.{inner}": layer for inner, layer in layers_of(child).items()}
        else:
            layers[name] = child
    return layers


def segments_of(layers: Layers, part: int, parts: int) -> list[Layers]:
    """A part of each layer, in segments: where one ends, the parts exchange their
    outputs, and the next reads the channels or features of all.

    The parts meet before a convolution without groups, before linear layers, and at the
    end; if a dropout precedes the layer, before the dropout, whose mask is then that of
    the whole network. Raises ValueError if a normalization crosses the parts, or for a
    layer with buffers.
    """
    segments: list[Layers] = [{}]
    is_divided = False  # whether the layer's input has the channels of one part
    for name, layer in layers.items():
        if buffers := ", ".join(buffer for buffer, _ in layer.named_buffers()):
            raise ValueError(
                f"{name}, {type(layer).__name__}, has buffers ({buffers}), which are not divided. "
                "Use a network without it, or do not divide the network."
            )
        if isinstance(layer, LocalResponseNorm) and is_divided and layer.groups % parts:
            raise ValueError(
                f"{name} normalizes across the columns, which are on different devices. Build "
                "the network with column_lrn=True."
            )
        if isinstance(layer, Dropout) or _reads_all_channels(layer, parts):
            if is_divided:
                segments.append({})
            is_divided = not isinstance(layer, Dropout)
        segments[-1][name] = part_of(layer, part, parts)
    return segments


def _reads_all_channels(layer: Module, parts: int) -> bool:
    return isinstance(layer, Linear) or (isinstance(layer, Conv2d) and layer.groups % parts > 0)


def column_segments(network: Sequential, column: int, columns: int) -> list[Layers]:
    """`segments_of` a network with columns: the groups of its convolutions.

    Raises ValueError for a network without as many columns, and as `segments_of` does.
    """
    layers = layers_of(network)
    if not any(isinstance(x, Conv2d) and x.groups == columns for x in layers.values()):
        raise ValueError(
            f"the network does not have {columns} columns: no convolution has {columns} groups."
        )
    return segments_of(layers, column, columns)
