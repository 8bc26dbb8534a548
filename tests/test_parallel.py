"""The parallel schemes under mpirun, compared with one process."""

import json

import parallel_steps
import pytest
from ranks import TESTS, needs_mpi, run

from tinyalex.parallel import cost


@needs_mpi
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_operations_equal_numpy_and_gradients_are_right(ranks):
    _, errors = run(ranks, TESTS / "parallel_operations.py", "cpu")
    assert errors.count(": ok") == ranks


@needs_mpi
@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("scheme", ["data", "columns", "hybrid"])
def test_a_scheme_trains_as_one_process_does(ranks, scheme):
    output, _ = run(ranks, TESTS / "parallel_steps.py", scheme, "alexnet", "float64", "cpu", 7)
    found = json.loads(output)
    assert found["parameters"] < 1e-9
    assert found["velocities"] < 1e-9
    assert found["reloaded"] == 0
    assert found["loss"] < 1e-9
    assert found["counts"]
    assert found["confusion"]


@needs_mpi
@pytest.mark.parametrize("ranks", [2, 4])
def test_data_parallelism_in_float32(ranks):
    """Few steps: sooner or later two pixels of a pooling window are equal within the
    rounding of the convolution, and then another one gets the gradient."""
    output, _ = run(ranks, TESTS / "parallel_steps.py", "data", "alexnet", "float32", "cpu", 3)
    assert json.loads(output)["parameters"] < 1e-6


@needs_mpi
@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("scheme", ["data", "columns", "hybrid"])
def test_ranks_hold_and_send_what_the_cost_model_says(ranks, scheme):
    program = TESTS / "parallel_steps.py"
    found = json.loads(run(ranks, program, scheme, "alexnet", "float32", "cpu", 3)[0])
    network, size = parallel_steps.network("alexnet")
    layers = cost.layer_shapes(network, (3, size, size))
    for rank in range(ranks):
        sent = [cost.sent_bytes(layers, scheme, ranks, images, rank) for images in (6, 6, 3)]
        assert found["sent"][rank] == sum(sent)
        assert found["held"][rank] == cost.parameters_held(layers, scheme, ranks, rank)


@needs_mpi
@pytest.mark.parametrize(
    ("ranks", "scheme", "network"),
    [(2, "columns", "paper"), (2, "hybrid", "torchvision"), (3, "hybrid", "caffenet")],
)
def test_other_networks_are_divided_too(ranks, scheme, network):
    output, _ = run(ranks, TESTS / "parallel_steps.py", scheme, network, "float32", "cpu", 2)
    assert json.loads(output)["parameters"] < 1e-6


@needs_mpi
def test_every_gradient_may_have_a_bucket_of_its_own(tmp_path):
    program = tmp_path / "buckets.py"
    program.write_text("""if True:
        import sys
        from tinyalex.parallel import buckets
        buckets.BUCKET_BYTES = 0
        import parallel_steps
        parallel_steps.training_scripts.run(parallel_steps.main)
    """)
    options = ("data", "alexnet", "float32", "cpu", 2)
    output, _ = run(2, program, *options, PYTHONPATH=str(TESTS))
    assert json.loads(output)["parameters"] < 1e-5


@needs_mpi
@pytest.mark.parametrize("scheme", ["columns", "hybrid"])
def test_a_network_of_one_class_is_divided(tmp_path, scheme):
    """Only one rank has a unit of the last layer."""
    program = tmp_path / "one_class.py"
    program.write_text(f"""if True:
        from tinyalex import models, parallel
        from tinyalex.cli import training_scripts

        def main():
            world = parallel.connect("cpu")
            network = models.cifar("alexnet", 1, column_lrn=True)
            scheme = parallel.distribute(network, {scheme!r}, world)
            state = scheme.model.state_dict()
            assert not state or (state["fc8.weight"] == network.fc8.weight.numpy()).all()
            return 0

        training_scripts.run(main)
    """)
    run(2, program)
