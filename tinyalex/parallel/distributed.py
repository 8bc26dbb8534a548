"""A network of which each process has a section of the parameters."""

from collections.abc import Collection

import numpy as np

from tinyalex import device
from tinyalex.kernels.geometry import Shape
from tinyalex.nn import Module, Sequential
from tinyalex.nn.partitioned import Partitioned, Section
from tinyalex.parallel.communicator import Communicator


class DistributedNetwork(Partitioned, Sequential):
    """A chain of layers, some of which are divided between processes.

    `state_dict` is a collective operation. It returns the whole network's on rank 0 of
    `comm`, {} on the others.

    layers     with this rank's section of the parameters
    divided    the names of the layers that are divided; each rank has all of the others
    shapes     of the whole network's parameters
    comm       the ranks between which layers are divided
    is_merged  whether these ranks have to return a state; False: {} on all
    """

    def __init__(
        self,
        layers: dict[str, Module],
        divided: Collection[str],
        shapes: dict[str, Shape],
        comm: Communicator,
        is_merged: bool,
    ) -> None:
        super().__init__(layers)
        self.comm, self.is_merged = comm, is_merged
        names = [name for name, _ in self.named_parameters()]
        self.divided = {name for name in names if name.rpartition(".")[0] in divided}
        self.sections: dict[str, Section] = {}
        for name in names:
            total = shapes[name][0]
            own = (
                device.section(total, comm.rank, comm.size) if name in self.divided else (0, total)
            )
            self.sections[name] = Section(name, *own, total)
        self.to(comm.device)

    def merge(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        comm = self.comm
        divided = [name for name in arrays if name in self.divided]
        if self.is_merged and comm.rank > 0:
            for name in divided:
                comm.host.send(np.ascontiguousarray(arrays[name]), 0)
        if not self.is_merged or comm.rank > 0:
            return {}
        whole = super().merge(arrays)
        for name in divided:
            for source in range(1, comm.size):
                start, stop = device.section(len(whole[name]), source, comm.size)
                comm.host.receive(whole[name][start:stop], source)
        return whole
