"""The pages of clouds in a real browser: drawn, answering to the mouse, loading nothing.

`SAVE_PAGES=1 pytest tests/services/test_clouds_pages.py` writes the pictures anew into reports/pages/.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from earthsignals.clouds.figures.inputs import Inputs
from earthsignals.clouds.figures.likeness import distance_map
from earthsignals.clouds.figures.likeness import neighbours as nearest
from earthsignals.clouds.pages import VIEWS, write

from ..clouds.pictured import made_inputs
from ..project import ROOT
from .service import watched_tab

PICTURES = ROOT / "reports" / "pages"

# Places of the data on the screen, by the library's own scales.
LOCATE = """
([kind, x, y]) => {
  const find = view => {
    if (view.model?.type == "Figure" && view.model.renderers.some(r => r.glyph.type == kind)) return view
    for (const child of view.children()) { const found = find(child); if (found) return found }
  }
  for (const root of Bokeh.index.roots) {
    const figure = find(root)
    if (!figure) continue
    const box = figure.canvas_view.el.getBoundingClientRect()
    const frame = figure.frame
    return [box.left + frame.x_scale.compute(x), box.top + frame.y_scale.compute(y)]
  }
}
"""
# Do all figures lie where they lay a moment ago?
SETTLED = """
() => {
  const boxes = view => [
    ...(view.canvas_view ? [Object.values(view.canvas_view.el.getBoundingClientRect().toJSON())] : []),
    ...view.children().flatMap(boxes),
  ]
  const now = JSON.stringify(Bokeh.index.roots.map(boxes)), before = window.lain
  window.lain = now
  return now == before
}
"""
# Columns of the sources that have all of these.
SOURCES = """
names => Bokeh.documents[0].roots().flatMap(root => [...root.references()])
  .filter(m => m.type == "ColumnDataSource" && names.every(n => n in m.data))
  .map(m => Object.fromEntries(
    names.map(n => [n, [...m.data[n]].map(v => typeof v == "object" ? [...v] : v)])
  ))
"""


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    return made_inputs()


@pytest.fixture(scope="module")
def pages(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "umap", None)  # it compiles itself for 20 s
        assert write(VIEWS, inputs, folder) == {}
    return folder


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """An empty tab that fails the test for an error of a page, or for anything that it asks of a network."""
    yield from watched_tab(browser, 1000)


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_drawn(name: str, page: Any, pages: Path, tmp_path: Path) -> None:
    _open(page, pages, name)
    _picture(page, name, tmp_path)


def test_the_index_leads_to_every_view(page: Any, pages: Path) -> None:
    page.goto((pages / "index.html").as_uri())
    for view in VIEWS.values():
        page.get_by_role("link", name=view.title, exact=True).wait_for()
    page.get_by_role("link", name=VIEWS["grid"].title).click()
    page.get_by_role("heading", name=VIEWS["grid"].title).wait_for()
    page.get_by_role("link", name="All views").click()
    page.get_by_role("link", name=VIEWS["grid"].title).wait_for()


def test_pointing_at_a_tile_shows_it(page: Any, pages: Path, inputs: Inputs, tmp_path: Path) -> None:
    _open(page, pages, "neighbours")
    plane = inputs.planes.of("tsne")
    loneliest = int(np.sort(np.linalg.norm(plane[:, None] - plane, axis=2), axis=1)[:, 1].argmax())
    page.mouse.move(*page.evaluate(LOCATE, ["Scatter", *plane[loneliest].tolist()]))
    tooltip = page.locator(".bk-tooltip-content")
    tooltip.wait_for()
    shown = page.locator("img[src^='data:image/jpeg']").last
    shown.wait_for()
    assert shown.evaluate("image => image.naturalWidth") == 64
    assert inputs.tiles["scene"][loneliest] in tooltip.inner_text()
    _picture(page, "hover", tmp_path)


def test_pointing_at_a_window_shows_the_piece_of_the_scene(page: Any, pages: Path, inputs: Inputs) -> None:
    _open(page, pages, "rgb")
    scene = inputs.maps[0]
    page.mouse.move(*page.evaluate(LOCATE, ["Rect", float(scene.x_km[6]), float(scene.y_km[4])]))
    piece = page.locator("div[style*='--view-picture-0']")
    piece.wait_for()
    style = piece.evaluate("d => (s => [s.backgroundImage, s.backgroundPosition])(getComputedStyle(d))")
    assert style[0].startswith('url("data:image/jpeg')
    scale = 144 / inputs.tile_km  # of the tooltip, pixels per km
    left, top = scene.x_km[6] - 100, scene.height_km - scene.y_km[4] - 100
    assert style[1] == f"-{left * scale:.0f}px -{top * scale:.0f}px"


def test_a_click_asks_for_distances_from_another_place(page: Any, pages: Path, inputs: Inputs) -> None:
    """The browser's maps are those that numpy works out for the starred window."""
    _open(page, pages, "distance")
    scene = inputs.maps[0]
    before = _maps(page, inputs)
    # In the first scene, and not quite on a window's centre.
    at = float(scene.x_km[2]) + 5, float(scene.y_km[9]) - 6
    page.mouse.click(*page.evaluate(LOCATE, ["Image", *at]))
    page.wait_for_timeout(500)
    after = _maps(page, inputs)
    for k, other in enumerate(inputs.maps):
        expected = distance_map(other, scene.values[9, 2])[::-1] / inputs.pair_distance
        np.testing.assert_allclose(after[k], expected, rtol=1e-4, atol=1e-5)
        assert np.nanmax(np.abs(after[k] - before[k])) > 0.05


def test_a_click_finds_the_neighbours_of_another_tile(page: Any, pages: Path, inputs: Inputs) -> None:
    _open(page, pages, "neighbours")
    plane = inputs.planes.of("tsne")
    loneliest = int(np.sort(np.linalg.norm(plane[:, None] - plane, axis=2), axis=1)[:, 1].argmax())
    page.mouse.click(*page.evaluate(LOCATE, ["Scatter", *plane[loneliest].tolist()]))
    page.wait_for_timeout(300)
    (gallery,) = page.evaluate(SOURCES, ["said", "scene"])
    scenes = inputs.tiles["scene"].to_numpy(object)
    found, distance = nearest(inputs.embedding, scenes, loneliest, 15)
    assert gallery["scene"] == [scenes[loneliest], *scenes[found]]
    np.testing.assert_allclose(
        [float(said) for said in gallery["said"][1:]], distance / inputs.pair_distance, atol=0.006
    )


def test_another_component_is_drawn_when_it_is_chosen(page: Any, pages: Path, inputs: Inputs) -> None:
    _open(page, pages, "components")
    page.locator("select").select_option(index=2)
    page.wait_for_timeout(300)
    shown = page.evaluate(SOURCES, ["image", "all"])
    known = inputs.planes.components
    expected = known(inputs.maps[0].values, 3)[::-1, :, 2] / np.sqrt(known.variance[2])
    drawn = [np.reshape(source["image"][0], expected.shape).astype(float) for source in shown]
    assert any(np.allclose(values, expected, atol=1e-4, equal_nan=True) for values in drawn)


def _maps(page: Any, inputs: Inputs) -> list[np.ndarray]:
    shape = inputs.maps[0].values.shape[:2]
    found = page.evaluate(SOURCES, ["image"])
    assert len(found) == len(inputs.maps)
    return [np.reshape(np.array(source["image"][0], float), shape) for source in found]


def _open(page: Any, pages: Path, name: str) -> None:
    page.goto((pages / f"{name}.html").as_uri())
    page.wait_for_function("window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle")
    # Figures move until all of them know their size; pictures are decoded after the rest is drawn.
    page.wait_for_function(SETTLED, polling=250)
    page.wait_for_timeout(250)


def _picture(page: Any, name: str, folder: Path) -> None:
    file = folder / f"clouds-{name}.png"
    page.screenshot(path=file)
    # A page with nothing but its caption takes less than 40 kB.
    assert file.stat().st_size > 60_000
    if os.environ.get("SAVE_PAGES"):
        PICTURES.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, PICTURES / file.name)
