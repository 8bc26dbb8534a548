"""Training in half precision: the loss, resumed runs, networks that are rejected."""

import numpy as np
import pytest
from toy_run import toy

from tinyalex import models, nn, optim, serialization, training


def half_precision(output, epochs, network=None, scale=2.0**20, **options):
    """The toy run with a scaler, whose first factor overflows."""
    trainer = toy(output, epochs=epochs)
    return training.Trainer(
        network or trainer.model,
        trainer.optimizer,
        trainer.scheduler,
        trainer.train,
        trainer.valid,
        epochs=epochs,
        output=output,
        metadata={},
        scaler=optim.GradScaler(init_scale=scale, growth_interval=20),
        options={"amp": True},
        **options,
    )


def test_a_run_learns_as_in_float32(tmp_path):
    half, full = half_precision(tmp_path / "half", 6), toy(tmp_path / "full", epochs=6)
    computed = []
    half.model[0].register_forward_hook(lambda module, inputs, y: computed.append(y.dtype))
    losses = [trainer.fit()[-1].valid_loss for trainer in (half, full)]
    assert losses[0] == pytest.approx(losses[1], abs=0.1)
    assert losses[0] < 0.4
    assert {*map(str, computed)} == {"float16"}  # in training and in validation
    assert {str(p.dtype) for p in half.model.parameters()} == {"float32"}
    assert 1 < half.scaler.get_scale() < 2.0**20


def test_a_resumed_run_ends_with_the_same_weights(tmp_path):
    whole = half_precision(tmp_path / "whole", 4)
    whole.fit()
    half_precision(tmp_path / "part", 2).fit()
    resumed = half_precision(tmp_path / "part", 4)
    resumed.resume(resumed.checkpoint)
    resumed.fit()
    for name, values in whole.model.state_dict().items():
        np.testing.assert_array_equal(resumed.model.state_dict()[name], values)
    assert resumed.scaler.state_dict() == whole.scaler.state_dict()


def test_a_checkpoint_without_the_scaler_is_rejected(tmp_path):
    trainer = half_precision(tmp_path, 1)
    trainer.fit()
    state = serialization.load(trainer.checkpoint)
    for scaler, message in (
        ({}, "scaler: scale is missing"),
        (1, "scaler is 1, expected a dict"),
        (state["scaler"] | {"_growth_tracker": "x"}, "scaler: _growth_tracker is 'x'"),
    ):
        serialization.save(tmp_path / "other", state | {"scaler": scaler})
        with pytest.raises(ValueError, match=message.replace("scale is", "'?scale'? is")):
            trainer.resume(tmp_path / "other")


def test_gradients_that_overflow_are_no_bad_steps(tmp_path, capsys):
    trainer = half_precision(tmp_path, 1, skip_bad_steps=1)
    trainer.fit()
    factor = trainer.scaler.get_scale()
    skipped = round(np.log2(2.0**20 / factor))
    assert skipped > 1
    line = f"skipped steps: {skipped} (loss or gradients not finite; the factor of the loss is "
    assert f"{line}{factor:g})" in capsys.readouterr().out


def test_skipped_steps_are_counted_in_a_resumed_epoch(tmp_path):
    trainer = half_precision(tmp_path, 1)
    for batch in trainer.train.epoch(0):
        trainer.step(*batch)
    trainer.save_checkpoint()
    resumed = half_precision(tmp_path, 1)
    resumed.resume(resumed.checkpoint)
    assert resumed.progress.skipped == trainer.progress.skipped > 1


def test_gradients_that_are_never_finite_are_an_error(tmp_path):
    trainer = half_precision(tmp_path, 3, scale=64.0)
    trainer.model[0].weight.register_hook(lambda grad: grad * np.nan)
    with pytest.raises(FloatingPointError) as error:
        trainer.fit()
    assert trainer.progress.step == 10  # at the end of an epoch of five steps
    assert str(error.value).startswith("A gradient is not finite at step 10: training has diverged")
    assert "With --amp, outputs above 65504 are infinite: train without --amp." in str(error.value)
    assert "not finite is that of 0.weight" in str(error.value)


def test_divided_networks_are_rejected(tmp_path):
    with nn.init.skipped():
        network = models.alexnet("paper", 10, 67, column_lrn=True)
    columns = models.Columns(network, ["cpu", "cpu"])
    with pytest.raises(ValueError, match="whose parameters are divided is trained without a Grad"):
        half_precision(tmp_path, 1, columns)
