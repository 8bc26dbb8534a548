"""Captured training steps: what may change between them, and which are refused."""

import threading

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import device as devices
from tinyalex import models, nn, optim, training
from tinyalex.device import to_numpy
from tinyalex.training.captured_step import CapturedStep

pytestmark = pytest.mark.gpu


def with_momentum(parameters):
    return optim.SGD(parameters, lr=0.1, momentum=0.9)


def with_adam(parameters):
    """Whose factors change in each step."""
    return optim.Adam(parameters, lr=0.01)


class Steps:
    """Steps of a small network with dropout, captured or not."""

    def __init__(self, device, is_captured, make_optimizer=with_momentum, trained=slice(None)):
        ta.manual_seed(5)
        rng = np.random.default_rng(0)
        devices.set_default("cpu")
        self.model = nn.Sequential(
            nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4), nn.Flatten(),
            nn.Linear(16, 6), nn.Dropout(), nn.Linear(6, 3),
        ).to(device)  # fmt: skip
        self.images = ta.Tensor(rng.standard_normal((8, 2, 2, 2)).astype("f"), device=device).data
        self.labels = ta.Tensor(rng.integers(0, 3, 8), device=device).data
        self.optimizer = make_optimizer([*self.model.parameters()][trained])
        self.scheme = training.Scheme(self.model, device)
        self.captured = CapturedStep(self.scheme, self.optimizer) if is_captured else None
        self.losses = []

    def step(self, step):
        devices.set_step(step)
        if self.captured is not None:
            result = self.captured(self.images, self.labels)
        else:
            result = self.launched(self.images, self.labels)
        self.losses.append(float(result.loss))

    def launched(self, images, labels):
        self.optimizer.zero_grad()
        result = self.scheme.compute_gradients(images, labels)
        self.optimizer.step()
        return result


def zero_grad(steps):
    steps.optimizer.zero_grad()


def another_rate(steps):
    zero_grad(steps)
    steps.optimizer.param_groups[0]["lr"] = 0.003


def another_group(steps):
    steps.optimizer.add_param_group({"params": [*steps.model.parameters()][:-2], "lr": 0.05})


def another_seed(steps):
    ta.manual_seed(99)


def a_frozen_bias(steps):
    steps.model[5].bias.requires_grad = False


def no_dropout(steps):
    steps.model[4].eval()


def another_array(steps):
    weight = steps.model[3].weight
    with devices.on_device_of(weight.data):
        weight.data = weight.data * 0.5


def a_smaller_batch(steps):
    devices.set_step(100)
    steps.launched(steps.images[:3], steps.labels[:3])


def a_step_of_one_parameter(steps):
    """With another rate, which later steps have too."""
    zero_grad(steps)
    bias = steps.model[5].bias
    with devices.on_device_of(bias.data):
        bias.grad = bias.data * 0 + 1
    steps.optimizer.param_groups[0]["lr"] = 0.003
    steps.optimizer.step()


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (another_rate, {}),
        (a_step_of_one_parameter, {}),
        (zero_grad, {"make_optimizer": with_adam}),
        (another_group, {"trained": slice(-2, None)}),
        (another_seed, {}),
        (a_frozen_bias, {}),
        (no_dropout, {}),
        (another_array, {}),
        (a_smaller_batch, {}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.parametrize("after", [1, 3], ids=["before the capture", "after it"])
def test_captured_steps_follow_a_change(device, change, options, after):
    runs = [Steps(device, is_captured, **options) for is_captured in (False, True)]
    for steps in runs:
        ta.manual_seed(5)
        for step in range(7):
            if step == after:
                change(steps)
            steps.step(step)
    launched, captured = runs
    assert captured.losses == launched.losses
    for p, q in zip(captured.model.parameters(), launched.model.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())


def test_captured_steps_in_another_thread(device):
    launched, captured = Steps(device, False), Steps(device, True)

    def three(steps, first):
        ta.manual_seed(5)
        with devices.on(device):  # the current device is a property of each thread
            for step in range(first, first + 3):
                steps.step(step)

    for steps in (launched, captured):
        three(steps, 0)
        for first in (3, 6):
            thread = threading.Thread(target=three, args=(steps, first))
            thread.start()
            thread.join()
        three(steps, 9)
    assert len(launched.losses) == 12
    assert captured.losses == launched.losses


def test_gradients_are_those_of_the_last_step(device):
    launched, captured = Steps(device, False), Steps(device, True)
    for steps in (launched, captured):
        ta.manual_seed(5)
        for step in range(3):
            steps.step(step)
        a_smaller_batch(steps)
        steps.step(3)
    for p, q in zip(captured.model.parameters(), launched.model.parameters(), strict=True):
        np.testing.assert_array_equal(to_numpy(p.grad), to_numpy(q.grad))


@pytest.mark.parametrize("calls", [0, 1], ids=["first call", "capture"])
def test_a_step_after_an_error_is_captured(device, monkeypatch, calls):
    steps = Steps(device, True)
    for step in range(calls):
        steps.step(step)
    with monkeypatch.context() as patch:
        patch.setattr(steps.scheme, "compute_gradients", lambda images, labels: {}["no"])
        with pytest.raises(KeyError):
            steps.step(calls)
    before = steps.model[3].weight.numpy()
    for step in range(calls, calls + 3):
        steps.step(step)
        weights = steps.model[3].weight.numpy()
        assert (weights != before).any()
        before = weights


# What is refused


class OfSeveralProcesses(training.Scheme):
    """Communicates, in `compute_gradients`."""


class OwnUpdate(optim.SGD):
    def update(self, params, indices):
        """Does not divide gradients by the factor."""


@pytest.mark.parametrize("optimizer", [optim.Adam, OwnUpdate])
def test_a_scaler_with_another_update_than_that_of_sgd_is_refused(optimizer):
    model = nn.Linear(2, 2)
    scheme = training.Scheme(model, "cuda")
    scheme.scaler = optim.GradScaler()
    message = f"graph: with a GradScaler, {optimizer.__name__} waits for the GPU"
    with pytest.raises(ValueError, match=message):
        CapturedStep(scheme, optimizer(model.parameters(), lr=0.1))


@pytest.mark.parametrize("several", ["processes", "devices"])
def test_steps_of_several_processes_or_devices_are_refused(device, several):
    network, scheme = models.cifar("alexnet", column_lrn=True), training.Scheme
    if several == "processes":
        scheme = OfSeveralProcesses
    else:
        network = models.Columns(network, (device, device))
    with pytest.raises(ValueError, match=f"graph: .*several {several}"):
        CapturedStep(scheme(network, device), optim.SGD(network.parameters(), lr=0.1))


def test_a_step_that_waits_for_the_gpu_is_refused(device):
    steps = Steps(device, True)
    steps.model[1].momentum = None
    steps.step(0)
    with pytest.raises(RuntimeError, match="cannot be captured: .*\n.*graph=False"):
        steps.step(1)
