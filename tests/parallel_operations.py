"""Run under mpirun: each operation of a Communicator, compared with NumPy.

python parallel_operations.py DEVICE
"""

import sys

import numpy as np

import tinyalex as ta
from tinyalex import device, parallel
from tinyalex.cli import training_scripts
from tinyalex.function import Function


class Own(Function):
    """This rank's part of an input that all ranks have. Its gradient is gathered."""

    def forward(self, x, *, comm):
        self.comm, self.counts = comm, comm.sections(x.shape[1])
        start = sum(self.counts[: comm.rank])
        return x[:, start : start + self.counts[comm.rank]]

    def backward(self, dy):
        return parallel.Gather.apply(dy, comm=self.comm, channels=self.counts, replicated=True)


def check_operations(world, dtype):
    k, rank = world.size, world.rank
    everything = np.random.default_rng(0).standard_normal((k, 1001)).astype(dtype)
    total = everything[0].copy()
    for row in everything[1:]:  # in the order of the ranks
        total += row
    counts = world.sections(1001)
    ends = np.cumsum(counts)
    own = slice(ends[rank] - counts[rank], ends[rank])
    by_rank = np.repeat(np.arange(k), counts)

    def run(operation, *arguments, background=False):
        x = device.to(everything[rank].copy(), world.device)
        if background:
            world.start(operation, x, *arguments)()
        else:
            getattr(world, operation)(x, *arguments)
        return device.to_numpy(x)

    for background in (False, True):
        exactly = {"background": background}
        assert (run("all_reduce", **exactly) == total).all()
        assert (run("reduce_scatter", counts, **exactly)[own] == total[own]).all()
        gathered = everything[by_rank, np.arange(1001)]
        assert (run("all_gather", counts, **exactly) == gathered).all()
        for root in range(k):
            assert (run("broadcast", root, **exactly) == everything[root]).all()
            expected = total if rank == root else everything[rank]
            assert (run("reduce", root, **exactly) == expected).all()
    if rank < 2:
        operation = "send" if rank == 0 else "receive"
        assert (run(operation, 1 - rank) == everything[0]).all()
    assert world.gather_objects(rank) == list(range(k))
    odd = world.split(rank % 2)
    x = device.to(np.full(3, rank, dtype), world.device)
    odd.all_reduce(x)
    assert (device.to_numpy(x) == sum(range(rank % 2, k, 2))).all()


def check_gradients(world):
    """A function of an input that all ranks have, computed by all of them together."""
    rng = np.random.default_rng(1)
    x = ta.Tensor(rng.standard_normal((2, 2 * world.size + 1, 3)), device=world.device)
    own_weights = np.random.default_rng(world.rank).standard_normal((world.size, 2, x.shape[1], 3))
    weights = ta.Tensor(own_weights[world.rank], device=world.device)
    one_each = [1] * world.size

    def f(x):
        gathered = parallel.Gather.apply(
            Own.apply(x, comm=world),
            comm=world,
            channels=world.sections(x.shape[1]),
            replicated=False,
        )
        # A different function of the gathered channels on each rank.
        own = (gathered * gathered * weights).sum(axis=1, keepdims=True)
        return parallel.Gather.apply(own, comm=world, channels=one_each, replicated=True)

    report = ta.gradcheck(f, [x])
    assert report.ok


def main():
    world = parallel.connect(sys.argv[1])
    for dtype in ("float32", "float64"):
        check_operations(world, dtype)
    check_gradients(world)
    print(f"rank {world.rank} of {world.size} on {world.device}: ok", file=sys.stderr)
    return 0


if __name__ == "__main__":
    training_scripts.run(main)
