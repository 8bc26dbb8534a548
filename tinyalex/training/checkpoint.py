"""Checkpoints: all that a training run needs to resume, in one safetensors file."""

import os
from dataclasses import asdict
from typing import Any

import numpy as np

from tinyalex import device, serialization
from tinyalex.kernels.geometry import Shape
from tinyalex.nn import Module
from tinyalex.nn.partitioned import Partitioned
from tinyalex.optim import SGD, GradScaler, Optimizer
from tinyalex.optim.lr_scheduler import Scheduler
from tinyalex.training.checkpoint_contents import ENTRIES, mismatches
from tinyalex.training.history import CHECKPOINT
from tinyalex.training.progress import Epoch, Progress

DATA_DIGEST = "pictures"
"""The option of a run that is a hash of its images. Earlier checkpoints may lack it."""


class Run:
    """The state of a training run.

    Random numbers depend only on seed and step: a run that is stopped and resumed ends
    with the same weights, bit for bit.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        scheduler: Any,
        options: dict[str, Any] | None,
        defaults: dict[str, Any] | None = None,
        scaler: GradScaler | None = None,
    ) -> None:
        if isinstance(model, Partitioned) and not isinstance(optimizer, SGD):
            raise ValueError(
                f"Trainer: a network whose parameters are divided is trained with optim.SGD, got "
                f"{type(optimizer).__name__}. Use SGD, or --parallel data."
            )
        if isinstance(model, Partitioned) and scaler is not None and scaler.is_enabled():
            raise ValueError(
                "Trainer: a network whose parameters are divided is trained without a GradScaler: "
                "each part has gradients of its own that may not be finite."
            )
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
        self.options, self.defaults = options or {}, defaults or {}
        self.scaler = scaler or GradScaler(enabled=False)
        self.progress = Progress()
        self.log: list[Epoch] = []
        self.best: dict[str, np.ndarray] = {}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint contains."""
        return {
            "seed": device.seed(),
            "model": self.model.state_dict(),
            "best": self.best,
            "optimizer": self._optimizer_state(),
            "scaler": self.scaler.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler is not None else None,
            "progress": asdict(self.progress),
            "log": [asdict(line) for line in self.log],
            "options": self.options,
            "defaults": self.defaults,
        }

    def load_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Restore the state from a checkpoint.

        Raises serialization.DamagedFileError if the file is damaged, ValueError if it
        is from a run with other options or another network, and names them; then the
        state has not changed.
        """
        state = serialization.load(path)
        if not isinstance(state, dict) or not ENTRIES & state.keys():
            raise ValueError(
                f"resume: expected a checkpoint ({CHECKPOINT}), but {str(path)!r} is "
                "another file, perhaps of weights only."
            )
        wrong = [f"{name} is missing" for name in ENTRIES - state.keys()]
        if not wrong and not isinstance(state["options"], dict):
            wrong = ["options is not a dict"]
        if not wrong:
            self._check_options(path, state["options"], state.get("defaults"))
            wrong = mismatches(
                state,
                self.model.state_shapes(),
                self._array_shapes(),
                self.optimizer.values(),
                # One of the user's own may have any state.
                self.scheduler.state_dict() if isinstance(self.scheduler, Scheduler) else None,
                self.scaler.state_dict(),
            )
        if wrong:
            lines = sorted(wrong)[:20] + [f"and {len(wrong) - 20} more"] * (len(wrong) > 20)
            raise ValueError(
                f"resume: {str(path)!r} is not a checkpoint of this run:\n  " + "\n  ".join(lines)
            )
        device.manual_seed(state["seed"])
        self.best = state["best"]
        self.model.load_state_dict(state["model"])
        self._load_optimizer(state["optimizer"])
        self.scaler.load_state_dict(state.get("scaler", {}))
        if self.scheduler is not None and state["scheduler"] is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self.progress = Progress(**state["progress"])
        self.log = [Epoch(**line) for line in state["log"]]

    def _check_options(
        self, path: str | os.PathLike[str], before: dict[str, Any], defaults: Any
    ) -> None:
        """Raises ValueError for a checkpoint of a run with other options."""
        changed = [
            f"{name} was {before.get(name)!r}, now {value!r}"
            for name, value in self.options.items()
            if before.get(name) != value and (name in before or name != DATA_DIGEST)
        ]
        if changed:
            data = defaults.get("data") if isinstance(defaults, dict) else None
            is_moved = data is not None and data != self.defaults.get("data")
            moved = f" They were from {data!r:.200}." if is_moved else ""
            has_other_images = any(line.startswith(f"{DATA_DIGEST} was ") for line in changed)
            note = f"({DATA_DIGEST}: a hash of the data set, whose images have changed.{moved})\n"
            raise ValueError(
                f"resume: {str(path)!r} is from a run with other options: {'; '.join(changed)}.\n"
                f"{note if has_other_images else ''}"
                "Give the same options, or start a new run in another folder (--output)."
            )

    def _optimizer_state(self) -> dict[str, Any]:
        """The optimizer's state, with velocities of the whole network's parameters."""
        state = self.optimizer.state_dict()
        if isinstance(self.model, Partitioned):
            state["velocity"] = [
                list(self.model.merge(dict(zip(names, velocities, strict=True))).values())
                for names, velocities in zip(self._group_names(), state["velocity"], strict=True)
            ]
        return state

    def _load_optimizer(self, state: dict[str, Any]) -> None:
        if isinstance(self.model, Partitioned):
            sections = self.model.sections
            groups = [
                dict(zip(names, velocities, strict=True))
                for names, velocities in zip(self._whole_names(), state["velocity"], strict=True)
            ]
            state = state | {
                "velocity": [
                    [sections[name].of(group[sections[name].name]) for name in names]
                    for names, group in zip(self._group_names(), groups, strict=True)
                ]
            }
        self.optimizer.load_state_dict(state)

    def _array_shapes(self) -> dict[str, list[list[Shape]]]:
        """The shapes of the optimizer's arrays in a checkpoint."""
        if isinstance(self.model, Partitioned):
            shapes = self.model.state_shapes()
            whole = [[shapes[name] for name in names] for names in self._whole_names()]
            return {"velocity": whole}
        return {
            name: [[a.shape for a in group] for group in getattr(self.optimizer, name)]
            for name in self.optimizer.arrays
        }

    def _group_names(self) -> list[list[str]]:
        """The names of the parameters in each of the optimizer's groups."""
        names = {id(p): name for name, p in self.model.named_parameters()}
        return [[names[id(p)] for p in group["params"]] for group in self.optimizer.param_groups]

    def _whole_names(self) -> list[list[str]]:
        """The names in the whole network of the parameters in each group."""
        assert isinstance(self.model, Partitioned)
        sections = self.model.sections
        return [
            list(dict.fromkeys(sections[name].name for name in names))
            for names in self._group_names()
        ]
