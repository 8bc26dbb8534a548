"""Convolutions by im2col and by implicit GEMM: recorded work of both, and its time;
and what the columns of im2col cost.

The bytes are those of the launches (recorded_step.py): each array once, so that
implicit GEMM, whose blocks read x again for each tile of filters, is assumed to find it
in a cache. The operations of its kernels are those of im2col's matrix
multiplications; the products with 0 in the dx of a convolution with a stride are not
counted. The kernels use no tensor cores: their ceiling is that of float32 in every
precision.
"""

import math
from collections.abc import Collection
from dataclasses import replace
from itertools import pairwise
from typing import Any

from gpu_cards import LAUNCH_SECONDS, Card
from recorded_step import Row

KERNELS = ("conv2d", "conv2d_input_grad", "conv2d_weight_grad")
"""Those that multiply matrices in implicit GEMM."""

COLUMN_KERNELS = ("im2col", "gemm", "col2im")
"""Those that read or write the columns, once each."""

L2_SHARE = 0.5
"""Of the L2 cache, for columns that are to stay in it."""


def compared(
    im2col: list[Row], implicit: list[Row], card: Card, precision: str
) -> list[dict[str, Any]]:
    """Of each pass of a convolution, from the rows of one step in both forms:
    {"layer", "pass", "flop", "bytes": [im2col, implicit], "seconds": [...]}. Both
    include the normalization after a convolution."""
    by_pass = {(row.layer, row.which): row for row in im2col}
    found = []
    for row in _joined(implicit, by_pass):
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


def _joined(rows: list[Row], known: Collection[tuple[str, str]]) -> list[Row]:
    """The rows, in which layers that `known` lacks are a part of the convolution: the
    normalization after it, which im2col's kernels compute too."""
    joined: list[Row] = []
    before: list[Any] = []
    for row in rows:
        if (row.layer, row.which) in known:
            joined.append(Row(row.layer, row.which, [*before, *row.work]))
            before = []
        elif row.which == "forward":
            joined[-1].work += row.work
        else:
            before = [*before, *row.work]
    return joined


def columns(
    network: dict[str, Any], batch: int, im2col: list[Row], card: Card, precision: str
) -> list[dict[str, Any]]:
    """Of each convolution, forward and backward: {"layer", "bytes", "moved_bytes",
    "seconds", "cached_seconds", "tiles", "host_seconds"}.

    bytes           of the columns of a batch, which the kernels move several times
    cached_seconds  those of the GPU if none of these bytes passed through its memory
    tiles           of the batch, so that their columns stay in L2
    host_seconds    of the launches of all tiles
    """
    found = []
    for layer in network["layers"]:
        work = [w for row in im2col if row.layer == layer["name"] for w in row.work]
        if layer["kind"] != "conv":
            continue
        users = [w for w in work if _kernel(w) in COLUMN_KERNELS]
        size = 2 if any(w.dtype == "float16" for w in users) else 4
        size *= batch * layer["in"] * layer["kernel"] ** 2 * math.prod(layer["shape"][1:])
        cached = [replace(w, bytes=w.bytes - size) if w in users else w for w in work]
        tiles = math.ceil(size / (L2_SHARE * card.l2))
        found.append(
            {
                "layer": layer["name"],
                "bytes": size,
                "moved_bytes": len(users) * size,
                "seconds": card.seconds(work, precision),
                "cached_seconds": card.seconds(cached, precision),
                "tiles": tiles,
                "host_seconds": tiles * len(work) * LAUNCH_SECONDS,
            }
        )
    return found


def norm_with_pooling(
    network: dict[str, Any], batch: int, rows: list[Row], card: Card
) -> list[dict[str, Any]]:
    """What a kernel of a normalization and the pooling after it would save, at most, of
    each: {"layer", "bytes", "seconds", "uses"}.

    bytes  of the normalized maps and their gradient, each of which is written by one
           kernel and read by the other
    uses   the windows to which an element belongs, each of which would normalize it
    """
    found = []
    for norm, pool in pairwise(network["layers"]):
        if norm["kind"] != "lrn" or pool["kind"] != "max_pool":
            continue
        work = [w for row in rows if row.layer == pool["name"] for w in row.work]
        size = 2 if any("__half" in w.name for w in work) else 4
        size *= 4 * batch * math.prod(norm["shape"])
        found.append(
            {
                "layer": f"{norm['name']} + {pool['name']}",
                "bytes": size,
                "seconds": size / card.bandwidth,
                "uses": (pool["kernel"] / pool["stride"]) ** 2,
            }
        )
    return found


def _is_product(work: Any) -> bool:
    return _kernel(work) in KERNELS


def _kernel(work: Any) -> str:
    return work.name.partition("<")[0]
