"""`earthsignals readme`: the measured numbers of README.md, written from the files that runs wrote.

README.md marks each such section with `<!-- NAME -->` and `<!-- /NAME -->`; what stands between is
replaced by the section's text. Nothing else of the file is touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import typer

from earthsignals.publication.sections import SECTIONS
from earthsignals.publication.sections.words import Numbers
from earthsignals.storage import EarthSignalsError, atomic_path, find_project_root, read_json


def readme(
    check: bool = typer.Option(
        False, "--check", help="Change nothing; exit 1 if README.md is stale."
    ),
) -> None:
    """Write the measured numbers of README.md anew from reports/.

    Sections whose file does not exist yet stay as they are, and are named.

    Examples:

    \b
      earthsignals readme            after make repro or a benchmark
      earthsignals readme --check    do README.md and reports/ agree?
    """
    root = find_project_root()
    path = root / "README.md"
    if not path.is_file():
        raise EarthSignalsError(f"{path} does not exist; restore it with `git checkout README.md`")
    old = path.read_text(encoding="utf-8")

    def source(name: str) -> Numbers | None:
        file = root / name
        return read_json(file) if file.is_file() else None

    new, absent = render(old, source)
    for section, name in absent.items():
        typer.echo(f"{section}: left as it is, {name} does not exist yet")
    if new == old:
        typer.echo("README.md agrees with reports/")
    elif check:
        raise EarthSignalsError(
            f"README.md is stale in {', '.join(changed_sections(old, new))}: it does not hold the "
            "numbers in reports/; run `earthsignals readme` and commit the result"
        )
    else:
        _write(path, new)
        typer.echo(f"README.md: wrote {', '.join(changed_sections(old, new))}")


def render(text: str, source: Callable[[str], Numbers | None]) -> tuple[str, dict[str, str]]:
    """README text with every marked section written anew, and the sections left alone for want of a file.

    `source` gives the content of a JSON file by its path from the project's root, or None.

    Raises EarthSignalsError for a marker that is missing, doubled or unknown.
    """
    names = re.findall(r"<!-- ([\w-]+:[\w-]+) -->", text)
    if sorted(names) != sorted(SECTIONS):
        raise EarthSignalsError(
            f"README.md marks the sections {', '.join(names) or 'none'}; expected each of "
            f"{', '.join(SECTIONS)} once, as `<!-- NAME -->` ... `<!-- /NAME -->`"
        )
    absent = {}
    for name, (file, write) in SECTIONS.items():
        numbers = source(file)
        if numbers is None:
            absent[name] = file
            continue
        pattern = _section(name)
        if not pattern.search(text):
            raise EarthSignalsError(
                f"README.md: `<!-- {name} -->` has no `<!-- /{name} -->` after it"
            )
        body = write(numbers)
        text = pattern.sub(lambda found, body=body: f"{found[1]}\n\n{body}\n\n{found[3]}", text)
    return text, absent


def changed_sections(old: str, new: str) -> list[str]:
    """Names of the sections whose text differs."""
    return [name for name in SECTIONS if _body(old, name) != _body(new, name)]


def _section(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name} -->)(.*?)(<!-- /{name} -->)", re.DOTALL)


def _body(text: str, name: str) -> str | None:
    found = _section(name).search(text)
    return found[2] if found else None


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
