#!/usr/bin/env python3
"""What uses the memory of a training step?

    python benchmarks/memory.py --variant torchvision --batch 128

Runs two training steps and inspects a third between forward and backward: parameters,
their velocities, the arrays that each kind of operation stores for its backward pass
(shared memory counts for the first), the scratch memory that the workers keep, and the
idle memory of the pool, which the backward pass uses. Also reports the outputs of
operations whose memory has been reused, since no backward pass needs them, the most
that has been in use in the pool at once, and the peak of the process (`ru_maxrss`).
"""

import argparse
import resource
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import machine
import networks
import numpy as np
import report
from alexnet_step import positive
from contender import SETTINGS, initialize

from tinyalex import device, optim
from tinyalex import functional as F
from tinyalex.device import memory_pool
from tinyalex.function import Function, observer
from tinyalex.tensor import Tensor


def main() -> int:
    args = arguments()
    before = peak()
    model, image = networks.build(args.variant)
    rng = np.random.default_rng(0)
    for p in model.parameters():
        initialize(p.data, rng)
    optimizer = optim.SGD(model.parameters(), **SETTINGS)
    x, labels = (
        rng.standard_normal((args.batch, *image)).astype("f"),
        rng.integers(0, 10, args.batch),
    )
    outputs: list[tuple[weakref.ref, int]] = []
    for step in range(3):
        optimizer.zero_grad()
        observer.start = recorder(outputs) if step == 2 else None
        loss = F.cross_entropy(model(x), labels)
        if step < 2:
            loss.backward()
            optimizer.step()
    observer.start = None
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
    pool = memory_pool._pool
    pool.collect_returned()
    sizes["idle in the memory pool"] = pool.bytes_held - pool.bytes_in_use
    sizes["outputs that are not kept"] = sum(size for array, size in outputs if array() is None)
    sizes["most in use in the memory pool"] = pool.peak_bytes
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


def recorder(outputs: list[tuple[weakref.ref, int]]) -> Callable:
    """An observer that records each output which has memory of its own."""

    def start(function: Any, inputs: Any, options: Any) -> Callable[[Tensor], None]:
        before = {id(owner(x.data)) for x in inputs if isinstance(x, Tensor)}

        def finish(output: Tensor) -> None:
            if id(array := owner(output.data)) not in before:
                outputs.append((weakref.ref(array), output.data.nbytes))

        return finish

    return start


def graph(root: Tensor) -> Iterator[Function]:
    """The Functions in the graph of a tensor, each once."""
    found, to_visit = {root.creator}, [root.creator]
    while to_visit:
        node = to_visit.pop()
        yield node
        new = {source for source in node.inputs if isinstance(source, Function)} - found
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
    for a in map(owner, arrays):
        if id(a) not in seen:
            seen.add(id(a))
            total += a.nbytes
    return total


def owner(a: np.ndarray) -> np.ndarray:
    """The array that has the memory of `a`."""
    while isinstance(a.base, np.ndarray):
        a = a.base
    return a


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
