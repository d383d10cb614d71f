"""Typst to PDF or pages of PNG: its own fonts and no date, so that the same text gives the same bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from earthsignals.storage import EarthSignalsError, atomic_path

if TYPE_CHECKING:
    import typst

_PLACE = re.compile(r"┌─ (?P<file>.+?):(?P<line>\d+):\d+")


def typeset(
    source: str | Path, out: str | Path, *, root: str | Path, inputs: Mapping[str, str] | None = None
) -> None:
    """Typeset the Typst file `source` as the PDF `out`, atomically.

    The document must set its date to none, else two calls give different bytes. Files are found below `root`
    alone; `inputs` are what the document reads as `sys.inputs`.

    Raises EarthSignalsError naming file and line of the first fault, of warnings, too: a font that is not
    there, say, would look different elsewhere.
    """
    pdf = _compiled(Path(source), Path(root), dict(inputs or {}), "pdf")
    with atomic_path(out) as temporary:
        temporary.write_bytes(pdf)


def pages(
    source: str | Path, *, root: str | Path, inputs: Mapping[str, str] | None = None, ppi: int = 100
) -> list[bytes]:
    """Every page as a PNG, to be looked at. Errors are those of `typeset`."""
    found = _compiled(Path(source), Path(root), dict(inputs or {}), "png", ppi)
    return found if isinstance(found, list) else [found]


def _compiled(source: Path, root: Path, inputs: dict[str, str], kind: str, ppi: int | None = None):  # noqa: ANN202
    import typst

    if not source.is_file():
        raise EarthSignalsError(f"{source}: no such document; expected a Typst file to typeset")
    compiler = typst.Compiler(root=str(root), ignore_system_fonts=True, sys_inputs=inputs)
    try:
        found, warnings = compiler.compile_with_warnings(str(source), format=kind, ppi=ppi)
    except typst.TypstError as error:
        raise EarthSignalsError(_sentence(error, source)) from None
    if warnings:
        raise EarthSignalsError(_sentence(warnings[0], source))
    return found


def _sentence(problem: typst.TypstError | typst.TypstWarning, source: Path) -> str:
    """File and line, what is wrong, and the compiler's hint."""
    place = _PLACE.search(str(problem.diagnostic))
    where = f"{Path(place['file']).name}, line {place['line']}" if place else source.name
    message = re.sub(r"\(searched at .*/([^/]+)\)", r"(\1)", str(problem.message).strip().rstrip("."))
    hints = "; ".join(str(hint).strip() for hint in problem.hints)
    return f"{where}: {message}; {hints or 'mend the document and typeset it again'}"
