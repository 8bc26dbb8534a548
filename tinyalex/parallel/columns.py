"""The two columns of a network in processes of their own (section 3.5)."""

from tinyalex.nn import Sequential
from tinyalex.nn.partitioned import column_segments
from tinyalex.parallel.communicator import Communicator
from tinyalex.parallel.data import DataParallel
from tinyalex.parallel.distributed import DistributedNetwork
from tinyalex.parallel.exchange import with_exchanges

COLUMNS = 2


def check_columns(world: Communicator) -> None:
    """Raises ValueError if the columns cannot be divided between the ranks."""
    if world.size % COLUMNS:
        raise ValueError(
            f"columns: expected an even number of processes, one for each of {COLUMNS} columns, "
            f"got {world.size}. Start for example mpirun -n 2."
        )


class ColumnParallel(DataParallel):
    """Each rank has one column of the network, and its parameters only.

    The columns exchange activations where `nn.partitioned.column_segments` says, and
    the gradients of these exchanges. With 2*R ranks, R pairs have a copy of the network
    each, and divide the batches as in DataParallel.

    Raises ValueError for an odd number of ranks, and as `column_segments` does.
    """

    def __init__(self, network: Sequential, world: Communicator) -> None:
        check_columns(world)
        pair = world.split(world.rank // COLUMNS)
        replicas = world.split(world.rank % COLUMNS)
        layers = with_exchanges(column_segments(network, pair.rank, COLUMNS), pair)
        shapes, is_merged = network.state_shapes(), replicas.rank == 0
        model = DistributedNetwork(layers, layers, shapes, pair, is_merged)
        super().__init__(model, world, replicas)
