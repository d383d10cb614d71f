"""Satellite files as the pipeline would take them: read onto a plane, cut, embedded, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from earthsignals.clouds.imagery.files import Source, find_sources, read_source
from earthsignals.clouds.imagery.geotiff import GEOTIFFS
from earthsignals.clouds.imagery.refusal import RefusedScene
from earthsignals.clouds.imagery.scene import Scene
from earthsignals.clouds.params import CloudsParams
from earthsignals.clouds.tiles.cutting import cut
from earthsignals.clouds.tiles.places import survey
from earthsignals.compute.mapping import progress


def try_ingest(path: Path, params: CloudsParams, embed: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
    """Read every GOES scan and GeoTIFF below `path` and embed its tiles.

    Each scan is tried as `clouds.goes.composite` says, in true colour and in the infra-red. embed: from tiles
    (n, 3, P, P) uint8 to (n, D). Returns counts: `sources` (scans and GeoTIFFs), `scenes` (what was read, and
    as what), `tiles`, `not_finite` (tiles whose embedding is no number) and `refused` (attempts by reason).
    """
    attempts = list(_attempts(path, params))
    scenes: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    tiles = broken = 0
    with progress("reading satellite files", len(attempts), "attempts") as bar:
        for kind, source, own in attempts:
            try:
                images = side_by_side(read_source(source, own), params)
            except RefusedScene as refusal:
                refused[refusal.reason] += 1
            else:
                scenes[kind] += 1
                tiles += len(images)
                broken += int((~np.isfinite(embed(images)).all(1)).sum())
            bar.advance()
    return {
        "sources": len({source for _, source, _ in attempts}), "scenes": dict(sorted(scenes.items())),
        "tiles": tiles, "not_finite": broken, "refused": dict(sorted(refused.items())),
    }  # fmt: skip


def _attempts(path: Path, params: CloudsParams) -> Iterator[tuple[str, Source, CloudsParams]]:
    """What is tried: a word for it, the source, and the parameters to read it by."""
    for source in find_sources(path):
        if source.is_scan:
            for composite in dict.fromkeys((params.goes.composite, "true_colour", "infrared_rgb")):
                goes = params.goes.model_copy(update={"composite": composite})
                kind = composite if isinstance(composite, str) else "/".join(composite)
                yield kind, source, params.model_copy(update={"goes": goes})
        elif source.paths[0].suffix.lower() in GEOTIFFS:
            yield "geotiff", source, params


def side_by_side(scene: Scene, params: CloudsParams) -> np.ndarray:
    """Tiles (n, 3, P, P) uint8 that touch but do not overlap, none with more missing than is allowed.

    Raises RefusedScene with the reason `too-small` or `empty` where there is no tile.
    """
    edge, most = params.grid.tile_px, params.triplets.maximum_missing
    if isinstance(survey(scene, edge, most), str):
        small = min(scene.plane.shape) < edge
        raise RefusedScene(
            scene.name, "too-small" if small else "empty",
            f"it has no room for a tile of {params.grid.tile_km:g} km with at most {most:.0%} missing; use a "
            "larger scene, smaller tiles (clouds.grid.tile_km) or a larger clouds.triplets.maximum_missing",
        )  # fmt: skip
    rows, columns = (np.arange(0, size - edge + 1, edge) for size in scene.plane.shape)
    corners = np.array([(row, column) for row in rows for column in columns])
    whole = [
        (~scene.valid[row : row + edge, column : column + edge]).mean() <= most for row, column in corners
    ]
    return cut(scene, corners[whole], edge).tiles
