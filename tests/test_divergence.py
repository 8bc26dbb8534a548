"""Steps that are not finite: what is named, what is advised, which are skipped."""

import json
import os
import re

import numpy as np
import pytest
from ranks import TESTS, needs_mpi, run

import tinyalex as ta
from tinyalex import data, nn, optim, serialization, training

STEPS = 4  # in an epoch


class InfiniteGradient(ta.Function):
    def forward(self, x):
        return x * 1

    def backward(self, dy):
        return dy * float("inf")


class Identity(nn.Module):
    """Records its inputs. Its gradient is infinite in the steps `bad`."""

    def __init__(self, bad):
        self.bad, self.inputs = bad, []

    def forward(self, x):
        self.inputs.append(x.numpy().copy())
        return InfiniteGradient.apply(x) if ta.device.step() in self.bad else x


def toy(
    output, *, lr=0.01, weight_decay=0.0, bad_images=(), bad_gradients=(), device="cpu", **options
):
    """A linear network on points of two classes."""
    ta.manual_seed(3)
    labels = np.arange(32) % 2
    pixels = np.random.default_rng(0).integers(0, 100, (32, 1, 2, 2))
    pixels += 100 * labels[:, None, None, None]
    dataset = data.Dataset(pixels.astype("u1"), labels, ("dark", "light"))
    layers = {
        "flatten": nn.Flatten(),
        "fc1": nn.Linear(4, 8),
        "dropout": nn.Dropout(0.5),
        "identity": Identity(bad_gradients),
        "fc2": nn.Linear(8, 2),
    }
    model = nn.Sequential(layers).to(device)
    scale = np.float32(1 / 100)

    def with_bad_images(images, epoch, first):
        x = images * scale
        if epoch * STEPS + first // 8 in bad_images:
            x[0] = np.nan
        return x

    options = {"epochs": 2, "output": output, "metadata": {}} | options
    return training.Trainer(
        model,
        optim.SGD(model.parameters(), lr=lr, weight_decay=weight_decay, momentum=0.9),
        None,
        data.Loader(dataset, 8, shuffle=True, transform=with_bad_images, device=device),
        data.Loader(dataset, 16, transform=lambda x, **where: x * scale, device=device),
        **options,
    )


def error_of(trainer):
    with pytest.raises(FloatingPointError) as caught:
        trainer.fit()
    return str(caught.value)


def state(trainer):
    """Parameters and velocities."""
    velocity = trainer.optimizer.state_dict()["velocity"]
    return [*trainer.model.state_dict().values(), *velocity[0]]


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_layer_with_the_first_output_that_is_not_finite_is_named(tmp_path):
    trainer = toy(tmp_path, lr=1e25)
    message = error_of(trainer)
    assert "The loss is nan at step 1: training has diverged. Restart with a learning" in message
    assert "below 1e+25, for example --lr 1e+24.\nThe first output that is not finite" in message
    named = r"is that of fc2 \(Linear\); largest magnitudes: \S+ in its input, \S+ in its weight,"
    assert re.search(named, message)
    assert all(np.isfinite(array).all() for array in state(trainer))


def test_the_repeated_step_has_the_same_dropout(tmp_path):
    trainer = toy(tmp_path, lr=1e25)
    error_of(trainer)
    *_, first, again = trainer.model.identity.inputs
    assert_same([first], [again])


def test_the_first_gradient_that_is_not_finite_is_named(tmp_path):
    message = error_of(toy(tmp_path, bad_gradients=range(3, 99), skip_bad_steps=2))
    assert "A gradient is not finite at step 5: training has diverged. The last" in message
    assert "outputs of all layers are finite. The first gradient in the backward pass" in message
    assert "not finite is that of fc1.bias (Linear), whose largest magnitude is 0." in message


def test_without_checks_of_gradients_the_parameter_is_named(tmp_path):
    message = error_of(toy(tmp_path, bad_gradients=[1]))
    assert "The loss is nan at step 2" in message
    assert "The first parameter that is not finite is fc1.weight (Linear). To find" in message
    assert "add --skip-bad-steps 1" in message


def test_images_that_are_not_finite_are_named_not_the_learning_rate(tmp_path):
    message = error_of(toy(tmp_path, bad_images=[6]))
    assert "The loss is nan at step 6" in message
    assert "The images of this batch are not finite" in message
    assert message.endswith("The input of flatten (Flatten) is not finite.")
    assert "--lr" not in message


def test_initial_weights_are_named_not_the_learning_rate(tmp_path):
    trainer = toy(tmp_path)
    trainer.model.fc1.weight.data[0, 0] = np.inf
    message = error_of(trainer)
    assert "step 0: training has diverged. No update has been made. Check the images" in message
    assert "first parameter that is not finite is fc1.weight" in message
    assert "--lr" not in message


def test_weight_decay_is_the_cause_if_it_makes_weights_grow(tmp_path):
    message = error_of(toy(tmp_path, weight_decay=1000.0, epochs=99))
    assert "Each step subtracts lr * weight_decay = 10 times the weights; from 3.8 on" in message
    assert "Restart with a lower --weight-decay" in message
    assert "--lr" not in message


@pytest.mark.parametrize(("decay", "diverges"), [(379.0, False), (381.0, True)])
def test_the_limit_of_weight_decay(decay, diverges):
    """lr * weight_decay = 2 * (1 + momentum) = 3.8."""
    w = ta.Tensor(np.ones(1), requires_grad=True)
    optimizer = optim.SGD([w], lr=0.01, weight_decay=decay, momentum=0.9)
    for _ in range(2000):
        w.grad = np.zeros(1)
        optimizer.step()
    assert (abs(w.item()) > 1) == diverges


def test_an_infinite_learning_rate_is_not_advised(tmp_path):
    message = error_of(toy(tmp_path, lr=np.inf))
    assert "The learning rate is inf. Restart with a finite one" in message
    assert "--lr inf" not in message


def test_a_validation_that_is_not_finite_names_the_layer(tmp_path):
    trainer = toy(tmp_path, lr=1e25)
    trainer.train.batch_size = 32  # a step an epoch
    message = error_of(trainer)
    assert "at step 1: training has diverged" in message
    assert "The first output that is not finite is that of fc2 (Linear)" in message


def test_bad_steps_make_no_update(device, tmp_path, capsys):
    trainer = toy(
        tmp_path, bad_images=[1], bad_gradients=[2, 5], device=device, skip_bad_steps=2, epochs=1
    )
    batches = list(trainer.train.epoch(0))
    trainer.step(*batches[0])
    before = state(trainer)
    trainer.step(*batches[1])
    trainer.step(*batches[2])
    assert_same(before, state(trainer))
    assert trainer.progress.skipped_in_succession == 2
    trainer.step(*batches[3])
    assert trainer.progress.skipped_in_succession == 0
    assert not np.array_equal(before[0], state(trainer)[0])

    trainer = toy(tmp_path, bad_images=[1], bad_gradients=[2, 5], device=device, skip_bad_steps=2)
    log = trainer.fit()
    assert np.isfinite([line.train_loss for line in log]).all()
    printed = capsys.readouterr().out
    assert "skipped steps: 2 (loss or gradients not finite)\nepoch   1" in printed
    assert "skipped steps: 1 (loss or gradients not finite)\nepoch   2" in printed


def test_a_step_that_is_bad_in_another_process_is_skipped(tmp_path):
    trainer = toy(tmp_path, skip_bad_steps=1)
    trainer.scheme.any_rank = lambda *flags: (True,) * len(flags)
    before = state(trainer)
    trainer.step(*next(trainer.train.epoch(0)))
    assert_same(before, state(trainer))


def test_after_too_many_bad_steps_in_succession_the_run_ends(device, tmp_path):
    trainer = toy(tmp_path, bad_images=range(1, 4), device=device, skip_bad_steps=2)
    message = error_of(trainer)
    assert "The loss is nan at step 3" in message
    assert "The images of this batch are not finite" in message
    assert trainer.progress.skipped == 2


def test_bad_steps_are_not_skipped_by_default(device, tmp_path):
    message = error_of(toy(tmp_path, bad_images=[2], device=device))
    assert "The loss is nan at step 2: training has diverged" in message
    on_cpu = "The images of this batch are not finite"
    later = "The first parameter that is not finite is fc1.weight"
    assert (on_cpu if device == "cpu" else later) in message


def test_an_epoch_of_skipped_steps_has_no_loss(tmp_path):
    (line,) = toy(tmp_path, bad_images=range(4), skip_bad_steps=9, epochs=1).fit()
    assert np.isnan(line.train_loss)
    assert np.isfinite(line.valid_loss)


def test_a_resumed_run_counts_the_skipped_steps(tmp_path):
    options = {"bad_images": [1, 2, 3], "skip_bad_steps": 3}
    trainer = toy(tmp_path, **options)
    for batch in list(trainer.train.epoch(0))[:3]:
        trainer.step(*batch)
    trainer.save_checkpoint()
    resumed = toy(tmp_path, **options)
    resumed.resume(resumed.checkpoint)
    assert (resumed.progress.skipped, resumed.progress.skipped_in_succession) == (2, 2)
    resumed.fit()
    alone = toy(tmp_path / "alone", **options)
    alone.fit()
    assert_same(state(resumed), state(alone))


@pytest.mark.parametrize("skip", [0, 1])
def test_a_run_may_be_resumed_with_fewer_skipped_steps(tmp_path, skip):
    trainer = toy(tmp_path, bad_images=range(4), skip_bad_steps=2)
    for batch in list(trainer.train.epoch(0))[:2]:
        trainer.step(*batch)
    trainer.save_checkpoint()
    resumed = toy(tmp_path, bad_images=range(4), skip_bad_steps=skip)
    resumed.resume(resumed.checkpoint)
    assert "The loss is nan at step 2" in error_of(resumed)


def test_checkpoints_of_earlier_versions_can_be_resumed(tmp_path):
    trainer = toy(tmp_path)
    trainer.step(*next(trainer.train.epoch(0)))
    earlier = trainer.state_dict()
    for name in ("skipped", "skipped_in_succession"):
        del earlier["progress"][name]
    serialization.save(tmp_path / "earlier.safetensors", earlier)
    trainer.resume(tmp_path / "earlier.safetensors")
    assert (trainer.progress.step, trainer.progress.skipped) == (1, 0)


PROGRAM = """if True:
    import json, sys
    import numpy as np
    import parallel_steps
    from tinyalex import data, optim, parallel, training

    world = parallel.connect("cpu")
    results = {}
    for name in ("data", "columns", "hybrid"):
        network, size = parallel_steps.network("alexnet")
        scheme = parallel.distribute(network, name, world)
        model = scheme.model
        loader = data.Loader(parallel_steps.images(size, 8), 4, shard=scheme.shard,
                             transform=lambda x, **where: (x / np.float32(64)))
        trainer = training.Trainer(
            model, optim.SGD(model.parameters(), lr=0.001), None, loader, loader, epochs=1,
            output=sys.argv[1], metadata={}, scheme=scheme, skip_bad_steps=1)
        batches = list(loader.epoch(0))
        trainer.step(*batches[0])
        before = [p.numpy().copy() for p in model.parameters()]
        images, labels = batches[1]
        if name == "columns" or world.rank == 1:  # columns have the same images
            images[0] = np.nan
        trainer.step(images, labels)
        same = all((a == p.numpy()).all() for a, p in zip(before, model.parameters()))
        try:
            trainer.step(images, labels)
        except FloatingPointError as error:
            results[name] = world.gather_objects([same, trainer.progress.skipped, str(error)])
    if world.rank == 0:
        print(json.dumps(results))
"""


@needs_mpi
def test_all_processes_skip_a_step_that_is_not_finite_in_one(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    output, _ = run(2, tmp_path / "program.py", tmp_path, PYTHONPATH=path)
    results = json.loads(output.splitlines()[-1])
    for scheme in ("data", "columns", "hybrid"):
        one, other = results[scheme]
        assert one == other
        same, skipped, message = one
        assert (same, skipped) == (True, 1)
        assert "The loss is nan at step 2" in message
        assert message.endswith("The input of conv1 (Conv2d) is not finite.")
