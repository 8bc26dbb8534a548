"""`tinyalex learn assemble`: train a network that is made of the learner's answers.

A part whose exercise is not solved is tinyalex's own. A network of tinyalex's parts
only is trained too, with the same initial weights, batches and dropout masks: if all
answers are right, both end with the same weights, except for rounding errors.
"""

import time
import traceback
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from tinyalex import data, device
from tinyalex import functional as F
from tinyalex.course.commands import STATES
from tinyalex.course.exercise import Exercise, exercises, load
from tinyalex.course.expected import WrongShapeError, expect, right_elsewhere
from tinyalex.course.milestones import HIDDEN, MILESTONES, Milestone
from tinyalex.course.parts import ANSWER_PARTS, TINYALEX_PARTS, Parts
from tinyalex.course.verdict import check
from tinyalex.modes import no_grad
from tinyalex.tensor import Tensor

IMAGES, BATCH = 2000, 50
SCALE = 1 / 64
"""Of pixels minus their mean: their standard deviation becomes about 1."""


class Run:
    """The training and the test of a milestone's network, on `images` images."""

    def __init__(self, milestone: Milestone, answers: Parts, images: int) -> None:
        self.milestone, self.parts = milestone, TINYALEX_PARTS | answers
        self.train, self.test = data.shapes(images, max(1, images // 4), seed=0)
        self.mean = data.mean_image(self.train.images).mean(axis=(1, 2))
        random = device.generator("assemble", 0, seed=0)
        self.weights = {
            name: self._initial(name, shape, random) for name, shape in milestone.sizes.items()
        }

    def _initial(self, name: str, shape: tuple[int, ...], random: np.random.Generator) -> Tensor:
        if len(shape) > 1:
            values = self.parts["sigma"](shape) * random.standard_normal(shape)
        else:
            values = np.full(shape, 0.25 if name == "a" else 0.0)
        return Tensor(values, requires_grad=True)

    def logits(self, x: np.ndarray, u: np.ndarray | None = None) -> Any:
        return self.milestone.logits(self.parts, self.weights, Tensor(x.astype(np.float64)), u)

    def epochs(self) -> Iterator[float]:
        """Train; the mean loss of each epoch."""
        transform: Any = data.Normalize(self.mean, SCALE)
        if self.milestone.crop:
            transform = data.Augment(self.mean, scale=SCALE, size=self.milestone.crop)
        loader = data.Loader(self.train, BATCH, shuffle=True, transform=transform, seed=0)
        step = self.parts["step"](self.weights)
        for epoch in range(self.milestone.epochs):
            losses = []
            for i, (x, labels) in enumerate(loader.epoch(epoch)):
                random = device.generator("assemble", 1 + epoch * len(loader) + i, seed=0)
                logits = self.logits(x, random.random((len(x), HIDDEN)))
                loss = self.parts["cross_entropy"](logits, labels)
                for w in self.weights.values():
                    w.grad = None
                self.parts["backward"](loss)
                step()
                losses.append(loss.item())
            yield float(np.mean(losses))

    def difference(self, numerical_gradient: Callable[..., Any]) -> float:
        """The largest difference of `backward` and exercise 1, for the last biases."""
        x = data.Normalize(self.mean, SCALE, self.milestone.crop)(self.train.images[:8])
        labels = self.train.labels[:8]
        bias = self.weights[list(self.weights)[-1]]

        def loss_at(values: np.ndarray) -> float:
            bias.data = values
            with no_grad():
                return self.parts["cross_entropy"](self.logits(x), labels).item()

        start = bias.data.copy()
        numerical = numerical_gradient(loss_at, start.copy())
        expect(start.shape, numerical, "numerical_gradient", 1)
        bias.data = start
        self.parts["backward"](self.parts["cross_entropy"](self.logits(x), labels))
        return float(np.abs(numerical - bias.grad).max())

    def error(self) -> float:
        """On the test images."""
        x = data.Normalize(self.mean, SCALE, self.milestone.crop)(self.test.images)
        return self._error(self._probabilities(x))

    def error_of_ten_views(self) -> float:
        """With the mean of the probabilities for the ten views of exercise 14."""
        crop, views = self.milestone.crop, self.parts["views"]
        images = data.Normalize(self.mean, SCALE)(self.test.images)
        each = [self._probabilities(views(image, crop)).mean(axis=0) for image in images]
        return self._error(np.array(each))

    def _probabilities(self, x: np.ndarray) -> np.ndarray:
        with no_grad():
            return F.softmax(self.logits(x), 1).numpy()

    def _error(self, probabilities: np.ndarray) -> float:
        return float((probabilities.argmax(axis=1) != self.test.labels).mean())


def assemble(
    number: int | None = None,
    *,
    images: int | None = None,
    report: Callable[[str], None] = print,
) -> None:
    """Train the network of milestone `number`, by default the first that is not before
    the last solved exercise, on `images` images (default: IMAGES), and `report` each
    line of the result.

    Raises ValueError for a number without a milestone, or if an answer, though right in
    the cases of its exercise, raises an exception or returns an array of a wrong shape.
    """
    images = images or IMAGES
    if number is not None and number not in MILESTONES:
        known = ", ".join(map(str, MILESTONES))
        raise ValueError(f"lesson {number} has no milestone; expected one of {known}.")
    last = number or max(MILESTONES)
    considered = [e for e in exercises() if 1 <= e.number <= last]
    states = {e.number: check(e).kind for e in considered}
    right = [e for e in considered if states[e.number] == "right"]
    if number is None:
        solved = max((e.number for e in right), default=0)
        number = next(n for n in MILESTONES if n >= solved)
    milestone = MILESTONES[number]
    modules = {e.number: load(e.file) for e in right}
    parts = {name: ANSWER_PARTS[name] for name in milestone.parts}
    answers = {
        name: make(*(modules[n] for n in needed))
        for name, (needed, make) in parts.items()
        if all(n in modules for n in needed)
    }
    report(f"After lesson {number}: {milestone.title}, on {images} images of `--data shapes`.\n")
    for name, (needed, _) in parts.items():
        report(f"  {name:<14} {_origin(needed, states)}")
    report("")
    try:
        trained = _train(milestone, answers, images, modules.get(1), report)
    except WrongShapeError:
        raise
    except Exception as error:
        if located := _located(error, right):
            raise located from error
        raise
    reference = Run(milestone, {}, images)
    began = time.perf_counter()
    for _ in reference.epochs():
        pass
    seconds = time.perf_counter() - began
    pairs = zip(trained.weights.values(), reference.weights.values(), strict=True)
    difference = np.max([np.abs(a.data - b.data).max() for a, b in pairs])  # may be NaN
    report(
        f"\ntest error with tinyalex's own parts {100 * reference.error():.1f} %, after "
        f"{seconds:.1f} s\nthe weights differ by at most {difference:.0e}"
    )


def _train(
    milestone: Milestone,
    answers: Parts,
    images: int,
    first: ModuleType | None,
    report: Callable[[str], None],
) -> Run:
    """Train and test with the learner's parts; `first` is the answer to exercise 1."""
    run = Run(milestone, answers, images)
    if first:
        difference = run.difference(first.numerical_gradient)
        report(f"your numerical gradient and `backward` differ by at most {difference:.0e}\n")
    began = time.perf_counter()
    for epoch, loss in enumerate(run.epochs(), 1):
        report(f"epoch {epoch:>2} of {milestone.epochs}   training loss {loss:.4f}")
    seconds = time.perf_counter() - began
    report(f"\ntest error {100 * run.error():.1f} %, after {seconds:.1f} s of training")
    if "views" in answers:
        report(f"test error with your ten views {100 * run.error_of_ten_views():.1f} %")
    return run


def _origin(needed: tuple[int, ...], states: dict[int, str]) -> str:
    """Whose a part is, and why it is not the learner's."""
    missing = [n for n in needed if states[n] != "right"]
    if not missing:
        return f"yours (exercise{'s' * (len(needed) > 1)} {' and '.join(map(str, needed))})"
    reasons = (f"exercise {n}: {STATES[states[n]]}" for n in missing)
    return f"tinyalex's ({'; '.join(reasons)})"


def _located(error: Exception, answers: list[Exercise]) -> Exception | None:
    """A ValueError that names the line, if an answer raises the error."""
    files = {str(e.file): e for e in answers}
    frames = traceback.extract_tb(error.__traceback__)
    last = next((frame for frame in reversed(frames) if frame.filename in files), None)
    if last is None:
        return None
    number = files[last.filename].number
    return ValueError(
        f"{last.filename}, line {last.lineno}: {last.line}\n{type(error).__name__}: {error}\n"
        f"{right_elsewhere(number)} Print the shapes in this line."
    )
