"""Prose of the cards as HTML: Markdown with numbers that runs wrote and sections that README shares.

In a card `{{ number("reports/plume/metrics.json: tile_f1", "{:.2f}") }}` becomes a number, `interval` one
with its interval, `text` any value, and `{{ section("plume:results") }}` a marked section of README.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from mdit_py_plugins.anchors import anchors_plugin

from earthsignals.publication.measurements import Files, measure
from earthsignals.publication.sections import SECTIONS
from earthsignals.storage import EarthSignalsError

CARDS = Path("reports/cards")


class Prose:
    """The cards of a project; every file that they name is read once."""

    def __init__(self, root: Path) -> None:
        self.root, self.files = Path(root), Files(Path(root))
        self._jinja = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
        self._jinja.globals.update(
            number=self.number, interval=self.interval, text=self.text, section=self.section
        )

    def card(self, name: str) -> str:
        """`reports/cards/<name>.md` as HTML; raises EarthSignalsError when it is missing or wrong."""
        path = self.root / CARDS / f"{name}.md"
        if not path.is_file():
            raise EarthSignalsError(
                f"{path}: the card is missing, expected Markdown about {name.replace('-', ', its ')}; see "
                "docs/add-a-pipeline.md"
            )
        return as_html(self.filled(path.read_text(encoding="utf-8"), str(path)), prefix=name)

    def filled(self, text: str, source: str) -> str:
        """Markdown with every placeholder filled."""
        try:
            return self._jinja.from_string(text).render()
        except jinja2.TemplateError as error:
            raise EarthSignalsError(
                f"{source}: a placeholder is wrong ({error}), expected number, interval, text or section as "
                "in the other cards; mend it"
            ) from None

    def number(self, place: str, form: str = "{:g}") -> str:
        """The number at `place` (see `measurements`) in a format of `str.format`."""
        return _signed(form.format(self._measured(place).value))

    def interval(self, place: str, form: str = "{:.2f}") -> str:
        """`0.89 (0.84–0.93)`; the number alone where no interval stands beside it."""
        found = self._measured(place)
        value = _signed(form.format(found.value))
        if found.low is None or found.high is None:
            return value
        low, high = (_signed(form.format(end)) for end in (found.low, found.high))
        return f"{value} ({low}–{high})" if found.low >= 0 else f"{value} ({low} to {high})"

    def text(self, place: str) -> str:
        """The value at `FILE: dotted.path`, as it stands there."""
        name, _, path = place.partition(": ")
        value: Any = self.files(name)
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            raise EarthSignalsError(f"{CARDS}: `{place}` names nothing; mend the card that asks for it")
        return str(value)

    def section(self, name: str) -> str:
        """A marked section of README.md as Markdown, from the same file of numbers."""
        if name not in SECTIONS:
            raise EarthSignalsError(
                f"{CARDS}: there is no section `{name}`, expected one of {', '.join(SECTIONS)}; mend the card"
            )
        file, write = SECTIONS[name]
        numbers = self.files(file)
        if numbers is None:
            return f"*Not measured here: `{file}` is not in this folder.*"
        return write(numbers)

    def _measured(self, place: str) -> Any:
        found = measure(place, self.files, str(CARDS))
        if found.value is None:
            raise EarthSignalsError(
                f"{CARDS}: `{place}` names no number; run `dvc repro` if the file is old, or mend the card"
            )
        return found


class _Renderer(RendererHTML):
    """Tables and code scroll in a box of their own that the keyboard reaches."""

    def table_open(self, tokens: Any, index: int, options: Any, env: Any) -> str:
        """A box around the table, named by its columns."""
        env["tables"] = env.get("tables", 0) + 1
        name = f"{env['prefix']}, table {env['tables']}"
        return f'<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table>\n'

    def table_close(self, tokens: Any, index: int, options: Any, env: Any) -> str:
        """The end of the box."""
        return "</table></div>\n"

    def th_open(self, tokens: Any, index: int, options: Any, env: Any) -> str:
        """A column's head says that it is one."""
        tokens[index].attrSet("scope", "col")
        return self.renderToken(tokens, index, options, env)


def as_html(text: str, *, prefix: str) -> str:
    """Markdown (CommonMark and tables, no HTML inside) as HTML.

    prefix: begins the ids of headings and the names of tables, so that several texts stand on one page.
    """
    parser = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable("table")
    parser.use(anchors_plugin, min_level=2, max_level=4, slug_func=lambda title: f"{prefix}-{slug(title)}")
    return parser.render(text, {"prefix": prefix.replace("-", " ")}).strip()


def slug(title: str) -> str:
    """`The dense map` as `the-dense-map`."""
    return "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split())


def _signed(number: str) -> str:
    return number.replace("-", "−", 1) if number.startswith("-") else number
