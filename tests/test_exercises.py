"""The exercises: solutions and correct answers pass, each mistake gets its hint."""

import doctest

import numpy as np
import pytest
from answers import RIGHT, WRONG
from learner import EXERCISES, unwrapped, verdict_on

import tinyalex as ta
from tinyalex import course, models, nn, optim
from tinyalex import functional as F
from tinyalex.parallel import cost

MISTAKES = [
    (exercise, mistake)
    for exercise in EXERCISES.values()
    for mistake in course.load(exercise.checks).MISTAKES
]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def short_id(x):
    return "" if "\n" in str(x) else str(x)


def test_each_lesson_has_an_exercise():
    lessons = (course.exercise.REPOSITORY / "lessons").glob("[0-9]*.py")
    assert list(EXERCISES) == sorted(int(lesson.name[:2]) for lesson in lessons)


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=lambda e: e.name)
def test_the_solution_passes(exercise):
    verdict = verdict_on(exercise.number, exercise.solution.read_text())
    assert verdict.kind == "right", verdict.text


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=lambda e: e.name)
def test_the_examples_show_what_the_solution_returns(exercise):
    names = vars(course.load(exercise.task)) | vars(course.load(exercise.solution))
    text = exercise.task.read_text().replace('"""', "")
    example = doctest.DocTestParser().get_doctest(text, names, exercise.name, str(exercise.task), 0)
    assert example.examples
    failed, _ = doctest.DocTestRunner().run(example)
    assert failed == 0


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=lambda e: e.name)
def test_the_unwritten_code_is_reported_as_not_written(exercise):
    assert (
        verdict_on(exercise.number, exercise.task.read_text() + "\n# edited\n").kind
        == "not written"
    )
    assert exercise.title


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=lambda e: e.name)
def test_an_exercise_has_three_hints_and_at_least_three_distinct_mistakes(exercise):
    checks = course.load(exercise.checks)
    names = [mistake.name for mistake in checks.MISTAKES]
    assert len(checks.HINTS) == 3
    assert len(set(names)) == len(names) >= 3
    assert len({mistake.hint for mistake in checks.MISTAKES}) == len(names)


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES, ids=lambda x: x.name)
def test_a_mistake_in_the_solution_gets_its_hint(exercise, mistake):
    verdict = verdict_on(exercise.number, mistake.apply(exercise.solution.read_text()))
    assert verdict.kind in ("values", "form", "crash", "input")
    assert verdict.mistake == mistake.name, verdict.text
    assert mistake.hint in unwrapped(verdict.text)


def test_each_exercise_has_right_and_wrong_answers_in_other_code(tell):
    assert {number for number, *_ in RIGHT} == set(EXERCISES)
    assert {number for number, *_ in WRONG} == set(EXERCISES)
    mistakes = f"{len(MISTAKES)} mistakes with hints"
    tell(f"{len(EXERCISES)} exercises, {mistakes}, {len(WRONG)} wrong answers in other code")


@pytest.mark.parametrize(("number", "source"), RIGHT, ids=short_id)
def test_a_right_answer_may_be_written_differently(number, source):
    verdict = verdict_on(number, source)
    assert verdict.kind == "right", verdict.text


@pytest.mark.parametrize(("number", "mistake", "source"), WRONG, ids=short_id)
def test_a_mistake_is_recognised_in_other_code(number, mistake, source):
    verdict = verdict_on(number, source)
    assert verdict.mistake == mistake, verdict.text


# The solutions and tinyalex's own code


def solution(number):
    return course.load(EXERCISES[number].solution)


def test_the_solutions_agree_with_tinyalex_about_gradients(rng):
    def gradient(f, *arrays):
        tensors = [ta.Tensor(a, requires_grad=True) for a in arrays]
        y = f(*tensors)
        y.backward(dy := rng.standard_normal(y.shape))
        return dy, [t.grad for t in tensors]

    x = rng.standard_normal((2, 7, 5, 5))
    dy, (dx,) = gradient(lambda x: F.max_pool2d(x, 3, 2), x)
    assert np.allclose(solution(8).max_pool_backward(dy, x, 3, 2), dx)
    dy, (dx,) = gradient(lambda x: F.local_response_norm(x, 5, 0.3, 0.75, 2.0, alpha_mode="sum"), x)
    assert np.allclose(solution(9).lrn_backward(dy, x, 5, 0.3, 0.75, 2.0), dx)
    dy, (dx,) = gradient(F.relu, x)
    relu = solution(7).ReLU()
    relu.forward(x)
    assert np.allclose(relu.backward(dy), dx)
    target = rng.integers(0, 3, 4)
    logits = ta.Tensor(rng.standard_normal((4, 3)), requires_grad=True)
    loss = F.cross_entropy(logits, target)
    loss.backward()
    mine = solution(11).softmax_cross_entropy(logits.data, target)
    assert np.allclose(mine[0], loss.item())
    assert np.allclose(mine[1], logits.grad)


def test_the_solutions_agree_with_tinyalex_about_convolution(rng):
    x, w = rng.standard_normal((2, 3, 6, 7)), rng.standard_normal((4, 3, 3, 3))
    col = solution(5).im2col(x, 3, 2, 1)
    y = (w.reshape(4, -1) @ col).reshape(4, 2, 3, 4).swapaxes(0, 1)
    assert np.allclose(y, F.conv2d(x, w, stride=2, padding=1).numpy())
    c = rng.standard_normal(col.shape)
    assert np.isclose((col * c).sum(), (x * solution(6).col2im(c, x.shape, 3, 2, 1)).sum())


def test_the_solutions_agree_with_tinyalex_about_training(rng):
    w = ta.Tensor(rng.standard_normal(5), requires_grad=True)
    mine, v = w.numpy().copy(), np.zeros(5)
    sgd = optim.SGD([w], lr=0.1, momentum=0.9, weight_decay=0.0005)
    for lr in (0.1, 0.1, 0.01):
        sgd.param_groups[0]["lr"] = lr
        w.grad = rng.standard_normal(5)
        mine, v = solution(13).momentum_step(mine, v, w.grad, lr)
        sgd.step()
    assert np.allclose(mine, w.data)
    weight = nn.Parameter(np.empty((64, 32, 5, 5)))
    nn.init.kaiming_normal_(weight)
    assert np.isclose(weight.data.std(), solution(12).he_sigma(weight.shape), rtol=0.02)


def test_the_solutions_agree_with_tinyalex_about_bytes_between_gpus():
    shapes = cost.layer_shapes(models.cifar("alexnet", column_lrn=True), (3, 32, 32))
    both = cost.reading_both_columns(shapes)
    layers = [(la.size, la.inputs, la.outputs, la in both) for la in shapes if la.size]
    columns, data = solution(20).bytes_crossing(layers, 64)
    assert columns == 2 * cost.sent_bytes(shapes, "columns", 2, 64)
    loss_and_errors = 2 * 8
    assert data == 2 * cost.sent_bytes(shapes, "data", 2, 64) - loss_and_errors


def test_the_solutions_agree_with_tinyalex_about_the_ten_views(rng):
    from PIL import Image

    photo = rng.integers(0, 256, (16, 16, 3), np.uint8)
    preprocessing = models.Preprocessing(size=8, resize=16)
    views = solution(14).ten_views(preprocessing.normalize(photo[None])[0], 8)
    assert np.allclose(views, preprocessing.views(Image.fromarray(photo)))
