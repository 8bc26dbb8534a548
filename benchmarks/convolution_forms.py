"""Convolutions by im2col and by implicit GEMM: recorded work of both, and its time.

The bytes are those of the launches (recorded_step.py): each array once, so that
implicit GEMM, whose blocks read x again for each tile of filters, is assumed to find it
in a cache. The operations of its kernels are those of im2col's matrix products; the
products with 0 in the dx of a convolution with a stride are not counted. The kernels
use no tensor cores: their ceiling is that of float32 in every precision.
"""

from dataclasses import replace
from typing import Any

from gpu_cards import Card
from recorded_step import Row

KERNELS = ("conv2d", "conv2d_input_grad", "conv2d_weight_grad")
"""Those that multiply matrices in implicit GEMM."""


def compared(
    im2col: list[Row], implicit: list[Row], card: Card, precision: str
) -> list[dict[str, Any]]:
    """Of each pass of a convolution, from the rows of one step in both forms:
    {"layer", "pass", "flop", "bytes": [im2col, implicit], "seconds": [...]}."""
    by_pass = {(row.layer, row.which): row for row in im2col}
    found = []
    for row in implicit:
        products = [w for w in row.work if _is_product(w)]
        if not products:
            continue
        before = by_pass[row.layer, row.which]
        flop = before.flop // len(products)
        work = [replace(w, flop=flop) if _is_product(w) else w for w in row.work]
        found.append(
            {
                "layer": row.layer,
                "pass": row.which,
                "flop": before.flop,
                "bytes": [before.bytes, row.bytes],
                "seconds": [card.seconds(before.work, precision), card.seconds(work, "float32")],
            }
        )
    return found


def _is_product(work: Any) -> bool:
    return work.name.partition("<")[0] in KERNELS
