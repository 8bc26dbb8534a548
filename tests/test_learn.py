"""`tinyalex learn`: the feedback on an answer, and the command."""

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from learner import EXERCISES, solution_of, unwrapped, verdict_on

from tinyalex import cli, course
from tinyalex.course.commands import SHOWN_HINTS_FILE
from tinyalex.gradient_check import hints


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# Feedback


def feedback_on(source, number=3, **options):
    verdict = verdict_on(number, source, **options)
    return verdict.kind, unwrapped(verdict.text)


def test_a_syntax_error_is_shown_with_its_line():
    kind, text = feedback_on("import numpy as np\ndef unbroadcast(dy, shape)\n    return dy\n")
    assert kind == "syntax"
    assert "expected ':'" in text
    assert "my/03_unbroadcast.py, line 2: def unbroadcast(dy, shape)" in text


@pytest.mark.parametrize("source", [b"def f(): \x00", b"x = '\xff'"])
def test_a_file_that_is_not_text_is_a_syntax_error(source):
    exercise = EXERCISES[3]
    course.start(exercise)
    exercise.file.write_bytes(source)
    assert course.check(exercise).kind == "syntax"


def test_an_exception_is_shown_with_the_learners_own_line_and_the_case():
    source = "def unbroadcast(dy, shape):\n    n = dy.ndim\n    return dy.sum(axis=n)\n"
    kind, text = feedback_on(source)
    assert kind == "crash"
    assert "nothing was repeated: dy=[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], shape=(2, 3)" in text
    assert "AxisError: axis 2 is out of bounds for array of dimension 2" in text
    assert "my/03_unbroadcast.py, line 3: return dy.sum(axis=n)" in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("import no_such_library", "ModuleNotFoundError"),
        ("def unbroadcast(dy, shape):\n    exit()", "SystemExit"),
        (
            "def unbroadcast(dy, shape):\n    return unbroadcast(dy, shape)",
            "A function calls itself infinitely",
        ),
        ("def unbroadcast(dy, shape):\n    return summed", "name 'summed' is not defined"),
        ("def unbroadcast(dy):\n    return dy", "takes 1 positional argument but 2 were given"),
        (
            "def unbroadcast(dy):\n    return dy",
            "Keep the names and the order of the arguments as in the exercise.",
        ),
    ],
)
def test_advice_on_other_exceptions(source, text):
    kind, feedback = feedback_on(source)
    assert kind == "crash"
    assert text in feedback


def test_unwritten_code_is_shown_with_its_line():
    task = EXERCISES[10].task.read_text()
    source = task.replace("raise NotImplementedError", "self.scale = 1.0\n        return x", 1)
    kind, text = feedback_on(source, number=10)
    assert kind == "not written"
    line = f"my/10_dropout.py, line {len(source.splitlines())}: raise NotImplementedError"
    help_ = "Write the missing code, then check. Help: tinyalex learn hint 10"
    assert text == f"{line} {help_}"


def test_a_renamed_function_is_reported_as_missing():
    kind, text = feedback_on("def unbroadcasted(dy, shape):\n    return dy\n")
    assert kind == "missing"
    assert "my/03_unbroadcast.py has no unbroadcast" in text


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        ("None", "expected an array of shape (2, 3), got None Is a `return` missing?"),
        (
            "dy.tolist()",
            "expected an array of shape (2, 3), got a list of 2 Make it an array, with np.array or np.stack.",
        ),
        ("dy[0]", "expected an array of shape (2, 3), got an array of shape (3,)"),
        (
            "dy.astype('f') if shape == (2, 3) else 0",
            "the values are right, but expected float64, got float32",
        ),
        (
            "dy > 2",
            "expected numbers, got an array of bool A comparison such as `a > 0` gives",
        ),
        ("(dy,)", "got a tuple of 1 Return one array. Does a comma after a value make a tuple"),
        ("dy.reshape(3, 2)[:, :1]", "Elements are missing"),
        ("dy[:, :2]", "Elements are missing: does a slice or a mask select only a part?"),
        ("__import__('tinyalex').Tensor(dy)", "got a Tensor Work with NumPy arrays."),
        ("dy.astype(object)", "expected numbers, got an array of object"),
        (
            "dy * float('nan')",
            "expected 1, got nan (0 of 6 elements are right) nan and inf come from",
        ),
    ],
)
def test_a_wrong_return_value_is_described(returned, text):
    kind, feedback = feedback_on(f"def unbroadcast(dy, shape):\n    return {returned}\n")
    assert kind in ("form", "values")
    assert text in feedback


def test_one_value_instead_of_two_is_reported():
    source = "def momentum_step(w, v, g, lr, momentum, decay):\n    return w\n"
    kind, text = feedback_on(source, number=13)
    assert kind == "form"
    assert "expected 2 values, (w, v), got an array of shape (2,)" in text


IN_PLACE = """
import tinyalex as ta

class ReLU(ta.Function):
    def forward(self, x):
        self.x = x
        return x * (x > 0)

    def backward(self, dy):
        dy[self.x <= 0] = 0
        return dy
"""


def test_a_modified_input_is_reported():
    kind, text = feedback_on(IN_PLACE, number=7)
    assert kind == "input"
    assert "input dy was modified The caller still needs its values." in text
    assert "Line 10: dy[self.x <= 0] = 0" in text


def test_an_unknown_mistake_gets_the_hint_of_gradcheck():
    source = solution_of(8).replace("return dx", "return -3 * dx")
    kind, text = feedback_on(source, number=8)
    assert kind == "values"
    assert "The gradient check, on other values, reports for the gradient of x: " in text
    assert "Every element is -3 times the correct value." in text


@pytest.mark.parametrize("number", [1, 5])
def test_no_hint_of_gradcheck_where_the_learner_writes_no_backward(number):
    source = solution_of(number).replace("return ", "return 7 * ")
    kind, text = feedback_on(source, number=number)
    assert kind == "values"
    assert "is 7 times the right one" in text
    assert "gradient check" not in text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("-col", "Wherever your col is wrong, it has the opposite sign"),
        ("0 * col", "Wherever your col is wrong, it is 0"),
        ("np.roll(col, 1)", "it has the right values in another order"),
        ("col * 1.5", "it is 1.5 times the right one"),
        ("col + 1", "by hand from the formula"),
    ],
)
def test_an_unknown_mistake_gets_the_relation_to_the_right_result(change, text):
    source = solution_of(5).replace("return col", f"col = {change}\n    return col")
    assert text in feedback_on(source, number=5)[1]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("col[None]", "The values are right, but there are too many axes of size 1"),
        ("col.ravel()", "The values are right, and in the right order: .reshape gives them"),
        ("col.sum()", "This is one number: a sum, mean or maximum without `axis`"),
        ("col[0]", "It has 1 axes for 2"),
        ("col[:, :, None] * np.ones(2)", "It has 3 axes for 2"),
        ("list(col)", "Make it an array, with np.array or np.stack."),
    ],
)
def test_a_wrong_shape_is_described(change, text):
    source = solution_of(5).replace("return col.reshape", "col = col.reshape") + "\n    return "
    assert text in feedback_on(source + change, number=5)[1]


def test_exchanged_axes_are_named():
    source = solution_of(11).replace("dlogits / len(logits)", "(dlogits / len(logits)).T")
    assert "The values are right after .transpose(1, 0)" in feedback_on(source, number=11)[1]


def test_rounding_to_integers_is_named_only_if_it_explains_the_values():
    source = solution_of(9).replace("    return dy", "    dx = dy", 1)
    source = source.replace("\n\n\ndef sum", "\n    return CHANGED\n\n\ndef sum")
    rounded = source.replace("CHANGED", "dx.astype(int)")
    assert "Your array has dtype int64" in feedback_on(rounded, number=9)[1]
    other = solution_of(5).replace("return col", "col = (col + 9).astype(int)\n    return col")
    assert "dtype" not in feedback_on(other, number=5)[1]


def test_no_hint_of_gradcheck_where_only_an_input_was_modified():
    kind, text = feedback_on(IN_PLACE, number=7)
    assert kind == "input"
    assert "gradient check" not in text


def two_mistakes():
    source = solution_of(5).replace(") // stride + 1", ") // stride")
    return source.replace("(1, 2, 3, 0)", "(1, 3, 2, 0)")


def test_two_mistakes_at_once_get_both_hints():
    _, text = feedback_on(two_mistakes(), number=5)
    assert "There are two mistakes. One position is missing in each direction." in text
    assert "And: Within a patch, rows and columns are exchanged" in text


def test_a_pair_of_mistakes_must_agree_in_all_cases():
    third = "    if padding:\n        col += 1\n    return col"
    _, text = feedback_on(two_mistakes().replace("    return col", third), number=5)
    assert "There are two mistakes" not in text


def test_of_several_mistakes_the_one_that_agrees_in_later_cases_is_reported():
    """Both of these have the same result in the first case, and others later."""
    middle = "(bottom // 2, right // 2)"
    wrong = "((bottom + 1) // 2, (right + 1) // 2) if h < 200 else (h // 2, w // 2)"
    kind, text = feedback_on(solution_of(14).replace(middle, f"({wrong})"), number=14)
    assert kind == "values"
    assert "The middle crop starts one pixel too late" in text


def test_an_exception_is_not_attributed_to_a_mistake_that_the_source_does_not_show():
    source = solution_of(1)
    wrong = source.replace("np.ndindex(x.shape)", "range(x.size)")
    assert "x.size is the number of elements" in feedback_on(wrong, number=1)[1]
    other = source.replace("np.ndindex(x.shape)", "range(math.prod(x.shape))")
    kind, text = feedback_on(f"import math\n{other}", number=1)
    assert kind == "crash"
    assert "Axis 0 has size 2, so an index must be below 2, and here it is 2." in text


def test_an_index_error_with_another_message_is_another_mistake():
    wrong = solution_of(8).replace("zeros_like(x)", "zeros_like(dy)")
    assert "dx has dy's shape" in feedback_on(wrong, number=8)[1]
    other = wrong.replace("dx[n, c, ", "dx[n, c, 0, ")
    assert "The array has 4 axes and 5 indices." in feedback_on(other, number=8)[1]


def test_guesses_of_gradcheck_are_not_shown():
    source = solution_of(8).replace("dy[n, c, i, j]", "dy[n, c, i, j] + i")
    kind, text = feedback_on(source, number=8)
    assert kind == "values"
    assert "gradient check" not in text
    assert "+=" not in text


def test_the_exact_hints_are_kinds_of_gradcheck_hints():
    source = Path(hints.__file__).read_text(encoding="utf-8")
    assert all(f'"{kind}"' in source for kind in course.diagnosis.search.EXACT_HINTS)


def test_small_inputs_are_shown_and_functions_described():
    source = solution_of(1).replace("return gradient", "return 7 * gradient")
    _, text = feedback_on(source, number=1)
    assert "f=cubes, the sum of x**3, x=[1.0, 2.0, -1.0], h=0.1" in text
    verdict = verdict_on(8, solution_of(8).replace("return dx", "return dx + 7"))
    assert "\n  x =    [[[[" in verdict.text
    assert unwrapped(verdict.text).endswith("Stuck? tinyalex learn hint 8")
    assert "by hand from the formula" in verdict.text


def test_arrays_are_shown_as_numpy_prints_them():
    x = np.arange(12.0).reshape(2, 1, 2, 3)
    assert course.formatting.describe("two images", {"x": x, "stride": 2}) == [
        ("tried", "two images: x of shape (2, 1, 2, 3), stride=2"),
        ("x =", np.array2string(x, separator=", ")),
    ]


def test_large_inputs_are_not_shown():
    wrong = "    five = five + (h > 99)\n    return np.concatenate"
    source = solution_of(14).replace("    return np.concatenate", wrong)
    _, text = feedback_on(source, number=14)
    assert "too large to show" in text
    assert "by hand" not in text


def test_an_endless_loop_is_reported_with_its_line():
    source = "import time\ndef unbroadcast(dy, shape):\n    while 1:\n        time.sleep(0.02)\n"
    kind, text = feedback_on(source, seconds=0.3)
    assert kind == "endless"
    assert "stopped after 0.3 seconds" in text
    assert "my/03_unbroadcast.py, line 4: time.sleep(0.02)" in text


def test_an_error_in_the_checks_themselves_is_raised(monkeypatch):
    monkeypatch.setattr(course.verdict, "difference", lambda *outcomes: 1 / 0)
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        feedback_on("def unbroadcast(dy, shape):\n    return dy\n")
    assert threading.active_count() <= before + 1


# The command


def learn(*options):
    return cli.main(["learn", *options])


def test_start_copies_the_exercise_and_check_reports_it_as_unchanged(capsys, tmp_path):
    assert learn("check", "5") == 2
    create = "There is no my/05_im2col.py yet. Create it with: tinyalex learn start 5"
    assert create in capsys.readouterr().out
    assert learn("start", "5") == 0
    assert (tmp_path / "my" / "05_im2col.py").read_bytes() == EXERCISES[5].task.read_bytes()
    assert learn("check", "5") == 2
    assert "my/05_im2col.py is unchanged." in capsys.readouterr().out


def test_the_first_lesson_is_number_0(capsys, tmp_path):
    assert learn("start", "0") == 0
    assert "Exercise 0: the training loop." in capsys.readouterr().out
    assert (tmp_path / "my" / "00_training_loop.py").exists()
    assert learn("check", "0") == 2


def test_start_does_not_overwrite_an_edited_file(capsys, tmp_path):
    learn("start", "5")
    assert learn("start", "5") == 0
    file = tmp_path / "my" / "05_im2col.py"
    file.write_text("# my work")
    assert learn("start", "5") == 2
    error = capsys.readouterr().err
    assert "my/05_im2col.py has been edited and is not overwritten." in error
    assert "To restart, rename or delete it first." in error
    assert file.read_text() == "# my work"


def test_my_is_found_from_a_subfolder(capsys, tmp_path, monkeypatch):
    learn("start", "5")
    (tmp_path / "notes").mkdir()
    for folder, file in (("my", "05_im2col.py"), ("notes", "../my/05_im2col.py")):
        monkeypatch.chdir(tmp_path / folder)
        capsys.readouterr()
        assert learn("check", "5") == 2
        assert capsys.readouterr().out.startswith(f"{file} is unchanged.")


def test_in_the_repository_my_is_in_the_folder_of_pyproject(capsys, tmp_path, monkeypatch):
    (tmp_path / "clone" / "lessons" / "exercises").mkdir(parents=True)
    (tmp_path / "clone" / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path / "clone" / "lessons")
    learn("start", "5")
    assert "It is in ../my/05_im2col.py." in capsys.readouterr().out
    assert (tmp_path / "clone" / "my" / "05_im2col.py").exists()


def test_start_reports_that_the_file_was_already_there(capsys):
    learn("start", "5")
    capsys.readouterr()
    assert learn("start", "5") == 0
    assert "It is in my/05_im2col.py (already there, unchanged)." in capsys.readouterr().out


def test_the_exit_status_of_check_is_0_for_a_right_answer_and_1_for_a_wrong_one(capsys):
    learn("start", "12")
    EXERCISES[12].file.write_text("def he_sigma(shape):\n    return (2 / shape[1]) ** 0.5\n")
    assert learn("check", "12") == 1
    assert "Only the channels are counted." in capsys.readouterr().out
    EXERCISES[12].file.write_text(solution_of(12))
    assert learn("check", "12") == 0
    passed, following = capsys.readouterr().out.splitlines()
    assert passed == "Exercise 12, he_sigma: right in all 5 cases."
    assert following == "Next: tinyalex learn start 13"


def test_hint_shows_one_hint_after_the_other(capsys):
    for level in (1, 2, 3, 3):
        learn("hint", "5")
        assert f"Hint {level} of 3: " in capsys.readouterr().out
    learn("hint", "5", "--level", "1")
    learn("hint", "6")
    out = capsys.readouterr().out
    assert out.count("Hint 1 of 3: ") == 2
    assert "Next hint: tinyalex learn hint 6" in out


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_a_damaged_record_of_hints_begins_again(content, capsys):
    learn("hint", "5")
    file = Path("my") / SHOWN_HINTS_FILE
    assert file.exists()
    file.write_text(content)
    learn("hint", "5")
    assert capsys.readouterr().out.count("Hint 1 of 3: ") == 2


def test_solution_prints_the_solution(capsys):
    learn("solution", "5")
    assert capsys.readouterr().out == solution_of(5)


def test_status_has_a_line_for_each_exercise(capsys):
    learn("start", "1")
    verdict_on(2, solution_of(2))
    verdict_on(3, "def unbroadcast(dy, shape):\n    return dy\n")
    capsys.readouterr()
    assert learn("status") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[-1].strip() for line in lines[:5]] == [
        "not started",
        "not started",
        "passes",
        "wrong shape or type",
        "not started",
    ]
    assert len(lines) == len(EXERCISES)


def test_a_closed_pipe_prints_no_traceback(tmp_path):
    command = f"{sys.executable} -m tinyalex learn status | head -n 1"
    shell = ["bash", "-o", "pipefail", "-c", command]
    result = subprocess.run(shell, capture_output=True, text=True, cwd=tmp_path)
    assert result.stdout.split()[:1] == ["0"]
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["check"], "which lesson? For example: tinyalex learn check 5"),
        (["start", "99"], "lesson 99 has no exercise"),
    ],
)
def test_a_missing_or_unknown_lesson_is_an_error(options, text, capsys):
    assert learn(*options) == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("text", ["-1", "first", "1.5", "1" * 5000])
def test_a_lesson_that_is_not_a_number_is_an_error(text, capsys):
    with pytest.raises(SystemExit) as stopped:
        learn("start", text)
    assert stopped.value.code == 2
    assert "expected the number of a lesson" in capsys.readouterr().err


def test_the_installed_package_states_where_the_exercises_are(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(course.exercise, "REPOSITORY", tmp_path / "site-packages")
    assert learn("status") == 2
    assert "the exercises are not in the installed package" in capsys.readouterr().err
    folder = EXERCISES[1].task.parent
    shutil.copytree(folder, tmp_path / "lessons" / "exercises" / folder.name)
    assert learn("status") == 0
