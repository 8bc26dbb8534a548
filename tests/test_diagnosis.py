"""The diagnosis of wrong answers that no check.py lists."""

import math
import warnings

import numpy as np
import pytest
from answers.natural import NATURAL
from answers.unseen import UNSEEN
from learner import EXERCISES, solution_of, unwrapped, verdict_on

from tinyalex import course
from tinyalex.course import Formula, Operation
from tinyalex.course import verdict as judging
from tinyalex.course.diagnosis import factors
from tinyalex.course.diagnosis.attempt import Attempt, Trial, equal
from tinyalex.course.diagnosis.clues import clues, lines_that_modify
from tinyalex.course.diagnosis.crash import advice_on
from tinyalex.course.diagnosis.expression import (
    Name,
    Number,
    Power,
    Product,
    Sum,
    evaluate,
    parse,
    write,
)
from tinyalex.course.diagnosis.relation import relation
from tinyalex.course.diagnosis.search import explain, run


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


SLOW = {"three mistakes", "quotient form: s**-beta-1"}
"""All pairs of mistakes are tried first."""


def answers(slow):
    chosen = [answer for answer in NATURAL if (answer[1] in SLOW) == slow]
    return [pytest.param(n, words, source, id=f"{n} {name}") for n, name, words, source in chosen]


@pytest.mark.parametrize(("number", "words", "source"), answers(slow=False))
def test_a_natural_wrong_answer_is_named(number, words, source):
    verdict = verdict_on(number, source)
    assert verdict.kind != "right"
    assert words in unwrapped(verdict.text), verdict.text


@pytest.mark.lessons
@pytest.mark.parametrize(("number", "words", "source"), answers(slow=True))
def test_a_wrong_answer_with_three_mistakes_is_named_as_far_as_possible(number, words, source):
    test_a_natural_wrong_answer_is_named(number, words, source)


def test_there_are_natural_wrong_answers_to_each_exercise_with_explanations(tell):
    with_explanations = {
        number
        for number, exercise in EXERCISES.items()
        if hasattr(course.load(exercise.checks), "EXPLANATIONS")
    }
    assert with_explanations == {number for number, *_ in NATURAL}
    tell(f"{len(NATURAL)} natural wrong answers that no check.py lists, each named")


CLAIMS = (
    "Your results are those of",
    "times what it should be",
    "; it should be",
    "Wherever your",
)
"""Words of explanations that name a mistake."""


@pytest.mark.lessons
def test_most_answers_that_were_not_seen_before_are_named(tell, monkeypatch):
    """By a mistake or an explanation. General advice, as on a shape, does not count."""
    explanations = []
    monkeypatch.setattr(
        judging, "explain", lambda *case: explanations.append(explain(*case)) or explanations[-1]
    )
    named = advised = 0
    for number, wrong, words, source in UNSEEN:
        explanations.clear()
        verdict = verdict_on(number, source)
        text = unwrapped(verdict.text)
        assert verdict.kind not in ("right", "not written"), wrong
        assert words in text, f"{wrong}\n{verdict.text}"
        if not words:
            assert not any(claim in text for claim in CLAIMS), f"{wrong}\n{verdict.text}"
        elif verdict.mistake or any(explanations):
            named += 1
        else:
            advised += 1
    tell(f"{named} of {len(UNSEEN)} unseen wrong answers named, {advised} more get general advice")
    assert named >= 32


def formulas():
    for number, exercise in EXERCISES.items():
        checks = course.load(exercise.checks)
        for explanation in getattr(checks, "EXPLANATIONS", []):
            if isinstance(explanation, Formula):
                yield pytest.param(exercise, checks, explanation, id=str(number))


@pytest.mark.parametrize(("exercise", "checks", "formula"), list(formulas()))
def test_a_formula_has_the_results_of_the_solution(exercise, checks, formula):
    for inputs in [*checks.PROBES, *(inputs for _, inputs in checks.CASES)]:
        returned = run(checks, exercise.load_solution(), inputs).returned
        results = formula.results(inputs)
        values = returned if len(checks.RESULTS) > 1 else (returned,)
        for name, value in zip(checks.RESULTS, values, strict=True):
            assert equal(results[name], np.asarray(value))


# Nothing is claimed that the results do not show


@pytest.mark.parametrize(
    "number", [3, 7, 12, 13, *(pytest.param(n, marks=pytest.mark.lessons) for n in (4, 11))]
)
def test_a_result_that_no_mistake_explains_gets_no_explanation(number):
    """The right results times a number that depends on their elements."""
    source = solution_of(number)
    name = {3: "unbroadcast", 4: "PReLU", 7: "ReLU", 11: "softmax_cross_entropy"}.get(number, "")
    name = name or {12: "he_sigma", 13: "momentum_step"}[number]
    if number in (4, 7):
        source += (
            f"\n\nright = {name}.backward\n\n\n"
            "def backward(self, dy):\n"
            "    dx = right(self, dy)\n"
            "    return tuple(noise(a) for a in dx) if isinstance(dx, tuple) else noise(dx)\n\n\n"
            f"{name}.backward = backward\n"
        )
    else:
        source += (
            f"\n\nright = {name}\n\n\n"
            f"def {name}(*arguments):\n"
            "    result = right(*arguments)\n"
            "    if isinstance(result, tuple):\n"
            "        return tuple(noise(a) for a in result)\n"
            "    return noise(result)\n"
        )
    source += (
        "\n\ndef noise(a):\n    return np.cos(7 * a + np.arange(np.size(a)).reshape(np.shape(a)))\n"
    )
    text = unwrapped(verdict_on(number, f"import numpy as np\n{source}").text)
    assert not any(claim in text for claim in CLAIMS), text


def test_the_failing_case_is_one_trial_and_the_first():
    exercise = EXERCISES[12]
    checks = course.load(exercise.checks)
    trials = []

    class Spy:
        def explain(self, attempt):
            trials.extend(attempt.trials)

    checks.EXPLANATIONS = [Spy()]
    verdict_on(12, solution_of(12).replace("return ", "return 1.5 * "))
    explain(exercise, checks, course.load(exercise.file), 1, checks.RESULTS[0])
    every = [*checks.PROBES, *(inputs for _, inputs in checks.CASES)]
    assert trials[0].inputs == checks.CASES[1][1]
    assert len(trials) == len(every)


def test_a_relation_of_few_elements_is_not_named():
    """Three elements are the same in reverse order by chance."""
    right, wrong = np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])
    trials = [Trial({}, {"z": right}, {"z": wrong})]
    assert relation(Attempt("z", trials, "", lambda inputs: None)) is None
    text = relation(Attempt("z", 2 * trials, "", lambda inputs: None))
    assert text == "Wherever your z is wrong, it has the right values in another order."


# Expressions, formulas and factors


@pytest.mark.parametrize(
    "text",
    [
        "dy*s**-beta - 2*alpha*beta*x*f(dy*y/s)",
        "(a + b)*c",
        "a/b/c",
        "1/a",
        "-a + b",
        "a**(b + 1)",
        "(a*b)**2",
        "where(x > 0, 1, a)",
        "(p - q)/n",
    ],
)
def test_an_expression_is_written_as_it_was_parsed(text):
    assert write(parse(text)) == text


@pytest.mark.parametrize(
    ("exponent", "text"),
    [
        (Sum(((-1, Product(((1, Name("b")), (1, Name("c"))))),)), "a**(-b*c)"),
        (Sum(((-1, Power(Name("b"), Number(2))),)), "a**(-b**2)"),
        (Sum(((-1, Name("b")),)), "a**-b"),
        (Sum(((-1, Number(2)),)), "a**-2"),
        (Sum(((1, Name("b")), (-1, Number(1)))), "a**(b - 1)"),
    ],
)
def test_an_exponent_is_written_with_the_brackets_that_it_needs(exponent, text):
    node = Power(Name("a"), exponent)
    values = {"a": 1.5, "b": 2.0, "c": 3.0}
    assert write(node) == text
    assert eval(text, {}, values) == pytest.approx(evaluate(node, values, {}))


def test_a_negative_base_is_written_in_brackets():
    assert write(Power(Number(-1), Name("a"))) == "(-1)**a"


def test_names_may_end_with_a_prime_or_with_anything_else():
    formula = Formula("w' = w_new - w\nv = 2*w'")
    assert formula.results({"w_new": 5.0, "w": 3.0}) == {"w": 2.0, "v": 4.0}
    trials = []
    for w in (2.0, 4.0):
        inputs = {"w_new": w + 3, "w": w}
        right = {name: np.asarray(value) for name, value in formula.results(inputs).items()}
        trials.append(Trial(inputs, right, {"v": np.asarray(2 * w)}))
    text = formula.explain(Attempt("v", trials, "", lambda inputs: None))
    assert "`w` takes the place of `w'`" in text
    assert "w_new" not in text.replace("w' = w_new", "")


def test_an_expression_has_the_value_of_the_python_expression(rng):
    names = {name: rng.uniform(1, 2, 4) for name in "abcd"}
    for text in ("a - b*c/d", "a/(b*c)", "a**-b + 2", "-a*b", "(a - b)**2*c", "a - (b - c)"):
        value = evaluate(parse(text), names, {})
        assert np.allclose(value, eval(text, {}, names)), text
        assert np.allclose(value, eval(write(parse(text)), {}, names)), text


def test_an_unknown_expression_is_an_error():
    with pytest.raises(ValueError, match=r"cannot use 'a @ b' in a formula"):
        parse("a @ b")


def explained(formula, wrong, trials=4, result="z"):
    """What a formula says about the function `wrong` of x, y and c."""
    random = np.random.default_rng(0)

    def trial(inputs):
        return Trial(inputs, formula.results(inputs), {result: np.asarray(wrong(**inputs))})

    inputs = [
        {"x": random.uniform(1, 2, 5), "y": random.uniform(1, 2, 5), "c": random.uniform(2, 3)}
        for _ in range(trials)
    ]
    return formula.explain(Attempt(result, [trial(i) for i in inputs], "", trial))


TWO_TERMS = Formula("z = c * x - y / c")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x, y, c: c * x, "The term `y/c` is missing."),
        (lambda x, y, c: c * x + y / c, "The term `y/c` is added and should be subtracted."),
        (lambda x, y, c: x - y / c, "The factor `c` is missing in `c*x`."),
        (lambda x, y, c: c * x - y, "The division by `c` is missing in `y/c`."),
        (lambda x, y, c: c * x - x / c, "`x` takes the place of `y` in `y/c`."),
        (lambda x, y, c: c * x - y * c, "`y/c` is multiplied by `c` and should be divided by it."),
        (lambda x, y, c: c**1.5 * x - y / c, "The first term, `c*x`, is sqrt(c) times what it should be."),
        (lambda x, y, c: c * x - 3 * y / c**2, "The second term, `y/c`, is 3/c times what it should be. Is `c` missing?"),
        (lambda x, y, c: c * x - y.sum() * y, "times what it should be in one case, and"),
        (lambda x, y, c: c * x - y.sum() * y, "The first term is right."),
    ],
)  # fmt: skip
def test_a_formula_names_what_is_wrong_in_it(wrong, words):
    assert words in explained(TWO_TERMS, wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, y, c: c * x - y / c,
        lambda x, y, c: np.zeros(5),
        lambda x, y, c: np.sin(x) * y,
        lambda x, y, c: np.full(5, np.nan),
        lambda x, y, c: np.ones((5, 1)),
    ],
    ids=["right", "zero", "unrelated", "nan", "shape"],
)
def test_a_formula_says_nothing_about_other_results(wrong):
    text = explained(TWO_TERMS, wrong)
    assert text is None


def test_a_factor_that_fits_by_chance_in_one_trial_is_not_named():
    wrong = [{"c": 2.0}, {"c": 3.0}]
    assert factors.identify([2.0, 3.0], wrong) == (1.0, {"c": 1.0})
    assert factors.identify([4.0, 6.0], wrong) == (2.0, {"c": 1.0})
    assert factors.identify([2.0, 2.0], wrong) == (2.0, {})
    assert factors.identify([2.0, 3.1], wrong) is None
    assert factors.identify([2.0, -3.0], wrong) is None
    assert factors.identify([0.0, 1.0], wrong) is None


@pytest.mark.parametrize(
    ("factor", "text"),
    [
        ((1.0, {"a": 1.0, "b": -1.0}), "a/b"),
        ((-0.5, {"a": 0.5}), "-sqrt(a)/2"),
        ((2.0, {"a": -2.0, "b": -1.0}), "2/(a**2*b)"),
        ((3.0, {}), "3"),
    ],
)
def test_a_factor_is_written_as_python(factor, text):
    assert factors.write(*factor) == text


def test_a_variant_of_a_function_is_named_in_one_place_or_in_all():
    total = Operation(np.sum, (), "the sum", {"the mean": np.mean})
    formula = Formula("z = x * total(y) + total(x)", {"total": total})
    one = explained(formula, lambda x, y, c: x * y.mean() + x.sum())
    assert "`total(y)` should be the sum, and is the mean." in one
    both = explained(formula, lambda x, y, c: x * y.mean() + x.mean())
    assert "Each `total(...)` should be the sum, and is the mean." in both


# Clues in the source


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("y = x ** 1/2", "is divided by 2, and is not a root"),
        ("y = a * b > 0", "compares the product"),
        ("y = a ^ 2", "^ is not a power but XOR of bits"),
        ("y = np.where(a > 0)", "np.where with one argument"),
        ("y = np.max(a, 0)", "np.maximum compares element by element"),
    ],
)
def test_confusions_in_the_source_are_named(code, words):
    (clue,) = clues(code)
    assert words in clue


@pytest.mark.parametrize(
    "code",
    [
        "y = x ** (1/2)",
        "y = a * (b > 0)",
        "y = i * stride < h",
        "y = x * 1.0 < 0",
        "y = x * (a + b) < 0",
        "y = a * b == 0",
        "y = a * b != 0",
        "np.where(a, b, c)",
        "a[",
        "np.max(a)",
    ],
)
def test_other_code_gets_no_clue(code):
    assert clues(code) == []


def test_names_are_those_of_one_function_and_attributes_of_a_class():
    source = (
        "class F:\n    def forward(self, x):\n        self.x = x\n        y = x + 1\n        y[0] = 1\n"
        "    def backward(self, dy):\n        x, y = dy * 2, dy * 3\n        x[0] = 1\n"
        "        self.x[0] = 2\n        dy, n = dy.copy(), 1\n        dy *= 2\n"
        "def g(y):\n    a = b = y\n    a[0] = 3\n    b *= 2\n"
    )
    assert lines_that_modify(source) == [(9, "self.x[0] = 2"), (14, "a[0] = 3"), (15, "b *= 2")]


def test_lines_that_modify_an_argument_are_found_also_under_another_name():
    source = (
        "def f(x, dy):\n    y = x.copy()\n    y[0] = 1\n    a = dy\n    a[0] = 2\n    dy += 1\n"
        "    dy = dy * 2\n    dy *= 3\n    x[1], y[1] = 1, 2\n"
    )
    assert lines_that_modify(source) == [
        (5, "a[0] = 2"),
        (6, "dy += 1"),
        (9, "x[1], y[1] = (1, 2)"),
    ]
    assert lines_that_modify("def f(:") == []


# Exceptions


A, B = np.ones((2, 3)), np.ones((2, 4))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("if A > 0: pass", "Select element by element"),
        ("a, b, c = (1, 2)", "There are 3 names on the left, but 2 elements on the right"),
        ("a, b = (1, 2, 3)", "There are only 2 names on the left"),
        ("A + B", "axis -1 has size 3 in the first array and 4 in the second"),
        ("A.copy()[:, 0:2] = B", "has shape (2,4), but the elements that it is assigned to have shape (2,2)"),
        ("x = np.ones(3); x += A", "keeps the shape of the array on its left, (3,)"),
        ("A.sum(axis=2)", "There is no axis 2: the array has 2 axes"),
        ("A[5]", "Axis 0 has size 2, so an index must be below 2, and here it is 5"),
        ("(1, 2)[2]", "The tuple has fewer elements than this index needs"),
        ("A[0, 0, 0]", "The array has 2 axes and 3 indices"),
        ("A.reshape(4)", "The array has 6 elements, and the shape (4,) another number"),
        ("A.copy()[A > 0] = np.ones(4)", "The mask selects 6 elements, and the right-hand side has 4"),
        ("A[B > 0]", "The mask and the array have different shapes"),
        ("np.zeros(2)[0] = [1, 2]", "a single element is assigned a whole array"),
        ("A.sum(axis=(0, 0))", "An axis occurs twice"),
        ("math.sqrt(A)", "This function needs a single number and gets an array"),
        ("A['a']", "An index must be an int, a slice or an array"),
        ("A.sum(axis=[0])", "axis=... takes an int or a tuple of ints"),
        ("range(2.0)", "An int is needed here, and this is a float"),
        ("math.prod(3)", "Several values are needed here, and this is one int"),
        ("(3)[0]", "An int has no elements"),
        ("2(3)", "Is a `*` missing before a bracket"),
        ("2 / (3,)", "`/` is not defined for a value of type int and one of type tuple"),
        ("(3,) * 2.0", "multiplied by a number that is not an int"),
        ("x = (3,); x[0] = 1", "A tuple cannot be changed"),
        ("math.sqrt(-1)", "of a negative number"),
        ("np.broadcast_to(A, (3,))", "it can only enlarge an array"),
        ("np.zeros(0).max()", "the minimum or maximum of no elements"),
        ("np.stack([A, B])", "have different shapes"),
        ("np.concatenate([])", "The list of arrays is empty"),
        ("x = np.ones(2, int); x += 0.5", "An array of ints cannot hold the result"),
        ("A @ B", "the last axis of a must be as long"),
        ("(lambda a: a)(b=1)", "The function has no argument `b`"),
        ("(lambda a: a)()", "A call has too few arguments"),
        ("(lambda a: a)(1, 2)", "A call has too many arguments"),
        ("None + 1", "A value in this line is None"),
        ("1 / 0", "Something is divided by 0"),
        ("[][0]", "The list has fewer elements than this index needs"),
    ],
)  # fmt: skip
def test_advice_on_an_exception_follows_from_its_message(code, words):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SyntaxWarning: 'int' object is not callable
        program = compile(code, "<code>", "exec")
    with pytest.raises((TypeError, ValueError, LookupError, ArithmeticError)) as caught:
        exec(program, {"np": np, "math": math, "A": A, "B": B})
    assert words in advice_on(caught.value)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("return dy[shape[0], n]", "dy is an array of shape (2, 3); shape[0] is 2; n is 7"),
        ("return dy + np.ones(n)", "dy is an array of shape (2, 3); n is 7"),
        ("return sum(dy[k] for k in range(n))", "dy is an array of shape (2, 3); k is 2"),
    ],
)
def test_the_values_in_the_failing_expression_are_shown(line, text):
    source = f"import numpy as np\ndef unbroadcast(dy, shape):\n    n = 7\n    {line}\n"
    verdict = verdict_on(3, source)
    assert verdict.kind == "crash"
    assert text in unwrapped(verdict.text)
