"""The familiar picture of a network (the paper's Figure 2), drawn from the network itself."""

import os
import textwrap
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from tinyalex import nn
from tinyalex.functional.arguments import pair
from tinyalex.models.tracing import outline
from tinyalex.nn.module import Module, Step
from tinyalex.plots.figures import INK, new_figure, save

COLUMNS, SHARED = ("#8fb4dd", "#eab37c"), "#c3c8cf"
"""The colours of the two columns (a network without columns has the first), and of what belongs to neither: the image, the output."""

# Sizes in inches. A square root stands between numbers and sizes: drawn in proportion, 13 pixels beside 224 would be a dot.
TALLEST, WIDEST, BAR, BODY = 2.3, 0.85, 0.13, 4.9
SLANT = np.array([0.40, 0.28])
"""Where depth goes on paper: so far to the right and up, for each inch of it."""
SLOT, GAP, MARGIN, BETWEEN_ROWS = 1.12, 0.20, 0.15, 0.5
NAME, LINE = 0.2, 0.145
"""Heights of text under the boxes."""


@dataclass
class Stage:
    """A convolution or linear layer (or, first, the image), and the layers up to the next of these."""

    name: str
    shape: tuple[int, ...]
    module: Module | None = None
    seen: tuple[int, ...] = ()
    after: list[Step] = field(default_factory=list)
    columns: int = 1
    boxes: list["Box"] = field(default_factory=list)

    @property
    def is_volume(self) -> bool:
        return len(self.shape) == 3

    @property
    def groups(self) -> int:
        return getattr(self.module, "groups", 1)


@dataclass
class Box:
    """A cuboid on paper: its front (width, height) with the lower left corner at x, y; its depth goes up and to the right."""

    width: float
    height: float
    depth: float
    colour: str
    x: float = 0.0
    y: float = 0.0

    @property
    def size(self) -> np.ndarray:
        """What it covers, to the right and up."""
        return np.array([self.width, self.height]) + SLANT * self.depth

    def right_face(self, across: float, up: float) -> np.ndarray:
        """A point of the face that looks to the next layer; both from 0 to 1."""
        return (
            np.array([self.x + self.width, self.y + up * self.height]) + across * self.depth * SLANT
        )

    def left_edge(self, up: float) -> np.ndarray:
        """A point of the front's edge that looks to the layer before."""
        return np.array([self.x, self.y + up * self.height])

    def faces(self) -> list[tuple[list[np.ndarray], float]]:
        """The corners of the three faces that one sees, and how much darker (or, below 0, lighter) each is."""
        low, back = np.array([self.x, self.y]), SLANT * self.depth
        right, up = np.array([self.width, 0]), np.array([0, self.height])
        return [
            ([low, low + right, low + right + up, low + up], 0.0),
            ([low + up, low + right + up, low + right + up + back, low + up + back], -0.45),
            ([low + right, low + right + back, low + right + up + back, low + right + up], 0.16),
        ]


def draw_network(
    model: Module,
    path: str | os.PathLike[str],
    input_shape: tuple[int, ...] | None = None,
    *,
    title: str | None = None,
) -> None:
    """Boxes for the image and for what each convolution gives, bars for linear layers, windows between them.

    Where convolutions have groups=2 there are two columns, each with half of the maps. Layers between them that see both, and the hidden
    linear layers, are drawn in halves as well, as in the paper, with lines from both columns to both.

    input_shape  that of one image, as in models.outline; an AlexNet's is known
    """
    stages = _stages(outline(model, input_shape))
    _make_boxes(stages)
    captions = [_caption(stage) for stage in stages]
    below = MARGIN + NAME + LINE * max(map(len, captions))
    width, height = _place(stages, below, 0.3 if title else 0.0)
    figure = new_figure(width, height, layout=None)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.axis("off")
    if title:
        axes.text(
            MARGIN,
            height - 0.12,
            title,
            va="top",
            fontsize=12,
            color=INK,
            fontweight="bold",
            parse_math=False,
        )
    joints = list(pairwise(stages))
    for before, after in joints:
        if not after.is_volume:
            _draw_dense(axes, before, after)
    for stage, lines in zip(stages, captions, strict=True):
        _draw_boxes(axes, stage)
        x, words = stage.boxes[0].x + stage.boxes[0].size[0] / 2, "\n".join(lines)
        axes.text(
            x,
            below,
            stage.name,
            ha="center",
            va="top",
            fontsize=9,
            fontweight="bold",
            color=INK,
            parse_math=False,
        )
        axes.text(
            x,
            below - NAME,
            words,
            ha="center",
            va="top",
            fontsize=7.5,
            color="#666666",
            linespacing=1.3,
        )
    for before, after in joints:
        if after.is_volume:
            _draw_windows(axes, before, after)
    save(figure, path)


def _stages(steps: list[Step]) -> list[Stage]:
    stages = [Stage("image", steps[0].seen)]
    for step in steps:
        if isinstance(step.module, (nn.Conv2d, nn.Linear)):
            stages.append(Stage(step.name, step.shape, step.module, step.seen))
        else:
            stages[-1].after.append(step)
    groups = [stage.groups for stage in stages]
    if set(groups) == {1, 2}:
        # The first convolution with groups reads halves: so the layer before it, but not the image, is in halves already.
        for stage in stages[max(groups.index(2) - 1, 1) : -1]:
            stage.columns = 2
    return stages


def _make_boxes(stages: list[Stage]) -> None:
    volumes, bars = [s for s in stages if s.is_volume], [s for s in stages if not s.is_volume]
    widest = max((s.shape[0] / s.columns for s in volumes), default=1)
    tallest = max((max(s.shape[1:]) for s in volumes), default=1)
    longest = max((s.shape[0] / s.columns for s in bars), default=1)
    rows = max(stage.columns for stage in stages)
    in_rows = max((max(s.shape[1:]) for s in volumes if s.columns == rows), default=1)
    inch = min(TALLEST, BODY / rows / (1 + SLANT[1]) / (in_rows / tallest) ** 0.5)
    for stage in stages:
        maps = stage.shape[0] / stage.columns
        for column in range(stage.columns):
            colour = (
                COLUMNS[column] if stage.columns == rows and stage.module is not None else SHARED
            )
            if stage.is_volume:
                height, depth = (inch * (side / tallest) ** 0.5 for side in stage.shape[1:])
                stage.boxes.append(Box(WIDEST * (maps / widest) ** 0.5, height, depth, colour))
            else:
                length = (0.9 if rows == 1 else 0.6) * inch * (maps / longest) ** 0.5
                stage.boxes.append(Box(BAR, max(length, BAR), BAR, colour))


def _place(stages: list[Stage], below: float, above: float) -> tuple[float, float]:
    """Gives the boxes their places, and returns the size of the figure."""
    rows = max(stage.columns for stage in stages)
    row = max((s.boxes[0].size[1] for s in stages if s.columns == rows), default=0.0)
    single = max((s.boxes[0].size[1] for s in stages if s.columns == 1), default=0.0)
    body = max(rows * row + (rows - 1) * BETWEEN_ROWS, single)
    label = 0.32  # under the lowest box
    middle = below + label + body / 2
    x = MARGIN
    for stage in stages:
        size = stage.boxes[0].size
        slot = max(size[0], SLOT) + GAP
        for column, box in enumerate(stage.boxes):
            # The first column is the upper one. Each box is centred in its row, or, if it is alone, between the rows.
            centre = middle + (row + BETWEEN_ROWS) * ((stage.columns - 1) / 2 - column)
            box.x, box.y = x + (slot - size[0]) / 2, centre - size[1] / 2
        x += slot
    return x + MARGIN, middle + body / 2 + MARGIN + above


def _draw_boxes(axes: Any, stage: Stage) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Polygon

    maps = stage.shape[0] // stage.columns
    label = f"{stage.shape[1]} × {stage.shape[2]} × {maps}" if stage.is_volume else f"{maps}"
    paper = {
        "facecolor": "white",
        "edgecolor": "none",
        "pad": 0.6,
        "alpha": 0.9,
    }  # lines pass under the label
    for box in stage.boxes:
        for corners, shade in box.faces():
            towards, share = (0.0 if shade > 0 else 1.0), abs(shade)
            colour = [(1 - share) * part + share * towards for part in to_rgb(box.colour)]
            axes.add_patch(
                Polygon(corners, facecolor=colour, edgecolor=INK, linewidth=0.6, joinstyle="round")
            )
        x, y = box.x + box.size[0] / 2, box.y - 0.07
        axes.text(x, y, label, ha="center", va="top", fontsize=8, color=INK, bbox=paper, zorder=5)


def _draw_windows(axes: Any, before: Stage, after: Stage) -> None:
    """A convolution's window where it looks, and lines to the place that it computes."""
    from matplotlib.patches import Polygon

    assert isinstance(after.module, nn.Conv2d)
    kernel = after.module.weight.shape[2:]
    up, across = (
        min(1.0, size / seen) / 2 for size, seen in zip(kernel, after.seen[1:], strict=True)
    )
    for i, source in enumerate(before.boxes):
        corners = [
            source.right_face(0.5 + a * across, 0.5 + u * up)
            for a, u in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ]
        axes.add_patch(Polygon(corners, facecolor=(1, 1, 1, 0.55), edgecolor=INK, linewidth=0.8))
        for j, target in enumerate(after.boxes):
            # With groups each column sees itself alone. (The layer before may be in one piece: then all see it.)
            if after.groups == 1 or len(before.boxes) == 1 or i == j:
                tip = target.left_edge(0.5)
                for corner in corners:
                    axes.plot(*zip(corner, tip, strict=True), color=INK, linewidth=0.5, alpha=0.75)


def _draw_dense(axes: Any, before: Stage, after: Stage) -> None:
    """All numbers with all: a band from each box to each bar."""
    from matplotlib.patches import Polygon

    for source in before.boxes:
        for target in after.boxes:
            corners = [
                source.right_face(1, 0),
                target.left_edge(0),
                target.left_edge(1),
                source.right_face(1, 1),
            ]
            axes.add_patch(
                Polygon(
                    corners,
                    facecolor=(0.5, 0.5, 0.5, 0.10),
                    edgecolor=(0.4, 0.4, 0.4, 0.5),
                    linewidth=0.5,
                )
            )


def _caption(stage: Stage) -> list[str]:
    """What is computed here, and what follows, in lines of about an inch."""
    module, text = stage.module, ""
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
    # A layer's name is not torn apart: no-break spaces.
    names = [name.replace(" ", "\N{NO-BREAK SPACE}") for name in map(_named, stage.after) if name]
    return ([text] if text else []) + textwrap.wrap(", ".join(names), 19, break_long_words=False)


def _named(step: Step) -> str:
    """A layer between the boxes, in a few letters."""
    module = step.module
    if isinstance(module, (nn.MaxPool2d, nn.AvgPool2d)):
        size = pair("draw_network", "kernel_size", module.kernel_size, 1)
        stride = size if module.stride is None else pair("draw_network", "stride", module.stride, 1)
        kind = "max" if isinstance(module, nn.MaxPool2d) else "avg"
        return f"{kind} pool {size[0]} × {size[1]} / {stride[0]}"
    if isinstance(module, nn.AdaptiveAvgPool2d):
        return "" if step.seen == step.shape else f"avg pool to {step.shape[1]} × {step.shape[2]}"
    names = {
        nn.LocalResponseNorm: "LRN",
        nn.SpatialResponseNorm: "spatial norm",
        nn.ZeroPad2d: "zero padding",
        nn.Flatten: "",
    }
    kind = type(module).__name__
    return names.get(type(module), "dropout" if kind.startswith("Dropout") else kind)
