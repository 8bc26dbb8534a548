"""`tinyalex learn assemble`: networks made of the learner's answers."""

import dataclasses
import re

import numpy as np
import pytest
from learner import EXERCISES, solution_of, verdict_on

from tinyalex import cli, course
from tinyalex.course import assembly
from tinyalex.course.milestones import MILESTONES
from tinyalex.course.parts import ANSWER_PARTS


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def answer(number, source=None):
    file = EXERCISES[number].file
    file.parent.mkdir(exist_ok=True)
    file.write_text(source or solution_of(number), encoding="utf-8")


def assembled(number=None, images=40):
    lines = []
    course.assemble(number, images=images, report=lines.append)
    return "\n".join(lines)


@pytest.mark.lessons
@pytest.mark.parametrize("number", MILESTONES)
def test_a_network_of_right_answers_ends_with_the_weights_of_tinyalexs_parts(number):
    for n in range(1, number + 1):
        answer(n)
    text = assembled(number)
    assert "tinyalex's (" not in text
    assert text.count("  yours (") == len(MILESTONES[number].parts)
    (difference,) = re.findall(r"the weights differ by at most (.+)", text)
    assert float(difference) < 1e-9
    (difference,) = re.findall(r"numerical gradient and `backward` differ by at most (.+)", text)
    assert float(difference) < 1e-6
    assert ("your ten views" in text) == (number == 14)


def test_every_part_of_a_milestone_needs_exercises_up_to_its_lesson():
    for number, milestone in MILESTONES.items():
        assert max(max(ANSWER_PARTS[name][0]) for name in milestone.parts) <= number
    assert set(ANSWER_PARTS) == {name for m in MILESTONES.values() for name in m.parts}


@pytest.mark.parametrize(
    ("solved", "number"), [((), 4), ((1, 2), 4), ((4,), 4), ((2, 5), 8), ((9,), 14), ((14,), 14)]
)
def test_the_milestone_is_the_first_that_has_the_last_solved_exercise(solved, number, monkeypatch):
    monkeypatch.setattr(assembly.Run, "epochs", lambda run: iter(()))
    for n in solved:
        answer(n)
    assert f"After lesson {number}: " in assembled()


def test_a_part_without_a_right_answer_is_tinyalexs_and_the_reason_is_shown():
    answer(2)
    answer(3, solution_of(3).replace(".sum(", ".mean("))
    assert verdict_on(3, EXERCISES[3].file.read_text(encoding="utf-8")).kind != "right"
    text = assembled(4)
    assert "backward       yours (exercise 2)" in text
    assert "add            tinyalex's (exercise 3: wrong values)" in text
    assert "prelu          tinyalex's (exercise 4: not started)" in text
    assert "numerical gradient" not in text


def test_both_exercises_of_a_part_are_needed():
    answer(5)
    assert "conv2d         tinyalex's (exercise 6: not started)" in assembled(8)


def test_an_answer_that_is_used_changes_the_weights(monkeypatch):
    """The comparison with tinyalex's parts finds an answer that the cases do not."""
    for n in range(1, 5):
        answer(n)
    with_wrong_sums = (
        solution_of(3)
        + """

right = unbroadcast


def unbroadcast(dy, shape):
    return right(dy, shape) * (1.5 if len(dy) == 40 else 1.0)
"""
    )
    answer(3, with_wrong_sums)
    text = assembled(4)
    (difference,) = re.findall(r"the weights differ by at most (.+)", text)
    assert float(difference) > 1e-4


def test_an_exception_of_an_answer_is_reported_with_its_line():
    for n in range(1, 5):
        answer(n)
    answer(
        3,
        solution_of(3)
        + "\n\nright = unbroadcast\n\n\ndef unbroadcast(dy, shape):\n    return right(dy, shape) if len(dy) < 8 else dy[99]\n",
    )
    with pytest.raises(ValueError, match="03_unbroadcast.py, line .*dy\\[99\\]") as error:
        assembled(4)
    assert "IndexError" in str(error.value)
    assert "tinyalex learn check 3" in str(error.value)


@pytest.mark.parametrize(
    ("number", "name", "batch", "shape"),
    [
        (5, "im2col", "len(first)", "(75, 10240)"),
        (6, "col2im", "others[0][0]", "(40, 8, 7, 7)"),
        (8, "max_pool_backward", "len(first)", "(40, 32, 7, 7)"),
    ],
)
def test_an_answer_that_returns_another_shape_is_named(number, name, batch, shape):
    """Also if the function of exercise 2 calls it."""
    for n in (2, 5, 6, 8):
        answer(n)
    transposed = f"""

right = {name}


def {name}(first, *others):
    result = right(first, *others)
    return result.T if {batch} == 40 else result
"""
    answer(number, solution_of(number) + transposed)
    with pytest.raises(ValueError, match=rf"^your {name} \(exercise {number}\)") as error:
        assembled(8)
    assert f"expected shape {shape}, got shape (" in str(error.value)
    assert f"`tinyalex learn check {number}`" in str(error.value)


def test_the_gradient_of_an_answers_class_must_have_the_shape_of_its_input():
    answer(2)
    summed = """

right = ReLU.backward
ReLU.backward = lambda self, dy: right(self, dy).sum(axis=0) if len(dy) == 40 else right(self, dy)
"""
    answer(7, solution_of(7) + summed)
    with pytest.raises(ValueError, match=r"^ReLU.backward: gradient 0 has shape \(32, 7, 7\)"):
        assembled(8)


def test_a_difference_that_is_not_a_number_is_shown(monkeypatch):
    one_epoch = dataclasses.replace(MILESTONES[4], epochs=1)
    monkeypatch.setitem(assembly.MILESTONES, 4, one_epoch)
    with_nan = """

right = unbroadcast


def unbroadcast(dy, shape):
    return right(dy, shape) * (float("nan") if dy.shape == (40, 10) else 1.0)
"""
    answer(3, solution_of(3) + with_nan)
    assert "the weights differ by at most nan" in assembled(4)


def test_the_command_trains_and_rejects_a_lesson_without_a_milestone(monkeypatch, capsys):
    monkeypatch.setattr(assembly, "IMAGES", 8)
    assert cli.main(["learn", "assemble", "4"]) == 0
    assert "on 8 images" in capsys.readouterr().out
    assert cli.main(["learn", "assemble", "5"]) == 2
    assert "lesson 5 has no milestone; expected one of 4, 8, 14." in capsys.readouterr().err


def test_a_right_answer_to_the_last_exercise_of_a_milestone_names_the_command():
    text = {n: verdict_on(n, solution_of(n)).text for n in (3, 4)}
    assert "tinyalex learn assemble 4" in text[4]
    assert "assemble" not in text[3]


def test_images_and_masks_do_not_depend_on_the_seed_of_the_process():
    import tinyalex as ta

    runs = []
    for seed in (0, 1):
        ta.manual_seed(seed)
        run = assembly.Run(MILESTONES[4], {}, 8)
        runs.append(run.weights["w1"].data)
    assert np.array_equal(*runs)
