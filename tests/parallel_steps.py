"""Run under mpirun: trains in a parallel scheme and alone, and prints the differences.

python parallel_steps.py SCHEME NETWORK DTYPE DEVICE STEPS
"""

import itertools
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

import tinyalex as ta
from tinyalex import data, models, optim, parallel, serialization, training
from tinyalex.cli import training_scripts
from tinyalex.training.checkpoint import Run

LEARNING_RATE = 0.001
"""With 0.01 the first steps of this network are chaotic: after ten, float32 differs
from float64 in the second digit, in one process as in several."""

CLASSES = 5  # odd, and fewer than units: sections of logits differ in size


def network(name):
    ta.manual_seed(1)
    if name == "alexnet":
        return models.cifar("alexnet", CLASSES, column_lrn=True), 32
    options = {"column_lrn": True} if name == "paper" else {}
    return models.alexnet(name, CLASSES, 67, **options), 67


def images(size, count=15):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    return data.Dataset(pixels, rng.integers(0, CLASSES, count), tuple("abcde"))


def train(scheme, dtype, size, steps):
    """Two epochs and more, with augmentation; the last batch of an epoch is smaller."""
    scheme.model.to(dtype)
    groups = optim.paper_groups(scheme.model, LEARNING_RATE)
    optimizer = optim.SGD(groups, lr=LEARNING_RATE, momentum=0.9)
    options = {"device": scheme.device, "shard": scheme.shard}
    augment = data.Augment(np.full(3, 128), scale=1 / 64, padding=4)
    loader = data.Loader(images(size), 6, shuffle=True, transform=augment, **options)
    trainer = training.Trainer(
        scheme.model,
        optimizer,
        None,
        loader,
        loader,
        epochs=1,
        output="",
        metadata={},
        scheme=scheme,
    )
    batches = ((e, x, t) for e in range(steps) for x, t in loader.epoch(e))
    for _, x, t in itertools.islice(batches, steps):
        trainer.step(ta.Tensor(x).astype(dtype).data, t)
    trainer._read_results()
    sent = scheme.world.sent_bytes if isinstance(scheme, parallel.DataParallel) else 0
    test = data.Loader(
        images(size, 9), 4, transform=data.Normalize(np.full(3, 128), 1 / 64), **options
    )
    result = scheme.evaluate((ta.Tensor(x).astype(dtype).data, t) for x, t in test)
    return trainer.state_dict(), trainer.progress, result, sent


def reloaded(state, name, net, world):
    """The state after a checkpoint of it has been loaded by all ranks."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(world.gather_objects(folder)[0]) / "checkpoint.safetensors"
        if world.rank == 0:
            serialization.save(file, state)
        world.mpi.Barrier()
        scheme = parallel.distribute(network(net)[0].to("float64"), name, world)
        groups = optim.paper_groups(scheme.model, LEARNING_RATE)
        run = Run(scheme.model, optim.SGD(groups, lr=LEARNING_RATE, momentum=0.9), None, None)
        run.load_checkpoint(file)
        world.mpi.Barrier()
    return run.state_dict()


def differences(one, other):
    pairs = [(one[0]["model"][name], other[0]["model"][name]) for name in one[0]["model"]]
    velocities = [itertools.chain(*run[0]["optimizer"]["velocity"]) for run in (one, other)]
    return {
        "parameters": max(float(np.abs(a - b).max()) for a, b in pairs),
        "velocities": max(float(np.abs(a - b).max()) for a, b in zip(*velocities, strict=True)),
        "loss": abs(one[1].loss - other[1].loss),
        "counts": (one[1].wrong, one[1].images) == (other[1].wrong, other[1].images),
        "validation loss": abs(one[2].loss - other[2].loss),
        "confusion": bool((one[2].confusion == other[2].confusion).all()),
    }


def main():
    name, net, dtype, device_name, steps = sys.argv[1:]
    world = parallel.connect(device_name)
    model, size = network(net)
    scheme = parallel.distribute(model, name, world)
    held = sum(p.size for p in scheme.model.parameters())
    result = train(scheme, dtype, size, int(steps))
    sent = world.gather_objects(result[3])
    held = world.gather_objects(held)
    again = reloaded(result[0], name, net, world)
    if scheme.is_main:
        model, size = network(net)
        alone = training.Scheme(model.to(world.device), world.device)
        reference = train(alone, dtype, size, int(steps))
        found = differences(reference, result) | {"sent": sent, "held": held}
        same = differences(result, (again, *result[1:]))
        found["reloaded"] = max(same["parameters"], same["velocities"])
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    training_scripts.run(main)
