"""The GPU work of one training step by layer, recorded on an emulated GPU.

Needs CuPy and g++, but no GPU. Call `install` before anything imports CuPy.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import networks
import numpy as np
from layer_passes import LayerPasses

from tinyalex import data, device, nn, optim, training
from tinyalex.kernels.cuda import launching, selection, source_files
from tinyalex.kernels.fast_paths import fast, switch

Launched = Callable[..., None]
"""Called with the work, source, file, name, grid, block and arguments of each of our
kernels."""

PASSES = ("forward", "backward")

DATA = "data"
"""The transform of a batch of bytes on the GPU: crops of 224 x 224 pixels of 256 x 256,
or of 32 x 32 with a padding."""

UPDATE = "update"
OTHER = "other"
"""The work besides: the errors of the batch, sums of gradients where a tensor is used
twice, and a copy of the factor of the loss in half precision."""

UPDATE_PASSES = {"sgd_update": 5, "find_not_finite": 1}
"""The arrays as large as the parameters that a kernel of the update reads or writes:
SGD with momentum reads w, gradient and velocity, and writes w and velocity."""

IN_PLACE = ("bias_relu", "bias_relu_dropout", "update_loss_scale")
"""Kernels that read the arrays that they write."""

MEMORY_GIB = 80
"""Of the emulated GPU: that of the largest card in gpu_cards.py."""


@dataclass
class Row:
    """The work of one pass of a layer, in order of submission."""

    layer: str
    which: str
    work: list[Any] = field(default_factory=list)

    @property
    def launches(self) -> int:
        return len(self.work)

    @property
    def gemms(self) -> int:
        return sum(w.name == "gemm" for w in self.work)

    @property
    def flop(self) -> int:
        return sum(w.flop for w in self.work)

    @property
    def bytes(self) -> int:
        return sum(w.bytes for w in self.work)


def install() -> None:
    """Emulate GPUs with enough memory for any network that fits a card."""
    os.environ.setdefault("TINYALEX_EMULATOR_MEMORY_GIB", str(MEMORY_GIB))
    from tinyalex import emulator

    if not emulator.is_installed():
        emulator.install()
    device.check("cuda")  # computes, which is not done while work is recorded only


def record(
    network: dict[str, Any],
    batch: int,
    *,
    kind: str = "float32",
    convolution: str = "im2col",
    launched: Launched = lambda *launch: None,
) -> list[Row]:
    """The rows of a step of `training.Trainer` with SGD with momentum.

    kind         one of PRECISIONS
    convolution  "im2col" or "implicit"

    Nothing is computed: which kernels are launched, on arrays of which sizes, does not
    depend on values.
    """
    from tinyalex import emulator

    model, image = networks.build(network["variant"])
    with emulator.recording(execute=False) as work, _convolution(convolution):
        model.to("cuda").train()
        pixels, augment = _data(batch, image)
        labels = device.to(np.zeros(batch, np.int64), "cuda")
        optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        scheme = training.Scheme(model, "cuda")
        scheme.scaler = optim.GradScaler(enabled=kind == "half")

        def update() -> None:
            scheme.scaler.step(optimizer)
            scheme.scaler.update()

        # The first step also copies the rates to the GPU.
        scheme.compute_gradients(augment(pixels, epoch=0, first=0), labels)
        update()
        work.clear()
        with _sized_kernels(work, launched), _RecordedPasses(model, work) as rows:
            images = rows.observe(DATA, 0, lambda: augment(pixels, epoch=0, first=0))
            optimizer.zero_grad()
            scheme.compute_gradients(images, labels)
            rows.observe(UPDATE, 1, update)
    found = list(rows.by_pass.values())
    of_rows = {id(w) for row in found for w in row.work}
    if rest := [w for w in work if id(w) not in of_rows]:
        found.append(Row(OTHER, PASSES[1], rest))
    _set_update_bytes(found, model)
    return found


def _data(batch: int, image: tuple[int, ...]) -> tuple[Any, data.Augment]:
    stored = 256 if image[1] == 224 else image[1]
    augment = data.Augment(np.zeros(3, "f"), size=None if stored == image[1] else image[1])
    return device.to(np.zeros((batch, 3, stored, stored), np.uint8), "cuda"), augment


@contextmanager
def _convolution(setting: str) -> Iterator[None]:
    """A context in which convolutions on the GPU use an algorithm, and no other."""
    before, selection.setting = selection.setting, setting
    try:
        with fast(switch.enabled or setting == "implicit"):
            yield
    finally:
        selection.setting = before


class _RecordedPasses(LayerPasses):
    """by_pass  {(layer, pass): row}"""

    def __init__(self, model: nn.Module, work: list[Any]) -> None:
        super().__init__(model)
        self.work = work
        self.by_pass: dict[tuple[str, int], Row] = {}

    def observe(self, layer: str, which: int, compute: Callable[[], Any]) -> Any:
        start = len(self.work)
        result = compute()
        if added := self.work[start:]:
            row = self.by_pass.setdefault((layer, which), Row(layer, PASSES[which]))
            row.work += added
        return result


@contextmanager
def _sized_kernels(work: list[Any], launched: Launched) -> Iterator[None]:
    """A context in which the work of our kernels has the bytes of their arrays: each
    once, or twice if the kernel reads and writes it.

    A pointer that a kernel does not use, such as that of a missing bias, has the
    address of another array: of arrays that are only read, one per address counts.
    """

    class Module:
        def __init__(self, source: str, file: str, names: tuple[str, ...]) -> None:
            self.source = source, file
            self.module = compile_(source, file, names)

        def get_function(self, name: str) -> Callable[..., None]:
            function = self.module.get_function(name)
            kernel = name.partition("<")[0]
            parameters = source_files.signatures(self.source[1])[kernel].parameters
            uses = 2 if kernel in IN_PLACE else 1

            def launch(grid: Any, block: Any, arguments: tuple[Any, ...]) -> None:
                function(grid, block, arguments)
                only_read, written = {}, 0
                for parameter, x in zip(parameters, arguments, strict=True):
                    if parameter.is_list:
                        continue  # of the update: see _set_update_bytes
                    if parameter.is_const:
                        only_read[x.data.ptr] = x.nbytes
                    elif parameter.is_array:
                        written += uses * x.nbytes
                work[-1] = replace(work[-1], bytes=sum(only_read.values()) + written)
                launched(work[-1], *self.source, name, grid, block, arguments)

            return launch

    compile_ = launching._load
    with launching.engine(Module):
        yield


def _set_update_bytes(rows: list[Row], model: nn.Module) -> None:
    """Those of the update, from the shapes: its kernel gets lists of arrays."""
    row = next(row for row in rows if row.layer == UPDATE)
    size = sum(p.data.nbytes for p in model.parameters())
    for kernel, passes in UPDATE_PASSES.items():
        of_kernel = [i for i, w in enumerate(row.work) if w.name.startswith(kernel)]
        for i in of_kernel:
            row.work[i] = replace(row.work[i], bytes=passes * size // len(of_kernel))
