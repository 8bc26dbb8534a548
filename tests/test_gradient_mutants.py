"""gradcheck rejects every mutant with the right hint, and no correct gradient."""

import numpy as np
import pytest
from gradient_mutants import MUTANTS

import tinyalex as ta
from tinyalex import functional as F

SEEDS = range(3)

VAGUE = {"none", "wrong term", "some elements"}
"""An unrelated gradient may be right at some elements or similar by chance."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
@pytest.mark.parametrize("fast", [False, True], ids=["full", "fast"])
def test_a_mutant_is_rejected_with_its_hint(mutant, fast):
    for seed in SEEDS[:1] if fast else SEEDS:
        report = ta.gradcheck(
            mutant.function, mutant.inputs, fast=fast, seed=seed, raise_exception=False
        )
        assert report.worst.wrong
        kinds = {row.hint.kind for row in report.rows if row.hint}
        assert kinds & (VAGUE if mutant.hint == "none" else {mutant.hint}), report
        assert report.problems == []
        assert f"Next: for {report.worst.name}, backward should return" in str(report)


def test_there_are_at_least_forty_mutants_with_distinct_names(tell):
    assert len({m.name for m in MUTANTS}) == len(MUTANTS) >= 40
    tell(
        f"{len(MUTANTS)} mutants of backward passes rejected with their hints over {len(SEEDS)} seeds"
    )


def normal(rng, *shape):
    return rng.standard_normal(shape)


RIGHT = {
    "conv2d": lambda r: (
        lambda x, w, b: F.conv2d(x, w, b, 2, 1, groups=2),
        [normal(r, 1, 4, 5, 4), normal(r, 2, 2, 3, 2), normal(r, 2)],
    ),
    "locally_connected2d": lambda r: (
        lambda x, w, b: F.locally_connected2d(x, w, b, 2, 1),
        [normal(r, 2, 2, 3, 5), normal(r, 2, 3, 2, 2, 2, 2), normal(r, 2, 3, 2)],
    ),
    "max_pool2d": lambda r: (lambda x: F.max_pool2d(x, 3, 2, 1), [normal(r, 1, 2, 5, 5)]),
    "avg_pool2d": lambda r: (lambda x: F.avg_pool2d(x, 3, 2, 1), [normal(r, 1, 2, 5, 5)]),
    "adaptive_avg_pool2d": lambda r: (
        lambda x: F.adaptive_avg_pool2d(x, (2, 3)),
        [normal(r, 1, 2, 5, 4)],
    ),
    "local_response_norm": lambda r: (
        lambda x: F.local_response_norm(x, 5, 1.0, k=2.0),
        [normal(r, 1, 7, 2, 2)],
    ),
    "the paper's norm": lambda r: (
        lambda x: F.local_response_norm(x, 5, k=2.0, alpha_mode="sum"),
        [50 * normal(r, 1, 7, 2, 2)],
    ),
    "spatial_response_norm": lambda r: (
        lambda x: F.spatial_response_norm(x, 3, 1.0),
        [normal(r, 1, 1, 4, 5)],
    ),
    "relu": lambda r: (F.relu, [normal(r, 40)]),
    "tanh, sigmoid": lambda r: (lambda x: F.tanh(x) * F.sigmoid(3 * x), [5 * normal(r, 30)]),
    "dropout": lambda r: (F.dropout, [normal(r, 5, 6)]),
    "linear": lambda r: (F.linear, [normal(r, 3, 4), normal(r, 2, 4), normal(r, 2)]),
    "softmax": lambda r: (lambda x: F.softmax(4 * x, 1), [normal(r, 3, 5)]),
    "log_softmax": lambda r: (lambda x: F.log_softmax(4 * x, 0), [normal(r, 5, 3)]),
    "cross_entropy": lambda r: (
        lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1),
        [9 * normal(r, 5, 4), r.integers(0, 4, 5)],
    ),
    "arithmetic": lambda r: (
        lambda x, y: (x / (y * y + 1) - y * 2) ** 3 + (x * x + 1).log() * y.exp(),
        [normal(r, 3, 4), normal(r, 4)],
    ),
    "matmul": lambda r: (lambda x, y: x @ y, [normal(r, 2, 3, 4), normal(r, 4, 2)]),
    "indexing": lambda r: (lambda x: x[[0, 2, 2]] * x[:3].sum(0) + x.max(), [normal(r, 4, 3)]),
    "reductions": lambda r: (
        lambda x: x.mean((0, 2)) * x.sum((0, 2)) - x.max(1).sum(),
        [normal(r, 2, 3, 4)],
    ),
    "cat, pad": lambda r: (
        lambda x, y: F.pad(F.cat([x, y, x], 1), (1, -1)) ** 2,
        [normal(r, 2, 3), normal(r, 2, 2)],
    ),
    "far from 1": lambda r: (lambda x: x * x * x, [np.exp(12 * r.uniform(-1, 1)) * normal(r, 20)]),
}


@pytest.mark.slow
def test_no_correct_gradient_is_rejected(tell):
    alarms = []
    for seed in range(500 // len(RIGHT)):
        for name, make in RIGHT.items():
            f, inputs = make(np.random.default_rng(seed))
            report = ta.gradcheck(f, inputs, seed=seed, raise_exception=False)
            if not report.ok:
                alarms.append(f"{name}, seed {seed}: {report}")
    assert alarms == []
    tell(
        f"{500 // len(RIGHT) * len(RIGHT)} random correct gradients of {len(RIGHT)} kinds accepted, no false alarm"
    )
