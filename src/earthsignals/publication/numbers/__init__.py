"""The paper's numbers: from the files that runs wrote, by a registry, as text and as LaTeX commands."""

from __future__ import annotations

from earthsignals.publication.numbers.collecting import collect
from earthsignals.publication.numbers.formats import formatted, interval
from earthsignals.publication.numbers.latex import command_name, latex_text, numbers_tex
from earthsignals.publication.numbers.reading import Results
from earthsignals.publication.numbers.registry import Entry, load_registry

__all__ = [
    "Entry",
    "Results",
    "collect",
    "command_name",
    "formatted",
    "interval",
    "latex_text",
    "load_registry",
    "numbers_tex",
]
