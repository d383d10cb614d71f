"""Pieces of Markdown that the generated pages are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def notice(source: str) -> str:
    """The line under a page's title: what it is made from, and how."""
    return f"Written by `earthsignals reference` from {source}; a test fails when the two disagree."


def code(text: str) -> str:
    """`text` as inline code; nothing where there is none. A bar would end a table's cell."""
    return f"`{text}`".replace("|", "\\|") if text else ""


def cell(text: str) -> str:
    """`text` in one line of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table whose cells are Markdown already."""
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def block(lines: Iterable[str], language: str = "") -> list[str]:
    """Lines as a fenced block."""
    return [f"```{language}", *lines, "```"]


def page(lines: Iterable[str]) -> str:
    """A page's text; blank lines never double, one newline at the end."""
    out: list[str] = []
    for line in lines:
        if line or (out and out[-1]):
            out.append(line)
    return "\n".join(out).rstrip("\n") + "\n"
