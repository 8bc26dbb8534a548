"""README.md and docs/: programs run; links, file names and tables are correct."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tinyalex import models
from tinyalex.nn import init

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *ROOT.glob("docs/*.md"),
]
PAGES += [ROOT / "benchmarks" / "README.md"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TRAINING = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


def programs(page):
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


LAYER, ALEXNET = programs(README)
NETWORK, NETWORK_WITH_BUG, HALF_PRECISION, SCRIPT_FOR_PYTORCH = programs(TRAINING)


def run(program, folder=None):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, cwd=folder
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def anchors(page):
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_point_to_existing_files_and_headings(page):
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)]+)\)", text):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_named_files_exist(page):
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"\b((?:tinyalex|tests|lessons|benchmarks|docs)/[\w/.-]+\w)", text)
    missing = [name for name in named if not (ROOT / name).exists()]
    assert [name for name in missing if "IDEA" not in name] == []  # a placeholder
    inside = re.findall(r"`((?:device|kernels|functional|nn|emulator)/[\w/]+\.\w+)`", text)
    assert [name for name in inside if not (ROOT / "tinyalex" / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_block_is_a_placeholder(page):
    blocks = re.findall(r"```\w*\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert [block for block in blocks if len(block.split()) < 2] == []


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


@pytest.mark.peers
def test_alexnet_loads_weights_and_exports_onnx(tmp_path):
    import torch

    state = {
        name: torch.tensor(w) for name, w in models.alexnet("torchvision").state_dict().items()
    }
    torch.save(state, tmp_path / "alexnet-owt-7be5be79.pth")
    run(ALEXNET, tmp_path)
    assert (tmp_path / "alexnet.onnx").stat().st_size > 4 * 61_100_840


def test_the_table_of_variants_has_their_parameters():
    for names, parameters in re.findall(r"^\| (`.*?) \| ([\d,]+) \|", README, re.MULTILINE):
        for variant in re.findall(r"`(\w+)`", names):
            with init.skipped():
                model = models.alexnet(variant)
            assert f"{sum(p.size for p in model.parameters()):,}" == parameters, variant


def test_gradcheck_rejects_the_layer_with_the_table_of_the_readme():
    assert [run(LAYER)] == re.findall(r"```\n(gradcheck .*?)```", README, re.DOTALL)


def test_gradcheck_accepts_the_layer_without_its_bug():
    assert "every gradient is right" in run(LAYER.replace(".mean(", ".sum("))


def test_the_network_trains_a_step_and_prints_its_summary():
    assert "fused with features.2" in run(NETWORK)


def test_the_step_in_half_precision_has_the_dtypes_in_its_comment():
    assert run(HALF_PRECISION).strip() == HALF_PRECISION.strip().rpartition("# ")[2]


def test_the_script_written_for_pytorch_trains_and_names_what_is_missing():
    error, missing = run(SCRIPT_FOR_PYTORCH).splitlines()
    assert float(error.removeprefix("error ").removesuffix("%")) < 20
    assert missing.startswith("Tensor has no `scatter_`: use")


def test_gradcheck_names_the_wrong_operation_with_the_sentences_of_the_page():
    imports = "import numpy as np\nimport tinyalex as ta\nfrom tinyalex import nn\n"
    shown = re.findall(r"```\n(Each of the .*?)```", TRAINING, re.DOTALL)
    assert [run(imports + NETWORK_WITH_BUG)] == shown


def commands(page, heading):
    """The command lines of a section, without comments."""
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^    (\S.*)$", section, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


@pytest.mark.emulated
def test_the_quick_start_on_a_gpu_runs(tmp_path):
    install, *rest = commands(README, "On a GPU")
    extra = re.fullmatch(r"\.\[(\w+)\]", install[-1])[1]
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][
        extra
    ]
    programs = {"tinyalex": ["-m", "tinyalex"], "python": []}
    env = os.environ | {"TINYALEX_EMULATOR_DEVICES": "1"}
    for program, *arguments in rest:
        arguments = [str(ROOT / a) if a.endswith(".py") else a for a in arguments]
        command = [sys.executable, *programs[program], *arguments]
        result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
        assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.cuda
def test_the_emulators_page_shows_the_output_of_its_program(tmp_path):
    page = (ROOT / "docs" / "emulator.md").read_text(encoding="utf-8")
    (program,) = programs(page)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "norm.py").write_text(program)
    command = [sys.executable, "-m", "tinyalex", "emulate", tmp_path / "code" / "norm.py"]
    env = os.environ | {"TINYALEX_CACHE": str(tmp_path)}  # empty: all modules are compiled
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env)
    assert result.stdout == "norm: 1.0000\n"
    assert re.findall(r"```\n(2 emulated .*?)```", page, re.DOTALL) == [result.stderr.lstrip()]


def test_the_table_of_lessons_has_the_questions_that_they_ask():
    page = (ROOT / "docs" / "lessons.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[\d+\]\(\.\./(lessons/\w+\.py)\) \| (.+) \|$", page, re.MULTILINE)
    assert [file for file, _ in rows] == sorted(
        file.relative_to(ROOT).as_posix() for file in ROOT.glob("lessons/[0-9]*.py")
    )
    for file, question in rows:
        assert question in (ROOT / file).read_text(encoding="utf-8")


GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
SYMPTOMS = (ROOT / "docs" / "symptoms.md").read_text(encoding="utf-8")
NUMBERS = {int(file.name[:2]) for file in ROOT.glob("lessons/[0-9]*.py")}


def test_the_glossary_explains_terms_in_alphabetical_order():
    entries = GLOSSARY.split("\n\n")[2:]
    parts = [
        re.fullmatch(r"\*\*(.+)\*\*: (.+) \(lesson (\d+)\)\.?", e, re.DOTALL)
        for e in map(joined, entries)
    ]
    assert [entry for entry, match in zip(entries, parts, strict=True) if match is None] == []
    terms = [match[1].lower() for match in parts]
    assert terms == sorted(set(terms))
    assert len(terms) > 50
    assert [match[0] for match in parts if int(match[3]) not in NUMBERS] == []


def joined(paragraph):
    return " ".join(paragraph.split())


def test_each_symptom_has_a_cause_and_a_lesson():
    rows = re.findall(r"^\| (.+) \|$", SYMPTOMS, re.MULTILINE)
    rows = [row.split(" | ") for row in rows if row != "symptom | cause | lesson"]
    assert len(rows) > 20
    for symptom, cause, lesson in rows:
        assert symptom
        assert cause
        assert int(re.fullmatch(r"lesson (\d+)", lesson)[1]) in NUMBERS
    symptoms = [symptom for symptom, _, _ in rows]
    assert len(set(symptoms)) == len(symptoms)


def test_each_symptom_to_remember_is_in_the_table():
    """In a row of its lesson, which has at least half of its words."""
    rows = [row.split(" | ") for row in re.findall(r"^\| (.+) \|$", SYMPTOMS, re.MULTILINE)]
    count = 0
    for file in sorted(ROOT.glob("lessons/[0-9]*.py")):
        text = joined(file.read_text("utf-8").replace("\n#", "\n"))
        listed = [
            words(symptom) for symptom, *_, row in rows if row == f"lesson {int(file.stem[:2])}"
        ]
        for symptom in re.findall(r"[Ss]ymptoms? to remember: (?:\*\*)?([^.:;*]+)", text):
            named = words(symptom)
            shared = max((len(named & row) for row in listed), default=0)
            assert shared >= len(named) / 2, f"{file.stem}: {symptom}"
            count += 1
    assert count >= len(NUMBERS)


def words(text):
    """The words of four letters and more."""
    return set(re.findall(r"[a-z]{4,}", text.lower()))
