"""The pictures: the right size, and ink where there should be some. How they look is for eyes."""

import numpy as np
import pytest
from PIL import Image

from tinyalex import plots
from tinyalex.training import Epoch


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


def test_curves_are_drawn(tmp_path):
    log = [Epoch(i + 1, 0.1 if i < 3 else 0.01, 2 / (i + 1), 0.5, 2.1 / (i + 1), 0.6, 100.0, 1.0) for i in range(5)]
    plots.draw_curves(log, tmp_path / "curves.png")
    assert (pixels(tmp_path / "curves.png") == (0x0B, 0x6E, 0x99)).all(axis=2).sum() > 500
    assert [f.name for f in tmp_path.iterdir()] == ["curves.png"]


def test_filters_show_their_colours(tmp_path):
    weight = np.zeros((8, 3, 5, 5))
    weight[3, 0] = 1
    plots.draw_filters(weight, tmp_path / "filters.png")
    image = pixels(tmp_path / "filters.png").reshape(-1, 3)
    assert (image == (255, 128, 128)).all(axis=1).any() or (image == (255, 127, 127)).all(axis=1).any()


def test_filters_must_look_at_colours(tmp_path):
    with pytest.raises(ValueError, match=r"expected filters \(O, 3, KH, KW\) that look at colours, got shape \(8, 4, 5, 5\)"):
        plots.draw_filters(np.zeros((8, 4, 5, 5)), tmp_path / "x.png")


def test_a_confusion_matrix_is_drawn_even_if_a_class_is_missing(tmp_path):
    plots.draw_confusion(np.array([[9, 1], [0, 0]]), ["a", "b"], tmp_path / "confusion.png")
    assert pixels(tmp_path / "confusion.png").min() < 100
