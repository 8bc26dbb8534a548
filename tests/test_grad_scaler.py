"""GradScaler: the factor of the loss, skipped steps, and its state on the device."""

import math
import re

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import device as devices
from tinyalex import emulator, nn, optim

OPTIMIZERS = {
    "SGD": lambda params: optim.SGD(params, lr=0.25, momentum=0.5, weight_decay=0.125),
    "Adam": lambda params: optim.Adam(params, lr=0.25),
}


def parameter(*values):
    return ta.tensor(values or [1.0, 2.0, 3.0], requires_grad=True)


def take_step(w, optimizer, scaler, factor=1.0):
    optimizer.zero_grad()
    scaler.scale((w * w * factor).sum()).backward()
    scaler.step(optimizer)
    scaler.update()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_those_without_it(name, device):
    w, other = parameter(), parameter()
    optimizers = [OPTIMIZERS[name]([p]) for p in (w, other)]
    scaler = ta.GradScaler(init_scale=1024)
    for _ in range(3):
        take_step(w, optimizers[0], scaler)
        optimizers[1].zero_grad()
        (other * other).sum().backward()
        optimizers[1].step()
    np.testing.assert_array_equal(w.numpy(), other.numpy())


@pytest.mark.parametrize("factor", [math.inf, math.nan])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_with_a_gradient_that_is_not_finite_is_skipped(name, factor, device):
    w = parameter()
    optimizer, scaler = OPTIMIZERS[name]([w]), ta.GradScaler()
    take_step(w, optimizer, scaler)
    before, state = w.numpy().copy(), optimizer.state_dict()
    take_step(w, optimizer, scaler, factor)
    np.testing.assert_array_equal(w.numpy(), before)
    for key in optimizer.arrays:
        np.testing.assert_array_equal(optimizer.state_dict()[key][0][0], state[key][0][0])
    assert optimizer.values() == {key: state[key] for key in optimizer.values()}
    assert scaler.get_scale() == 32768
    take_step(w, optimizer, scaler)
    assert (w.numpy() != before).all()
    assert scaler.get_scale() == 32768


def test_the_factor_grows_after_an_interval_of_finite_steps(device):
    w = parameter()
    optimizer = optim.SGD([w], lr=0.0)
    scaler = ta.GradScaler(init_scale=8, growth_interval=3, growth_factor=4, backoff_factor=0.25)
    scales = []
    for factor in (1, 1, math.inf, 1, 1, 1, 1, 1, 1):
        take_step(w, optimizer, scaler, factor)
        scales.append(scaler.get_scale())
    assert scales == [8, 8, 2, 2, 2, 8, 8, 8, 32]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradients_can_be_clipped_after_unscale(name, device):
    w, optimizer = parameter(3.0, 4.0), None
    optimizer, scaler = OPTIMIZERS[name]([w]), ta.GradScaler()
    scaler.scale((w * [3.0, 4.0]).sum()).backward()
    scaler.unscale_(optimizer)
    np.testing.assert_array_equal(devices.to_numpy(w.grad), [3, 4])
    with pytest.raises(RuntimeError, match="unscale_ has already been called"):
        scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_([w], 1.0)
    scaler.step(optimizer)
    scaler.update()
    scaler.unscale_(optimizer)  # a new step
    expected = parameter(3.0, 4.0)
    expected.grad = devices.to(np.array([0.6, 0.8], "f"), device)
    OPTIMIZERS[name]([expected]).step()
    np.testing.assert_allclose(w.numpy(), expected.numpy(), rtol=1e-6)


def test_a_saved_state_resumes(device):
    w = parameter()
    optimizer, scaler = optim.SGD([w], lr=0.0), ta.GradScaler(growth_interval=3)
    take_step(w, optimizer, scaler, math.inf)
    take_step(w, optimizer, scaler)
    state = scaler.state_dict()
    assert state == {
        "scale": 32768.0,
        "growth_factor": 2.0,
        "backoff_factor": 0.5,
        "growth_interval": 3,
        "_growth_tracker": 1,
    }
    other = ta.GradScaler()
    other.load_state_dict(state)
    for s in (scaler, other):
        take_step(w, optimizer, s)
        take_step(w, optimizer, s)
    assert (
        other.state_dict()
        == scaler.state_dict()
        == state
        | {
            "scale": 65536.0,
            "_growth_tracker": 0,
        }
    )
    with pytest.raises(ValueError, match="expected a state with _growth_tracker, .* got scale"):
        other.load_state_dict({"scale": 1.0})


def test_if_not_enabled_it_changes_nothing():
    w = parameter()
    optimizer, scaler = optim.SGD([w], lr=0.25), ta.GradScaler(enabled=False)
    loss = (w * w).sum()
    assert scaler.scale(loss) is loss
    assert (scaler.get_scale(), scaler.is_enabled(), scaler.state_dict()) == (1.0, False, {})
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    np.testing.assert_array_equal(w.numpy(), [0.5, 1.0, 1.5])


def test_wrong_factors_are_named():
    defaults = {
        "init_scale": 65536.0,
        "growth_factor": 2.0,
        "backoff_factor": 0.5,
        "growth_interval": 2000,
    }
    for name, value in (
        *[("init_scale", value) for value in (0, -1, math.nan, 1e39, 1e-50, "x")],
        *[("growth_factor", 0.5), ("backoff_factor", 0), ("backoff_factor", 1)],
        *[("growth_interval", 0), ("growth_interval", 1.5)],
    ):
        got = ", ".join(map(repr, (defaults | {name: value}).values()))
        with pytest.raises(ValueError, match=re.escape(f"of at least 1, got {got}.")):
            ta.GradScaler(**{name: value})


@pytest.mark.parametrize("value", [1024.0, "gpu"], ids=["a factor", "a name"])
def test_a_device_that_is_none_is_named(value):
    message = f"GradScaler: device must be 'cpu' or 'cuda', got {value!r}. A factor is given as"
    with pytest.raises(ValueError, match=re.escape(message)):
        ta.GradScaler(value)


class OwnUpdate(optim.SGD):
    def update(self, params, indices):
        for p in params:
            p.data -= 0.125 * p.grad


class OwnStep(optim.SGD):
    def step(self):
        for p in self.param_groups[0]["params"]:
            p.data = p.data - 0.125 * p.grad


@pytest.mark.parametrize("kind", [OwnUpdate, OwnStep])
def test_a_subclass_of_sgd_gets_gradients_divided_by_the_factor(kind, device):
    w = parameter()
    optimizer, scaler = kind([w], lr=0.25), ta.GradScaler()
    take_step(w, optimizer, scaler, math.inf)
    np.testing.assert_array_equal(w.numpy(), [1, 2, 3])
    take_step(w, optimizer, scaler)
    np.testing.assert_array_equal(w.numpy(), [0.75, 1.5, 2.25])


@pytest.mark.parametrize("factor", [1.0, math.inf])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_second_step_without_update_is_an_error(name, factor, device):
    w = parameter()
    optimizer, scaler = OPTIMIZERS[name]([w]), ta.GradScaler()
    scaler.scale((w * w * factor).sum()).backward()
    scaler.step(optimizer)
    before = w.numpy().copy()
    for method in (scaler.step, scaler.unscale_):
        with pytest.raises(RuntimeError, match=r"step\(\) has already been .* Call update\(\)"):
            method(optimizer)
    np.testing.assert_array_equal(w.numpy(), before)
    scaler.update()
    take_step(w, optimizer, scaler)
    assert (w.numpy() != before).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_loss_that_has_not_been_scaled_is_an_error(name, device):
    w = parameter()
    optimizer, scaler = OPTIMIZERS[name]([w]), ta.GradScaler()
    (w * w).sum().backward()
    for method in (scaler.step, scaler.unscale_, lambda _: scaler.update()):
        with pytest.raises(RuntimeError, match=r"Call scaler.scale\(loss\).backward\(\) first"):
            method(optimizer)
    np.testing.assert_array_equal(w.numpy(), [1, 2, 3])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_of_two_optimizers_only_that_with_a_gradient_not_finite_is_skipped(name, order, device):
    good, bad = parameter(), parameter()
    optimizers, scaler = [OPTIMIZERS[name]([p]) for p in (good, bad)], ta.GradScaler()
    scaler.scale((good * good + bad * bad * math.inf).sum()).backward()
    for i in order:
        scaler.step(optimizers[i])
    scaler.update()
    np.testing.assert_array_equal(bad.numpy(), [1, 2, 3])
    assert (good.numpy() != [1, 2, 3]).all()
    assert scaler.get_scale() == 32768
    assert scaler.read_skipped() == 1
    assert scaler.read_skipped() == 0


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_gradient_that_is_not_finite_is_found_in_any_of_many_arrays(name, device):
    params = [parameter(1.0) for _ in range(40)]
    optimizer, scaler = OPTIMIZERS[name](params), ta.GradScaler()
    scaler.scale(sum((p * p for p in params[:-1]), params[-1] * math.inf).sum()).backward()
    scaler.step(optimizer)
    assert {p.item() for p in params} == {1.0}


def test_update_before_backward_does_not_change_the_factor_of_a_loss(device):
    w = parameter()
    scaler = ta.GradScaler(init_scale=8, growth_interval=1)
    loss = scaler.scale((w * w).sum())
    scaler.update()
    loss.backward()
    np.testing.assert_array_equal(devices.to_numpy(w.grad), [16, 32, 48])


def test_the_factor_never_reaches_0(device):
    w = parameter()
    optimizer, scaler = optim.SGD([w], lr=0.25), ta.GradScaler(init_scale=2.0**-125)
    for expected in (-126, -126):
        take_step(w, optimizer, scaler, math.inf)
        assert scaler.get_scale() == 2.0**expected
    take_step(w, optimizer, scaler)
    np.testing.assert_array_equal(w.numpy(), [0.5, 1, 1.5])


@pytest.mark.gpu
def test_parameters_are_on_the_device_of_the_loss(device):
    w, scaler = parameter(), ta.GradScaler()
    scaler.scale((w * w).sum()).backward()
    other = ta.tensor([1.0], requires_grad=True, device="cpu")
    (other * other).sum().backward()
    message = f"the loss given to scale() was on {device}, but a parameter is on cpu. Move the"
    with pytest.raises(ValueError, match=re.escape(message)):
        scaler.step(optim.SGD([other], lr=0.1))


@pytest.mark.gpu
@pytest.mark.skipif(not emulator.is_installed(), reason="a GPU does not count waits")
def test_with_sgd_no_method_waits_for_the_gpu(device):
    w = parameter()
    optimizer, scaler = OPTIMIZERS["SGD"]([w]), ta.GradScaler()
    take_step(w, optimizer, scaler)
    with emulator.counting() as counts:
        take_step(w, optimizer, scaler)
        take_step(w, optimizer, scaler, math.inf)
    assert counts.synchronizations == {}
    assert scaler.get_scale() == 32768


def test_small_gradients_reach_the_weights_with_it_only(device):
    """The gradient of the logits, 2**-26, is 0 in float16."""
    found = []
    for enabled in (False, True):
        layer = nn.Linear(4, 2)
        optimizer = optim.SGD(layer.parameters(), lr=2.0**20)
        scaler = ta.GradScaler(enabled=enabled)
        before = layer.weight.numpy().copy()
        with ta.autocast():
            loss = (layer(ta.ones(1, 4)).float() * 2.0**-26).sum()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        found.append((layer.weight.numpy() - before).ravel())
    assert (found[0] == 0).all()
    np.testing.assert_allclose(found[1], -(2.0**-6), rtol=2**-10)
