"""Numbers typed by hand: those of a text's prose that no run wrote and no fact accounts for.

Numbers of runs reach texts by marked sections (`earthsignals readme`), by numbers.json or by placeholders.
What prose may say literally stands in `reports/paper/facts.yaml`, and the text then uses exactly its value
and unit. A fact that is a bare number without a unit excuses nothing: any number might happen to equal it.
Digits that belong to a name (ResNet-18, F1, S3, 3-D) are no numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from earthsignals.publication.facts import FACTS, NUMBER, Fact, load_facts
from earthsignals.publication.prose import PROSE

TEXTS = {
    "README.md": "markdown",
    "reports/cards/*.md": "markdown",
    "reports/paper/*.typ": "typst",
    "src/earthsignals/publication/report/templates/*.j2": "html",
}
"""Where prose stands, by patterns from the project's root, and of which kind it is."""

_NUMBER = re.compile(
    r"(?<![\w.,])(?:\d{1,3}(?:[,\u202f]\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+−]?\d+)?"
    r"|(?<![\w.,)\]])\.\d+|[¼-¾⅐-⅞]"
)
_NAME = re.compile(r"\b(?:[^\W\d_]+[-/]?\d[\w.+/-]*|\d-?D\b|\d[AB]\b|\d+(?:st|nd|rd|th)\b)")
_GAP = r"[\s\u00a0\u202f~]*"


class Typed(NamedTuple):
    """A number that stands in a text by itself."""

    file: str
    line: int
    number: str
    context: str


def typed_numbers(
    text: str, kind: str, facts: Mapping[str, Fact] | None = None, file: str = ""
) -> list[Typed]:
    """The numbers of `text` (kind: markdown, typst or html) that stand in none of `facts`."""
    prose = PROSE[kind](text)
    # Longest first, so that a range is taken whole.
    telling = [fact for fact in (facts or {}).values() if not NUMBER.fullmatch(fact.text)]
    for fact in sorted(telling, key=lambda fact: -len(fact.text)):
        prose = _fact(fact).sub(lambda found: re.sub(r"[^\n]", " ", found[0]), prose)
    prose = _NAME.sub(lambda found: " " * len(found[0]), prose)
    lines = text.splitlines()
    found = []
    for number in _NUMBER.finditer(prose):
        line = prose.count("\n", 0, number.start())
        context = lines[line].strip() if line < len(lines) else ""
        found.append(Typed(file, line + 1, number[0], context[:100]))
    return found


def typed_in_project(root: Path) -> list[Typed]:
    """Typed numbers of every text of the project at `root` that people read."""
    path = root / FACTS
    facts = load_facts(path) if path.is_file() else {}
    found = []
    for pattern, kind in TEXTS.items():
        for file in sorted(root.glob(pattern)):
            name = file.relative_to(root).as_posix()
            found += typed_numbers(file.read_text(encoding="utf-8"), kind, facts, name)
    return found


def _fact(fact: Fact) -> re.Pattern[str]:
    """The fact's value and unit, with any gap where either has a space, and no digit before or behind."""
    words = [re.escape(word) for word in fact.text.split()]
    return re.compile(rf"(?<![\w.,]){_GAP.join(words)}(?![\w]|[.,]\d)")
