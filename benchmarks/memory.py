#!/usr/bin/env python3
"""What uses the memory of a training step?

    python benchmarks/memory.py --variant torchvision --batch 128

Runs two training steps and inspects a third between forward and backward, when most
memory is in use: parameters, their velocities, the arrays that each kind of operation
stores for its backward pass (shared memory counts for the first), the scratch memory of
the workers, and the idle memory of the pool. Also reports the peak of the process
(`ru_maxrss`).
"""

import argparse
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import machine
import networks
import numpy as np
import report
from alexnet_step import positive

from tinyalex import device, optim
from tinyalex import functional as F
from tinyalex.kernels.cpu import memory_pool


def main() -> int:
    args = arguments()
    before = peak()
    model, image = networks.build(args.variant)
    for p in model.parameters():
        p.data.fill(0.01)
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=0.0005)
    rng = np.random.default_rng(0)
    x, labels = (
        rng.standard_normal((args.batch, *image)).astype("f"),
        rng.integers(0, 10, args.batch),
    )
    for step in range(3):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), labels)
        if step < 2:
            loss.backward()
            optimizer.step()
    seen: set[int] = set()
    sizes = {
        "Python and its libraries": before,
        "images": new_bytes([x], seen),
        "parameters": new_bytes([p.data for p in model.parameters()], seen),
        "velocities": new_bytes([v for group in optimizer.velocity for v in group], seen),
    }
    for node in graph(loss):
        kind = f"kept by {type(node).__name__}"
        sizes[kind] = sizes.get(kind, 0) + new_bytes(list(arrays_of(vars(node))), seen)
    scratch = device.for_tiles(
        np.zeros(device.workers()),
        0,
        lambda lo, hi, s: np.array([sum(b.size for b in s.buffers.values())]),
    )
    sizes["scratch of the workers"] = int(scratch[0])
    sizes["idle in the memory pool"] = sum(
        idle.size for idle in (*memory_pool._pool.idle, *memory_pool._pool.returned)
    )
    sizes["peak of the process"] = peak()
    rows = [
        [name, f"{size / 2**20:.0f} MB"]
        for name, size in sizes.items()
        if size >= 2**20 or name == "images"
    ]
    table = report.table(["what", "memory"], rows)
    title = f"## Memory of {args.variant}, batch {args.batch}"
    text = f"{title}\n\n{machine.as_text(machine.describe())}\n\n{table}"
    print(text)
    report.write_json(
        args.output, args.name, {"variant": args.variant, "batch": args.batch, "bytes": sizes}
    )
    report.write_text(args.output, args.name, text)
    return 0


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def graph(root: Any) -> Iterator[Any]:
    """The Functions in the graph of a tensor, each once."""
    found, to_visit = {root.creator}, [root.creator]
    while to_visit:
        node = to_visit.pop()
        yield node
        new = {
            source.creator
            for source in node.inputs
            if source is not None and source.creator is not None
        } - found
        found |= new
        to_visit += new


def arrays_of(value: Any) -> Iterator[np.ndarray]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from arrays_of(each)
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from arrays_of(each)


def new_bytes(arrays: list[np.ndarray], seen: set[int]) -> int:
    """Bytes of the arrays' memory that have not been counted before."""
    total = 0
    for a in arrays:
        while isinstance(a.base, np.ndarray):
            a = a.base
        if id(a) not in seen:
            seen.add(id(a))
            total += a.nbytes
    return total


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variant", default="torchvision", choices=networks.VARIANTS)
    parser.add_argument("--batch", type=positive, default=128)
    parser.add_argument(
        "--output", type=Path, default=report.RESULTS, help="folder for the table and the JSON"
    )
    parser.add_argument("--name", help="name of the files; default: memory-VARIANT-BATCH")
    args = parser.parse_args()
    args.name = args.name or f"memory-{args.variant}-{args.batch}"
    args.output.mkdir(parents=True, exist_ok=True)
    return args


if __name__ == "__main__":
    sys.exit(main())
