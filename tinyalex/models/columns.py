"""Networks with columns, each on a device of its own (section 3.5)."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from tinyalex import device as devices
from tinyalex import functional as F
from tinyalex.device import Array
from tinyalex.nn import Sequential
from tinyalex.nn.partitioned import Partitioned, Section, column_segments
from tinyalex.tensor import Tensor, wrap


class Columns(Partitioned):
    """A network whose columns are on several devices.

    Each device holds the parameters and the activations of one column. The columns
    exchange activations where `column_segments` says, and nowhere else; the output is
    on the first device.

    network  a Sequential with as many columns as there are devices
    devices  "cpu", "cuda:0", ...; a device may be given twice

    Raises ValueError for other numbers of columns, and as `column_segments` does.
    """

    def __init__(self, network: Sequential, devices_of_columns: Sequence[str]) -> None:
        self.devices = tuple(map(devices.check, devices_of_columns))
        count = len(self.devices)
        if count < 2:
            raise ValueError(
                f"devices: expected one for each of at least two columns, got {count}. "
                "Give for example ('cuda:0', 'cuda:1')."
            )
        segments = [column_segments(network, column, count) for column in range(count)]
        self.columns = [
            Sequential({name: layer for segment in column for name, layer in segment.items()})
            for column in segments
        ]
        for column, name in zip(self.columns, self.devices, strict=True):
            column.to(name)
        # Lists of lists: their layers are submodules as layers of the columns.
        self.segments = [
            list(map(Sequential, parallel)) for parallel in zip(*segments, strict=True)
        ]
        totals = network.state_shapes()
        self.sections = {
            f"columns.{i}.{name}": Section(
                name, *devices.section(totals[name][0], i, count), totals[name][0]
            )
            for i, column in enumerate(self.columns)
            for name in column.state_shapes()
        }

    def forward(self, x: Any) -> Tensor:
        x = wrap(x)
        inputs = [x.to(name) for name in self.devices]
        *segments, last = self.segments
        for parallel in segments:
            outputs = self._run(parallel, inputs)
            inputs = [F.cat([y.to(name) for y in outputs], 1) for name in self.devices]
        return F.cat([y.to(self.devices[0]) for y in self._run(last, inputs)], 1)

    def _run(self, parallel: list[Sequential], inputs: list[Tensor]) -> list[Tensor]:
        """The outputs of a segment of each column."""
        outputs = []
        for i, (segment, x) in enumerate(zip(parallel, inputs, strict=True)):
            is_last = i == len(parallel) - 1
            # A dropout has the same mask in each column: that of the whole network.
            with nullcontext() if is_last else devices.same_draws():
                outputs.append(segment(x))
        return outputs

    def _change(self, target: Any) -> Callable[[Array], Array]:
        """Raises ValueError for a device: each column has one."""
        if isinstance(target, str) and target.split(":")[0] in ("cpu", "cuda", "auto"):
            raise ValueError(
                f"{type(self).__name__}.to: expected a floating dtype, got {target!r}. The columns "
                f"are on {', '.join(self.devices)}; build the network on other devices instead."
            )
        return super()._change(target)
