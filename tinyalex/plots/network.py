"""A figure of a network's architecture, like Figure 2 of the paper."""

import os
import textwrap
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from tinyalex import nn
from tinyalex.functional.arguments import pair
from tinyalex.models.tracing import outline
from tinyalex.nn.module import Module
from tinyalex.nn.tracing import Step
from tinyalex.plots.figures import INK, TEXT, new_figure, save

COLUMNS, SHARED = ("#8fb4dd", "#eab37c"), "#c3c8cf"
"""The colours of two columns (or of the only one), and of layers without columns."""

# Sizes in inches. Those of boxes are proportional to the square root of a layer's
# sizes: with a linear scale, 13 x 13 would be a dot next to 224 x 224.
MAX_HEIGHT, MAX_WIDTH, BAR, BODY = 2.3, 0.85, 0.13, 4.9
SLANT = np.array([0.40, 0.28])
"""The offset to the right and up of each inch of depth."""
SLOT, GAP, MARGIN, ROW_GAP = 1.12, 0.20, 0.15, 0.5
NAME, LINE = 0.2, 0.145
"""Heights of the text below the boxes."""


@dataclass
class Block:
    """The image, a convolution or linear layer, and the layers up to the next block."""

    name: str
    shape: tuple[int, ...]
    module: Module | None = None
    input_shape: tuple[int, ...] = ()
    after: list[Step] = field(default_factory=list)
    columns: int = 1
    boxes: list["Box"] = field(default_factory=list)

    @property
    def is_volume(self) -> bool:
        return len(self.shape) == 3

    @property
    def groups(self) -> int:
        return self.module.groups if isinstance(self.module, nn.Conv2d) else 1

    @property
    def width(self) -> float:
        """Maps or features in each column."""
        return self.shape[0] / self.columns

    @property
    def side(self) -> int:
        return max(self.shape[1:])


@dataclass
class Box:
    """A cuboid. Its front's lower left corner is x, y; depth is drawn right and up."""

    width: float
    height: float
    depth: float
    colour: str
    x: float = 0.0
    y: float = 0.0

    @property
    def size(self) -> np.ndarray:
        """The width and height of its drawing."""
        return np.array([self.width, self.height]) + SLANT * self.depth

    def point(self, right: float, up: float, back: float = 0.0) -> np.ndarray:
        """The position of a point, whose coordinates in the cuboid are from 0 to 1."""
        front = np.array([self.x + right * self.width, self.y + up * self.height])
        return front + back * self.depth * SLANT


FACES = (
    (((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)), 0.0),
    (((0, 1, 0), (1, 1, 0), (1, 1, 1), (0, 1, 1)), -0.45),
    (((1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0)), 0.16),
)
"""The corners of a box's visible faces, and their shades (> 0 darker, < 0 lighter)."""


def draw_network(
    model: Module,
    path: str | os.PathLike[str],
    input_shape: tuple[int, ...] | None = None,
    *,
    title: str | None = None,
) -> None:
    """Draw the image and each convolution's output as a box, linear layers as bars.

    With groups=2 there are two columns, each with half of the maps. As in the paper,
    layers without groups in between and the hidden linear layers are also split, and
    connected to both columns.

    input_shape  of one image, as in models.outline
    """
    blocks = _blocks(outline(model, input_shape))
    _make_boxes(blocks)
    captions = [_caption(block) for block in blocks]
    below = MARGIN + NAME + LINE * max(map(len, captions))
    width, height = _place(blocks, below, 0.3 if title else 0.0)
    figure = new_figure(width, height, layout=None)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.axis("off")
    if title:
        y = height - 0.12
        axes.text(MARGIN, y, title, va="top", fontsize=12, fontweight="bold", **TEXT)
    neighbours = list(pairwise(blocks))
    for before, after in neighbours:
        if not after.is_volume:
            _draw_dense(axes, before, after)
    style: dict[str, Any] = {"ha": "center", "va": "top"}
    for block, lines in zip(blocks, captions, strict=True):
        _draw_boxes(axes, block)
        x = block.boxes[0].x + block.boxes[0].size[0] / 2
        axes.text(x, below, block.name, fontsize=9, fontweight="bold", **style, **TEXT)
        style_small = {"fontsize": 7.5, "color": "#666666", "linespacing": 1.3}
        axes.text(x, below - NAME, "\n".join(lines), **style_small, **style)
    for before, after in neighbours:
        if after.is_volume:
            _draw_windows(axes, before, after)
    save(figure, path)


def _blocks(steps: list[Step]) -> list[Block]:
    blocks = [Block("image", steps[0].input_shape)]
    for step in steps:
        if isinstance(step.module, (nn.Conv2d, nn.Linear)):
            blocks.append(Block(step.name, step.shape, step.module, step.input_shape))
        else:
            blocks[-1].after.append(step)
    groups = [block.groups for block in blocks]
    if set(groups) == {1, 2}:
        # The first convolution with groups reads two halves, so the layer before it is
        # split too, but not the image.
        for block in blocks[max(groups.index(2) - 1, 1) : -1]:
            block.columns = 2
    return blocks


def _make_boxes(blocks: list[Block]) -> None:
    volumes, bars = [b for b in blocks if b.is_volume], [b for b in blocks if not b.is_volume]
    widest = max((b.width for b in volumes), default=1)
    tallest = max((b.side for b in volumes), default=1)
    longest = max((b.width for b in bars), default=1)
    rows = max(block.columns for block in blocks)
    in_rows = max((b.side for b in volumes if b.columns == rows), default=1)
    inch = min(MAX_HEIGHT, BODY / rows / (1 + SLANT[1]) / (in_rows / tallest) ** 0.5)
    for block in blocks:
        for column in range(block.columns):
            in_column = block.columns == rows and block.module is not None
            colour = COLUMNS[column] if in_column else SHARED
            if block.is_volume:
                height, depth = (inch * (side / tallest) ** 0.5 for side in block.shape[1:])
                width = MAX_WIDTH * (block.width / widest) ** 0.5
                block.boxes.append(Box(width, height, depth, colour))
            else:
                length = (0.9 if rows == 1 else 0.6) * inch * (block.width / longest) ** 0.5
                block.boxes.append(Box(BAR, max(length, BAR), BAR, colour))


def _place(blocks: list[Block], below: float, above: float) -> tuple[float, float]:
    """Set the positions of the boxes, and return the size of the figure."""
    rows = max(block.columns for block in blocks)
    row = max((b.boxes[0].size[1] for b in blocks if b.columns == rows), default=0.0)
    single = max((b.boxes[0].size[1] for b in blocks if b.columns == 1), default=0.0)
    body = max(rows * row + (rows - 1) * ROW_GAP, single)
    label = 0.32  # below the lowest box
    middle = below + label + body / 2
    x = MARGIN
    for block in blocks:
        size = block.boxes[0].size
        slot = max(size[0], SLOT) + GAP
        for column, box in enumerate(block.boxes):
            # The first column is the upper row. A box is centred in its row, or between
            # the rows.
            centre = middle + (row + ROW_GAP) * ((block.columns - 1) / 2 - column)
            box.x, box.y = x + (slot - size[0]) / 2, centre - size[1] / 2
        x += slot
    return x + MARGIN, middle + body / 2 + MARGIN + above


def _draw_boxes(axes: Any, block: Block) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Polygon

    label = " × ".join(map(str, (*block.shape[1:], int(block.width))))
    # Lines pass under the label.
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.9}
    for box in block.boxes:
        for face, shade in FACES:
            target, share = (0.0 if shade > 0 else 1.0), abs(shade)
            colour = [(1 - share) * part + share * target for part in to_rgb(box.colour)]
            corners = [box.point(*corner) for corner in face]
            axes.add_patch(
                Polygon(corners, facecolor=colour, edgecolor=INK, linewidth=0.6, joinstyle="round")
            )
        x, y = box.x + box.size[0] / 2, box.y - 0.07
        axes.text(x, y, label, ha="center", va="top", fontsize=8, color=INK, bbox=paper, zorder=5)


def _draw_windows(axes: Any, before: Block, after: Block) -> None:
    """A convolution's window on its input, and lines to its output."""
    from matplotlib.patches import Polygon

    assert isinstance(after.module, nn.Conv2d)
    kernel = after.module.weight.shape[2:]
    sizes = zip(kernel, after.input_shape[1:], strict=True)
    up, across = (min(1.0, window / size) / 2 for window, size in sizes)
    for i, source in enumerate(before.boxes):
        corners = [
            source.point(1, 0.5 + u * up, 0.5 + a * across)
            for a, u in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ]
        axes.add_patch(Polygon(corners, facecolor=(1, 1, 1, 0.55), edgecolor=INK, linewidth=0.8))
        for j, target in enumerate(after.boxes):
            # With groups, a column reads its own column, or a layer without columns.
            if after.groups == 1 or len(before.boxes) == 1 or i == j:
                tip = target.point(0, 0.5)
                for corner in corners:
                    axes.plot(*zip(corner, tip, strict=True), color=INK, linewidth=0.5, alpha=0.75)


def _draw_dense(axes: Any, before: Block, after: Block) -> None:
    """A band from each box to each bar: every output depends on every input."""
    from matplotlib.patches import Polygon

    style: dict[str, Any] = {"facecolor": (0.5, 0.5, 0.5, 0.10), "edgecolor": (0.4, 0.4, 0.4, 0.5)}
    for source in before.boxes:
        for target in after.boxes:
            start, end = source.point(1, 0, 1), source.point(1, 1, 1)
            corners = [start, target.point(0, 0), target.point(0, 1), end]
            axes.add_patch(Polygon(corners, linewidth=0.5, **style))


def _caption(block: Block) -> list[str]:
    """The layer and those that follow it, in lines of about an inch."""
    module, text = block.module, ""
    if isinstance(module, nn.Linear):
        text = "dense"
    elif isinstance(module, nn.Conv2d):
        kh, kw = module.weight.shape[2:]
        down, right = pair("draw_network", "stride", module.stride, 1)
        text = f"{kh} × {kw}"
        if (down, right) != (1, 1):
            text += f", stride {down}" + ("" if down == right else f", {right}")
        if module.groups > 1:
            text += f", {module.groups} groups"
    # No-break spaces: a line break must not split a layer's name.
    names = [name.replace(" ", "\N{NO-BREAK SPACE}") for name in map(_label, block.after) if name]
    return ([text] if text else []) + textwrap.wrap(", ".join(names), 19, break_long_words=False)


def _label(step: Step) -> str:
    """A short name of a layer without a box."""
    module = step.module
    if isinstance(module, (nn.MaxPool2d, nn.AvgPool2d)):
        size = pair("draw_network", "kernel_size", module.kernel_size, 1)
        stride = size if module.stride is None else pair("draw_network", "stride", module.stride, 1)
        kind = "max" if isinstance(module, nn.MaxPool2d) else "avg"
        return f"{kind} pool {size[0]} × {size[1]} / {stride[0]}"
    if isinstance(module, nn.AdaptiveAvgPool2d):
        h, w = step.shape[1:]
        return "" if step.input_shape == step.shape else f"avg pool to {h} × {w}"
    names = {
        nn.LocalResponseNorm: "LRN",
        nn.SpatialResponseNorm: "spatial norm",
        nn.ZeroPad2d: "zero padding",
        nn.Flatten: "",
    }
    kind = type(module).__name__
    return names.get(type(module), "dropout" if kind.startswith("Dropout") else kind)
