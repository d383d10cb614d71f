"""Figures repeat to the byte and look the same whatever the user's matplotlib is set to."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from earthsignals import figures
from earthsignals.storage import EarthSignalsError

HISTORY = [
    {"epoch": e, "learning_rate": 1e-3 / (e + 1), "train_loss": 1 / (e + 1), "validation_loss": v}
    for e, v in enumerate([1.0, 0.4, 0.5])
]


def draw(stem):
    with figures.style():
        figure, axes = figures.columns(1)
        axes.plot(np.linspace(0, 1, 50), np.sin(np.linspace(0, 9, 50)), label="σ of χ")
        axes.imshow(np.eye(4), extent=(0, 1, -1, 1))
        axes.set(xlabel="wavenumber (cm⁻¹)", ylabel="mole fraction (ppm)")
        axes.legend()
        return figures.save(figure, stem)


def test_bytes_repeat_and_hold_neither_date_nor_version(tmp_path):
    first = draw(tmp_path / "a" / "fig.one")
    with mpl.rc_context({"font.size": 30, "lines.linewidth": 9, "savefig.dpi": 20}):
        second = draw(tmp_path / "b" / "fig.one")  # a user's own style must not shine through
    assert [path.name for path in first] == ["fig.one.png", "fig.one.pdf"]
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes()
    assert not any(mark in first[0].read_bytes() for mark in (b"Software", b"tIME"))
    assert not any(mark in first[1].read_bytes() for mark in (b"Date", mpl.__version__.encode()))
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["fig.one.pdf", "fig.one.png"]


def test_a_new_process_writes_the_same_bytes(tmp_path):
    """Hashes of strings differ between processes; ids in the files must not follow them."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_figures, pathlib; "
        "test_figures.draw(pathlib.Path(sys.argv[2]))"
    )
    folder = str(Path(__file__).parent)
    subprocess.run([sys.executable, "-c", code, folder, str(tmp_path / "new")], check=True)
    for mine, other in zip(draw(tmp_path / "old"), ("new.png", "new.pdf"), strict=True):
        assert mine.read_bytes() == (tmp_path / other).read_bytes()


def test_style_is_left_behind_and_figures_are_closed():
    before = dict(mpl.rcParams)
    known = plt.get_fignums()
    with figures.style():
        figures.columns(2)
        assert mpl.rcParams["font.size"] == 8
    assert dict(mpl.rcParams) | {"backend": 0} == before | {"backend": 0}
    assert plt.get_fignums() == known


def test_widths_are_those_of_journal_columns():
    with figures.style():
        assert figures.columns(1)[0].get_figwidth() == pytest.approx(95 / 25.4, abs=0.01)
        assert figures.columns(3)[0].get_figwidth() == pytest.approx(190 / 25.4, abs=0.01)


def test_neighbouring_colours_differ_in_lightness_or_blueness():
    """Red-green blindness leaves lightness and the blue-yellow axis: each pair differs in one."""

    def axes_left(colour):
        red, green, blue = mpl.colors.to_rgb(colour)
        lightness = 0.2126 * red + 0.7152 * green + 0.0722 * blue
        return np.array([lightness, blue - (red + green) / 2])

    for one, two in itertools.combinations(figures.COLOURS.values(), 2):
        assert np.abs(axes_left(one) - axes_left(two)).max() > 0.05, (one, two)


def test_a_suffix_in_the_stem_is_refused(tmp_path):
    with figures.style(), pytest.raises(EarthSignalsError, match=r"without \.png"):
        figures.save(figures.columns(1)[0], tmp_path / "x.png")


def test_training_curves_mark_the_best_epoch():
    with figures.style():
        figure = figures.training_curves(HISTORY, loss_label="loss (1)")
        left, right = figure.axes
        marked = left.get_lines()[2]
        assert (marked.get_xdata()[0], marked.get_ydata()[0]) == (2, 0.4)
        assert left.get_ylabel() == "loss (1)"
        assert right.get_lines()[0].get_ydata()[0] == 1e-3
    with pytest.raises(EarthSignalsError, match="no epochs"):
        figures.training_curves([])


def test_importing_does_not_import_matplotlib():
    code = "import sys, earthsignals.figures; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
