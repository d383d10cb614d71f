"""What of a text is prose: the same text with all else turned to blanks, so that lines and columns stay.

Markdown: code, links' targets, HTML, sections that `earthsignals readme` writes and the list of citations go.
Typst: code, mathematics, labels, references and comments go; content within code stays. HTML templates: tags,
scripts, styles and placeholders go; the texts of attributes that people read stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_SPOKEN = re.compile(
    r"""\b(?:alt|title|aria-label|aria-description|placeholder)\s*=\s*(?:"([^"]*)"|'([^']*)')"""
)
_TAG = re.compile(r"<[^>\n]*>")
_MARKDOWN = [
    # First, before blanks that other patterns leave look like it: indented code, after an empty line.
    re.compile(r"(?:(?<=\n\n)|\A)(?: {4}[^\n]*\n?|\n(?= {4}))+"),
    re.compile(r"^(`{3,}|~{3,}).*?^\1", re.DOTALL | re.MULTILINE),
    _JINJA,
    re.compile(r"<!-- ([\w-]+:[\w-]+) -->.*?<!-- /\1 -->", re.DOTALL),  # written by runs
    re.compile(r"^## (?:Citing|References)\b.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE),
    re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL),
    re.compile(r"(?<=\])\([^)\s]*(?:\s+\"[^\"]*\")?\)"),
    re.compile(r"<!--.*?-->", re.DOTALL),
    _TAG,
    re.compile(r"https?://\S+|\b(?!\d+/\d+\b(?!/))[\w.-]+/[\w./-]+"),  # 2/3 is no path
    re.compile(r"(?<![\w&])#\d+\b"),  # of an issue
    re.compile(r"^\s*\d+\.(?=\s)", re.MULTILINE),  # of a list's item
    re.compile(r"\((?:19|20)\d\d\)|\bet al\.,? (?:19|20)\d\d"),
]
_TOLD = re.compile(r'\b(?:alt|caption|title|supplement)\s*:\s*"((?:\\.|[^"\\])*)"')
_STATEMENTS = ("let", "set", "show", "import", "include", "if", "for", "while", "context", "return")
_IDENTIFIER = re.compile(r"[A-Za-z_][\w-]*")


def markdown(text: str) -> str:
    """The prose of Markdown, with or without placeholders of a template."""
    for pattern in _MARKDOWN:
        text = _TAG.sub(lambda tag: _spoken(tag[0]), text) if pattern is _TAG else _without(text, pattern)
    return text


def html(text: str) -> str:
    """The prose of an HTML template."""
    text = _without(text, _JINJA)
    for pattern in (r"<(script|style)\b.*?</\1\s*>", r"<!--.*?-->", r"&#?\w+;"):
        text = _without(text, re.compile(pattern, re.DOTALL | re.IGNORECASE))
    return re.sub(r"<[^>]*>", lambda tag: _spoken(tag[0]), text)


def typst(text: str) -> str:
    """The prose of Typst."""
    return _Typst(text).prose()


PROSE: dict[str, Callable[[str], str]] = {"markdown": markdown, "html": html, "typst": typst}


def _without(text: str, pattern: re.Pattern[str]) -> str:
    return pattern.sub(lambda found: _blank(found[0]), text)


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _spoken(tag: str) -> str:
    kept = list(_blank(tag))
    for found in _SPOKEN.finditer(tag):
        start, end = found.span(1 if found[1] is not None else 2)
        kept[start:end] = tag[start:end]
    return "".join(kept)


class _Typst:
    """One pass over Typst's three modes: markup is kept, code and mathematics are not."""

    def __init__(self, text: str) -> None:
        self.text, self.kept, self.at = text, list(_blank(text)), 0

    def prose(self) -> str:
        while self.at < len(self.text):
            self._markup("")
            self.at += 1
        return "".join(self.kept)

    def _markup(self, closing: str) -> None:
        """Keep text up to `closing` (or the end), leaving what is none."""
        while self.at < len(self.text):
            here = self.text[self.at]
            if here == closing:
                return
            if here == "\\":
                self.at += 2
            elif self._skipped(r"//[^\n]*|/\*.*?\*/|`+.*?`+|\$.*?\$|<[\w:.-]+>|@[\w:.-]+"):
                continue
            elif here == "#":
                self.at += 1
                self._expression()
            elif here == "[":
                self.at += 1
                self._markup("]")
                self.at += 1
            else:
                self.kept[self.at] = here
                self.at += 1

    def _expression(self) -> None:
        """Code after `#`: a statement to the end of its line, or a name with its arguments."""
        name = _IDENTIFIER.match(self.text, self.at)
        if name is None:
            if self.text[self.at : self.at + 1] in ("(", "{"):
                self._code()
            return
        self.at = name.end()
        if name[0] in _STATEMENTS:
            while self.at < len(self.text) and self.text[self.at] not in "\n;":
                self._code()
            return
        while self.at < len(self.text):
            here = self.text[self.at]
            if here in "([":
                self._code()
            elif here == "." and _IDENTIFIER.match(self.text, self.at + 1):
                self.at = _IDENTIFIER.match(self.text, self.at + 1).end()
            else:
                return

    def _code(self) -> None:
        """One token of code; a bracketed group as a whole, in which content in brackets is markup again."""
        here = self.text[self.at]
        if told := _TOLD.match(self.text, self.at):
            self.kept[told.start(1) : told.end(1)] = told[1]
            self.at = told.end()
        elif here == "[":
            self.at += 1
            self._markup("]")
            self.at += 1
        elif here in "({":
            self.at += 1
            while self.at < len(self.text) and self.text[self.at] not in ")}":
                self._code()
            self.at += 1
        elif not self._skipped(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\])*\"|`+.*?`+|\$.*?\$"):
            self.at += 1

    def _skipped(self, pattern: str) -> bool:
        # `//` after a colon is an address, no comment.
        found = re.compile(pattern, re.DOTALL).match(self.text, self.at)
        if found is None or (found[0].startswith("//") and self.text[self.at - 1 : self.at] == ":"):
            return False
        self.at = found.end()
        return True
