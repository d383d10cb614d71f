"""Prose of the cards as HTML: Markdown with numbers that runs wrote and sections that README shares.

In a card `{{ number("reports/plume/metrics.json: tile_f1", "{:.2f}") }}` becomes a number, `interval` one
with its interval, `text` any value, and `{{ section("plume:results") }}` a marked section of README.md.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from mdit_py_plugins.anchors import anchors_plugin

from earthsignals.publication.measurements import Files, Measured, measure
from earthsignals.publication.sections import SECTIONS
from earthsignals.publication.sections.absent import DASH, may_lack
from earthsignals.storage import EarthSignalsError

CARDS = Path("reports/cards")


class Prose:
    """The cards of a project; every file that they name is read once."""

    def __init__(self, root: Path) -> None:
        self.root, self.files = Path(root), Files(Path(root))
        # In a sandbox: a card asks for numbers and runs nothing.
        self._jinja = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
        self._jinja.globals.update(
            number=self.number, interval=self.interval, text=self.text, section=self.section
        )

    def card(self, name: str) -> str:
        """`reports/cards/<name>.md` as HTML; raises EarthSignalsError when it is missing or wrong."""
        return as_html(self.filled(self.source(name), str(self.root / CARDS / f"{name}.md")), prefix=name)

    def source(self, name: str) -> str:
        """`reports/cards/<name>.md` as it stands; raises EarthSignalsError when it is missing or no text."""
        path = self.root / CARDS / f"{name}.md"
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            fault = "the card is missing" if not path.is_file() else f"the card cannot be read ({error})"
            raise EarthSignalsError(
                f"{path}: {fault}, expected Markdown about {name.replace('-', ', its ')}; see "
                "docs/add-a-pipeline.md"
            ) from None

    def filled(self, text: str, source: str) -> str:
        """Markdown with every placeholder filled."""
        try:
            return self._jinja.from_string(text).render()
        except EarthSignalsError as error:
            raise EarthSignalsError(f"{source}: {error}") from None
        except Exception as error:  # of a template, a format, or of what a placeholder does with a value
            raise EarthSignalsError(
                f"{source}: a placeholder is wrong ({error}), expected number, interval, text or section as "
                "in the other cards; mend it"
            ) from None

    def number(self, place: str, form: str = "{:g}") -> str:
        """The number at `place` (see `measurements`) in a format of `str.format`."""
        value = self._measured(place).value
        return DASH if value is None else _formatted(value, form)

    def interval(self, place: str, form: str = "{:.2f}") -> str:
        """`0.89 (0.84–0.93)`; the number alone where no interval stands beside it."""
        found = self._measured(place)
        if found.value is None:
            return DASH
        value = _formatted(found.value, form)
        if found.low is None or found.high is None:
            return value
        low, high = (_formatted(end, form) for end in (found.low, found.high))
        return f"{value} ({low}–{high})" if found.low >= 0 else f"{value} ({low} to {high})"

    def text(self, place: str) -> str:
        """The value at `FILE: dotted.path`, as it stands there."""
        name, _, path = place.partition(": ")
        value: Any = self.files(name)
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is None and self._may_lack(name):
            return DASH
        if value is None or isinstance(value, (dict, list)):
            raise EarthSignalsError(f"`{place}` names no single value, expected one; mend the placeholder")
        return _as_text(str(value))

    def section(self, name: str) -> str:
        """A marked section of README.md as Markdown, from the same file of numbers."""
        if name not in SECTIONS:
            raise EarthSignalsError(
                f"there is no section `{name}`, expected one of {', '.join(SECTIONS)}; mend the card"
            )
        file, write = SECTIONS[name]
        numbers = self.files(file)
        if numbers is None:
            return f"*Not measured here: `{file}` is not in this folder.*"
        try:
            return write(numbers)
        except Exception as error:
            if self._may_lack(file):
                return f"*`{file}` lacks what belongs here: it was made at a small scale.*"
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            raise EarthSignalsError(
                f"the section `{name}` cannot be written from {file} ({reason}), expected the keys that an "
                "evaluation writes; write the file anew (`dvc repro`)"
            ) from None

    def _measured(self, place: str) -> Measured:
        found = measure(place, self.files, str(CARDS))
        if found.value is None and not self._may_lack(place.partition(": ")[0]):
            raise EarthSignalsError(
                f"`{place}` names no number; run `dvc repro` if the file is old, or mend the card"
            )
        return found

    def _may_lack(self, file: str) -> bool:
        return may_lack(self.files("reports/claims.json"), file)


class _Renderer(RendererHTML):
    """Tables and code scroll in a box of their own that the keyboard reaches."""

    def table_open(self, tokens: Any, index: int, options: Any, env: Any) -> str:
        """A box around the table, named by its columns."""
        env["tables"] = env.get("tables", 0) + 1
        name = escapeHtml(f"{env['prefix']}, table {env['tables']}")
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


def _as_text(text: str) -> str:
    """A file's words as words: what Markdown would read as marks is not."""
    return re.sub(r"([\\`*_{}\[\]<>#|!&~])", r"\\\1", " ".join(text.split()))


def _formatted(value: Any, form: str) -> str:
    """One number in a format such as `{:.2f}`, with a minus sign for a hyphen."""
    if not re.fullmatch(r"\{:[^{}]*\}", form) or isinstance(value, tuple):
        raise ValueError(f"`{form}` for `{value}`, expected one number and a format like {{:.2f}}")
    number = form.format(value)
    return number.replace("-", "−", 1) if number.startswith("-") else number
