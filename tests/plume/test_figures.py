"""The figures show the numbers they were given, all of them, the same bytes each time."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.figures import saving
from earthsignals.plume import figures
from earthsignals.plume.figures.methods import METHODS, look, methods_in
from earthsignals.plume.imagery.index import SceneIndex
from earthsignals.plume.judging.tile_scores import EXAMPLES, FALSE_POSITIVE_RATES, RECALLS
from tests.pictures import compared, lettered

from .conftest import plume_scene

HISTORY = [
    {"epoch": e, "learning_rate": 1e-3, "train_loss": 0.6 - 0.1 * e, "validation_loss": 0.65 - 0.1 * e}
    for e in range(3)
]
METRICS = {"tiles": {"expected_calibration_error": 0.031}}


def made_arrays(lines: int = 120, samples: int = 48) -> dict[str, np.ndarray]:
    """An evaluation of known numbers: every method's curves, 24 plumes, four rows of tiles, one scene."""
    rng = np.random.default_rng(1)
    arrays: dict[str, np.ndarray] = {}
    for k, name in enumerate(METHODS):
        precision = np.clip(1.0 - (0.2 + 0.3 * k) * RECALLS, 0, 1)
        rate = FALSE_POSITIVE_RATES ** (0.1 + 0.2 * k)
        arrays |= {
            f"curves/{name}/precision": np.stack([precision, precision - 0.1, precision + 0.05]),
            f"curves/{name}/true_positive_rate": np.stack([rate, 0.9 * rate, np.minimum(1.1 * rate, 1)]),
            f"curves/{name}/chosen": np.array([0.8 - 0.1 * k, 0.85 - 0.1 * k, 0.05]),
            f"plumes/{name}/found": np.arange(24) > 6 + 3 * k,
            f"plumes/{name}/curve": np.stack([np.linspace(0.1, 0.99, 80) + d for d in (0, -0.08, 0.01)]),
            f"plumes/{name}/alarms_per_km2": np.array([0.0, 0.05, 0.2 * (k + 1)]),
            f"plumes/{name}/detected_share": np.array([0.0, 0.4, 0.8 - 0.1 * k]),
        }
    true = np.geomspace(40, 2500, 24)
    arrays |= {
        "plumes/rate_kg_h": true, "plumes/wind_m_s": np.full(24, 3.0), "plumes/grid_wind_m_s": np.array(3.0),
        "plumes/grid_kg_h": np.geomspace(30, 3000, 80), "rates/true_kg_h": true,
        "rates/rate_kg_h": 1.2 * true, "rates/low_68": 0.9 * true, "rates/high_68": 1.6 * true,
        "rates/low_95": np.where(np.arange(24) < 3, 1.1, 0.6) * true, "rates/high_95": 2.4 * true,
        "rates/coverage": np.array([0.7, 0.875]), "reliability/predicted": np.linspace(0.05, 0.95, 10),
        "reliability/observed": np.linspace(0.1, 0.9, 10),
        "reliability/count": np.geomspace(500, 10, 10).astype(int),
    }  # fmt: skip
    row = np.repeat(np.arange(4), EXAMPLES)[:-2]  # two background tiles are missing
    tile = rng.normal(0, 250, (len(row), 64, 64)).astype(np.float32)
    plume = np.zeros(tile.shape, bool)
    plume[row < 2, 20:30, 20:40] = True
    arrays |= {
        "examples/tile": tile, "examples/plume": plume, "examples/row": row,
        "examples/probability": np.where(row == 0, 0.9, 0.2) + 0.01 * np.arange(len(row)),
        "examples/threshold": np.array(0.34),
    }  # fmt: skip
    ch4, mask = plume_scene(lines, samples)
    arrays |= {
        "flightline/ch4": ch4, "flightline/saliency": np.where(np.isfinite(ch4), (mask == 1) * 0.9, np.nan),
        "flightline/truth": mask == 1, "flightline/found": np.roll(mask == 1, 3, axis=0),
        "flightline/pixel_m": np.array(5.0), "flightline/sources": np.array([[lines / 4, samples / 4]]),
        "flightline/confusers": np.array([[lines * 3 / 4, samples / 2]]),
        "flightline/stem": np.bytes_(b"ang20200924t211102_ch4mf"), "flightline/threshold": np.array(0.34),
    }  # fmt: skip
    return arrays


def texts(figure: Figure) -> list[str]:
    """Every title, label and text of a figure."""
    found = [text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text"))]
    return [text for text in found if text]


def test_every_figure_appears_as_png_and_pdf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The background is drawn of files, so a stand-in takes its place here.

    On the way each figure passes the checks.
    """
    monkeypatch.setattr(saving, "put_letters", lettered)
    monkeypatch.setattr(figures, "background", lambda index: house.columns(1)[0])
    scene = object()
    index = SceneIndex("synthetic", (scene,))
    assert figures.draw_all(made_arrays(), METRICS, HISTORY, index, tmp_path / "a", tmp_path / "b") == {}
    for folder, kinds in (("a", ("png", "pdf")), ("b", ("svg", "csv"))):
        expected = {f"{name}.{kind}" for name in figures.NAMES for kind in kinds}
        assert {path.name for path in (tmp_path / folder).iterdir()} == expected
    assert all(path.stat().st_size > 4000 for path in (tmp_path / "a").iterdir())


def test_tiles_of_a_manifest_lack_what_needs_flightlines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = set()
    monkeypatch.setattr(saving, "save", lambda figure, stem, sources: drawn.add(stem.name))
    kept = ("curves", "reliability", "examples")
    arrays = {name: values for name, values in made_arrays().items() if name.startswith(kept)}
    skipped = figures.draw_all(arrays, METRICS, HISTORY, SceneIndex("tiles", ()), tmp_path)
    assert set(skipped) == {"flightline", "detection", "rates", "background"}
    assert "flightline/ch4" in skipped["flightline"] and "synthetic" in skipped["background"]
    assert drawn == set(figures.NAMES) - set(skipped)


def two_figures(out: Path) -> None:
    """One of images with outlines and one of curves with bands."""
    with house.style():
        house.save(figures.flightline(made_arrays()), out / "flightline")
        house.save(figures.detection(made_arrays()), out / "detection")


def test_bytes_repeat_in_another_process(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); "
        "from tests.plume import test_figures as t; t.two_figures(pathlib.Path(sys.argv[2]))"
    )
    root = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", code, root, str(tmp_path / "one")], check=True)
    two_figures(tmp_path / "two")
    hashes = [
        {p.name: hashlib.md5(p.read_bytes()).hexdigest() for p in (tmp_path / name).iterdir()}
        for name in ("one", "two")
    ]
    assert hashes[0] == hashes[1] and len(hashes[0]) == 4


def test_curves_draw_the_points_and_thresholds_they_were_given() -> None:
    arrays = made_arrays()
    with house.style():
        left, right = figures.curves(arrays).axes
        for name, style in METHODS.items():
            line = next(x for x in left.get_lines() if x.get_label().startswith(style.label))
            np.testing.assert_array_equal(line.get_ydata(), arrays[f"curves/{name}/precision"][0])
            mark = next(x for x in left.get_lines() if x.get_marker() == style.marker)
            assert mark.get_xydata()[0] == pytest.approx(arrays[f"curves/{name}/chosen"][:2])
            mark = next(x for x in right.get_lines() if x.get_marker() == style.marker)
            assert mark.get_xydata()[0] == pytest.approx(arrays[f"curves/{name}/chosen"][[2, 0]])


def test_detection_marks_each_plume_as_found_or_missed() -> None:
    arrays = made_arrays()
    with house.style():
        left, right = figures.detection(arrays).axes
        found, missed = (len(c.get_segments()) for c in left.collections if hasattr(c, "get_segments"))
        assert (found, missed) == (17, 7)
        assert left.get_xlabel() == "emission rate at a wind of 3.0 m/s (kg/h)"
        ends = [line.get_ydata()[-1] for line in right.get_lines()[:1]]
        assert ends == [0.8]


def test_a_plume_in_other_wind_is_drawn_at_the_rate_that_looks_alike() -> None:
    """Detection goes by Q / U: 100 kg/h in 6 m/s are as faint as 50 kg/h in 3 m/s."""
    arrays = made_arrays() | {"plumes/wind_m_s": np.full(24, 6.0)}
    with house.style():
        left = figures.detection(arrays).axes[0]
        found = next(c for c in left.collections if hasattr(c, "get_segments"))
        drawn = sorted(segment[0, 0] for segment in found.get_segments())
    np.testing.assert_allclose(drawn, arrays["plumes/rate_kg_h"][7:] / 2)


def test_rates_count_the_intervals_that_hold_the_truth() -> None:
    with house.style():
        figure = figures.rates(made_arrays())
        told = figure.axes[0].get_title()
        assert "70% of 68 %" in told and "88% of 95 %" in told  # over all drawn winds
        assert "median 1.20" in texts(figure)
        outside = next(x for x in figure.axes[1].get_lines() if x.get_label() == "outside")
        assert len(outside.get_xdata()) == 3


def test_rates_without_any_plume_are_drawn_empty() -> None:
    arrays = made_arrays()
    arrays |= {name: values[:0] for name, values in arrays.items() if name.startswith("rates/")}
    with house.style():
        figures.rates(arrays).draw_without_rendering()


def test_tiles_mark_the_mistakes() -> None:
    arrays = made_arrays()
    with house.style():
        figure = figures.tiles(arrays)
        bold = {t.get_text() for t in figure.findobj(lambda a: getattr(a, "get_weight", str)() == "bold")}
    probability, row = arrays["examples/probability"], arrays["examples/row"]
    wrong = (probability >= 0.34) != (row < 2)
    assert bold == {f"{p:.3f}" for p in probability[wrong]} and 0 < wrong.sum() < len(wrong)


@pytest.mark.parametrize(
    ("lines", "samples", "axis"), [(120, 48, "along"), (48, 120, "across"), (90, 80, "across")]
)
def test_a_long_flightline_lies_on_its_side(lines: int, samples: int, axis: str) -> None:
    """Its plume keeps its place: first quarter both ways; the map is in kilometres."""
    arrays = made_arrays(lines, samples)
    with house.style():
        figure = figures.flightline(arrays)
        figure.draw_without_rendering()
        panel = figure.axes[2]
        assert panel.get_xlabel() == f"{axis} track (km)"
        points = [c for c in panel.collections if isinstance(c, PathCollection)]
        source = points[0].get_offsets()[0]
        expected = np.array([lines, samples] if axis == "along" else [samples, lines]) / 4 * 0.005
        np.testing.assert_allclose(source, expected)
        shown = figure.axes[0].images[0].get_array()
        assert shown.shape == ((samples, lines) if axis == "along" else (lines, samples))
        assert shown.mask.sum() == np.isnan(arrays["flightline/ch4"]).sum()


def test_methods_come_in_one_order_and_peers_have_looks_of_their_own() -> None:
    names = [f"plumes/{n}/curve" for n in ("unet-64", "zscore", "model")] + ["plumes/model/found"]
    assert methods_in(names, "plumes", "curve") == ["model", "zscore", "unet-64"]
    assert look("unet-64").label == "unet-64"
    assert look("unet-64").colour not in {style.colour for style in METHODS.values()}


@compared
def test_picture_of_a_flightline() -> Figure:
    return lettered(figures.flightline(made_arrays()))


@compared
def test_picture_of_the_detection() -> Figure:
    return lettered(figures.detection(made_arrays()))
