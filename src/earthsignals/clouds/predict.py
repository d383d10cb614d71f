"""A trained embedding on scenes: dense maps of them, and the windows that look most like a given one.

    model = load_model("data/clouds/best_model.pt")
    print(embed_files(["scenes/"], model, "maps"))
    print(similar("scene.nc", (13.2, -57.7), model, "like_this", among=["scenes/"]))

Scenes may be of any kind that `clouds.source` takes: netCDF, pictures, GeoTIFF, GOES files, or folders of
such. What cannot be read or embedded is counted, listed in `refused.csv` and stops nothing; only if nothing
at all can be used is there an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from earthsignals.clouds.dense.fields import embed_to_file, is_map
from earthsignals.clouds.dense.nearest import candidates, choose, query_at
from earthsignals.clouds.imagery.files import Source, find_sources, read_source
from earthsignals.clouds.imagery.index import Entry, read_index
from earthsignals.clouds.imagery.scene import Scene, read_scene
from earthsignals.clouds.params import CloudsParams
from earthsignals.compute.device import choose_device
from earthsignals.compute.mapping import progress
from earthsignals.results import write_rows
from earthsignals.settings import Settings, load_settings
from earthsignals.storage import EarthSignalsError, atomic_directory

if TYPE_CHECKING:
    from earthsignals.clouds.checkpoint import EmbeddingModel

STEP_PX = 16
COUNT = 12
REFUSED, COLUMNS = "refused.csv", ("file", "reason")
FOUND = ("rank", "scene", "time", "latitude", "longitude", "distance", "row", "column", "file")
"""Columns of `similar.csv`; row and column are the window's upper left pixel."""


@dataclass
class Refused:
    """What could not be used, and why."""

    rows: list[dict[str, str]] = field(default_factory=list)

    def add(self, name: str, error: EarthSignalsError) -> None:
        """Note a source and the sentence on it."""
        self.rows.append({"file": name, "reason": str(error)})

    def report(self, out: Path, used: int) -> str:
        """Write `refused.csv` into `out` if there is anything to tell; words for the end of a sentence.

        Raises EarthSignalsError where nothing was used.
        """
        if not used and self.rows:
            more = f" (and {len(self.rows) - 1} more)" if len(self.rows) > 1 else ""
            raise EarthSignalsError(f"no scene could be used: {self.rows[0]['reason']}{more}")
        path = out / REFUSED
        path.unlink(missing_ok=True)
        if not self.rows:
            return ""
        write_rows(path, self.rows, COLUMNS)
        return f"; {len(self.rows)} refused, see {path}"


def embed_files(
    paths: str | Path | Sequence[str | Path], model: EmbeddingModel, out: str | Path,
    step_px: int = STEP_PX, *, mode: str = "auto", maximum_missing: float = 0.0,
    params: CloudsParams | None = None, settings: Settings | None = None,
) -> str:  # fmt: skip
    """Write the dense embedding of each scene as `out/<scene>.nc`; returns a sentence on what was done.

    paths: files and folders. maximum_missing: windows with a larger share of missing pixels are NaN. params:
    how GOES files become pictures (`params.goes`); the grid is always the model's.

    Raises EarthSignalsError: a path does not exist, a result would replace an input, nothing was usable, or
    the disk is full.
    """
    out, params = _usable(Path(out)), _with_grid_of(model, params)
    place(model, settings)
    refused, written, windows, missing = Refused(), set(), 0, 0
    differences = [0.0]
    sources = _sources(paths)
    inputs = {os.path.realpath(path) for source in sources for path in source.paths}
    for source, scene in _scenes(sources, params, refused, "embedding"):
        target = out / f"{scene.name}.nc"
        if os.path.realpath(target) in inputs:
            raise EarthSignalsError(
                f"{target} is one of the inputs and would be overwritten by a result: choose another "
                "folder (--out)"
            )
        if target not in written and target.exists() and not is_map(target):
            raise EarthSignalsError(
                f"{target} is there already and no map of embeddings: choose another folder (--out)"
            )
        try:
            if target in written:
                raise EarthSignalsError(
                    f"{source.name}: another scene has the name {scene.name}; rename its file"
                )
            done = embed_to_file(
                model, scene, target, step_px, mode=mode, maximum_missing=maximum_missing, quiet=True
            )  # fmt: skip
            if done["missing"] == done["windows"]:
                target.unlink()
                raise EarthSignalsError(f"{source.name}: no window of it has enough known pixels")
        except EarthSignalsError as error:
            refused.add(source.name, error)
            continue
        written.add(target)
        windows, missing = windows + done["windows"], missing + done["missing"]
        differences.append(done["difference"] or 0.0)
    words = refused.report(out, len(written))
    empty = f", {missing:,} of them without data" if missing else ""
    off = f"; sharing is off by up to {max(differences):.1%} of the largest value" if any(differences) else ""
    return f"{out}: {len(written)} scenes, {windows:,} windows{empty}{off}{words}"


def map_scenes(
    scenes: Path, model: EmbeddingModel, params: CloudsParams, out: Path, settings: Settings | None = None
) -> dict[str, int]:
    """Map `embed.scenes` study scenes, evenly over regimes, and all of the series, into a folder, atomically.

    Returns counts: `maps`, `windows`, `windows_missing`. Raises EarthSignalsError for a scene that cannot be
    read or is smaller than a tile.
    """
    place(model, settings)
    index = read_index(scenes)
    study = sorted(index.of("study"), key=lambda entry: (entry.regime, entry.name))
    some = np.linspace(0, len(study) - 1, min(len(study), params.embed.scenes)).round().astype(int)
    series = [entry for entry in index.entries if entry.series]
    chosen: list[Entry] = [*(study[number] for number in some), *series]
    counts = {"maps": len(chosen), "windows": 0, "windows_missing": 0}
    with atomic_directory(out) as folder, progress("dense embeddings", len(chosen), "scenes") as bar:
        for entry in chosen:
            done = embed_to_file(
                model, read_scene(scenes / entry.file), folder / f"{entry.name}.nc", params.embed.step_px,
                maximum_missing=params.triplets.maximum_missing, quiet=True,
            )  # fmt: skip
            counts["windows"] += done["windows"]
            counts["windows_missing"] += done["missing"]
            bar.advance()
    return counts


def similar(
    path: str | Path, at: tuple[float, float], model: EmbeddingModel, out: str | Path, *,
    among: str | Path | Sequence[str | Path] | None = None, count: int = COUNT, step_px: int = STEP_PX,
    maximum_missing: float = 0.0, params: CloudsParams | None = None, settings: Settings | None = None,
) -> str:  # fmt: skip
    """Find the windows nearest in embedding to that centred on `at` (latitude, longitude) of the scene
    `path`.

    Windows are looked for in the scene itself and in those of `among`, at every `step_px`. Of overlapping
    ones in one scene the nearest counts, and none overlaps the window that is asked for. Below `out`:
    `similar.csv` with the columns FOUND, `similar.png` with the tiles, and `refused.csv` if any of `among`
    could not be used. The distance is Euclid's between embeddings brought to unit length where the model was
    trained so (`nearest.normalised`), else between embeddings as they are. Returns a sentence.

    Raises EarthSignalsError: `path` holds no or several scenes, the point's window is not wholly inside or
    has missing pixels, or no other window is left.
    """
    from earthsignals.clouds.dense.gallery import write_gallery

    out, params = _usable(Path(out)), _with_grid_of(model, params)
    place(model, settings)
    own = find_sources(Path(path))
    if len(own) != 1:
        raise EarthSignalsError(f"{path} holds {len(own)} scenes, expected one: name its file")
    scene = read_source(own[0], params)
    query = query_at(model, scene, at, maximum_missing)
    refused = Refused()
    found = candidates(model, scene, query, step_px, count, maximum_missing, own[0].paths[0])
    others = [source for source in _sources(among) if source.paths != own[0].paths] if among else []
    for source, other in _scenes(others, params, refused, "searching"):
        if np.array_equal(other.values, scene.values):  # the same scene, by whatever name
            continue
        try:
            # Only as many as are asked for are kept of each scene.
            found += candidates(model, other, query, step_px, count, maximum_missing, source.paths[0])
        except EarthSignalsError as error:
            refused.add(source.name, error)
    chosen = choose(found, count)
    if not chosen:
        raise EarthSignalsError(
            f"{path}: no window without missing pixels is left beside the one at {at[0]:g}, {at[1]:g}: "
            "search among more scenes (--among)"
        )
    rows = [{"rank": rank, **each.row_of_table()} for rank, each in enumerate(chosen, 1)]
    write_rows(out / "similar.csv", rows, FOUND)
    write_gallery(out / "similar.png", query, chosen)
    words = refused.report(out, 1)
    place_text = f"{at[0]:g}, {at[1]:g}"
    return f"{out / 'similar.csv'}: {len(chosen)} windows like that at {place_text} of {scene.name}{words}"


def _sources(paths: str | Path | Sequence[str | Path]) -> list[Source]:
    """Scenes of files and folders, each once."""
    paths = [paths] if isinstance(paths, (str, Path)) else paths
    found = {source.paths: source for path in paths for source in find_sources(Path(path))}
    return list(found.values())


def _scenes(
    sources: Sequence[Source], params: CloudsParams, refused: Refused, description: str
) -> Iterator[tuple[Source, Scene]]:
    """Read one after the other, with a bar; those that cannot be read are noted."""
    with progress(description, len(sources), "scenes") as bar:
        for source in sources:
            try:
                scene = read_source(source, params)
            except EarthSignalsError as error:
                refused.add(source.name, error)
            except MemoryError:  # not this file's fault alone
                raise
            except Exception as error:  # what no rule foresaw in one file must not stop the others
                told = f"{source.name} cannot be read ({type(error).__name__}: {error})"
                refused.add(source.name, EarthSignalsError(told))
            else:
                yield source, scene
            bar.advance()


def _usable(out: Path) -> Path:
    """The folder for results, made if it is not there.

    Raises EarthSignalsError where there can be none, or where another's table has the name of ours.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise EarthSignalsError(f"{out} cannot be a folder of results ({reason}): choose another") from None
    table = out / REFUSED
    if table.exists():
        with table.open(encoding="utf-8", errors="replace") as file:
            if file.readline().strip() != ",".join(COLUMNS):
                raise EarthSignalsError(
                    f"{table} is not of this command and would be replaced: choose another folder (--out)"
                )
    return out


def _with_grid_of(model: EmbeddingModel, params: CloudsParams | None) -> CloudsParams:
    params = params or CloudsParams()
    grid = {"tile_km": model.grid.tile_km, "tile_px": model.grid.tile_px}
    return params.model_copy(update={"grid": params.grid.model_copy(update=grid)})


def place(model: EmbeddingModel, settings: Settings | None = None) -> None:
    """Bring the network to the settings' device."""
    model.network.to(choose_device((settings or load_settings()).device))
