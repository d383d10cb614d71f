"""The report in a real browser: readable by day, by night, on a telephone, by keyboard and without a network.

`SAVE_PAGES=1 pytest tests/services/test_report.py` writes the pictures anew into reports/pages/.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from earthsignals.publication.bundle import write_bundle
from earthsignals.publication.report import PAGES, write_report
from earthsignals.publication.report.views import CHOSEN

from ..project import ROOT
from ..publication.stand_ins import PIPELINES, committed, make_project, plain

PICTURES = ROOT / "reports" / "pages"
MOST_PICTURE_BYTES = 150_000

# Everything that the Tab key has to reach.
REACHABLE = """
() => [...document.querySelectorAll("a[href], button, summary, [tabindex='0']")].filter(e =>
  e.checkVisibility({contentVisibilityAuto: true}) && !e.closest(".view > *") && !e.hidden).length
"""
# Text whose contrast with what lies behind it is below the WCAG's AA, with the ratio. Views have their own
# colours, and pictures none.
PALE = """
() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number)
  const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, k) => sum + v * [.2126, .7152, .0722][k], 0)
  const behind = e => {
    for (; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor)
      if (colour.length < 4 || colour[3] > 0) return colour
    }
    return [255, 255, 255]
  }
  const found = []
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement
    if (!walk.currentNode.data.trim() || !e.checkVisibility()) continue
    if (e.closest(".view, script, style, .hidden")) continue
    const style = getComputedStyle(e), size = parseFloat(style.fontSize)
    const one = luminance(parse(style.color)), other = luminance(behind(e))
    const ratio = (Math.max(one, other) + .05) / (Math.min(one, other) + .05)
    const large = size >= 24 || (size >= 18.7 && style.fontWeight >= 700)
    const said = walk.currentNode.data.trim().slice(0, 40)
    if (ratio < (large ? 3 : 4.5)) found.push(`${ratio.toFixed(2)}: ${said}`)
  }
  return found
}
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a project with the committed figures; for pictures to keep, with what runs left here."""
    keeping = bool(os.environ.get("SAVE_PAGES"))
    root = make_project(tmp_path_factory.mktemp("project"), committed if keeping else plain)
    for pipeline in PIPELINES:
        made = sorted((ROOT / "data" / pipeline / "pages").glob("*.json"))
        folder = root / "data" / pipeline / "pages"
        folder.mkdir(parents=True)
        if made and keeping:
            for path in made:
                shutil.copyfile(path, folder / path.name)
            if (ROOT / "reports" / "claims.json").is_file():
                shutil.copyfile(ROOT / "reports" / "claims.json", root / "reports" / "claims.json")
        else:
            _view(folder, pipeline)
    write_bundle(root, root / "data/paper/figures")
    write_report(root, root / "reports")
    return root / "reports"


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """Opens tabs without a network; errors, warnings and anything asked of a network fail the test."""
    contexts, wrong = [], []

    def opened(width: int = 1280, height: int = 900, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        bad = ("error", "warning")
        page.on("console", lambda said: wrong.append(said.text) if said.type in bad else None)
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else wrong.append(r.url))
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not wrong, wrong


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_and_its_views_are_drawn(name: str, tab: Any, report: Path) -> None:
    page = tab()
    page.goto((report / f"{name}.html").as_uri())
    assert page.locator("h1").count() == 1
    _draw_views(page)
    broken = "() => [...document.images].filter(i => i.complete && !i.naturalWidth).length"
    assert page.evaluate(broken) == 0
    assert page.locator("[data-view] canvas").count() >= (0 if name == "index" else 1)
    page.evaluate("scrollTo(0, 0)")
    _keep(page, name)


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_a_telephone(name: str, tab: Any, report: Path) -> None:
    page = tab(375, 812)
    page.goto((report / f"{name}.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    _draw_views(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    if name == "tdlas":
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = false)")
        page.evaluate("scrollTo(0, 0)")
        _keep(page, "narrow")


@pytest.mark.parametrize("name", PAGES)
def test_all_text_stands_out_by_day_and_by_night(name: str, scheme: str, tab: Any, report: Path) -> None:
    page = tab(color_scheme=scheme)
    page.goto((report / f"{name}.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(int(part) for part in paper[4:-1].split(",")) < 200) == (scheme == "dark")
    assert page.evaluate(PALE) == []
    if (name, scheme) == ("plume", "dark"):
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = false)")
        _draw_views(page)
        page.evaluate("scrollTo(0, 0)")
        _keep(page, "dark")


def test_a_button_changes_the_theme_and_the_page_remembers(tab: Any, report: Path) -> None:
    page = tab(color_scheme="light")
    page.goto((report / "index.html").as_uri())
    seen = []
    for _ in range(3):
        page.locator("#theme").click()
        seen.append((page.locator("#theme-name").inner_text(), _brightness(page)))
    assert [name for name, _ in seen] == ["light", "dark", "system"]
    assert seen[1][1] < 60 < 200 < seen[0][1] == seen[2][1]
    page.locator("#theme").click()
    page.locator("#theme").click()
    page.reload()
    assert page.locator("#theme-name").inner_text() == "dark"


@pytest.mark.parametrize("name", ["index", "tdlas"])
def test_the_tab_key_reaches_everything(name: str, tab: Any, report: Path) -> None:
    page = tab()
    page.goto((report / f"{name}.html").as_uri())
    _draw_views(page)
    page.evaluate("scrollTo(0, 0)")
    expected, seen = page.evaluate(REACHABLE), 0
    page.evaluate("window.reached = new Set()")
    for _ in range(3 * expected):  # a view has stops of its own
        page.keyboard.press("Tab")
        seen = page.evaluate(
            "() => { const e = document.activeElement;"
            " if (e !== document.body && !e.closest('.view > *')) reached.add(e); return reached.size }"
        )
        if seen >= expected:
            break
    assert seen >= expected > 20


def test_the_first_key_skips_to_the_content(tab: Any, report: Path) -> None:
    page = tab()
    page.goto((report / "clouds.html").as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    box = page.locator(".skip").bounding_box()
    assert box["width"] > 50 and box["x"] >= 0  # what has the focus is seen
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


def test_the_pages_lead_to_each_other(tab: Any, report: Path) -> None:
    page = tab()
    page.goto((report / "index.html").as_uri())
    page.get_by_role("link", name="Methane plumes from the air").click()
    page.get_by_role("heading", level=1, name="Methane plumes from the air").wait_for()
    assert page.locator("[aria-current=page]").inner_text() == "plume"
    page.get_by_role("link", name="Model card").click()
    assert page.url.endswith("#model")
    page.get_by_role("link", name="earthsignals", exact=True).click()
    page.get_by_role("heading", name="The systems").wait_for()


def test_a_lineage_opens_by_keyboard(tab: Any, report: Path) -> None:
    page = tab()
    page.goto((report / "tdlas.html").as_uri())
    summary = page.locator("#figure-allan summary")
    summary.focus()
    page.keyboard.press("Enter")
    page.locator("#figure-allan dl").get_by_text("robustness.py").wait_for()
    assert page.locator("#figure-allan a[href^='http://127.0.0.1:5000/#/runs/']").count() >= 1


def test_without_javascript_the_figures_are_there(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto((report / "tdlas.html").as_uri())
    assert page.locator("figure img").count() >= 9
    assert page.locator("noscript p").bounding_box()["height"] > 10
    assert not page.locator("#theme").is_visible()
    context.close()


def _draw_views(page: Any) -> None:
    """Scroll to each view and wait until it is drawn."""
    for place in page.locator("[data-view]").all():
        place.scroll_into_view_if_needed()
        name = place.get_attribute("data-view")
        page.wait_for_function(f"document.querySelector('[data-view={name}]').dataset.drawn == 'yes'")
    if page.locator("[data-view]").count():
        page.wait_for_function("Bokeh.documents.length && Bokeh.documents.every(d => d.is_idle)")
        page.wait_for_timeout(300)


def _brightness(page: Any) -> float:
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(int(part) for part in paper[4:-1].split(",")) / 3


def _keep(page: Any, name: str) -> None:
    """A picture of what is seen first, with few colours, so that it is small."""
    shot = Image.open(BytesIO(page.screenshot())).convert("RGB")
    colours = 128
    while True:
        stream = BytesIO()
        shot.quantize(colours, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
        if stream.tell() <= MOST_PICTURE_BYTES or colours == 16:
            break
        colours //= 2
    # A page with nothing but its background takes a few kB.
    assert 10_000 < stream.tell() <= MOST_PICTURE_BYTES
    if os.environ.get("SAVE_PAGES"):
        PICTURES.mkdir(parents=True, exist_ok=True)
        (PICTURES / f"report-{name}.png").write_bytes(stream.getvalue())


def _view(folder: Path, pipeline: str) -> None:
    from bokeh.plotting import figure

    from earthsignals.pages import Page, write_page

    drawn = figure(width=500, height=260)
    drawn.line([1, 2, 3], [2, 1, 3])
    name = CHOSEN.get(pipeline, ("line",))[0]
    write_page(folder / name, f"A line of {pipeline}", "It goes down and up.", Page(drawn))
