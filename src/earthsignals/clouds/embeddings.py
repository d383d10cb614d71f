"""Embeddings of tiles as GeoParquet, with all that is known of each tile, and for TensorBoard's projector.

frame = geopandas.read_parquet("data/clouds/embeddings.parquet")    # points in EPSG:4326
table, vectors = read_embeddings("data/clouds/embeddings.parquet")  # DataFrame, (N, D) float32

tensorboard --logdir data/clouds/projector
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas
import numpy as np
import pandas as pd
import pyarrow
from PIL import Image

from earthsignals.clouds.tiles.tilefile import SPLITS, Triplets
from earthsignals.storage import EarthSignalsError, atomic_directory, atomic_path

if TYPE_CHECKING:
    from earthsignals.clouds.checkpoint import EmbeddingModel

LARGEST_SPRITE_PX = 8192
"""Edge of the largest picture that TensorBoard's projector takes."""
THUMBNAIL_PX = 64
MOST_POINTS = 10_000
"""Points that the projector still turns fluently in a browser."""
PROJECTED = (
    "scene", "time", "role", "regime", "latitude", "longitude", "scale_km", "anisotropy", "clustering",
    "cloud_fraction",
)  # fmt: skip
"""Columns that the projector shows and colours by."""


def embed_triplets(triplets: Triplets, model: EmbeddingModel) -> tuple[pd.DataFrame, np.ndarray]:
    """Embed every tile where the model is: the tables of all splits one after the other, and (N, D) float32.

    The table begins with `split` and `tile`, the row of the tile in `triplets.images(split)`.
    """
    from earthsignals.clouds.embedding import embed_tiles

    tables, vectors = [], []
    for split in SPLITS:
        table = triplets.table(split).copy()
        table.insert(0, "split", split)
        table.insert(1, "tile", np.arange(len(table)))
        tables.append(table)
        if len(table):
            vectors.append(embed_tiles(model, triplets.images(split), description=f"embedding {split} tiles"))
    return pd.concat(tables, ignore_index=True), np.concatenate(vectors)


def write_embeddings(
    path: str | Path, table: pd.DataFrame, vectors: np.ndarray, about: Mapping[str, str] | None = None
) -> None:
    """Write tiles and their embeddings (N, D) as GeoParquet 1.1, atomically.

    table: N rows with `latitude` and `longitude` in degrees and any other columns; the geometry is the tile's
    centre, empty where that is unknown. `embedding` is a list of D float32. `about`: text for the file's
    attributes (`GeoDataFrame.attrs`).

    Raises EarthSignalsError for another number of rows, or embeddings that are no finite numbers.
    """
    if len(table) != len(vectors) or not np.isfinite(vectors).all():
        raise EarthSignalsError(
            f"{path}: {len(vectors)} embeddings for {len(table)} tiles, expected one of finite numbers "
            "for each; train the model again"
        )
    points = geopandas.points_from_xy(table["longitude"], table["latitude"])
    points[~np.isfinite(table["latitude"].to_numpy(np.float64))] = None
    frame = geopandas.GeoDataFrame(table.reset_index(drop=True), geometry=points, crs="EPSG:4326")
    frame["embedding"] = list(np.asarray(vectors, np.float32))
    frame.attrs = dict(about or {})
    with atomic_path(path) as temporary:
        frame.to_parquet(temporary, index=False, compression="zstd", schema_version="1.1.0")


def read_embeddings(path: str | Path) -> tuple[geopandas.GeoDataFrame, np.ndarray]:
    """The table and the embeddings (N, D) float32 of a file of `write_embeddings`.

    Raises EarthSignalsError when it is missing, damaged or has no embeddings.
    """
    path = Path(path)
    if not path.is_file():
        raise EarthSignalsError(
            f"{path} does not exist, expected embeddings of tiles; run `dvc repro clouds-embed`"
        )
    try:
        frame = geopandas.read_parquet(path)
        vectors = np.stack(frame.pop("embedding").to_numpy()).astype(np.float32)
    except (OSError, ValueError, KeyError, pyarrow.ArrowException) as error:
        reason = str(error).splitlines()[0][:90]
        raise EarthSignalsError(
            f"{path} cannot be read as embeddings ({reason}), expected GeoParquet with a column `embedding`; "
            "run `dvc repro clouds-embed`"
        ) from None
    return frame, vectors


def export_projector(folder: str | Path, table: pd.DataFrame, vectors: np.ndarray, images: np.ndarray) -> int:
    """Write a folder that TensorBoard's projector opens; returns the number of points.

    images: tiles (N, 3, P, P) uint8, in the order of `table` and of `vectors` (N, D). Of more than
    MOST_POINTS tiles as many, evenly chosen. The pictures shrink until all fit into one of LARGEST_SPRITE_PX.
    """
    chosen = np.unique(np.linspace(0, len(table) - 1, min(len(table), MOST_POINTS)).round().astype(int))
    shown = [name for name in PROJECTED if name in table]
    with atomic_directory(folder) as out:
        np.savetxt(out / "vectors.tsv", vectors[chosen], fmt="%.7g", delimiter="\t")
        rows = table.iloc[chosen][shown]
        lines = ["\t".join(shown), *("\t".join(map(_text, row)) for row in rows.itertuples(index=False))]
        (out / "metadata.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        edge = _write_sprite(out / "sprite.png", images, chosen)
        (out / "projector_config.pbtxt").write_text(
            'embeddings {\n  tensor_name: "clouds"\n  tensor_path: "vectors.tsv"\n'
            '  metadata_path: "metadata.tsv"\n  sprite {\n    image_path: "sprite.png"\n'
            f"    single_image_dim: {edge}\n    single_image_dim: {edge}\n  }}\n}}\n"
        )
    return len(chosen)


def _text(value: object) -> str:
    text = f"{value:.5g}" if isinstance(value, float) else str(value)
    return " ".join(text.split())  # a tab would be a column, a line break a point


def _write_sprite(path: Path, images: np.ndarray, chosen: np.ndarray) -> int:
    """Pictures row by row in a square; returns the edge of one."""
    side = math.ceil(math.sqrt(len(chosen)))
    edge = max(1, min(THUMBNAIL_PX, images.shape[-1], LARGEST_SPRITE_PX // side))
    sprite = np.zeros((side, edge, side, edge, 3), np.uint8)
    for place, row in enumerate(chosen):
        tile = Image.fromarray(np.ascontiguousarray(images[row].transpose(1, 2, 0)))
        sprite[place // side, :, place % side] = np.asarray(tile.resize((edge, edge), Image.Resampling.BOX))
    Image.fromarray(sprite.reshape(side * edge, side * edge, 3)).save(path, format="png")
    return edge
