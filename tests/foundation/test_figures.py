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
from tests.pictures import compared, lettered

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
        axes.scatter([0.1, 0.2], [0.3, 0.4], clip_on=True)
        return figures.save(figure, stem, sources=stem.parent)


def test_bytes_repeat_and_hold_neither_date_nor_version(tmp_path):
    first = draw(tmp_path / "a" / "fig.one")
    with mpl.rc_context({"font.size": 30, "lines.linewidth": 9, "savefig.dpi": 20}):
        second = draw(tmp_path / "b" / "fig.one")  # a user's own style must not shine through
    assert [path.name for path in first] == [f"fig.one.{kind}" for kind in ("png", "pdf", "svg", "csv")]
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes()
    assert not any(mark in first[0].read_bytes() for mark in (b"Software", b"tIME"))
    assert not any(mark in first[1].read_bytes() for mark in (b"Date", mpl.__version__.encode()))
    assert b"<text" not in first[2].read_bytes()  # outlines: no font is asked for
    assert not any(mark in first[2].read_bytes() for mark in (b"dc:date", mpl.__version__.encode()))
    names = [f"fig.one.{kind}" for kind in ("csv", "pdf", "png", "svg")]
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == names


def test_a_new_process_writes_the_same_bytes(tmp_path):
    """Hashes of strings differ between processes; ids in the files must not follow them."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import pathlib; "
        "from tests.foundation import test_figures; test_figures.draw(pathlib.Path(sys.argv[2]))"
    )
    folder = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", code, folder, str(tmp_path / "new")], check=True)
    for mine, other in zip(draw(tmp_path / "old"), ("new.png", "new.pdf", "new.svg", "new.csv"), strict=True):
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
    for kind in ("png", "svg"):
        with figures.style(), pytest.raises(EarthSignalsError, match=rf"without \.{kind}"):
            figures.save(figures.columns(1)[0], tmp_path / f"x.{kind}")


def test_without_a_folder_of_sources_there_are_two_files(tmp_path):
    with figures.style():
        assert len(figures.save(figures.columns(1)[0], tmp_path / "x")) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.pdf", "x.png"]


def test_the_style_file_holds_the_colours_of_the_house():
    with figures.style():
        cycle = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    assert cycle == list(figures.COLOURS.values())


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


# --- pictures --------------------------------------------------------------------------------------


def test_pictures_are_compared(pytestconfig):
    """Without the option a test of a picture passes whatever it shows."""
    assert pytestconfig.getoption("--mpl"), "pytest runs without --mpl, see addopts in pyproject.toml"


@compared
def test_picture_of_training_curves():
    return lettered(figures.training_curves(HISTORY, loss_label="loss (1)"))


@compared
def test_picture_of_the_style():
    """Every colour of the house, an image, a band, and what stands around them."""
    figure, (left, right) = figures.columns(2)
    x = np.linspace(0, 6, 40)
    for k, name in enumerate(figures.COLOURS):
        left.plot(x, np.sin(x - 0.3 * k), label=name)
    left.fill_between(x, -0.2, 0.2, alpha=0.3)
    left.legend(ncols=2)
    left.set(xlabel="time (s)", ylabel="signal (V)", title="colours")
    image = right.imshow(np.outer(x, x), extent=(0, 6, 0, 6))
    figure.colorbar(image, label="product (km²)")
    right.set(xlabel="east (km)", ylabel="north (km)")
    return lettered(figure)
