"""Compare the variants of AlexNet, or list the layers of one.

  tinyalex models                        all variants side by side
  tinyalex models caffe                  the layers of one
  tinyalex models caffe --plan           and the algorithm of each layer in training
  tinyalex models caffe --draw net.png   a figure of the network

Algorithms depend on batch size, image size, dtype and device.
"""

import argparse
from collections.abc import Iterable
from typing import Any

from tinyalex import nn
from tinyalex.cli.options import (
    Commands,
    add_command,
    check_figure,
    file_path,
    positive_integer,
)
from tinyalex.kernels.fast_paths import switch
from tinyalex.models import VARIANTS, alexnet, outline
from tinyalex.models.alexnet_variants import AlexNet
from tinyalex.nn.tracing import Step

LETTERS: dict[type, str] = {
    nn.ZeroPad2d: "Z",
    nn.ReLU: "R",
    nn.LocalResponseNorm: "N",
    nn.SpatialResponseNorm: "S",
    nn.MaxPool2d: "P",
    nn.AdaptiveAvgPool2d: "A",
    nn.Flatten: "",
}
LEGEND = """\
channels x height x width; multiply-adds in millions, for one image; groups of conv2, conv4, conv5
R ReLU, N response norm across channels, S across positions, P max-pooling, A average
pooling, D dropout, Z zero-padding at the top and left"""
LAYERS = ("image", "conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")


def add_parser(commands: Commands) -> None:
    p = add_command(commands, "models", run, __doc__, error_status=1)
    p.add_argument("variant", nargs="?", metavar="VARIANT", help=", ".join(VARIANTS))
    p.add_argument(
        "--draw",
        type=file_path,
        metavar="PNG",
        help="save a figure of the variant (default: paper)",
    )
    p.add_argument(
        "--image-size",
        type=positive_integer,
        metavar="S",
        help="side of the input in pixels (default: the variant's, 224 or 227)",
    )
    p.add_argument(
        "--plan",
        action="store_true",
        help="list the layers of the variant (default: paper), the algorithm of each in training, "
        "and which are fused",
    )
    plan = p.add_argument_group("options of --plan")
    plan.add_argument(
        "--batch-size", type=positive_integer, default=128, metavar="N", help="default: 128"
    )
    plan.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32", help="default: float32"
    )
    plan.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu; cuda needs no GPU"
    )


def run(args: argparse.Namespace) -> int:
    variant, size = "paper" if args.variant is None else args.variant, args.image_size
    if args.draw:
        check_figure(args.draw, "--draw")
    if args.plan:
        print(plan(variant, size, args.batch_size, args.dtype, args.device))
    else:
        print(models_table(size) if args.variant is None else layers(variant, size))
    if args.draw:
        from tinyalex.plots import draw_network

        with nn.init.skipped():
            network = alexnet(variant, image_size=size)
        draw_network(network, args.draw, title=f"AlexNet, {variant}")
        print(f"figure: {args.draw}")
    return 0


def layers(variant: str, image_size: int | None = None, **options: Any) -> str:
    """The layers of a variant; `options` as for Module.summary."""
    with nn.init.skipped():
        model = alexnet(variant, image_size=image_size)
    return model.summary((3, model.image_size, model.image_size), **options)


def plan(variant: str, image_size: int | None, batch_size: int, dtype: str, device: str) -> str:
    """The layers of a variant, their algorithms in training, and which are fused."""
    table = layers(variant, image_size, batch_size=batch_size, dtype=dtype, device=device)
    how = "TINYALEX_FAST=0, or ta.set_fast(False) in Python"
    state = "To turn fast paths off" if switch.enabled else "Fast paths are off"
    return f"{variant}: batches of {batch_size}, {dtype}, {device}\n{table}\n{state}: {how}"


def models_table(image_size: int | None = None) -> str:
    """All variants side by side: outputs of layers, what follows each, and totals."""
    with nn.init.skipped():
        return side_by_side(alexnet(variant, image_size=image_size) for variant in VARIANTS)


def side_by_side(networks: Iterable[AlexNet]) -> str:
    """The table of the networks, one column each."""
    columns = [_column(model) for model in networks]
    labels = list(columns[0])
    label_width = max(map(len, labels))
    widths = [max(map(len, column.values())) + 1 for column in columns]
    lines = [
        f"{label:<{label_width}}"
        + "".join(f"{c[label]:>{width}}" for c, width in zip(columns, widths, strict=True))
        for label in labels
    ]
    return "\n".join([*lines, "", LEGEND])


def _column(model: AlexNet) -> dict[str, str]:
    """The cells of a network, from top to bottom."""
    steps = outline(model)
    blocks: list[list[Step]] = [[]]
    for step in steps:
        if isinstance(step.module, (nn.Conv2d, nn.Linear)):
            blocks.append([])
        blocks[-1].append(step)
    cells = {"": model.variant}
    for layer, block in zip(LAYERS, blocks, strict=True):
        is_image = layer == "image"
        cells[layer] = _shape(steps[0].input_shape if is_image else block[0].shape)
        if layer != "fc8":
            following = block if is_image else block[1:]
            letters = (LETTERS.get(type(step.module), "D") for step in following)
            cells[f"  after {layer}"] = "".join(letters) or "-"
        if layer in ("conv1", "conv2", "conv5"):
            maps = [step.shape for step in block if len(step.shape) == 3]
            cells[f"  pooled {layer}"] = _shape(maps[-1])
    groups = (step.module.groups for step in steps if isinstance(step.module, nn.Conv2d))
    cells["groups"] = str(max(groups))
    cells["parameters"] = f"{sum(p.size for p in model.parameters()):,}"
    cells["multiply-adds"] = f"{sum(step.multiply_adds for step in steps) / 1e6:,.1f}"
    return cells


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
