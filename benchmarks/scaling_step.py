#!/usr/bin/env python3
"""Measure training steps in several processes, and print JSON.

    mpirun -n 2 python benchmarks/scaling_step.py data paper --batch 128

scaling.py runs this for each scheme and number of processes in each round. Times are
those of rank 0; `sent_bytes` has the bytes that each rank sent in a step.
"""

import argparse
import json
import time

import contender
import numpy as np

from tinyalex import device, optim, parallel
from tinyalex.parallel.cost.measurements import build


def main() -> None:
    args = arguments()
    world = parallel.connect("cpu")
    network, image_shape = build(args.variant, args.image_size)
    scheme = parallel.distribute(network, args.scheme, world)
    optimizer = optim.SGD(scheme.model.parameters(), **contender.SETTINGS)
    part, parts = scheme.shard
    first, last = part * args.batch // parts, (part + 1) * args.batch // parts
    rng = np.random.default_rng(part)
    images = rng.standard_normal((last - first, *image_shape), dtype=np.float32)
    labels = rng.integers(0, 10, last - first)
    scheme.model.train()

    def step(number: int) -> None:
        device.set_step(number)
        optimizer.zero_grad()
        scheme.compute_gradients(images, labels)
        optimizer.step()

    began = time.perf_counter()
    step(0)  # allocates memory
    step(1)
    lasted = time.perf_counter() - began
    # All ranks run the same number of steps.
    count = world.gather_objects(max(args.steps, round(2 * args.seconds / lasted)))[0]
    sent = world.sent_bytes
    seconds = []
    for number in range(2, 2 + count):
        began = time.perf_counter()
        step(number)
        seconds.append(time.perf_counter() - began)
    sent_bytes = world.gather_objects((world.sent_bytes - sent) / count)
    if world.rank == 0:
        print(json.dumps({"seconds": seconds, "sent_bytes": sent_bytes}))


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("scheme", choices=parallel.SCHEMES)
    p.add_argument("variant", help="one of models.VARIANTS, cifar-quick or cifar-alexnet")
    p.add_argument("--image-size", type=int)
    p.add_argument("--batch", type=int, default=128, help="images in a step, of all processes")
    p.add_argument("--seconds", type=float, default=3.0, help="time steps for this long")
    p.add_argument("--steps", type=int, default=3, help="time at least this many steps")
    return p.parse_args()


if __name__ == "__main__":
    main()
