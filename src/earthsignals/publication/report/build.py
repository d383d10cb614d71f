"""The pages put together: what each shows, and the files that they become."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import jinja2
from markupsafe import Markup

from earthsignals.compute.mapping import progress
from earthsignals.params import Section, read_yaml, validate
from earthsignals.publication.report.claims import counted, grouped, read_claims
from earthsignals.publication.report.figures import (
    RUN_ADDRESS,
    Shown,
    read_captions,
    shown_figures,
    webp,
)
from earthsignals.publication.report.prose import CARDS, Prose, as_html
from earthsignals.publication.report.views import packed_library, shown_views
from earthsignals.storage import EarthSignalsError, atomic_path

PIPELINES = {
    "tdlas": "Methane from a laser scan",
    "plume": "Methane plumes from the air",
    "seismic": "Earthquakes in spectrograms",
    "clouds": "How clouds organise",
    "superdarn": "Where the ionosphere drifts",
}
"""The pages' names and titles, in the order in which people meet them."""
PAGES = ("index", *PIPELINES)

BUNDLE = Path("data/paper/figures")
CARD_TITLES = {"model": "Model card", "data": "Dataset card"}
_THUMBNAIL = 640  # pixels, of the overview's pictures


class Headline(Section):
    """One line of the overview's table, from `reports/cards/headline.yaml`."""

    pipeline: Literal[tuple(PIPELINES)]
    says: str
    value: str
    format: str = "{:.2f}"
    limit: str


def write_report(root: Path, out: Path) -> list[Path]:
    """Write `out/index.html` and `out/<pipeline>.html`, the same bytes each time, once all of them are made.

    Args:
        root: the project; read are `reports`, `data/paper/figures` and `data/<pipeline>/pages`.

    Raises:
        EarthSignalsError: a card or a caption is missing, or one names a number that is not there.
    """
    root, prose, captions = Path(root), Prose(root), read_captions(Path(root))
    environment, figures = _environment(), {}
    pages: dict[str, str] = {}
    with progress("report", len(PAGES), "pages") as bar:
        for name in PIPELINES:
            figures[name] = shown_figures(root, BUNDLE, name, captions)
            pages[name] = _page(environment, "pipeline", name, _pipeline(root, prose, name, figures[name]))
            bar.advance()
        pages["index"] = _page(environment, "index", "index", _overview(root, prose, figures))
        bar.advance()
    # All or none: pages that were made of different results would contradict one another.
    for name, text in pages.items():
        with atomic_path(out / f"{name}.html") as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    return sorted(out / f"{name}.html" for name in pages)


def _pipeline(root: Path, prose: Prose, name: str, figures: list[Shown]) -> dict[str, Any]:
    views, large = shown_views(root / "data" / name / "pages")
    return {
        "title": PIPELINES[name],
        "about": Markup(prose.card(f"{name}-about")),
        "results": Markup(prose.card(f"{name}-results")),
        "limits": Markup(prose.card(f"{name}-limits")),
        "cards": {key: Markup(prose.card(f"{name}-{key}")) for key in CARD_TITLES},
        "card_titles": CARD_TITLES,
        "figures": figures,
        "views": views,
        "large": large,
        "library": packed_library() if views else "",
    }


def _overview(root: Path, prose: Prose, figures: dict[str, list[Shown]]) -> dict[str, Any]:
    leads = {name: _lead(root, name, shown[0]) for name, shown in figures.items() if shown}
    claims = read_claims(root)
    return {
        "title": "earthsignals",
        "leads": leads,
        "abouts": {name: _first_paragraph(prose, name) for name in PIPELINES},
        "headline": _headline(root, prose),
        "claims": grouped(claims, PIPELINES),
        "counted": counted(claims),
        "figure_count": sum(len(shown) for shown in figures.values()),
    }


def _lead(root: Path, name: str, figure: Shown) -> dict[str, Any]:
    uri, width, height = webp(root / BUNDLE / name / f"{figure.name}.png", _THUMBNAIL)
    return {"uri": uri, "width": width, "height": height, "alt": figure.alt}


def _first_paragraph(prose: Prose, name: str) -> Markup:
    text = prose.source(f"{name}-about").split("\n\n")[0]
    return Markup(as_html(prose.filled(text, f"{name}-about.md"), prefix=f"{name}-lead"))


def _headline(root: Path, prose: Prose) -> list[dict[str, str]]:
    source = root / CARDS / "headline.yaml"
    rows = read_yaml(source).get("rows")
    if not isinstance(rows, list):
        raise EarthSignalsError(f"{source}: no list `rows`, expected the lines of the overview; restore it")
    shown = []
    for number, values in enumerate(rows):
        row = validate(Headline, values, source=str(source), prefix=f"rows.{number}")
        asked = f"{{{{ interval({row.value!r}, {row.format!r}) }}}}"
        shown.append({
            "pipeline": row.pipeline, "says": row.says,
            "value": prose.filled(asked, str(source)), "limit": prose.filled(row.limit, str(source)),
        })  # fmt: skip
    return shown


def _environment() -> jinja2.Environment:
    here = resources.files("earthsignals.publication.report")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("earthsignals.publication.report"), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["pad"] = lambda text: text.ljust(32)  # commands with their comments in a column
    environment.globals.update(
        style=Markup((here / "style.css").read_text(encoding="utf-8")),
        script=Markup((here / "page.js").read_text(encoding="utf-8")),
        pipelines=PIPELINES, run_address=RUN_ADDRESS,
    )  # fmt: skip
    return environment


def _page(environment: jinja2.Environment, template: str, page: str, shown: Mapping[str, Any]) -> str:
    try:
        return environment.get_template(f"{template}.html.j2").render(page=page, **shown) + "\n"
    except (jinja2.TemplateError, TypeError, AttributeError) as error:
        raise EarthSignalsError(
            f"the page {page}.html cannot be made ({error}), expected whole sidecars in {BUNDLE.as_posix()}; "
            "write them anew (`dvc repro paper-figures`)"
        ) from None
