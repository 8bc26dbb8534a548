"""What optimizers share: groups of parameters with their options, and saved states."""

from collections.abc import Iterable
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from tinyalex import device
from tinyalex.device import Array
from tinyalex.tensor import Tensor


class ParameterIndex(NamedTuple):
    """Of a parameter: the index of its group, and its position in that group."""

    group: int
    position: int


class Optimizer:
    """Updates parameters from their gradients. A subclass defines `update` and `row`.

    params    tensors; or groups with their own options, dicts {"params": tensors,
              "lr": ..., ...}
    defaults  the options of groups that do not give them
    """

    arrays: tuple[str, ...] = ()
    """The attributes with an array for each parameter: a list for each group."""

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.name, self.defaults = type(self).__name__, defaults
        self.param_groups: list[dict[str, Any]] = []
        self._options: dict[tuple[str, np.dtype], tuple[np.ndarray, Array]] = {}
        self._chosen: dict[tuple[str, np.dtype], tuple[list[Tensor], list[ParameterIndex]]] = {}
        for name in self.arrays:
            setattr(self, name, [])
        if isinstance(params, Tensor):
            raise TypeError(f"{self.name}: expected a list of tensors, got one tensor. Give [w].")
        groups = list(params)
        if not groups:
            raise ValueError(
                f"{self.name}: got no parameters. Pass model.parameters(), or groups of them."
            )
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)
        if not any(p.requires_grad for group in self.param_groups for p in group["params"]):
            first = self.param_groups[0]["params"][:1]
            raise self._not_trainable(*first)

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Add a group of parameters, such as those of a layer that was frozen."""
        if "params" not in group:
            raise ValueError(
                f"{self.name}: a group needs the key 'params', got {', '.join(map(repr, group))}."
            )
        params = group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        group = {**self.defaults, **group, "params": params}
        self._check(group)
        self.param_groups.append(group)
        for name in self.arrays:
            getattr(self, name).append([_zeros_like(p) for p in params])

    def _check(self, group: dict[str, Any]) -> None:
        expected = list(self.defaults)
        if unknown := group.keys() - {"params", *expected}:
            raise ValueError(
                f"{self.name}: expected a group with params, {', '.join(expected[:-1])} and "
                f"{expected[-1]}, got also {', '.join(map(repr, sorted(unknown)))}."
            )
        for name in expected:
            values = group[name] if isinstance(group[name], (tuple, list)) else [group[name]]
            if not all(
                isinstance(value, (Real, Tensor)) or device.is_array(value) for value in values
            ):
                raise TypeError(f"{self.name}: {name} must be numeric, got {group[name]!r}.")
            if not all(value >= 0 for value in values):
                raise ValueError(f"{self.name}: {name} must be at least 0, got {group[name]!r}.")
        for p in group["params"]:
            if not isinstance(p, Tensor) or p.creator is not None:
                raise self._not_trainable(p)
        ids = [id(p) for g in (*self.param_groups, group) for p in g["params"]]
        if len(set(ids)) < len(ids):
            raise ValueError(
                f"{self.name}: a parameter is given twice, and each step would update it twice. "
                "Give each in one group."
            )

    def _not_trainable(self, p: Any = None) -> TypeError:
        what = type(p).__name__
        if isinstance(p, Tensor):
            reason = "does not require gradients" if p.is_leaf else "is the result of an operation"
            what = f"{what} of shape {p.shape} that {reason}"
        return TypeError(
            f"{self.name}: expected leaf tensors with requires_grad=True, got a {what}."
        )

    def step(self) -> None:
        """Update every parameter that has a gradient: on a GPU, in one launch for each
        dtype."""
        self.prepare()
        self.apply()

    @np.errstate(all="ignore")  # too high a rate causes overflow, which the loss shows
    def prepare(self) -> None:
        """The part of a step that a CUDA graph does not repeat: which parameters have a
        gradient, and their options, which are written to their devices."""
        self._chosen = {}
        for g, group in enumerate(self.param_groups):
            for i, p in enumerate(group["params"]):
                if p.grad is not None:
                    params, indices = self._chosen.setdefault((p.device, p.dtype), ([], []))
                    params.append(p)
                    indices.append(ParameterIndex(g, i))
                    self.count(indices[-1])
                    p.version += 1
        for (name, dtype), (_, indices) in self._chosen.items():
            self._write_options(name, dtype, indices)

    @np.errstate(all="ignore")
    def apply(self) -> None:
        """Update the parameters that `prepare` has found."""
        for (name, _), (params, indices) in self._chosen.items():
            with device.on(name):
                self.update(params, indices)

    def count(self, index: ParameterIndex) -> None:
        """Called once per update of a parameter, before `row`."""

    def update(self, params: list[Tensor], indices: list[ParameterIndex]) -> None:
        """Change the parameters, which have one device and dtype."""
        raise NotImplementedError

    def row(self, index: ParameterIndex) -> tuple[float, ...]:
        """The options of a parameter as numbers, for `update`."""
        raise NotImplementedError

    def options(self, params: list[Tensor]) -> Array:
        """The rows of parameters that are updated together, on their device."""
        rows, array = self._options[params[0].device, params[0].dtype]
        return array[: len(rows)]

    def _write_options(self, name: str, dtype: np.dtype, indices: list[ParameterIndex]) -> None:
        """Write the rows to the device if they have changed: to the same memory, which
        a CUDA graph reads, also if other steps have fewer rows."""
        rows = np.array([self.row(index) for index in indices])
        before, array = self._options.get((name, dtype), (None, None))
        if before is not None and np.array_equal(rows, before):
            return
        # Half precision has too few bits for a learning rate.
        wide = rows.astype(np.result_type(dtype, np.float32))
        if array is None or len(array) < len(wide):
            array = device.to(wide, name)
        else:
            device.write(array[: len(wide)], wide)
        self._options[name, dtype] = rows, array

    def stored(self, name: str, params: list[Tensor], indices: list[ParameterIndex]) -> list[Array]:
        """The arrays `name` of parameters, on their device and in their dtype, which
        model.to() may have changed."""
        arrays = []
        for p, (group, i) in zip(params, indices, strict=True):
            arrays.append(device.to(getattr(self, name)[group][i], p.device))
            getattr(self, name)[group][i] = arrays[-1] = arrays[-1].astype(p.dtype, copy=False)
        return arrays

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset all gradients to None, or to zeros, before each backward(), which adds
        to them."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None if set_to_none or p.grad is None else _zeros_like(p)

    def state_dict(self) -> dict[str, Any]:
        """Copies of the arrays, and the groups' options."""
        state: dict[str, Any] = {
            name: [[device.to_numpy(a).copy() for a in group] for group in getattr(self, name)]
            for name in self.arrays
        }
        return state | self.values()

    def values(self) -> dict[str, Any]:
        """The part of the state that is not arrays."""
        groups = [
            {name: value for name, value in group.items() if name != "params"}
            for group in self.param_groups
        ]
        return {"param_groups": groups}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from the `state_dict()` of an optimizer with the same parameters.

        Raises ValueError for other names, groups or shapes, before any change.
        """
        self._check_state(state)
        for own, loaded in zip(self.param_groups, state["param_groups"], strict=True):
            own.update(loaded)
        for name in self.arrays:
            for arrays, loaded in zip(getattr(self, name), state[name], strict=True):
                for a, array in zip(arrays, loaded, strict=True):
                    with device.on_device_of(a):
                        a[...] = device.to(device.to_numpy(array).astype(a.dtype), device.of(a))

    def _check_state(self, state: dict[str, Any]) -> None:
        if missing := [name for name in (*self.arrays, *self.values()) if name not in state]:
            raise ValueError(
                f"{self.name}.load_state_dict: expected a state with {', '.join(missing)}, got "
                f"{', '.join(state)}. It belongs to another optimizer."
            )
        for name in self.arrays:
            expected, given = (
                [[a.shape for a in group] for group in groups]
                for groups in (getattr(self, name), state[name])
            )
            if expected != given:
                raise ValueError(
                    f"{self.name}.load_state_dict: expected {name} of shapes {expected}, got "
                    f"{given}. The state belongs to another network."
                )
        own, loaded = len(self.param_groups), len(state["param_groups"])
        if own != loaded:
            raise ValueError(
                f"{self.name}.load_state_dict: expected {own} param_groups, got {loaded}. The "
                "state belongs to another network."
            )


def _zeros_like(p: Tensor) -> Array:
    with device.on_device_of(p.data):
        return device.xp(p.data).zeros_like(p.data)
