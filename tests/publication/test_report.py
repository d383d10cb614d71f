"""The report: whole pages that need nothing but themselves, and say only what runs wrote."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from earthsignals.publication.bundle import write_bundle
from earthsignals.publication.report import PAGES, write_report
from earthsignals.publication.report.claims import cells, counted, grouped, said
from earthsignals.publication.report.figures import webp
from earthsignals.publication.report.prose import Prose, as_html
from earthsignals.publication.report.views import pack, shown_views
from earthsignals.storage import EarthSignalsError, md5_path

from ..project import ROOT
from .stand_ins import CLAIMS, make_project, plain

VOID = {"meta", "link", "img", "br", "hr", "input"}
# What other stages write, or a fresh clone gets by `dvc pull`.
MADE = (
    "paper/paper.pdf", "../data/", "../src/", "../docs/", "../notebooks/", "../README.md", "../CITATION.cff",
)  # fmt: skip


class Page(HTMLParser):
    """What the tests ask of a page, read by the standard library's parser."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.labelled: list[str] = []
        self.headings: list[int] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        assert len(found) == len(attrs), f"an attribute of <{tag}> stands twice"
        if tag not in VOID:
            self.open.append(tag)
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag == "a":
            self.links.append(str(found["href"]))
        if tag == "img":
            self.images.append(found)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.loaded += [str(v) for k, v in attrs if k in ("src", "srcset", "data", "poster", "action")]
        self.loaded += [str(found["href"])] if tag == "link" else []
        self.labelled += str(found.get("aria-labelledby") or "").split()

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_project(tmp_path_factory.mktemp("project"))
    _view(root / "data" / "tdlas" / "pages")
    write_bundle(root, root / "data/paper/figures")
    write_report(root, root / "reports")
    return root


@pytest.fixture(scope="module", params=PAGES)
def page(project: Path, request: pytest.FixtureRequest) -> tuple[str, Page]:
    text = (project / "reports" / f"{request.param}.html").read_text(encoding="utf-8")
    return request.param, Page(text)


def test_pages_are_well_formed(page: tuple[str, Page]) -> None:
    _, read = page
    assert read.open == []
    assert len(read.ids) == len(set(read.ids))
    assert set(read.labelled) <= set(read.ids)


def test_headings_descend_by_one(page: tuple[str, Page]) -> None:
    """Who hears a page finds its parts by the levels."""
    _, read = page
    assert read.headings[0] == 1 and read.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(read.headings, read.headings[1:], strict=False))


def test_a_page_loads_nothing(page: tuple[str, Page], project: Path) -> None:
    name, read = page
    assert all(address.startswith("data:") for address in read.loaded)
    text = (project / "reports" / f"{name}.html").read_text(encoding="utf-8")
    styles = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    assert "@import" not in styles and not re.search(r"url\((?!data:)", styles)


def test_links_lead_somewhere(page: tuple[str, Page], project: Path) -> None:
    _, read = page
    assert "#content" in read.links
    for address in read.links:
        parts = urlsplit(address)
        if parts.scheme:
            assert address.startswith(("https://doi.org/", "http://127.0.0.1:5000/#/runs/")), address
        elif address.startswith("#"):
            assert address[1:] in read.ids, address
        elif not address.startswith(MADE):
            assert (project / "reports" / unquote(parts.path)).is_file(), address


def test_links_into_the_sources_are_right(page: tuple[str, Page]) -> None:
    for address in page[1].links:
        if address.startswith(("../src/", "../CITATION.cff", "../README.md")):
            assert (ROOT / "reports" / address).resolve().is_file(), address


def test_every_picture_is_described(page: tuple[str, Page]) -> None:
    for image in page[1].images:
        assert len(image.get("alt") or "") > 20
        assert image["width"] and image["height"]  # nothing moves while pictures are decoded


def test_the_same_project_makes_the_same_bytes(project: Path, tmp_path: Path) -> None:
    write_report(project, tmp_path)
    for name in PAGES:
        assert md5_path(tmp_path / f"{name}.html") == md5_path(project / "reports" / f"{name}.html")


def test_a_page_holds_cards_sections_figures_and_lineage(project: Path) -> None:
    text = (project / "reports" / "tdlas.html").read_text(encoding="utf-8")
    for words in ("Model card", "Dataset card", "What it does not do", "Make it again", "Cramér–Rao bound"):
        assert words in text
    # As the README writes it, and not typed anew.
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.split("<!-- tdlas:results -->")[1]
    (row,) = re.findall(r"\| \*\*network\*\* \| (.*) \|$", section, re.MULTILINE)[:1]
    for cell in row.split(" | "):
        assert cell in text
    run = md5_path(project / "reports/tdlas/metrics.json")
    assert f'href="http://127.0.0.1:5000/#/runs/{run}"' in text
    assert "earthsignals trace reports/tdlas/figures/allan.png" in text
    assert 'id="packed-spectra"' in text and 'id="packed-library"' in text
    assert 'id="packed-library"' not in (project / "reports/plume.html").read_text(encoding="utf-8")


def test_the_overview_counts_claims(project: Path) -> None:
    text = (project / "reports" / "index.html").read_text(encoding="utf-8")
    assert "132,169" in text and "beside it: 3.2" in text and "R². Training ends early" in text


def test_without_claims_the_overview_says_how_to_get_them(project: Path, tmp_path: Path) -> None:
    root = _linked(project, tmp_path)
    (root / "reports" / "claims.json").unlink()
    write_report(root, root / "reports")
    assert "dvc repro paper-claims" in (root / "reports" / "index.html").read_text(encoding="utf-8")


def test_a_figure_without_words_is_refused(project: Path, tmp_path: Path) -> None:
    root = _linked(project, tmp_path)
    for path in sorted((root / "data/paper/figures/tdlas").glob("allan.*")):
        path.with_name(f"novel{path.suffix}").write_bytes(path.read_bytes())
    with pytest.raises(EarthSignalsError, match=r"figures\.yaml: no entry for the figure `novel` of tdlas"):
        write_report(root, root / "reports")


def test_placeholders_are_filled_from_files(project: Path) -> None:
    prose = Prose(project)
    filled = prose.filled('{{ number("reports/plume/metrics.json: tile_f1", "{:.2f}") }}', "a card")
    assert filled == "0.89"
    assert prose.interval("reports/plume/metrics.json: tile_f1") == "0.89 (0.84–0.93)"
    assert prose.interval("reports/superdarn/metrics.json: coverage", "{:.1%}") == "10.1%"
    assert prose.text("params.yaml: plume.train.architecture") == "plumenet"
    assert prose.number("reports/tdlas/metrics.json: blank_bias_ppm", "{:.2f}") == "−0.02"


@pytest.mark.parametrize(
    "text",
    [
        '{{ number("reports/plume/metrics.json: no.such.key") }}',
        '{{ text("params.yaml: plume.nothing") }}',
        '{{ section("plume:nothing") }}',
        "{{ numbr(1) }}",
    ],
)
def test_a_wrong_placeholder_is_named(project: Path, text: str) -> None:
    with pytest.raises(EarthSignalsError, match="reports/cards|a card"):
        Prose(project).filled(text, "a card")


def test_a_section_without_its_file_says_so(project: Path, tmp_path: Path) -> None:
    root = _linked(project, tmp_path)
    (root / "reports/plume/real.json").unlink()
    assert "Not measured here" in Prose(root).section("plume:real")


def test_a_missing_card_is_named(tmp_path: Path) -> None:
    with pytest.raises(EarthSignalsError, match=r"lidar-model\.md: the card is missing"):
        Prose(tmp_path).card("lidar-model")


def test_tables_scroll_in_a_box_that_the_keyboard_reaches() -> None:
    html = as_html("| a | b |\n| --- | --: |\n| 1 | 2 |\n\n<b>raw</b>", prefix="plume-results")
    box = '<div class="scroll" tabindex="0" role="region" aria-label="plume results, table 1"><table>'
    assert html.startswith(box) and "</table></div>" in html and '<th scope="col">a</th>' in html
    assert "<b>" not in html  # markup of a card is shown, never obeyed


def test_claims_become_text() -> None:
    assert counted(CLAIMS) == {"better": 1, "reproduced": 1, "not reproduced": 1, "not measured": 1}
    names = [group["name"] for group in grouped(CLAIMS, {"plume": "Plumes"})]
    assert names == ["Earlier works: Plumes", "Earlier works: seismic", "Our own: clouds"]
    assert cells(CLAIMS[2])["measured"] == "0.796 (0.74 to 0.84)"
    assert (said(132169), said(0.00128), said(-2.5), said([3, 129]), said(None)) == (
        "132,169", "0.00128", "−2.5", "3, 129", "–",
    )  # fmt: skip


def test_pictures_are_shrunk_and_kept_in_shape(tmp_path: Path) -> None:
    plain("tdlas", "wide").resize((3000, 1000)).save(tmp_path / "wide.png")
    uri, width, height = webp(tmp_path / "wide.png")
    assert (width, height) == (1400, 467) and uri.startswith("data:image/webp;base64,")


def test_large_views_stay_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _view(tmp_path)
    shown, large = shown_views(tmp_path)
    assert [view.name for view in shown] == ["spectra"] and large == []
    monkeypatch.setattr("earthsignals.publication.report.views.MOST_BYTES", 10)
    assert shown_views(tmp_path) == ([], ["A line"])
    assert pack("same") == pack("same")


def test_of_many_views_a_page_shows_those_chosen_for_it(tmp_path: Path) -> None:
    for name in ("scatter", "trajectory"):
        _view(tmp_path / "clouds/pages")
        (tmp_path / "clouds/pages/spectra.json").rename(tmp_path / f"clouds/pages/{name}.json")
    shown, others = shown_views(tmp_path / "clouds/pages")
    assert [view.name for view in shown] == ["scatter"] and others == ["A line"]


def _view(folder: Path) -> None:
    from bokeh.plotting import figure

    from earthsignals.pages import Page as View
    from earthsignals.pages import write_page

    drawn = figure(width=500, height=260)
    drawn.line([1, 2, 3], [2, 1, 3])
    folder.mkdir(parents=True, exist_ok=True)
    write_page(folder / "spectra", "A line", "It goes down and up.", View(drawn))


def _linked(project: Path, folder: Path) -> Path:
    """A copy in which files may be removed."""
    root = folder / "copy"
    shutil.copytree(project, root, symlinks=True)
    return root
