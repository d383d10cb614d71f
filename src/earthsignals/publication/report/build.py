"""The pages put together: what each shows, and the files that they become."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from earthsignals.compute.mapping import progress
from earthsignals.params import read_yaml
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
from earthsignals.storage import atomic_path

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


def write_report(root: Path, out: Path) -> list[Path]:
    """Write `out/index.html` and `out/<pipeline>.html`, atomically, the same bytes each time.

    Args:
        root: the project; read are `reports`, `data/paper/figures` and `data/<pipeline>/pages`.

    Raises:
        EarthSignalsError: a card or a caption is missing, or one names a number that is not there.
    """
    root, prose, captions = Path(root), Prose(root), read_captions(Path(root))
    environment, figures = _environment(), {}
    written = []
    with progress("report", len(PAGES), "pages") as bar:
        for name in PIPELINES:
            figures[name] = shown_figures(root, BUNDLE, name, captions)
            written.append(
                _write(environment, "pipeline", out / f"{name}.html", name,
                       **_pipeline(root, prose, name, figures[name]))
            )  # fmt: skip
            bar.advance()
        written.append(
            _write(environment, "index", out / "index.html", "index", **_overview(root, prose, figures))
        )
        bar.advance()
    return sorted(written)


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
    text = (prose.root / CARDS / f"{name}-about.md").read_text(encoding="utf-8").split("\n\n")[0]
    return Markup(as_html(prose.filled(text, f"{name}-about.md"), prefix=f"{name}-lead"))


def _headline(root: Path, prose: Prose) -> list[dict[str, str]]:
    source = root / CARDS / "headline.yaml"
    return [
        {
            "pipeline": row["pipeline"],
            "says": row["says"],
            "value": prose.interval(row["value"], row.get("format", "{:.2f}")),
            "limit": prose.filled(row["limit"], str(source)),
        }
        for row in read_yaml(source)["rows"]
    ]


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


def _write(environment: jinja2.Environment, template: str, path: Path, page: str, **shown: Any) -> Path:
    text = environment.get_template(f"{template}.html.j2").render(page=page, **shown)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return path
