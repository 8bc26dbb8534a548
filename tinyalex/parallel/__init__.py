"""Training with several processes, each with a device: MPI, and NCCL between GPUs.

    mpirun -n 4 python train_imagenet.py --parallel data ...

`connect` needs mpi4py and an MPI library: the extra mpi.
"""

from tinyalex.parallel.columns import ColumnParallel, check_columns
from tinyalex.parallel.communicator import Communicator
from tinyalex.parallel.cost import SCHEMES
from tinyalex.parallel.data import DataParallel
from tinyalex.parallel.exchange import Exchange, Gather
from tinyalex.parallel.hybrid import HybridParallel
from tinyalex.parallel.launch import connect, distribute, fail, main_first

__all__ = [
    "SCHEMES",
    "ColumnParallel",
    "Communicator",
    "DataParallel",
    "Exchange",
    "Gather",
    "HybridParallel",
    "check_columns",
    "connect",
    "distribute",
    "fail",
    "main_first",
]
