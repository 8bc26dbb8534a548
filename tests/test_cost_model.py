"""The cost model of parallel training: what is sent, and how long a step takes."""

from dataclasses import replace

import pytest

from tinyalex import models, nn
from tinyalex.nn import init
from tinyalex.parallel import buckets, cost
from tinyalex.parallel.cost import (
    SCHEMES,
    ComputeTimes,
    Machine,
    images_held,
    layer_shapes,
    operations,
    parameters_held,
    predict,
    sent_by_purpose,
    sent_bytes,
)
from tinyalex.parallel.cost.step_time import (
    PartTimes,
    PassTime,
    largest_share,
    times_from_shapes,
)


def small_network():
    """2 x 6 x 6 pixels, 2 columns of 3 filters, 5 units, 4 classes."""
    return nn.Sequential(
        {
            "conv1": nn.Conv2d(2, 6, 3, padding=1),  # 114 parameters
            "conv2": nn.Conv2d(6, 6, 3, padding=1, groups=2),  # 168
            "flatten": nn.Flatten(),
            "fc3": nn.Linear(216, 5),  # 1085
            "fc4": nn.Linear(5, 4),  # 24
        }
    )


@pytest.fixture(scope="module")
def small():
    return layer_shapes(small_network(), (2, 6, 6))


@pytest.fixture(scope="module")
def paper():
    with init.skipped():
        return layer_shapes(models.alexnet("paper", column_lrn=True))


@pytest.fixture(scope="module")
def quick():
    return layer_shapes(models.cifar("quick"), (3, 32, 32))


def total(layers, scheme, workers, batch_size):
    return sum(sent_bytes(layers, scheme, workers, batch_size, rank) for rank in range(workers))


def test_the_layers_have_the_shapes_of_the_network(small):
    assert [(la.name, la.kind, la.inputs, la.outputs, la.size) for la in small] == [
        ("conv1", "conv", 72, 216, 114),
        ("conv2", "conv", 216, 216, 168),
        ("flatten", "other", 216, 216, 0),
        ("fc3", "linear", 216, 5, 1085),
        ("fc4", "linear", 5, 4, 24),
    ]
    assert [la.wants_dx for la in small] == [False, True, True, True, True]
    assert [la.in_linear_part for la in small] == [False, False, False, True, True]


class TestSentBytes:
    @pytest.mark.parametrize("scheme", ["data", "hybrid"])
    def test_one_worker_sends_nothing(self, small, scheme):
        assert sent_bytes(small, scheme, 1, 8) == 0

    def test_in_data_two_workers_send_all_gradients(self, small):
        assert [sent_by_purpose(small, "data", 2, 8, rank) for rank in (0, 1)] == [
            (0, 0, 4 * 1391, 4 * 2)
        ] * 2

    def test_in_data_three_workers_send_by_the_sizes_of_their_sections(self, small):
        # 1391 elements in sections of 463, 464 and 464: n - p + 2p. Loss and errors are
        # in sections of 0, 1 and 1.
        expected = [4 * (1391 + 463 + 2), 4 * (1391 + 464 + 3), 4 * (1391 + 464 + 3)]
        assert [sent_bytes(small, "data", 3, 8, rank) for rank in range(3)] == expected

    def test_buckets_follow_the_backward_pass(self, small, monkeypatch):
        monkeypatch.setattr(buckets, "BUCKET_BYTES", 4 * 200)
        # fc4 and the bias of fc3; its weight; conv2 and the bias of conv1; its weight.
        assert cost.buckets(small, "data", 3, 0) == [[4, 20, 5], [1080], [6, 162, 6], [108]]
        sections = 9 + 360 + 58 + 36
        assert sent_bytes(small, "data", 3, 8) == 4 * (1391 + sections + 2)

    def test_a_bucket_of_the_paper_has_16_mib_or_one_weight(self, paper):
        fc6, fc7 = 9216 * 4096, 4096 * 4096
        found = [sum(sizes) for sizes in cost.buckets(paper, "data", 2, 0)]
        assert found == [4_096_000 + 1000 + 4096, fc7, 4096, fc6, 2_334_080]
        fits = [4 * size <= buckets.BUCKET_BYTES for size in found]
        assert fits == [True, False, True, False, True]

    def test_in_columns_a_pair_exchanges_activations_only(self, small):
        # fc3 reads both columns, 108 features of each; fc4 5 units, in halves of 2 and
        # 3; there are 4 logits. conv1 reads the image, conv2 its own column.
        assert sent_by_purpose(small, "columns", 2, 8, 0) == (
            4 * 8 * (108 + 2 + 2),
            4 * 8 * (108 + 3),
            0,
            0,
        )
        assert sent_by_purpose(small, "columns", 2, 8, 1) == (
            4 * 8 * (108 + 3 + 2),
            4 * 8 * (108 + 2),
            0,
            0,
        )

    def test_in_columns_two_pairs_all_reduce_the_gradients_of_a_column(self, small):
        # Column 0: conv1 57, conv2 84, fc3 2 units of 217, fc4 2 of 6. Two replicas.
        found = sent_by_purpose(small, "columns", 4, 7, 2)
        assert found.parameter_gradients == 4 * (57 + 84 + 2 * 217 + 2 * 6)
        assert found.activations == 4 * 4 * (108 + 2 + 2)  # replica 1: images 3 to 6
        assert found.results == 4 * 2

    def test_hybrid_by_hand(self, small):
        # 3 workers, 7 images: 2, 2 and 3; 5 units: 1, 2, 2; 4 logits: 1, 1, 2.
        # Features: 216. Convolutions: 282 parameters, in sections of 94.
        assert sent_by_purpose(small, "hybrid", 3, 7, 0) == (
            4 * (2 * 2 * 216 + 2 * 7 * 1 + 2 * 7 * 1),
            4 * (5 * 216 + 7 * 4),
            4 * (282 + 94),
            8 * 2 * 2,
        )
        assert sent_by_purpose(small, "hybrid", 3, 7, 2) == (
            4 * (2 * 3 * 216 + 2 * 7 * 2 + 2 * 7 * 2),
            4 * (4 * 216 + 7 * 3),
            4 * (282 + 94),
            8 * 2 * 3,
        )

    @pytest.mark.parametrize("workers", [2, 3, 4, 7])
    def test_the_sum_over_workers_is_that_of_the_collectives(self, small, workers):
        others, images = workers - 1, 9
        assert total(small, "data", workers, images) == 4 * 2 * others * (1391 + 2)
        exchanged = 2 * 216 + 2 * 5 + 4  # features and units both ways, logits once
        assert total(small, "hybrid", workers, images) == 4 * others * (
            images * (exchanged + 2) + 2 * 282
        )

    @pytest.mark.parametrize("workers", [2, 4, 6])
    def test_the_sum_over_pairs_does_not_depend_on_their_number(self, small, workers):
        exchanged = 2 * 216 + 2 * 5 + 4
        others = workers // 2 - 1
        # Each column all-reduces its half of the parameters, and the results.
        expected = 4 * (9 * exchanged + 2 * others * (1391 + 2 * 2))
        assert total(small, "columns", workers, 9) == expected

    def test_columns_of_the_paper_meet_at_conv3_and_in_the_linear_layers(self, paper):
        assert [la.name for la in cost.reading_both_columns(paper)] == [
            "conv3",
            "fc6",
            "fc7",
            "fc8",
        ]
        halves = 256 * 13 * 13 // 2 + 9216 // 2 + 2048 + 2048
        assert sent_bytes(paper, "columns", 2, 128) == 4 * 128 * (2 * halves + 500)

    def test_hybrid_sends_less_than_data_for_the_paper(self, paper):
        conv, features, units = 2_334_080, 9216, 4096 + 4096
        assert sent_bytes(paper, "data", 2, 128) == 4 * (60_965_224 + 2)
        assert sent_bytes(paper, "hybrid", 2, 128) == 4 * (
            conv + 2 * 64 * features + 128 * (2 * units // 2 + 500) + 2 * 64
        )


class TestParametersHeld:
    def test_data_holds_all(self, paper):
        assert parameters_held(paper, "data", 8, rank=5) == 60_965_224

    def test_columns_hold_half(self, paper):
        assert [parameters_held(paper, "columns", 4, rank) for rank in range(4)] == [
            60_965_224 // 2
        ] * 4

    @pytest.mark.parametrize(("scheme", "copies"), [("columns", 1), ("hybrid", 3)])
    def test_the_parameters_that_are_divided_are_held_once(self, small, scheme, copies):
        workers = 2 if scheme == "columns" else 3
        held = sum(parameters_held(small, scheme, workers, rank) for rank in range(workers))
        assert held == copies * (114 + 168) + 1085 + 24

    def test_images_are_divided_between_workers_or_pairs(self):
        assert [images_held("data", 3, 7, rank) for rank in range(3)] == [2, 2, 3]
        assert [images_held("columns", 4, 7, rank) for rank in range(4)] == [3, 3, 4, 4]


class TestErrors:
    def test_an_unknown_scheme(self, small):
        with pytest.raises(
            ValueError, match="expected a scheme of data, columns, hybrid, got 'pipeline'"
        ):
            sent_bytes(small, "pipeline", 2, 8)

    def test_columns_of_a_network_without_columns(self, quick):
        with pytest.raises(ValueError, match='Use "paper", "original" or'):
            sent_bytes(quick, "columns", 2, 8)

    @pytest.mark.parametrize(
        ("variant", "expected"), [("paper", False), ("original", True), ("caffe", False)]
    )
    def test_a_normalization_of_both_columns_cannot_be_divided(self, variant, expected):
        with init.skipped():
            layers = layer_shapes(models.alexnet(variant))
        assert cost.has_columns(layers) == expected

    def test_columns_on_an_odd_number_of_workers(self, small):
        with pytest.raises(ValueError, match="an even number of workers, got 3. Use 4."):
            parameters_held(small, "columns", 3)

    @pytest.mark.parametrize(("workers", "batch_size"), [(0, 8), (2, 0)])
    def test_nothing_to_compute(self, small, workers, batch_size):
        with pytest.raises(ValueError, match="of at least 1, got 0"):
            predict(small, "data", workers, batch_size, Machine())

    def test_a_network_without_a_linear_layer(self):
        with pytest.raises(ValueError, match="Sequential has no nn.Linear"):
            layer_shapes(nn.Sequential(nn.Conv2d(3, 4, 3)), (3, 8, 8))


TIMES = ComputeTimes(
    convolutional=PartTimes(PassTime(0.1, 1.0), PassTime(0.2, 2.0)),
    linear=PartTimes(PassTime(0.3, 0.5), PassTime(0.4, 0.25)),
    update=1e-3,
)
SLOW = Machine(1.0, memory_bandwidth=1e6, message_bandwidth=100.0, sum_bandwidth=50.0, latency=2.0)


class TestPredict:
    def test_data_by_hand(self, small):
        p = predict(small, "data", 2, 8, SLOW, TIMES)
        assert p.images == 4
        assert p.compute == pytest.approx(0.1 + 0.2 + 0.3 + 0.4 + 4 * 3.75)
        assert p.update == pytest.approx(1.391)
        # Convolutions and linear layers in a bucket each: 282 = 2 * 141 and 1109 =
        # 554 + 555 elements, two messages a bucket. All is copied to buckets.
        section, copied = 4 * (141 + 555), 4 * 2 * 1391
        gradients = 4 * 2.0 + section * (1 / 100 + 1 / 50) + copied / 1e6
        # The numbers of images are gathered, and loss and errors all-reduced.
        results = 3 * 2.0 + 4 * (1 / 100 + 1 / 100 + 1 / 50)
        assert p.communication == pytest.approx(gradients + results)
        assert p.step == p.compute + p.update + p.communication
        assert p.images_per_second == 8 / p.step

    def test_columns_share_the_work_of_each_image(self, small):
        p = predict(small, "columns", 2, 8, SLOW, TIMES)
        conv, linear = small[:3], small[3:]
        assert largest_share(conv, 2) == 0.5
        fc3, fc4 = 216 * 5, 5 * 4  # the larger half has 3 of 5 units
        assert largest_share(linear, 2) == pytest.approx((fc3 * 3 / 5 + fc4 / 2) / (fc3 + fc4))
        expected = 0.5 * (0.3 + 8 * 3.0) + largest_share(linear, 2) * (0.7 + 8 * 0.75)
        assert p.compute == pytest.approx(expected)

    def test_hybrid_reads_linear_weights_in_each_turn(self, small):
        p = predict(small, "hybrid", 2, 8, SLOW, TIMES)
        linear = largest_share(small[3:], 2) * (2 * 0.7 + 8 * 0.75)
        accumulated = 3 * 4 * (1109 / 2) / 1e6
        assert p.compute == pytest.approx(0.3 + 4 * 3.0 + linear + accumulated)

    @pytest.mark.parametrize("scheme", ["data", "hybrid"])
    def test_all_schemes_agree_for_one_worker(self, quick, scheme):
        one = predict(quick, scheme, 1, 64, Machine())
        assert (one.communication, one.hidden, one.sent_bytes) == (0, 0, 0)
        assert one.step == pytest.approx(predict(quick, "data", 1, 64, Machine()).step)

    def test_update_shrinks_only_with_the_parameters_held(self, paper):
        data, columns, hybrid = (predict(paper, scheme, 4, 128, Machine()) for scheme in SCHEMES)
        assert data.update == predict(paper, "data", 1, 128, Machine()).update
        assert columns.update == data.update / 2
        assert hybrid.update < columns.update

    def test_workers_that_share_cores_are_slower(self, quick):
        four = predict(quick, "data", 4, 128, Machine())
        shared = predict(quick, "data", 4, 128, replace(Machine(), cores=2))
        # Half of a time slice for each wait: two for a bucket, three for the results.
        assert shared.step == pytest.approx(2 * four.step + 5 * 3e-3 / 2)
        assert predict(quick, "data", 4, 128, replace(Machine(), cores=8)).step == four.step

    @pytest.mark.parametrize("scheme", ["data", "columns", "hybrid"])
    def test_overlap_hides_communication_only(self, paper, scheme):
        none, full = (
            predict(paper, scheme, 4, 128, replace(Machine(), overlap=overlap))
            for overlap in (0.0, 1.0)
        )
        assert none.hidden == 0
        assert 0 < full.hidden < full.communication
        assert full.step == pytest.approx(none.step - full.hidden)

    def test_more_workers_than_images_leave_some_idle(self, quick):
        p = predict(quick, "data", 64, 8, Machine())
        assert p.images == 1
        assert p.compute == predict(quick, "data", 8, 8, Machine()).compute

    def test_latency_counts_for_each_bucket(self, paper):
        slow = Machine(latency=1.0)
        added = predict(paper, "data", 8, 128, slow).communication
        added -= predict(paper, "data", 8, 128, replace(slow, latency=0.5)).communication
        buckets = 5  # fc8, fc7, fc6 and their biases, convolutions
        assert added == pytest.approx(0.5 * 7 * (2 * buckets + 3))

    def test_a_gradient_that_fills_a_bucket_is_not_copied(self):
        assert operations.all_reduce([[6]], 2).copied == 0
        assert operations.all_reduce([[4, 2]], 2).copied == 2 * 4 * 6
        assert operations.all_reduce([[6]], 1) == operations.Messages()

    def test_sums_without_a_rate_of_their_own_need_the_memory(self):
        machine = Machine(memory_bandwidth=30.0, message_bandwidth=5.0)
        assert machine.sum_seconds(60) == pytest.approx(60 / 5 + 3 * 60 / 30)
        assert replace(machine, sum_bandwidth=2.0).sum_seconds(60) == 30

    def test_a_broadcast_grows_with_the_depth_of_a_tree(self):
        found = [operations.broadcast(10, workers) for workers in (1, 2, 8, 1000)]
        assert [(each.count, each.sent) for each in found] == [(0, 0), (1, 40), (3, 40), (10, 40)]

    def test_the_root_of_a_reduction_receives_from_all_with_mpi_only(self):
        assert operations.reduce(10, 8, "mpi").added == 7 * 40
        assert operations.reduce(10, 8, "nccl").added == 40
        assert operations.reduce(10, 1, "nccl") == operations.reduce(10, 1, "mpi")

    def test_times_from_shapes_by_hand(self, small):
        machine = Machine(flops=1e3, memory_bandwidth=4e3)  # 2 ms a multiply-add, 1 an element
        times = times_from_shapes(small, machine)
        conv = 6 * 36 * 2 * 9, 6 * 36 * 3 * 9
        forward = 2e-3 * sum(conv) + 1e-3 * (72 + 3 * 216 + 2 * 216)
        assert times.convolutional.forward.per_image == pytest.approx(forward)
        # The gradient of the images is not computed.
        backward = 2e-3 * (conv[0] + 2 * conv[1]) + 1e-3 * (72 + 5 * 216 + 2 * 216 - 216 + 216)
        assert times.convolutional.backward.per_image == pytest.approx(backward)
        assert times.linear.forward.fixed == pytest.approx(1.109)
        assert times.linear.backward.fixed == pytest.approx(2 * 1.109)
        assert times.update == pytest.approx(5e-3)
