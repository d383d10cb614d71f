"""The views of tdlas: curves that are the Voigt sum, estimates that are those of the evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from earthsignals.tdlas.lines import embedded_lines
from earthsignals.tdlas.pages import VIEWS, Inputs, write
from earthsignals.tdlas.pages.curves import nodes
from earthsignals.tdlas.simulate import PPM
from earthsignals.tdlas.voigt import Gas, absorption_coefficient

from ..described import models, sources
from .paged import PARAMS, made_inputs


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inputs]:
    with made_inputs(tmp_path_factory.mktemp("scans")) as made:
        yield made


@pytest.fixture(scope="module")
def folder(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pages")
    assert write(VIEWS, inputs, out) == {}
    return out


def test_views_are_whole_and_small(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
        "index.html", *(f"{name}.{kind}" for name in VIEWS for kind in ("html", "json"))
    }  # fmt: skip
    assert all((folder / f"{name}.json").stat().st_size < 1_200_000 for name in VIEWS)


def test_views_are_the_same_bytes_each_time(folder: Path, inputs: Inputs, tmp_path: Path) -> None:
    write(VIEWS, inputs, tmp_path)
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_curves_between_nodes_are_the_voigt_sum() -> None:
    """Midway between nodes, where a linear interpolation is worst, at the ends and in the middle."""
    gas, lines, window = PARAMS.gas, embedded_lines(), (4383.0, 4386.0)
    found = nodes(lines, gas, window, 100.0)
    half_t = float(found.temperature_k[:2].mean())
    half_p = float(found.pressure_atm[-2:].mean())
    for t, p, ppm in ((half_t, half_p, 25_000.0), (288.0, 0.95, 1.0), (323.0, 0.8, 50_000.0)):
        exact = absorption_coefficient(found.nu, lines, Gas(t, p, ppm * PPM), gas) * 100.0
        np.testing.assert_allclose(found.at(t, p, ppm * PPM), exact, atol=3e-3 * exact.max())


def test_at_a_node_the_curve_is_exact() -> None:
    gas, lines = PARAMS.gas, embedded_lines()
    found = nodes(lines, gas, (4384.0, 4385.0), 100.0)
    at = float(found.temperature_k[3]), float(found.pressure_atm[2]), float(found.mole_fraction[1])
    exact = absorption_coefficient(found.nu, lines, Gas(*at), gas) * 100.0
    np.testing.assert_allclose(found.at(*at), exact, rtol=1e-6)


def test_the_page_begins_with_the_middle_of_the_range_and_holds_every_line(folder: Path) -> None:
    (curve,) = sources(folder / "spectra.json", "nu", "now", "began")
    exact = absorption_coefficient(curve["nu"], embedded_lines(), Gas(288.0, 0.95, 0.01), PARAMS.gas) * 100.0
    np.testing.assert_allclose(curve["now"], exact, atol=3e-3 * exact.max())
    (sticks,) = sources(folder / "spectra.json", "molecule")
    lines = embedded_lines().within(4383.0, 4386.0)
    np.testing.assert_array_equal(sticks["nu"], lines.nu)
    np.testing.assert_array_equal(sticks["height"], lines.intensity)
    assert set(sticks["molecule"]) == {"CH₄"}
    assert [s["title"] for s in models(folder / "spectra.json", "Slider")] == [
        "temperature (K)", "pressure (atm)", "mole fraction",
    ]  # fmt: skip


def test_estimates_stand_where_their_errors_are(folder: Path) -> None:
    """In the order network, least squares, PLS, ridge, course: +0.5, +1, +3, −2 bounds, and off the scale."""
    (every,) = sources(folder / "scans.json", "signal", "left")
    columns = (every[name] for name in ("place", "marker", "left", "right"))
    for places, markers, left, right in zip(*columns, strict=True):
        np.testing.assert_allclose(places, [0.5, 1.0, 3.0, -2.0, -6.0], atol=1e-6)
        assert markers == ["circle"] * 4 + ["triangle"]
        np.testing.assert_allclose([left, right], [[-1.5, -0.5], [2.5, 1.5]], atol=1e-6)


def test_scans_are_of_the_test_split_from_weak_to_strong(folder: Path, inputs: Inputs) -> None:
    (every,) = sources(folder / "scans.json", "signal", "left")
    truth = inputs.arrays["test/truth_ppm"]
    shown = [float(said[0].replace(",", "")) for said in every["truth"]]
    assert shown == sorted(shown) and len(shown) == 16
    file = inputs.file
    for signal, said in zip(every["signal"], shown, strict=True):
        row = file.rows("test")[np.abs(np.log(truth / said)).argmin()]
        np.testing.assert_array_equal(signal, file.read(np.array([row])).signal[0, ::2].astype(np.float32))


def test_an_evaluation_of_other_scans_is_not_drawn(inputs: Inputs, tmp_path: Path) -> None:
    arrays = {name: values[:-1] for name, values in inputs.arrays.items()}
    left_out = write({"scans": VIEWS["scans"]}, replace(inputs, arrays=arrays), tmp_path)
    assert "scans were judged and the dataset's test split has" in left_out["scans"]
