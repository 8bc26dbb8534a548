"""The training loop: learning, stopping, resuming with the same bytes, metrics."""

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from toy_run import toy

import tinyalex as ta
from tinyalex import nn, optim, training
from tinyalex.training.plateau import Plateau


def test_training_lowers_loss_and_error(tmp_path):
    log = toy(tmp_path, epochs=8).fit()
    assert log[-1].valid_error < 0.1
    assert log[-1].train_loss < log[0].train_loss / 2


def test_a_run_writes_log_weights_and_checkpoint(tmp_path):
    log = toy(tmp_path, epochs=2).fit()
    assert sorted(f.name for f in tmp_path.iterdir()) == [
        "best.safetensors",
        "checkpoint.1.safetensors",
        "checkpoint.safetensors",
        "log.csv",
        "model.safetensors",
    ]
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert (
        lines[0]
        == "epoch,lr,train_loss,train_error,valid_loss,valid_error,images_per_second,seconds,valid_top5_error,waited"
    )
    assert float(lines[2].split(",")[2]) == log[1].train_loss
    assert ta.serialization.load_metadata(tmp_path / "model.safetensors") == {"variant": "toy"}


def test_the_same_seed_gives_the_same_bytes_in_any_folder(tmp_path):
    for name in ("a", "b/c"):
        toy(tmp_path / name, epochs=2).fit()
    for file in ("model.safetensors", "best.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b/c" / file).read_bytes()


def interrupt_after(trainer, steps, monkeypatch, number=signal.SIGINT):
    """Ctrl-C, or another signal, arrives during a step."""
    step = trainer.step

    def interrupted(images, labels):
        if trainer.progress.step == steps - 1:
            os.kill(os.getpid(), number)
        return step(images, labels)

    monkeypatch.setattr(trainer, "step", interrupted)


@pytest.mark.parametrize(
    ("steps", "number"),
    [(3, signal.SIGINT), (5, signal.SIGINT), (12, signal.SIGINT), (12, signal.SIGTERM)],
    ids=["within the first epoch", "at its end", "within a later one", "by SIGTERM"],
)
def test_a_stopped_and_resumed_run_ends_with_the_same_bytes(tmp_path, steps, number, monkeypatch):
    reference = toy(tmp_path / "reference", epochs=4)
    reference.fit()
    stopped = toy(tmp_path / "stopped", epochs=4)
    interrupt_after(stopped, steps, monkeypatch, number)
    with pytest.raises(training.Interrupted):
        stopped.fit()
    assert stopped.progress.step == steps
    resumed = toy(tmp_path / "stopped", epochs=4)
    resumed.resume(resumed.checkpoint)
    log = resumed.fit()
    for file in ("model.safetensors", "best.safetensors"):
        assert (tmp_path / "reference" / file).read_bytes() == (
            tmp_path / "stopped" / file
        ).read_bytes()
    assert [line.train_loss for line in log] == [line.train_loss for line in reference.log]


def test_a_run_in_stages_without_validation_resumes_within_each_stage(tmp_path, monkeypatch):
    def run(folder):
        schedule = lambda optimizer: optim.lr_scheduler.Stages(optimizer, 4, (2, 1, 1))  # noqa: E731
        return toy(tmp_path / folder, epochs=4, schedule=schedule, validation=False)

    reference = run("reference")
    reference.fit()
    np.testing.assert_allclose([line.lr for line in reference.log], [0.05, 0.05, 0.005, 0.0005])
    assert all(np.isnan([line.valid_error, line.valid_loss]).all() for line in reference.log)
    assert "validation" not in str(reference.log[0])
    for steps in (7, 12, 18):
        stopped = run("stopped")
        if stopped.checkpoint.exists():
            stopped.resume(stopped.checkpoint)
        interrupt_after(stopped, steps, monkeypatch)
        with pytest.raises(training.Interrupted):
            stopped.fit()
    resumed = run("stopped")
    resumed.resume(resumed.checkpoint)
    resumed.fit()
    weights = (tmp_path / "reference" / "model.safetensors").read_bytes()
    for file in ("model.safetensors", "best.safetensors"):  # the latest are the best
        assert (tmp_path / "stopped" / file).read_bytes() == weights


@pytest.mark.parametrize(
    "options", [{"patience": 3}, {"schedule": optim.lr_scheduler.ReduceLROnPlateau}]
)
def test_without_validation_there_is_no_patience_and_no_plateau(tmp_path, options):
    with pytest.raises(ValueError, match="need a validation error, but valid is None"):
        toy(tmp_path, epochs=1, validation=False, **options)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_handlers_are_restored_after_training(number, tmp_path):
    before = signal.getsignal(number)
    toy(tmp_path, epochs=1).fit()
    assert signal.getsignal(number) is before


def test_checkpoints_are_written_within_an_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr("tinyalex.training.trainer.SAVE_INTERVAL_SECONDS", -1)
    reference = toy(tmp_path / "reference", epochs=2)
    reference.fit()
    killed = toy(tmp_path / "killed", epochs=2)
    step = killed.step

    def killed_in_step_8(images, labels):
        if killed.progress.step == 7:
            raise MemoryError
        step(images, labels)

    killed.step = killed_in_step_8
    with pytest.raises(MemoryError):
        killed.fit()
    resumed = toy(tmp_path / "killed", epochs=2)
    resumed.resume(resumed.checkpoint)
    assert resumed.progress.step == 7
    resumed.fit()
    assert (tmp_path / "reference/model.safetensors").read_bytes() == (
        tmp_path / "killed/model.safetensors"
    ).read_bytes()


def test_a_finished_run_can_be_resumed_for_more_epochs(tmp_path):
    toy(tmp_path, epochs=1).fit()
    longer = toy(tmp_path, epochs=3)
    longer.resume(longer.checkpoint)
    assert [line.epoch for line in longer.fit()] == [1, 2, 3]


def with_adam_and_batch_norm(output, epochs):
    loaders = toy(output, epochs=1)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.LeakyReLU(), nn.Flatten(), nn.Linear(144, 2)
    )
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, 2)
    return training.Trainer(
        model, optimizer, schedule, loaders.train, loaders.valid, epochs=epochs, output=output,
        metadata={},
    )  # fmt: skip


def test_a_run_with_adam_and_batch_norm_resumes_with_the_same_bytes(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    with_adam_and_batch_norm(whole, 2).fit()
    with_adam_and_batch_norm(parts, 1).fit()
    resumed = with_adam_and_batch_norm(parts, 2)
    resumed.resume(resumed.checkpoint)
    assert resumed.optimizer.steps == [[5] * 6]
    assert resumed.model[1].num_batches_tracked.item() == 5
    resumed.fit()
    one, other = ((folder / "model.safetensors").read_bytes() for folder in (whole, parts))
    assert one == other


def test_a_checkpoint_of_sgd_is_refused_for_adam(tmp_path):
    toy(tmp_path, epochs=1).fit()
    trainer = toy(tmp_path, epochs=2)
    adam = optim.Adam(trainer.model.parameters())
    trainer = training.Trainer(
        trainer.model, adam, None, trainer.train, trainer.valid, epochs=2, output=tmp_path,
        metadata={},
    )  # fmt: skip
    with pytest.raises(ValueError, match="optimizer: mean is missing"):
        trainer.resume(trainer.checkpoint)


def test_a_divided_network_is_trained_with_sgd_only(tmp_path):
    loaders = toy(tmp_path, epochs=1)
    with nn.init.skipped():
        model = ta.models.cifar("alexnet", column_lrn=True, devices=("cpu", "cpu"))
    adam = optim.Adam(model.parameters())
    with pytest.raises(ValueError, match="divided is trained with optim.SGD, got Adam"):
        training.Trainer(
            model, adam, None, loaders.train, loaders.valid, epochs=1, output=tmp_path, metadata={}
        )


def test_patience_stops_a_run_that_does_not_improve(tmp_path):
    trainer = toy(tmp_path, epochs=50, lr=0.0, patience=2)
    assert len(trainer.fit()) == 3


def test_the_plateau_schedule_follows_the_validation_error(tmp_path):
    trainer = toy(
        tmp_path,
        epochs=4,
        lr=1e-9,
        schedule=lambda o: optim.lr_scheduler.ReduceLROnPlateau(o, patience=0),
    )
    log = trainer.fit()
    assert log[-1].lr < log[0].lr


def test_a_diverging_run_raises_and_keeps_its_last_checkpoint(tmp_path):
    toy(tmp_path, epochs=1).fit()
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    trainer = toy(tmp_path, epochs=3)
    trainer.resume(trainer.checkpoint)
    trainer.optimizer.param_groups[0]["lr"] = 1e30
    with pytest.raises(
        FloatingPointError, match=r"The loss is (nan|inf) at step \d+: training has diverged.*--lr"
    ):
        trainer.fit()
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_resuming_with_other_options_is_refused(tmp_path):
    toy(tmp_path, epochs=1, options={"seed": 1, "lr": 0.1}).fit()
    other = toy(tmp_path, epochs=2, options={"seed": 2, "lr": 0.1})
    with pytest.raises(ValueError, match="seed was 1, now 2"):
        other.resume(other.checkpoint)


def test_weights_alone_are_not_a_checkpoint(tmp_path):
    toy(tmp_path, epochs=1).fit()
    with pytest.raises(
        ValueError,
        match="expected a checkpoint .*model.safetensors' is another file, perhaps of weights only",
    ):
        toy(tmp_path, epochs=2).resume(tmp_path / "model.safetensors")


def test_an_error_in_the_data_ends_the_run(tmp_path):
    trainer = toy(tmp_path, epochs=1)

    def broken(images, **where):
        raise RuntimeError("the disk is gone")

    trainer.train.transform = broken
    with pytest.raises(RuntimeError, match="the disk is gone"):
        trainer.fit()


def test_evaluate_counts_predictions_and_restores_the_mode():
    model = nn.Sequential(nn.Linear(2, 3, bias=False))
    model[0].weight.data[...] = [[1, 0], [0, 1], [0, 0]]
    batches = [(np.eye(2, dtype="f"), np.array([0, 0])), (np.eye(2, dtype="f")[:1], np.array([2]))]
    result = training.evaluate(model, batches)
    assert result.confusion.tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 0]]
    assert result.error == pytest.approx(2 / 3)
    assert result.loss == pytest.approx((np.log(2 + np.e) * 3 - 1) / 3, rel=1e-6)
    assert model.training
    with pytest.raises(ValueError, match="got no images"):
        training.evaluate(model, [])


def test_a_network_that_diverges_in_the_last_step_of_an_epoch_is_not_saved(tmp_path):
    trainer = toy(tmp_path, epochs=1, lr=1e30)
    trainer.train.batch_size = 80  # one step an epoch
    with pytest.raises(
        FloatingPointError,
        match=r"training has diverged. Restart with a learning rate below 1e\+30",
    ):
        trainer.fit()
    assert list(tmp_path.iterdir()) == []


def test_a_run_resumed_in_another_folder_writes_all_its_files(tmp_path):
    toy(tmp_path / "one", epochs=1).fit()
    other = toy(tmp_path / "two", epochs=1)
    other.resume(tmp_path / "one" / "checkpoint.safetensors")
    other.fit()
    for file in ("best.safetensors", "model.safetensors", "log.csv"):
        assert (tmp_path / "two" / file).read_bytes() == (tmp_path / "one" / file).read_bytes()


def test_the_seed_is_part_of_the_checkpoint(tmp_path):
    toy(tmp_path, epochs=1).fit()
    resumed = toy(tmp_path, epochs=1)
    ta.manual_seed(99)
    resumed.resume(resumed.checkpoint)
    assert ta.device.seed() == 5


def test_a_schedule_follows_the_new_number_of_epochs_after_a_resume():
    w = [ta.Tensor([1.0], requires_grad=True)]
    make = optim.lr_scheduler.DiscreteExponential
    short, long, plain = (make(optim.SGD(w, lr=0.1), epochs) for epochs in (4, 8, 8))
    for _ in range(4):
        short.step()
        plain.step()
    long.load_state_dict(short.state_dict())
    assert long.optimizer.param_groups[0]["lr"] == plain.optimizer.param_groups[0]["lr"]


def make_data_slow(trainer):
    """Each batch takes 50 ms more, without prefetching."""
    transform = trainer.train.transform

    def slow(images, **where):
        time.sleep(0.05)
        return transform(images, **where)

    trainer.train.transform, trainer.train.prefetch = slow, 0


def test_the_wait_for_data_is_included_in_seconds(tmp_path):
    trainer = toy(tmp_path, epochs=1)
    make_data_slow(trainer)
    assert (
        trainer.fit()[0].seconds > 4 * 0.05
    )  # five batches; a sleep is never shorter than it says


def test_evaluate_averages_the_probabilities_of_views(rng):
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    views = rng.standard_normal((4, 10, 3, 2, 2)).astype("f")
    labels = np.array([0, 2, 1, 1])
    each = np.stack([ta.functional.softmax(model(views[:, v]), 1).numpy() for v in range(10)])
    predictions, true = training.log_probabilities(
        model, [(views[:3], labels[:3]), (views[3:], labels[3:])]
    )
    np.testing.assert_allclose(np.exp(predictions), each.mean(axis=0), rtol=1e-5)
    assert training.evaluate(model, [(views, labels)]).loss == pytest.approx(
        -np.log(each.mean(axis=0)[np.arange(4), labels]).mean(), rel=1e-5
    )
    assert true.tolist() == labels.tolist()


def test_the_prediction_of_an_ensemble_is_the_mean_of_its_networks(rng):
    one, two = (rng.dirichlet(np.ones(7), size=5) for _ in range(2))
    np.testing.assert_allclose(
        np.exp(training.mean_log_probabilities([np.log(one), np.log(two)])), (one + two) / 2
    )


def test_top_5_error_counts_classes_outside_the_five_most_probable():
    predictions = np.log(np.array([[0.3, 0.2, 0.15, 0.1, 0.09, 0.08, 0.08]] * 100))
    result = training.score(predictions, np.array([0] * 10 + [4] * 40 + [5] * 30 + [6] * 20))
    assert (result.error, result.top5_error) == (pytest.approx(0.9), pytest.approx(0.5))
    assert result.standard_error(result.top5_error) == pytest.approx(0.05)
    assert str(result).endswith(
        "top-1 error 90.00 % (standard error 3.00), top-5 error 50.00 % (standard error 5.00), 100 images"
    )


def test_the_top_5_error_of_five_classes_is_not_printed():
    five, six = (
        training.score(np.zeros((8, classes)), np.arange(8) % classes) for classes in (5, 6)
    )
    assert "top-5" not in str(five)
    assert "top-5" in str(six)


def test_the_first_of_equal_probabilities_is_predicted():
    result = training.score(np.zeros((10, 10)), np.arange(10))
    assert (result.error, result.top5_error) == (pytest.approx(0.9), pytest.approx(0.5))


def test_nan_counts_as_wrong():
    assert training.score(np.full((3, 10), np.nan), np.array([0, 1, 2])).top5_error == 1


def test_a_loss_that_stays_at_ln_k_prints_advice_once(tmp_path, capsys):
    trainer = toy(tmp_path, epochs=120, lr=0.0)
    for p in trainer.model[-1].parameters():
        p.data[...] = 0
    trainer.fit()
    out = capsys.readouterr().out
    assert out.count("The loss has been 0.693 = ln 2 for 500 steps") == 1
    assert "initial weights   He's" in out


@pytest.mark.parametrize(
    ("wrong", "is_guess"), [(95, True), (90, True), (85, True), (80, False), (10, False)]
)
def test_an_error_of_guessing_gets_advice(wrong, is_guess):
    """100 images of 10 classes: an error of 90 %, with a standard error of 3 %."""
    confusion = np.full((10, 10), 1)
    result = training.Evaluation(2.3, wrong / 100, confusion, 0.5)
    advice = training.guessing_advice(result)
    assert (advice is not None) == is_guess
    if is_guess:
        assert "no better than guessing: the most frequent class, for each of the 100" in advice
        assert "has an error of 90.00 %" in advice
        assert "initial weights   He's" in advice
        assert "more epochs" in advice


def test_advice_has_the_remedies_of_the_script(tmp_path):
    remedies = {"colour": "another one"}
    result = training.Evaluation(2.3, 0.9, np.full((10, 10), 1), 0.5)
    advice = training.guessing_advice(result, remedies)
    assert "  colour            another one\n  length            more epochs" in advice
    assert "  colour            another one" in Plateau(10, remedies).advice()
    assert "initial weights" not in advice
    assert toy(tmp_path, epochs=1, remedies=remedies).remedies == remedies


@pytest.mark.parametrize("error", [0.0, 0.5, 1.0])
def test_an_error_of_few_images_is_not_called_guessing(error):
    result = training.Evaluation(0.7, error, np.eye(2, dtype=int), 0.0)
    advice = training.guessing_advice(result)
    assert "cannot be compared with guessing" in advice
    assert "for each of the 2 images, has an error of 50.00 % (standard error 35.36)" in advice
    assert "Try:" not in advice


def test_the_most_frequent_class_is_the_guess():
    confusion = np.array([[90, 0], [10, 0]])
    assert "an error of 10.00 %" in training.guessing_advice(
        training.Evaluation(0.3, 0.1, confusion, 0.0)
    )


def test_a_loss_that_falls_prints_no_advice():
    plateau = Plateau(1000)
    assert not any(plateau.note(6.9078 - 0.0002 * step) for step in range(2000))
    assert [step for step in range(1200) if Plateau.note(plateau, 6.9)] == [499]


def test_the_progress_bar_shows_the_wait_for_data(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("tqdm.tqdm.set_postfix_str", lambda self, text: shown.append(text))
    monkeypatch.setattr("tinyalex.training.trainer.READ_INTERVAL_SECONDS", -1)
    trainer = toy(tmp_path, epochs=1)
    make_data_slow(trainer)
    log = trainer.fit()
    assert len(shown) == 5
    assert all(re.search(r" images/s, wait [1-9]\d? %$", text) for text in shown)
    assert log[0].waited > 5 * 0.05


def test_a_batch_without_a_readable_image_is_skipped(tmp_path):
    trainer = toy(tmp_path, epochs=2)
    epoch = trainer.train.epoch

    def with_an_empty_batch(number, start=0):
        for i, (images, labels) in enumerate(epoch(number, start)):
            yield (images[:0], labels[:0]) if i == 1 else (images, labels)

    trainer.train.epoch = with_an_empty_batch
    assert len(trainer.fit()) == 2
    assert trainer.progress.step == 10
    reference = list(trainer.valid)
    assert (
        training.evaluate(
            trainer.model, [*reference, (reference[0][0][:0], reference[0][1][:0])]
        ).confusion.sum()
        == 16
    )


def test_without_a_terminal_the_status_is_printed_from_time_to_time(tmp_path, monkeypatch, capsys):
    for name in ("READ_INTERVAL_SECONDS", "STATUS_INTERVAL_SECONDS"):
        monkeypatch.setattr(f"tinyalex.training.trainer.{name}", -1)
    toy(tmp_path, epochs=1).fit()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6  # five batches, and the epoch
    assert re.match(r"epoch 1/1, batch 3 of 5: loss [\d.]+, error [\d.]+ %, \d+ images/s", lines[2])


def test_two_threads_train_as_each_does_alone(tmp_path):
    """Dropout, augmentation and the order of the images, with different seeds."""

    def train(seed, folder):
        trainer = toy(tmp_path / folder, epochs=3)
        ta.manual_seed(seed)
        trainer.fit()
        return (tmp_path / folder / "model.safetensors").read_bytes()

    alone = [train(seed, f"alone {seed}") for seed in (1, 2)]
    ta.manual_seed(3)
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(train, (1, 2), ("a", "b")))
    assert together == alone
    assert ta.device.seed() == 3


def test_a_thread_begins_with_the_seed_of_the_main_thread():
    ta.manual_seed(7)
    ones = ta.Tensor(np.ones((2, 100), "f"))

    def draw():
        return ta.functional.dropout(ones).numpy().tobytes()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(draw).result() == draw()


def test_a_graph_has_no_effect_on_the_cpu(tmp_path):
    for name in ("with", "without"):
        toy(tmp_path / name, epochs=1, graph=name == "with").fit()
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("with", "without")]
    assert weights[0] == weights[1]


def test_a_graph_and_skipped_steps_exclude_each_other(tmp_path):
    with pytest.raises(ValueError, match="graph contains the update. Give graph=False, or skip"):
        toy(tmp_path, epochs=1, graph=True, skip_bad_steps=1)
