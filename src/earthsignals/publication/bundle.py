"""The bundle: every figure of every pipeline in all its forms, with its data and what made it.

`<pipeline>/<name>.png`, `.pdf` and `.svg` are the picture, `<name>.csv` the data that it shows and
`<name>.json` its lineage, so that whoever takes a figure out of the folder can take its origin along.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from earthsignals.compute.mapping import progress
from earthsignals.dvcfiles import read_stages
from earthsignals.publication.lineage import Lineage, figure_lineage
from earthsignals.storage import EarthSignalsError, atomic_directory, read_json, write_json

FORMS = (".png", ".pdf", ".svg", ".csv")
"""Every figure has all of these."""
MOVING = ".gif"
"""One that moves has this besides."""
_SIDECAR = {"stage": str, "drawn_by": dict, "files": dict, "deps": dict, "runs": list}


def pipelines(root: Path) -> list[str]:
    """The pipelines on whose figures the stage `paper-figures` depends, in its order."""
    deps = read_stages(root).get("paper-figures", {}).get("deps", [])
    names = (re.fullmatch(r"reports/(\w+)/figures", str(path)) for path in deps)
    return [name[1] for name in names if name]


def find_figures(root: Path, pipeline: str) -> dict[str, list[str]]:
    """The figures of a pipeline by name, each with its files relative to the root, sorted.

    Raises:
        EarthSignalsError: no figures are here, or one lacks a form.
    """
    root, found = Path(root), {}
    for folder in (f"reports/{pipeline}/figures", f"data/{pipeline}/figures"):
        for path in sorted((root / folder).glob("[!.]*.*")):
            if path.suffix not in (*FORMS, MOVING) or not path.is_file():
                continue  # somebody's note or backup
            found.setdefault(path.stem, []).append(path.relative_to(root).as_posix())
    if not found:
        raise EarthSignalsError(
            f"{root / 'reports' / pipeline / 'figures'}: no figures, expected those of {pipeline}; draw them "
            f"by `dvc repro {pipeline}-figures`"
        )
    for name, files in sorted(found.items()):
        absent = [form for form in FORMS if not any(file.endswith(f"/{name}{form}") for file in files)]
        if absent:
            raise EarthSignalsError(
                f"{root / 'reports' / pipeline / 'figures' / name}: {', '.join(absent)} missing, "
                f"expected {', '.join(FORMS)} in reports and data; draw it by `dvc repro {pipeline}-figures`"
            )
    return {name: sorted(files) for name, files in sorted(found.items())}


def write_bundle(root: Path, out: Path) -> dict[str, list[str]]:
    """Write the figures of all pipelines with their sidecars into the folder `out`, which appears as a whole.

    Returns:
        The names of each pipeline's figures.
    """
    root, known = Path(root), Lineage(root)
    figures = {pipeline: find_figures(root, pipeline) for pipeline in pipelines(root)}
    with (
        atomic_directory(out) as folder,
        progress("bundle", sum(map(len, figures.values())), "figures") as bar,
    ):
        for pipeline, named in figures.items():
            for name, files in named.items():
                _write_one(known, pipeline, name, files, folder / pipeline)
                bar.advance()
    return {pipeline: list(named) for pipeline, named in figures.items()}


def read_bundle(folder: Path, pipeline: str) -> Mapping[str, Mapping[str, Any]]:
    """The sidecars of a pipeline's figures in a bundle, by the figure's name.

    Raises EarthSignalsError where one is none.
    """
    return {path.stem: read_sidecar(path) for path in sorted((Path(folder) / pipeline).glob("*.json"))}


def read_sidecar(path: Path) -> Mapping[str, Any]:
    """What `figure_lineage` said of a figure; raises EarthSignalsError where `path` holds something else."""
    found = read_json(path)
    whole = isinstance(found, Mapping) and all(
        isinstance(found.get(key), kind) for key, kind in _SIDECAR.items()
    )
    if not whole:
        raise EarthSignalsError(
            f"{path} is no sidecar of a figure, expected the keys {', '.join(_SIDECAR)}; write it anew "
            "(`dvc repro paper-figures`)"
        )
    return found


def _write_one(known: Lineage, pipeline: str, name: str, files: list[str], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for file in files:
        # Copies and no links: what others own must not change with what is here.
        shutil.copyfile(known.root / file, folder / Path(file).name)
    write_json(folder / f"{name}.json", figure_lineage(known, pipeline, name, files))
