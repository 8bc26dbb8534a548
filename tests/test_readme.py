"""README.md: its programs run and print what it shows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tinyalex import models
from tinyalex.nn import init

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
ALEXNET, LAYER, NETWORK = PROGRAMS
OUTPUTS = re.findall(r"```\n(gradcheck .*?)```", README, re.DOTALL)


def run(program, folder=None):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, cwd=folder
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_its_links_exist():
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert len(links) > 15
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.peers
def test_its_alexnet_loads_weights_and_is_exported_to_onnx(tmp_path):
    import torch

    state = {
        name: torch.tensor(w) for name, w in models.alexnet("torchvision").state_dict().items()
    }
    torch.save(state, tmp_path / "alexnet-owt-7be5be79.pth")
    run(ALEXNET, tmp_path)
    assert (tmp_path / "alexnet.onnx").stat().st_size > 4 * 61_100_840


def test_its_table_of_variants_has_their_parameter_counts():
    for line in re.findall(r"^\| (`.*?) \| ([\d,]+) \|", README, re.MULTILINE):
        for variant in re.findall(r"`(\w+)`", line[0]):
            with init.skipped():
                model = models.alexnet(variant)
            assert f"{sum(p.size for p in model.parameters()):,}" == line[1], variant


def test_its_faulty_layer_fails_with_the_table_shown():
    assert [run(LAYER)] == OUTPUTS


def test_its_layer_has_at_most_twenty_lines():
    assert len([line for line in LAYER.splitlines() if line.strip()]) <= 20


def test_its_layer_passes_without_the_fault():
    assert "every gradient is right" in run(LAYER.replace(".mean(", ".sum("))


def test_its_network_trains_a_step():
    run(LAYER + NETWORK)
