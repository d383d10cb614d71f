"""The views of all pipelines but clouds in a real browser: drawn, moved, pointed at, loading nothing.

`SAVE_PAGES=1 pytest tests/services/test_room_pages.py` writes the pictures anew into reports/pages/.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from earthsignals.pages import embedded, library, read_view
from earthsignals.plume import pages as plume
from earthsignals.seismic import pages as seismic
from earthsignals.superdarn import pages as superdarn
from earthsignals.tdlas import pages as tdlas
from earthsignals.tdlas.simulate import PPM
from earthsignals.tdlas.voigt import Gas, absorption_coefficient

from ..plume import paged as plume_stand_ins
from ..project import ROOT
from ..seismic import paged as seismic_stand_ins
from ..superdarn import pictured as superdarn_stand_ins
from ..tdlas import paged as tdlas_stand_ins
from .service import watched_tab

PICTURES = ROOT / "reports" / "pages"
VIEWS = [
    (room, name)
    for room, pages in (("tdlas", tdlas), ("plume", plume), ("seismic", seismic), ("superdarn", superdarn))
    for name in pages.VIEWS
]
IDLE = "() => window.Bokeh && Bokeh.documents.length && Bokeh.documents.every(d => d.is_idle)"
# Where a place of the data of the figure with this title, or of the n-th, is on the screen.
LOCATE = """
([which, x, y]) => {
  const found = []
  const walk = view => {
    if (view.model?.type == "Figure") found.push(view)
    for (const child of view.children()) walk(child)
  }
  for (const root of Bokeh.index.roots) walk(root)
  const figure = typeof which == "number" ? found[which] : found.find(v => v.model.title.text == which)
  const box = figure.canvas_view.el.getBoundingClientRect()
  return [box.left + figure.frame.x_scale.compute(x), box.top + figure.frame.y_scale.compute(y)]
}
"""
SOURCES = """
names => Bokeh.documents[0].roots().flatMap(root => [...root.references()])
  .filter(m => m.type == "ColumnDataSource" && names.every(n => n in m.data))
  .map(m => Object.fromEntries(names.map(n => [n, [...m.data[n]]])))
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    with tdlas_stand_ins.made_inputs(tmp_path_factory.mktemp("scans")) as inputs:
        assert tdlas.write(tdlas.VIEWS, inputs, folder / "tdlas") == {}
    assert plume.write(plume.VIEWS, plume_stand_ins.made_inputs(), folder / "plume") == {}
    assert seismic.write(seismic.VIEWS, seismic_stand_ins.made_inputs(), folder / "seismic") == {}
    forecasts = superdarn_stand_ins.made_inputs(examples=2, columns=60)
    assert superdarn.write(superdarn.VIEWS, forecasts, folder / "superdarn") == {}
    return folder


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """An empty tab that fails the test for an error of a page, or for anything that it asks of a network."""
    yield from watched_tab(browser, 900)


@pytest.mark.parametrize(("room", "name"), VIEWS)
def test_a_view_is_drawn(room: str, name: str, page: Any, pages: Path, tmp_path: Path) -> None:
    _open(page, pages, room, name)
    _picture(page, f"{room}-{name}", tmp_path)


@pytest.mark.parametrize(("room", "name"), VIEWS)
def test_a_narrow_page_does_not_scroll_sideways(room: str, name: str, page: Any, pages: Path) -> None:
    """What is wider than a telephone scrolls inside its own box."""
    page.set_viewport_size({"width": 375, "height": 800})
    _open(page, pages, room, name)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_sliders_move_the_spectrum(page: Any, pages: Path) -> None:
    """By the keyboard; the browser's curve is the Voigt sum at what the sliders say."""
    _open(page, pages, "tdlas", "spectra")
    handles = page.get_by_role("slider")
    for number, key in ((0, "End"), (1, "Home"), (2, "End")):
        handles.nth(number).focus()
        page.keyboard.press(key)
    page.wait_for_timeout(300)
    (curve,) = page.evaluate(SOURCES, ["nu", "now"])
    gas = tdlas_stand_ins.PARAMS.gas
    state = Gas(gas.temperature_k.high, gas.pressure_atm.low, gas.mole_fraction_ppm.high * PPM)
    exact = absorption_coefficient(np.array(curve["nu"]), tdlas_stand_ins.embedded_lines(), state, gas) * 100
    np.testing.assert_allclose(curve["now"], exact, rtol=1e-4)
    page.get_by_text("50,000 ppm").first.wait_for()


def test_pointing_at_a_line_tells_its_strength(page: Any, pages: Path) -> None:
    _open(page, pages, "tdlas", "spectra")
    (lines,) = page.evaluate(SOURCES, ["nu", "height"])
    alone = int(np.argmin(np.abs(np.array(lines["nu"]) - 4385.94)))
    page.mouse.move(*page.evaluate(LOCATE, [1, lines["nu"][alone], lines["height"][alone]]))
    said = page.locator(".bk-tooltip-content")
    said.wait_for()
    assert f"{lines['nu'][alone]:.4f} cm⁻¹" in said.inner_text()
    assert f"{lines['height'][alone]:.3g} cm/molecule" in said.inner_text()


def test_another_scan_brings_its_own_estimates(page: Any, pages: Path) -> None:
    _open(page, pages, "tdlas", "scans")
    page.get_by_role("slider").focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(300)
    (every,) = page.evaluate(SOURCES, ["left", "signal"])
    (marks,) = page.evaluate(SOURCES, ["label", "estimate"])
    (shown,) = page.evaluate(SOURCES, ["ms", "signal"])
    page.get_by_text("1 of 16:").first.wait_for()
    assert len(marks["estimate"]) == 5
    assert np.allclose(list(_values(shown["signal"])), list(_values(every["signal"][0])))


def test_pointing_at_a_plume_tells_its_rate_and_the_enhancement(
    page: Any, pages: Path, tmp_path: Path
) -> None:
    _open(page, pages, "plume", "flightline")
    title = page.evaluate("Bokeh.documents[0].roots()[0].children[1].title.text")
    page.mouse.move(*page.evaluate(LOCATE, [title, 0.31, 0.12]))
    page.get_by_text("480 kg/h ± 150").wait_for()
    page.get_by_text("probability of a plume 0.90").wait_for()
    assert page.get_by_text("ppm m").count() >= 1
    _picture(page, "plume-hover", tmp_path)


def test_the_saliency_fades(page: Any, pages: Path, tmp_path: Path) -> None:
    _open(page, pages, "plume", "flightline")
    page.screenshot(path=tmp_path / "half.png")
    page.get_by_role("slider").focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(500)
    page.screenshot(path=tmp_path / "none.png")
    half, none = (np.asarray(Image.open(tmp_path / f"{n}.png").convert("RGB"), int) for n in ("half", "none"))
    assert np.abs(half - none).max() > 60


def test_pointing_at_a_record_shows_it(page: Any, pages: Path, tmp_path: Path) -> None:
    _open(page, pages, "seismic", "embedding")
    found = page.evaluate(SOURCES, ["x", "y", "head", "place"])[0]
    plane = np.stack([list(_values(found[n])) for n in "xy"], 1)
    loneliest = int(np.sort(np.linalg.norm(plane[:, None] - plane, axis=2), axis=1)[:, 1].argmax())
    page.mouse.move(*page.evaluate(LOCATE, [0, *plane[loneliest].tolist()]))
    piece = page.locator("div[style*='--view-picture-0']")
    piece.wait_for()
    style = piece.evaluate("d => (s => [s.backgroundImage, s.backgroundPosition])(getComputedStyle(d))")
    assert style[0].startswith('url("data:image/webp')
    assert style[1] == found["place"][loneliest].replace("-0px", "0px")
    assert found["head"][loneliest] in page.locator(".bk-tooltip-content").inner_text()
    _picture(page, "seismic-hover", tmp_path)


def test_a_forecast_plays_and_stops(page: Any, pages: Path) -> None:
    _open(page, pages, "superdarn", "forecast")
    read = "Bokeh.documents[0].roots()[0].children[0].children[2].value"
    page.get_by_role("button", name="play").click()
    page.wait_for_function(f"{read} >= 2")
    page.get_by_role("button", name="pause").click()
    stopped = page.evaluate(read)
    page.wait_for_timeout(900)
    assert page.evaluate(read) == stopped
    page.get_by_role("slider").focus()
    page.keyboard.press("End")
    page.get_by_text("60 min ahead").wait_for()


def test_frames_in_the_browser_are_those_that_were_packed(page: Any, pages: Path, tmp_path: Path) -> None:
    """The last frame of the other forecast, and what the mouse is told of an arrow of it."""
    _open(page, pages, "superdarn", "forecast")
    page.locator("select").select_option(index=0)
    page.get_by_role("slider").focus()
    page.keyboard.press("End")
    page.get_by_text("60 min ahead").wait_for()
    page.wait_for_timeout(300)
    inputs = superdarn_stand_ins.made_inputs(examples=2, columns=60)
    example = inputs.examples[0]
    seen = page.evaluate(SOURCES, ["x1", "speed", "mlat", "mlt"])
    counts = [len(each["speed"]) for each in seen]
    expected = superdarn.frames.seen_frame(example, 60, 11.0)
    own = seen[counts.index(len(expected["x"]))]
    np.testing.assert_allclose(own["speed"], 1000 / 11 * np.hypot(expected["u"], expected["v"]), atol=1.5)
    np.testing.assert_allclose(own["mlat"], 90 - np.hypot(expected["x"], expected["y"]), atol=0.01)
    assert all(0 <= hour < 24 for hour in own["mlt"])
    fastest = int(np.argmax(own["speed"]))
    x, y = expected["x"][fastest], expected["y"][fastest]
    page.mouse.move(*page.evaluate(LOCATE, ["seen by radars", x, y]))
    page.get_by_text("along the line of sight").first.wait_for()
    _picture(page, "superdarn-hover", tmp_path)


def test_views_stand_side_by_side_in_another_page(page: Any, pages: Path, tmp_path: Path) -> None:
    """Two views of two pipelines with one library: each with its own data, and its own pictures."""
    parts = [
        embedded(read_view(pages / room / f"{name}.json"), name)
        for room, name in (("seismic", "embedding"), ("tdlas", "spectra"))
    ]
    body = "\n".join(markup for markup, _ in parts)
    scripts = "\n".join(script for _, script in parts)
    head = "<!DOCTYPE html><meta charset=utf-8><link rel=icon href='data:,'>"
    text = f"{head}{body}<script>{library()}</script>"
    (tmp_path / "both.html").write_text(f"{text}<script>{scripts}</script>", encoding="utf-8")
    page.goto((tmp_path / "both.html").as_uri())
    page.wait_for_function(IDLE)
    page.wait_for_timeout(600)
    assert page.evaluate("Bokeh.documents.length") == 2
    for name in ("embedding", "spectra"):
        assert page.locator(f"#{name} canvas").count() >= 1
    picture = "getComputedStyle(document.documentElement).getPropertyValue('--embedding-picture-0')"
    assert page.evaluate(picture).startswith("url(data:image/webp")


def _values(column: Any) -> Any:
    """Numbers of a typed array that came out of the browser as an object."""
    return column.values() if isinstance(column, dict) else column


def _open(page: Any, pages: Path, room: str, name: str) -> None:
    page.goto((pages / room / f"{name}.html").as_uri())
    page.wait_for_function(IDLE)
    page.wait_for_timeout(600)


def _picture(page: Any, name: str, folder: Path) -> None:
    file = folder / f"{name}.png"
    page.screenshot(path=file)
    # A page with nothing but its caption takes less.
    assert file.stat().st_size > 40_000
    if os.environ.get("SAVE_PAGES"):
        PICTURES.mkdir(parents=True, exist_ok=True)
        small = Image.open(file).convert("RGB").quantize(128, dither=Image.Dither.NONE)
        small.save(folder / "small.png", optimize=True)
        shutil.copyfile(folder / "small.png", PICTURES / file.name)
