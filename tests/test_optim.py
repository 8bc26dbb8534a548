import numpy as np
import pytest

import tinyalex as ta
from tinyalex import nn, optim
from tinyalex.optim import lr_scheduler

pytestmark = pytest.mark.anywhere


def parameter(*values):
    return ta.Tensor(np.array(values), requires_grad=True)


def gradient(*values, dtype=np.float64):
    return ta.Tensor(np.array(values, dtype)).data


def test_three_steps_of_sgd_by_hand():
    """Section 5: v = 0.9 v - 0.0005 e w - e g, w = w + v."""
    w = parameter(1.0)
    optimizer = optim.SGD([w], lr=0.01, momentum=0.9, weight_decay=0.0005)
    value, velocity = 1.0, 0.0
    for grad, lr in [(2.0, 0.01), (-1.0, 0.01), (0.5, 0.001)]:
        optimizer.param_groups[0]["lr"] = lr
        w.grad = gradient(grad)
        optimizer.step()
        velocity = 0.9 * velocity - 0.0005 * lr * value - lr * grad
        value += velocity
        assert w.item() == pytest.approx(value, rel=1e-14)


def test_a_learning_rate_that_overflows_float32_gives_no_warning():
    w = ta.Tensor(np.ones(3, "f"), requires_grad=True)
    w.grad = gradient(1, 1, 1, dtype="f")
    optim.SGD([w], lr=1e39).step()
    assert not np.isfinite(w.numpy()).any()


def test_float32_parameters_stay_float32():
    w = ta.Tensor(np.ones(3, "f"), requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1, momentum=0.9, weight_decay=0.1)
    w.grad = gradient(1, 1, 1, dtype="f")
    optimizer.step()
    assert w.dtype == optimizer.velocity[0][0].dtype == np.float32


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam])
def test_parameters_may_have_any_strides(make):
    w = ta.Tensor(np.ones((2, 3), "f"), requires_grad=True)
    w.data = w.data.reshape(3, 2).T
    optimizer = make([w], lr=0.5)
    w.grad = gradient([1] * 3, [1] * 3, dtype="f")
    optimizer.step()
    np.testing.assert_allclose(w.numpy(), 0.5, rtol=1e-6)


def test_sgd_updates_float16_in_float32():
    """The rate, and its product with the decay, are 0 in float16."""
    w = ta.Tensor(np.ones(3, "e"), requires_grad=True)
    optimizer = optim.SGD([w], lr=2e-8, momentum=0.5, weight_decay=0.05)
    w.grad = gradient(60000, 60000, 0, dtype="e")
    optimizer.step()
    assert w.dtype == np.float16
    assert w.numpy().tolist() == [1 - 2**-10, 1 - 2**-10, 1]


def test_float16_gradients_of_a_scaled_loss_are_divided_in_float32():
    """The factor, 65536, is infinite in float16."""
    w = ta.Tensor(np.ones(2, "e"), requires_grad=True)
    optimizer, scaler = optim.SGD([w], lr=0.25), ta.GradScaler(init_scale=65536.0)
    scaler.scale((w.float() * 0.5).sum()).backward()
    scaler.step(optimizer)
    assert w.numpy().tolist() == [0.875] * 2


@pytest.mark.parametrize("size", [2, 70000])
def test_adam_updates_float16_in_float32(size):
    """In float16, eps is 0, and so is the square of a small gradient."""
    w = ta.Tensor(np.ones(size, "e"), requires_grad=True)
    optimizer = optim.Adam([w], lr=0.25, betas=(0.0, 0.0))
    w.grad = gradient(*[0, 2**-4] * (size // 2), dtype="e")
    optimizer.step()
    assert w.numpy()[:2].tolist() == w.numpy()[-2:].tolist() == [1, 0.75]


def test_a_parameter_without_a_gradient_is_not_updated():
    w, v = parameter(1.0), parameter(1.0)
    optimizer = optim.SGD([w, v], lr=0.1, weight_decay=0.1)
    w.grad = gradient(1)
    optimizer.step()
    assert (w.item(), v.item()) == (0.89, 1.0)
    w.grad, v.grad = None, gradient(1)
    optimizer.step()
    assert (w.item(), v.item()) == (0.89, 0.89)


def test_a_frozen_parameter_is_not_updated_until_it_requires_a_gradient():
    model = nn.Linear(2, 2)
    model.bias.requires_grad = False
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    before = model.state_dict()
    for trained in (["weight"], ["weight", "bias"]):
        optimizer.zero_grad()
        model(np.ones((1, 2), "f")).sum().backward()
        optimizer.step()
        state = model.state_dict()
        assert [n for n in state if (state[n] != before[n]).all()] == trained
        before = state
        model.requires_grad_()


def test_zero_grad_can_keep_the_gradients_as_zeros():
    w, v = parameter(1.0), parameter(1.0)
    optimizer = optim.SGD([w, v], lr=0.1)
    w.grad = gradient(3)
    optimizer.zero_grad(set_to_none=False)
    assert (w.grad.tolist(), v.grad) == ([0], None)
    optimizer.zero_grad(set_to_none=True)
    assert w.grad is None


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam, optim.AdamW])
def test_a_group_can_be_added(make):
    w, v = parameter(1.0), parameter(2.0)
    optimizer = make([w], lr=0.1)
    optimizer.add_param_group({"params": v, "lr": 0.5})
    assert rates(optimizer) == [0.1, 0.5]
    v.grad = gradient(1)
    optimizer.step()
    assert v.item() < 2
    with pytest.raises(ValueError, match=f"{make.__name__}: a parameter is given twice"):
        optimizer.add_param_group({"params": [w]})


def test_two_steps_of_nesterov_by_hand():
    w = parameter(1.0)
    optimizer = optim.SGD([w], lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True)
    value, velocity = 1.0, 0.0
    for grad in (2.0, -1.0):
        w.grad = gradient(grad)
        optimizer.step()
        change = 0.01 * 0.1 * value + 0.1 * grad
        velocity = 0.9 * velocity - change
        value += 0.9 * velocity - change
        assert w.item() == pytest.approx(value, rel=1e-14)
    with pytest.raises(ValueError, match="nesterov=True needs a momentum"):
        optim.SGD([w], lr=0.1, nesterov=True)


@pytest.mark.parametrize("decoupled", [False, True])
def test_three_steps_of_adam_by_hand(decoupled):
    w = parameter(1.0)
    make = optim.AdamW if decoupled else optim.Adam
    optimizer = make([w], lr=0.1, betas=(0.9, 0.99), eps=0.01, weight_decay=0.5)
    value, m, s = 1.0, 0.0, 0.0
    for t, grad in enumerate([2.0, -1.0, 0.5], 1):
        w.grad = gradient(grad)
        optimizer.step()
        g = grad if decoupled else grad + 0.5 * value
        m, s = 0.9 * m + 0.1 * g, 0.99 * s + 0.01 * g * g
        value -= 0.1 * 0.5 * value if decoupled else 0
        value -= 0.1 * (m / (1 - 0.9**t)) / ((s / (1 - 0.99**t)) ** 0.5 + 0.01)
        assert w.item() == pytest.approx(value, rel=1e-12)


def test_adam_counts_the_updates_of_each_parameter():
    w, v = parameter(1.0), parameter(1.0)
    optimizer = optim.Adam([w, v], lr=0.1)
    for grads in ((1, None), (1, 5)):
        w.grad, v.grad = (None if g is None else gradient(g) for g in grads)
        optimizer.step()
    assert optimizer.steps == [[2, 1]]
    assert v.item() == pytest.approx(0.9)


def test_momentum_and_weight_decay_are_zero_by_default():
    w = parameter(1.0)
    optimizer = optim.SGD([w], lr=0.25)
    for _ in range(2):
        w.grad = gradient(1)
        optimizer.step()
    assert w.item() == 0.5


def test_groups_have_their_own_options():
    w, v = parameter(1.0), parameter(1.0)
    optimizer = optim.SGD(
        [{"params": [w], "lr": 0.5}, {"params": [v], "weight_decay": 1.0}], lr=0.1
    )
    w.grad = v.grad = gradient(1)
    optimizer.step()
    assert (w.item(), v.item()) == (0.5, pytest.approx(0.8))
    optimizer.zero_grad()
    assert (w.grad, v.grad) == (None, None)


def test_the_papers_groups_are_weights_with_decay_and_biases_at_twice_the_rate_without_decay():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2))
    weights, biases = optim.paper_groups(model, 0.01)
    assert [p.ndim for p in weights["params"] + biases["params"]] == [4, 2, 1, 1]
    assert (weights["lr"], weights["weight_decay"], biases["lr"], biases["weight_decay"]) == (
        0.01,
        0.0005,
        0.02,
        0.0,
    )


def test_the_papers_groups_take_a_decay_for_each_layer():
    model = nn.Sequential({"conv1": nn.Conv2d(3, 4, 3), "deep": nn.Sequential(nn.Linear(4, 2))})
    groups = optim.paper_groups(model, 0.01, {"0": 3})
    assert [[g["weight_decay"], *(p.shape for p in g["params"])] for g in groups] == [
        [0.0, (4, 3, 3, 3)],
        [3, (2, 4)],
        [0.0, (4,), (2,)],
    ]
    with pytest.raises(ValueError, match=r"weight_decay has 'conv2', but the model has no such"):
        optim.paper_groups(model, 0.01, {"conv1": 1, "conv2": 1})


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam, optim.AdamW])
def test_an_optimizer_resumes_from_its_state(make):
    def steps(optimizer, w, count):
        for _ in range(count):
            w.grad = w.data * 2
            optimizer.step()

    w = parameter(1.0, -2.0)
    options = {"momentum": 0.9} if make is optim.SGD else {"betas": (0.5, 0.6)}
    optimizer = make([w], lr=0.1, **options)
    steps(optimizer, w, 2)
    half, state = w.data.copy(), optimizer.state_dict()
    steps(optimizer, w, 2)
    again = ta.Tensor(half, requires_grad=True)
    other = make([again], lr=99.0)
    other.load_state_dict(state)
    steps(other, again, 2)
    np.testing.assert_array_equal(w.numpy(), again.numpy())


def test_a_state_of_another_network_raises():
    state = optim.SGD([parameter(1.0)], lr=0.1).state_dict()
    with pytest.raises(
        ValueError, match=r"expected velocity of shapes \[\[\(2,\)\]\], got \[\[\(1,\)\]\]"
    ):
        optim.SGD([parameter(1.0, 2.0)], lr=0.1).load_state_dict(state)
    state["param_groups"] = []
    with pytest.raises(ValueError, match="load_state_dict: expected 1 param_groups, got 0"):
        optim.SGD([parameter(1.0)], lr=0.1).load_state_dict(state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": [[1]]}, r"expected steps of \[2\] parameters in each group, got \[1\]"),
        ({"param_groups": [{"lr": 9.0}] * 2}, "expected 1 param_groups, got 2"),
    ],
    ids=["steps", "param_groups"],
)
def test_a_state_that_does_not_match_changes_nothing(change, message):
    optimizer = optim.Adam([parameter(1.0), parameter(2.0)])
    before = optimizer.state_dict()
    other = optim.Adam([parameter(1.0), parameter(2.0)], lr=9.0).state_dict() | change
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(other)
    assert optimizer.values() == {name: before[name] for name in ("param_groups", "steps")}


def test_a_single_tensor_is_refused():
    with pytest.raises(TypeError, match=r"SGD: expected a list of tensors, got one tensor. Give"):
        optim.SGD(parameter(1.0, 2.0), lr=0.1)


def test_a_state_of_another_optimizer_raises():
    w = parameter(1.0)
    with pytest.raises(
        ValueError, match="a state with mean, square, steps, got velocity, param_groups. It belongs"
    ):
        optim.Adam([w]).load_state_dict(optim.SGD([w], lr=0.1).state_dict())


def test_adam_names_invalid_arguments():
    w = parameter(1.0)
    with pytest.raises(ValueError, match=r"Adam: betas must be two numbers from 0 to below 1, got"):
        optim.Adam([w], betas=(0.9, 1.0))
    with pytest.raises(ValueError, match="AdamW: betas must be at least 0"):
        optim.AdamW([w], betas=(-0.1, 0.9))
    with pytest.raises(ValueError, match="Adam: eps must be at least 0, got -1"):
        optim.Adam([w], eps=-1)


def test_sgd_names_invalid_arguments():
    with pytest.raises(ValueError, match=r"got no parameters. Pass model.parameters\(\)"):
        optim.SGD([], lr=0.1)
    with pytest.raises(TypeError, match="SGD: lr must be numeric, got '0.1'"):
        optim.SGD([parameter(1.0)], lr="0.1")
    with pytest.raises(ValueError, match="lr must be at least 0, got -1"):
        optim.SGD([parameter(1.0)], lr=-1)
    with pytest.raises(TypeError, match="expected leaf tensors with requires_grad=True"):
        optim.SGD([ta.Tensor([1.0])], lr=0.1)


def optimizer_with_groups():
    return optim.SGD(
        [{"params": [parameter(1.0)]}, {"params": [parameter(1.0)], "lr": 0.2}], lr=0.1
    )


def rates(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def test_step_lr_lowers_the_rate_of_all_groups_every_step_size_epochs():
    optimizer = optimizer_with_groups()
    schedule = lr_scheduler.StepLR(optimizer, 2)
    seen = []
    for _ in range(4):
        schedule.step()
        seen.append(rates(optimizer))
    np.testing.assert_allclose(seen, [[0.1, 0.2], [0.01, 0.02], [0.01, 0.02], [0.001, 0.002]])


def seen_rates(schedule, epochs):
    seen = []
    for _ in range(epochs):
        seen.append(schedule.get_last_lr()[0])
        schedule.step()
    return seen


def test_schedules_follow_their_formulas():
    one = optim.SGD([parameter(1.0)], lr=1.0)
    schedule = lr_scheduler.MultiStepLR(one, [3, 1], gamma=0.5)
    assert seen_rates(schedule, 5) == [1, 0.5, 0.5, 0.25, 0.25]
    schedule = lr_scheduler.ExponentialLR(optim.SGD([parameter(1.0)], lr=1.0), 0.5)
    assert seen_rates(schedule, 3) == [1, 0.5, 0.25]
    schedule = lr_scheduler.LambdaLR(optim.SGD([parameter(1.0)], lr=1.0), lambda e: (e + 1) / 4)
    assert seen_rates(schedule, 3) == [0.25, 0.5, 0.75]


def test_the_cosine_schedule_ends_at_its_minimum_in_all_groups():
    optimizer = optimizer_with_groups()
    schedule = lr_scheduler.CosineAnnealingLR(optimizer, T_max=4, eta_min=0.05)
    for _ in range(2):
        schedule.step()
    np.testing.assert_allclose(rates(optimizer), [0.075, 0.125])
    for _ in range(2):
        schedule.step()
    np.testing.assert_allclose(rates(optimizer), [0.05, 0.05])


def test_the_plateau_schedule_can_maximize_its_metric():
    optimizer = optimizer_with_groups()
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, "max", 0.5, patience=0)
    seen = []
    for accuracy in [0.5, 0.6, 0.6, 0.7]:
        schedule.step(accuracy)
        seen.append(rates(optimizer)[0])
    np.testing.assert_allclose(seen, [0.1, 0.1, 0.05, 0.05])


def test_the_plateau_schedule_waits_for_its_patience():
    optimizer = optimizer_with_groups()
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)
    seen = []
    for error in [0.5, 0.4, 0.4, 0.41, 0.3, 0.3, 0.3]:
        schedule.step(error)
        seen.append(rates(optimizer)[0])
    np.testing.assert_allclose(seen, [0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001])


def test_the_plateau_schedule_stops_at_min_lr():
    optimizer = optimizer_with_groups()
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, min_lr=0.01)
    for _ in range(5):
        schedule.step(1.0)
    assert rates(optimizer) == pytest.approx([0.005, 0.01])  # in proportion


def test_the_discrete_exponential_ends_at_its_target_in_equal_levels():
    optimizer = optimizer_with_groups()
    schedule = lr_scheduler.DiscreteExponential(
        optimizer, epochs=8, target_factor=1000, num_steps=4
    )
    seen = [rates(optimizer)[0]]
    for _ in range(8):
        schedule.step()
        seen.append(rates(optimizer)[0])
    np.testing.assert_allclose(seen, [1e-1, 1e-1, 1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4, 1e-4])


@pytest.mark.parametrize(
    "make",
    [
        lambda o: lr_scheduler.StepLR(o, 1),
        lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0),
        lambda o: lr_scheduler.CosineAnnealingLR(o, 9, 0.01),
    ],
)
def test_a_schedule_resumes_from_its_state(make):
    one, two = optimizer_with_groups(), optimizer_with_groups()
    first, second = make(one), make(two)
    step = (
        (lambda s: s.step(1.0))
        if isinstance(first, lr_scheduler.ReduceLROnPlateau)
        else (lambda s: s.step())
    )
    for _ in range(3):
        step(first)
    second.load_state_dict(first.state_dict())
    step(first)
    step(second)
    assert rates(one) == rates(two)


@pytest.mark.parametrize(
    ("epochs", "milestones"), [(140, [120, 130]), (70, [60, 65]), (10, [9, 10]), (1, [1, 1])]
)
def test_stages_are_scaled_to_the_epochs(epochs, milestones):
    optimizer = optimizer_with_groups()
    before = rates(optimizer)
    schedule = lr_scheduler.Stages(optimizer, epochs, (120, 10, 10))
    factors = []
    for _ in range(epochs):
        factors.append(rates(optimizer)[1] / before[1])
        schedule.step()
    expected = [sum(epoch >= m for m in milestones) for epoch in range(epochs)]
    np.testing.assert_allclose(factors, 10.0 ** -np.array(expected))


def test_schedules_are_made_by_their_names():
    optimizer = optimizer_with_groups()
    made = {name: lr_scheduler.named(name, optimizer, 8, 5) for name in lr_scheduler.NAMES}
    assert made["constant"] is None
    assert made["step"].milestones == [6]
    assert made["plateau"].patience == 5
    assert made["dexp"].epochs == 8
    with pytest.raises(ValueError, match="expected one of constant, step, plateau, dexp, got 'x'"):
        lr_scheduler.named("x", optimizer, 8)


def test_a_schedule_names_a_group_that_was_added_later():
    optimizer = optimizer_with_groups()
    schedule = lr_scheduler.StepLR(optimizer, 1)
    optimizer.add_param_group({"params": [parameter(1.0)]})
    with pytest.raises(ValueError, match="StepLR: the optimizer has 3 groups of parameters, but 2"):
        schedule.step()


def test_schedules_name_invalid_arguments():
    with pytest.raises(ValueError, match="step_size must be at least 1 epoch, got 0"):
        lr_scheduler.StepLR(optimizer_with_groups(), 0)
    with pytest.raises(ValueError, match=r"stages of at least 1 each, got 5 and \(3, 0\)"):
        lr_scheduler.Stages(optimizer_with_groups(), 5, (3, 0))
    with pytest.raises(ValueError, match="factor must be between 0 and 1, got 2"):
        lr_scheduler.ReduceLROnPlateau(optimizer_with_groups(), factor=2)
    with pytest.raises(ValueError, match="num_steps of at least 2"):
        lr_scheduler.DiscreteExponential(optimizer_with_groups(), 10, num_steps=1)
    with pytest.raises(ValueError, match="T_max must be at least 1 epoch, got 0"):
        lr_scheduler.CosineAnnealingLR(optimizer_with_groups(), 0)
    with pytest.raises(TypeError, match="LambdaLR: expected one function for all groups, got"):
        lr_scheduler.LambdaLR(optimizer_with_groups(), [abs, abs])
    with pytest.raises(
        ValueError, match="mode must be 'min' or 'max', got 0.1. Give the factor by"
    ):
        lr_scheduler.ReduceLROnPlateau(optimizer_with_groups(), 0.1)


def test_unknown_options_and_repeated_parameters_raise():
    w = parameter(1.0)
    with pytest.raises(
        ValueError,
        match="a group with params, lr, momentum, weight_decay and nesterov, got also 'learning_rate'",
    ):
        optim.SGD([{"params": [w], "learning_rate": 0.1}], lr=0.1)
    with pytest.raises(ValueError, match="a parameter is given twice"):
        optim.SGD([{"params": [w]}, {"params": [w], "lr": 1.0}], lr=0.1)


def test_velocities_follow_the_dtype_of_a_module():
    model = nn.Linear(2, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model.to("float64")
    for p in model.parameters():
        p.grad = p.data * 2
    optimizer.step()
    assert {v.dtype for group in optimizer.velocity for v in group} == {np.dtype("float64")}


def test_the_plateau_schedule_keeps_a_number_not_the_graph_of_a_loss():
    w = parameter(1.0)
    schedule = lr_scheduler.ReduceLROnPlateau(optim.SGD([w], lr=0.1))
    schedule.step((w * 2).sum())
    assert isinstance(schedule.state_dict()["best"], float)


def test_a_group_without_parameters_is_refused():
    with pytest.raises(ValueError, match="SGD: a group needs the key 'params', got 'param'"):
        optim.SGD([{"param": [parameter(1.0)]}], lr=0.1)
