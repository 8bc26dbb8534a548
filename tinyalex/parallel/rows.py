"""A network of which each process has some rows of the parameters."""

import numpy as np

from tinyalex.device import section
from tinyalex.kernels.geometry import Shape
from tinyalex.nn import Module, Sequential
from tinyalex.nn.partitioned import Partitioned, Rows
from tinyalex.parallel.communicator import Communicator


class DistributedRows(Partitioned, Sequential):
    """A chain of layers with this rank's rows of each parameter, or with all of them.

    `state_dict` is a collective operation. It returns the whole network's on rank 0 of
    `comm`, {} on the others.

    layers     this rank's
    shapes     of the whole network's parameters
    comm       the ranks between which rows are divided
    is_merged  whether this group of ranks has to return a state; False: {} on all
    """

    def __init__(
        self,
        layers: dict[str, Module],
        shapes: dict[str, Shape],
        comm: Communicator,
        is_merged: bool,
    ) -> None:
        super().__init__(layers)
        self.comm, self.is_merged = comm, is_merged
        self.rows: dict[str, Rows] = {}
        for name, p in self.named_parameters():
            total = shapes[name][0]
            bounds = (0, total) if len(p) == total else section(total, comm.rank, comm.size)
            self.rows[name] = Rows(name, *bounds, total)
        self.to(comm.device)

    def merge(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if not self.is_merged:
            return {}
        whole = super().merge(arrays)
        for name, array in arrays.items():
            total = self.rows[name].total
            if len(array) == total:
                continue
            if self.comm.rank > 0:
                self.comm.host.send(np.ascontiguousarray(array), 0)
                continue
            for source in range(1, self.comm.size):
                start, stop = section(total, source, self.comm.size)
                self.comm.host.receive(whole[name][start:stop], source)
        return whole if self.comm.rank == 0 else {}
