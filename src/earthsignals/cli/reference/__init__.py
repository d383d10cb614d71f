"""`earthsignals reference`: pages of docs/ that are written from the code, and the picture of the house."""

from __future__ import annotations

from pathlib import Path

import typer

from earthsignals.storage import EarthSignalsError, atomic_path, find_project_root


def reference(
    check: bool = typer.Option(False, "--check", help="Change nothing; exit 1 if a page is stale."),
) -> None:
    """Write docs/reference/*.md and docs/house.svg anew from code, params.yaml, dvc.yaml and pyproject.toml.

    Examples:

    \b
      earthsignals reference            after a new parameter, command, stage or room
      earthsignals reference --check    do the pages still say what the code does?
    """
    root = find_project_root()
    stale = {name: text for name, text in pages(root).items() if _read(root / name) != text}
    if check and stale:
        raise EarthSignalsError(
            f"docs: {', '.join(stale)} no longer agree with the code they describe; run "
            "`earthsignals reference` and commit the result"
        )
    for name, text in stale.items():
        with atomic_path(root / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
        typer.echo(f"{name}: written")
    if not stale:
        typer.echo("docs/reference and docs/house.svg agree with the code")


def pages(root: Path) -> dict[str, str]:
    """Every generated page of the project at `root`, by its path from there.

    Raises EarthSignalsError where params.yaml, scales.yaml, dvc.yaml or pyproject.toml is missing or wrong.
    """
    from earthsignals.cli.reference.commands import commands_page
    from earthsignals.cli.reference.house import house_picture
    from earthsignals.cli.reference.params import params_page
    from earthsignals.cli.reference.stages import stages_page

    return {
        "docs/reference/params.md": params_page(root),
        "docs/reference/cli.md": commands_page(),
        "docs/reference/stages.md": stages_page(root),
        "docs/house.svg": house_picture(root),
    }


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None
