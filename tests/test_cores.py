"""benchmarks/cores.py and cores_plan.py: loops by worker, losses and bounds."""

import json
import re

import numpy as np
import pytest
from benchmark_scripts import BENCHMARKS, run

from tinyalex import device, models
from tinyalex import functional as F
from tinyalex.device import tiles


def test_two_threads_are_compared_with_one_by_layer(tmp_path):
    printed, found = run(
        *("cores.py", "--variant=quick", "--batch=2", "--rounds=1", "--seconds=0"), folder=tmp_path
    )
    rows = {(row["layer"], row["pass"]): row for row in found["passes"]}
    for row in rows.values():
        assert row["lost"].keys() == {"serial", "idle", "waiting", "slower"}
    assert rows["conv1", "forward"]["bytes"] == 4 * (2 * (3 + 32) * 32 * 32 + 32 * 76)
    assert rows["update", "backward"]["seconds"][0] > 0
    assert min(*found["ceilings"]["sgemm"], *found["ceilings"]["bandwidth"]) > 0
    assert "efficiency" in printed


def test_the_plan_has_a_bound_for_each_number_of_workers(tmp_path):
    printed, found = run("cores_plan.py", "--variant=quick", "--batch=40", folder=tmp_path)
    (plan,) = found["plans"]
    rows = {(row["layer"], row["pass"]): row for row in plan["passes"]}
    # Of the loop that took longest, which may be any: on one worker, two tiles of at
    # most 32 images; on 64, a tile for each image.
    for workers, most in (("1", 2), ("2", 2), ("8", 8), ("64", 40)):
        assert 1 <= rows["conv2", "backward"]["workers"][workers]["pieces"] <= most
    for row in rows.values():
        assert row["workers"]["1"]["seconds"] == pytest.approx(row["seconds"])
    assert "A plan for more cores, not a measurement" in printed


def step(serial, *loops):
    """A step with one pass. Loops are (CPU seconds, length, longest share)."""
    loops = [
        {"cpu": cpu, "length": n, "longest": longest, "pieces": -(-n // longest)}
        | {"is_small": n == longest, "overhead": 0.0}
        for cpu, n, longest in loops
    ]
    row = {"layer": "pool", "pass": "forward", "serial_cpu": serial, "loops": loops}
    return {"passes": [row]}


def test_a_pass_takes_as_long_as_its_serial_part_and_its_longest_shares(scripts):
    import cores_plan

    one = step(1.0, (26.0, 13, 13), (8.0, 64, 64))
    plan = cores_plan.planned({1: one, 8: step(9.0, (99.0, 13, 2), (99.0, 64, 8))})
    assert plan[0]["seconds"] == 35
    assert plan[0]["workers"][8]["seconds"] == 1 + 26 * 2 / 13 + 8 / 8
    assert plan[0]["workers"][8]["work"] == 198 / 34
    assert cores_plan.step_limit(plan, 8) == 35 / 6
    assert cores_plan.step_work(plan, 8) == pytest.approx(198 / 34)
    assert cores_plan.excess(plan[0], 8) == 6 - 35 / 8
    assert cores_plan.reason(plan[0], 8) == "outside of loops"
    assert cores_plan.reason(cores_plan.planned({1: one, 8: one})[0], 8) == "too small for threads"


def test_another_algorithm_is_bounded_by_its_own_times(scripts):
    import cores_plan

    steps = {1: step(0.0, (26.0, 13, 13)), 8: step(1.0, (8.0, 64, 8), (2.0, 4, 2))}
    assert cores_plan.planned(steps)[0]["workers"][8]["seconds"] == 1 + 1 + 1


def test_losses_are_what_two_threads_use_beyond_the_time_of_one(scripts):
    import cores

    one = {"serial": 1.0, "idle": 0.0, "busy": 9.0, "cpu": 9.0, "seconds": 10.0}
    two = {"serial": 1.0, "idle": 1.0, "busy": 11.0, "cpu": 10.0, "seconds": 7.0}
    found = {name: 14 * share for name, share in cores.losses(one, two).items()}
    assert found == pytest.approx({"serial": 1, "idle": 1, "waiting": 1, "slower": 1})
    row = {"ratio": 10 / 7, "lost": {**cores.losses(one, two), "slower": 0.2}, "rate": 6e9}
    assert [cores.limit(row, bandwidth) for bandwidth in (10e9, 13e9)] == ["memory", "slower"]
    assert cores.limit(row | {"ratio": 1.95}, 10e9) == ""


def test_the_shares_of_a_loop_cover_it_and_the_library_is_restored(scripts, monkeypatch):
    from loop_times import LoopTimes

    before = device.for_tiles, tiles.run_share
    monkeypatch.setattr(tiles, "workers", lambda: 3)
    monkeypatch.setattr("tinyalex.kernels.cpu.layout.MIN_PARALLEL_BYTES", 0)
    model = models.cifar("quick")
    with LoopTimes(model) as times:
        images = np.zeros((70, 3, 32, 32), "f")
        F.cross_entropy(model(images), np.zeros(70, int)).backward()
    assert (device.for_tiles, tiles.run_share) == before
    (pooling,) = times.passes["pool1", 0].loops
    assert sorted(share.length for share in pooling.shares) == [5, 5, 6]
    lengths = {sum(s.length for s in loop.shares) for loop in times.passes["conv2", 1].loops}
    assert 70 in lengths
    assert all(p.serial_seconds() > 0 for p in times.passes.values())


def test_the_tables_of_the_documentation_are_the_results(scripts):
    import cores

    page = (BENCHMARKS.parent / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    rows = {re.sub(r"\s+", " ", line) for line in page.splitlines() if line.startswith("|")}
    measured = sorted((BENCHMARKS / "results").glob("cores-*-[0-9]*.json"))
    assert measured
    for path in measured:
        found = json.loads(path.read_text(encoding="utf-8"))
        cells = [f"{found['variant']}, batch {found['batch']}", *cores.step_cells(found)]
        assert f"| {' | '.join(cells)} |" in rows
    plan = (BENCHMARKS / "results" / "cores-plan-paper.md").read_text(encoding="utf-8")
    limits = plan.partition("## By layer")[0].splitlines()
    bounds = [re.sub(r"\s+", " ", line) for line in limits if re.match(r"\| \d", line)]
    assert len(bounds) == 12
    assert set(bounds) <= rows
