"""The calibration of the cost model, and `tinyalex scale`."""

import importlib.util
import re
import subprocess
import sys

import numpy as np
import pytest

from tinyalex import models
from tinyalex.cli import main
from tinyalex.installation import pip_install
from tinyalex.nn import init
from tinyalex.parallel.cost import (
    SCHEMES,
    Machine,
    calibration,
    layer_shapes,
    measurements,
    predict,
)
from tinyalex.parallel.cost.step_time import PassTime

HAS_MPI = importlib.util.find_spec("mpi4py") is not None


@pytest.fixture(scope="module")
def quick():
    return layer_shapes(models.cifar("quick"), (3, 32, 32))


class TestCalibration:
    def test_a_fit_is_not_negative(self):
        assert calibration.fit([2, 4], [1.0, 3.0]) == PassTime(0.0, 0.625)
        assert calibration.fit([4], [2.0]) == PassTime(0.0, 0.5)

    def test_small_errors_stay_small_in_the_fit(self):
        found = calibration.fit([16, 32, 64], [1.02, 1.58, 2.81])
        assert found.of(48) == pytest.approx(2.2, rel=0.02)

    def test_a_step_in_two_parts_has_the_gradients_of_a_whole_step(self):
        from tinyalex import functional as F

        with init.skipped():
            model = models.cifar("quick")
        for p in model.parameters():
            p.data[...] = np.random.default_rng(p.size).standard_normal(p.shape) / 10
        x = np.random.default_rng(0).standard_normal((4, 3, 32, 32), np.float32)
        F.cross_entropy(model(x), np.zeros(4, np.int64)).backward()
        expected = [p.grad for p in model.parameters()]
        found = measurements.Step(model, (3, 32, 32)).seconds(4)
        for p, grad in zip(model.parameters(), expected, strict=True):
            np.testing.assert_allclose(p.grad, grad, rtol=1e-4, atol=1e-5)
        assert len(found) == 5
        assert min(found) > 0

    def test_cores_are_measured_in_processes_of_their_own(self):
        found = calibration.measure("cifar-quick", 32, 8, cores=2, messages=False)
        assert found.rates.keys() == {"flops", "memory_bandwidth", "time_slice"}
        assert min(found.rates["flops"], found.rates["memory_bandwidth"]) > 1e8
        assert 0 <= found.rates["time_slice"] < 1
        for times in (found.alone, found.together):
            assert times.convolutional.of(8) > times.linear.of(8) > 0
            assert times.update > 0
        assert (found.times(1), found.times(2)) == (found.alone, found.together)

    def test_an_error_in_a_measurement_is_reported(self):
        with pytest.raises(RuntimeError, match=r"ended with status 1:(.|\n)*has images of 32 x 32"):
            calibration.measure("cifar-quick", 40, 4, cores=1, messages=False)

    def test_missing_mpi_is_reported(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "mpi4py", None)
        with pytest.raises(ImportError, match=re.escape(f"{pip_install('mpi')}. Or give both")):
            calibration.mpirun()

    @pytest.mark.parallel
    @pytest.mark.skipif(not HAS_MPI, reason="needs mpi4py: pip install '.[mpi]'")
    def test_messages_between_two_processes(self):
        found = calibration.measure_messages()
        assert 0 < found["latency"] < 1
        assert min(found["message_bandwidth"], found["sum_bandwidth"]) > 1e6


def scale(capsys, *options):
    """The rows of the table by scheme and workers, and the whole output."""
    assert main(["scale", *options]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("scheme "))
    rows = {}
    for line in lines[start + 1 :]:
        cells = line.split()
        if not cells or cells[0] not in SCHEMES or "requires" in line:
            break
        rows[cells[0], cells[1]] = cells[2:]
    return rows, text


class TestCommand:
    def test_prints_all_schemes_and_worker_counts(self, capsys):
        rows, text = scale(capsys)
        assert [key for key in rows if key[0] == "data"] == [
            ("data", k) for k in ("1", "2", "4", "8", "64", "1,024")
        ]
        assert ("columns", "1") not in rows
        assert "columns requires an even number of workers, not 1" in text
        images, parameters, sent, *_ = rows["data", "2"]
        assert (images, parameters, sent) == ("64", "60,965,224", "243.9")
        assert rows["hybrid", "1"][-2:] == ["100.0", "%"]

    def test_prints_the_prediction(self, capsys, quick):
        options = ("--gflops", "50", "--memory-bandwidth=20", "--bandwidth=4", "--latency=10")
        rows, text = scale(
            capsys, "--variant=cifar-quick", "--workers=1,4", "--schemes=data", *options
        )
        machine = Machine(50e9, 20e9, 4e9, latency=10e-6)
        one, four = (predict(quick, "data", k, 128, machine) for k in (1, 4))
        assert float(rows["data", "4"][6]) == pytest.approx(1e3 * four.step, abs=0.06)
        efficiency = 100 * one.step / four.step / 4
        assert float(rows["data", "4"][7]) == pytest.approx(efficiency, abs=0.06)
        assert "a worker: 50 GFLOP/s, 20 GB/s of memory, messages with 4 GB/s and 10 us" in text

    def test_a_batch_for_each_worker_scales_weakly(self, capsys):
        rows, text = scale(
            capsys, "--variant=cifar-quick", "--workers=1,8", "--per-worker", "--schemes=data"
        )
        assert rows["data", "8"][0] == rows["data", "1"][0] == "128"
        assert rows["data", "8"][3] == rows["data", "1"][3]  # compute
        assert "batches of 128 for each worker" in text

    def test_leaves_out_columns_if_the_network_has_none(self, capsys):
        rows, _ = scale(capsys, "--variant=cifar-quick", "--workers=2")
        assert {name for name, _ in rows} == {"data", "hybrid"}

    def test_efficiency_is_relative_to_the_cores_that_are_used(self, capsys):
        rows, text = scale(
            capsys, "--variant=cifar-quick", "--workers=2,4", "--cores=2", "--schemes=data"
        )
        assert float(rows["data", "4"][7]) > 75
        assert "2 workers run at the same time" in text

    def test_measures_one_core_and_shows_both_predictions(self, capsys):
        options = ("--variant=cifar-quick", "--workers=1,2", "--batch-size=8")
        rows, text = scale(
            capsys, *options, "--measure", "--bandwidth=10", "--latency=2", "--schemes=data"
        )
        assert len(rows["data", "2"]) == 10  # the last: without measured times
        assert "measured on one core" in text
        assert "adds what it receives at the speed of memory" in " ".join(text.split())
        assert "messages with 10 GB/s and 2 us" in text

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--variant", "lenet"], "expected --variant to be one of paper, original"),
            (["--variant", "cifar-quick", "--image-size", "64"], "has images of 32 x 32 pixels"),
            (["--image-size", "10"], "image_size=10 is too small"),
            (["--schemes", "columns", "--workers", "3"], "an even number of workers, got 3"),
            (["--variant", "cifar-quick", "--schemes", "columns"], "requires a network of two"),
        ],
    )
    def test_errors_end_with_status_1_and_a_line(self, options, message, capsys):
        assert main(["scale", *options]) == 1
        error = capsys.readouterr().err
        assert error.startswith("tinyalex scale: ")
        assert message in error

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--workers", "1,0"], "expected an integer of at least 1, got '0'"),
            (["--schemes", "pipeline"], "expected data, columns, hybrid, got 'pipeline'"),
            (["--overlap", "2"], "expected a number from 0 to 1, got '2'"),
            (["--latency", "-1"], "expected a positive finite number, got '-1'"),
        ],
    )
    def test_bad_options_are_refused(self, options, message, capsys):
        with pytest.raises(SystemExit):
            main(["scale", *options])
        assert message in capsys.readouterr().err


def test_the_help_of_scale_has_its_examples():
    result = subprocess.run(
        [sys.executable, "-m", "tinyalex", "scale", "--help"],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "tinyalex scale --measure" in result.stdout
