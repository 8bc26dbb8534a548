"""Checkpoints with missing or wrong entries: each is named; the run is unchanged."""

import math

import numpy as np
import pytest
from toy_run import toy

import tinyalex as ta
from tinyalex import optim


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    output = tmp_path_factory.mktemp("run")
    toy(output, epochs=2, options={"lr": 0.05}).fit()
    return output / "checkpoint.safetensors"


def parent_of(state, where):
    *above, last = where
    for key in above:
        state = state[key]
    return state, last


def refused(path, state, message):
    """The checkpoint is refused, with a message that contains this one."""
    ta.save(path, state)
    trainer = toy(path.parent / "other", epochs=3, options={"lr": 0.05})
    before = {name: array.copy() for name, array in trainer.model.state_dict().items()}
    trainer.optimizer.param_groups[0]["lr"] = 7.0
    with pytest.raises(ValueError, match=r"^resume: ") as error:
        trainer.resume(path)
    assert message in str(error.value)
    assert (trainer.progress.step, trainer.log, trainer.best) == (0, [], {})
    assert trainer.optimizer.param_groups[0]["lr"] == 7.0
    for name, array in trainer.model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (("seed",), "seed is missing"),
        (("options",), "options is missing"),
        (("log",), "log is missing"),
        (("progress", "step"), "progress: step is missing"),
        (("log", 1, "lr"), "log: 1: lr is missing"),
        (("model", "0.weight"), "model: 0.weight is missing"),
        (("best", "5.bias"), "best: 5.bias is missing"),
        (("optimizer", "velocity"), "optimizer: velocity is missing"),
        (("optimizer", "velocity", 1), "optimizer: velocity is a list of 1, expected a list of 2"),
        (("optimizer", "param_groups", 0, "lr"), "optimizer: param_groups: 0: lr is missing"),
        (("scheduler", "factor"), "scheduler: factor is missing"),
    ],
)
def test_a_missing_entry_is_named(state, tmp_path, where, message):
    changed = ta.load(state)
    parent, key = parent_of(changed, where)
    del parent[key]
    refused(tmp_path / "x", changed, message)


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("seed",), "abc", "seed is 'abc', expected an integer of at least 0"),
        (("seed",), True, "seed is True, expected an integer of at least 0"),
        (("options",), [], "options is not a dict"),
        (("progress",), None, "progress is None, expected a dict"),
        (("progress", "step"), -1, "progress: step is -1, expected an integer of at least 0"),
        (("progress", "step"), 2**64, "expected an integer of at least 0"),
        (("progress", "step"), 2.5, "progress: step is 2.5, expected an integer of at least 0"),
        (("progress", "unknown"), 1, "progress: 'unknown' is unknown"),
        (("log",), {}, "log is a dict, expected a list of 0"),
        (("log", 0), 3, "log: 0 is 3, expected a dict"),
        (("log", 0, "speed"), 3, "log: 0: 'speed' is unknown"),
        (("model",), [], "model is a list of 0, expected a dict"),
        (("model", "\x1b[31m"), np.ones(2), r"model: '\x1b[31m' is unknown"),
        (("model", "5.bias"), np.ones(3), "model: 5.bias has shape (3,), expected (2,)"),
        (("model", "5.bias"), np.ones(2, int), "is an array of int64, expected an array of floats"),
        (("optimizer",), 3, "optimizer is 3, expected a dict"),
        (
            ("optimizer", "velocity", 1, 1),
            np.ones(3),
            "optimizer: velocity: 1: 1 has shape (3,), expected (2,)",
        ),
        (("optimizer", "param_groups", 0, "lr"), None, "lr is None, expected a number"),
        (("scheduler", "initial"), [1.0], "scheduler: initial is a list of 1, expected a list"),
        (("scheduler",), "x", "scheduler is 'x', expected a dict"),
    ],
)
def test_a_wrong_entry_is_named(state, tmp_path, where, value, message):
    changed = ta.load(state)
    parent, key = parent_of(changed, where)
    parent[key] = value
    refused(tmp_path / "x", changed, message)


def test_fields_that_were_added_later_may_be_missing(state, tmp_path):
    old = ta.load(state)
    del old["progress"]["waited"], old["optimizer"]["param_groups"][0]["nesterov"]
    for line in old["log"]:
        del line["waited"], line["valid_top5_error"]
    ta.save(tmp_path / "x", old)
    trainer = toy(tmp_path / "other", epochs=3)
    trainer.resume(tmp_path / "x")
    assert trainer.progress.step == 10
    assert math.isnan(trainer.log[0].waited)


def test_a_schedule_may_be_replaced_by_one_with_fewer_values(tmp_path):
    toy(tmp_path, epochs=1, schedule=optim.lr_scheduler.ReduceLROnPlateau).fit()
    trainer = toy(tmp_path, epochs=2)
    trainer.resume(trainer.checkpoint)
    assert trainer.scheduler.epoch == 1


def test_changed_images_are_named(tmp_path):
    toy(tmp_path, epochs=1, options={"lr": 1, "pictures": "abc"}).fit()
    other = toy(tmp_path, epochs=2, options={"lr": 1, "pictures": "def"})
    with pytest.raises(ValueError, match="hash of the data set, whose images have changed"):
        other.resume(other.checkpoint)


def test_a_checkpoint_without_a_hash_of_the_images_is_resumed(tmp_path):
    toy(tmp_path, epochs=1, options={"lr": 1}).fit()
    other = toy(tmp_path, epochs=2, options={"lr": 1, "pictures": "def"})
    other.resume(other.checkpoint)
    assert other.progress.step == 5


class History:
    """A schedule of the user's own."""

    def __init__(self, optimizer):
        self.epochs, self.warm = [], True

    def step(self):
        self.epochs.append(len(self.epochs))
        self.warm = False

    def state_dict(self):
        return {"epochs": self.epochs, "warm": self.warm}

    def load_state_dict(self, state):
        self.epochs, self.warm = state["epochs"], state["warm"]


def test_a_schedule_of_the_users_own_may_have_any_state(tmp_path):
    toy(tmp_path, epochs=2, schedule=History).fit()
    again = toy(tmp_path, epochs=3, schedule=History)
    again.resume(tmp_path / "checkpoint.safetensors")
    again.fit()
    assert again.scheduler.epochs == [0, 1, 2]
