"""Embeddings of tiles: GeoParquet that other tools open, and what TensorBoard's projector reads."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from google.protobuf import text_format
from PIL import Image
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from earthsignals.clouds import embeddings as embeddings_module
from earthsignals.clouds.embedding import embed_tiles
from earthsignals.clouds.embeddings import (
    embed_triplets,
    export_projector,
    read_embeddings,
    write_embeddings,
)
from earthsignals.clouds.tiles.tilefile import TABLE
from earthsignals.storage import EarthSignalsError


def make_table(tiles: int = 7) -> tuple[pd.DataFrame, np.ndarray]:
    """Tiles along a line of latitude, one without a known place; embeddings that tell their number."""
    table = pd.DataFrame({
        "scene": [f"scene-{number // 3}" for number in range(tiles)], "role": "anchor", "regime": "fish",
        "latitude": 10.0 + np.arange(tiles), "longitude": -50.0, "scale_km": np.nan,
    })  # fmt: skip
    table.loc[2, ["latitude", "longitude"]] = np.nan
    return table, np.arange(tiles * 4, dtype=np.float32).reshape(tiles, 4)


class FewTriplets:
    """One triplet in each split but validation, as `Triplets` gives them."""

    def __init__(self) -> None:
        draw = np.random.default_rng(3)
        self.tiles = {
            split: draw.integers(0, 256, (rows, 3, 128, 128), dtype=np.uint8)
            for split, rows in (("train", 3), ("validation", 0), ("study", 3))
        }

    def table(self, split: str) -> pd.DataFrame:
        rows = len(self.tiles[split])
        return pd.DataFrame({name: np.full(rows, 1.0) for name in TABLE})

    def images(self, split: str) -> np.ndarray:
        return self.tiles[split]


def test_every_tile_is_embedded_in_the_order_of_the_splits() -> None:
    from tests.clouds.embedding_stand_ins import make_model

    model, triplets = make_model(), FewTriplets()
    table, vectors = embed_triplets(triplets, model)
    assert table["split"].tolist() == ["train"] * 3 + ["study"] * 3
    assert table["tile"].tolist() == [0, 1, 2, 0, 1, 2]
    assert list(table.columns) == ["split", "tile", *TABLE]
    np.testing.assert_allclose(vectors[3:], embed_tiles(model, triplets.images("study")), rtol=1e-6)


def test_the_file_opens_as_geoparquet_with_places_and_crs(tmp_path: Path) -> None:
    table, vectors = make_table()
    write_embeddings(tmp_path / "e.parquet", table, vectors, {"model_md5": "abc"})
    frame = geopandas.read_parquet(tmp_path / "e.parquet")
    assert frame.crs.to_epsg() == 4326
    assert (frame.geometry.iloc[1].x, frame.geometry.iloc[1].y) == (-50.0, 11.0)
    assert frame.geometry.isna().tolist() == [number == 2 for number in range(7)]  # no place, no point
    assert b'"version": "1.1.0"' in pyarrow.parquet.read_schema(tmp_path / "e.parquet").metadata[b"geo"]
    assert frame.attrs["model_md5"] == "abc"
    assert frame["embedding"].iloc[3].tolist() == [12, 13, 14, 15]
    found, back = read_embeddings(tmp_path / "e.parquet")
    assert np.array_equal(back, vectors) and back.dtype == np.float32
    pd.testing.assert_frame_equal(pd.DataFrame(found[table.columns]), table, check_like=True)
    first = (tmp_path / "e.parquet").read_bytes()
    write_embeddings(tmp_path / "e.parquet", table, vectors, {"model_md5": "abc"})
    assert (tmp_path / "e.parquet").read_bytes() == first


def test_files_and_values_that_are_none_are_refused_by_a_sentence(tmp_path: Path) -> None:
    table, vectors = make_table()
    vectors[1, 1] = np.nan
    with pytest.raises(EarthSignalsError, match="expected one of finite numbers for each"):
        write_embeddings(tmp_path / "e.parquet", table, vectors)
    with pytest.raises(EarthSignalsError, match="6 embeddings for 7 tiles"):
        write_embeddings(tmp_path / "e.parquet", table, vectors[[0, 2, 3, 4, 5, 6]])
    with pytest.raises(EarthSignalsError, match="does not exist, expected embeddings"):
        read_embeddings(tmp_path / "e.parquet")
    (tmp_path / "e.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(EarthSignalsError, match="cannot be read as embeddings"):
        read_embeddings(tmp_path / "e.parquet")
    table.to_parquet(tmp_path / "e.parquet")
    with pytest.raises(EarthSignalsError, match="expected GeoParquet with a column `embedding`"):
        read_embeddings(tmp_path / "e.parquet")


def test_the_projector_finds_vectors_labels_and_pictures(tmp_path: Path) -> None:
    table, vectors = make_table()
    table.loc[0, "regime"] = "a\ttab and\na line"
    images = np.arange(7, dtype=np.uint8)[:, None, None, None] * 30 + np.zeros((7, 3, 128, 128), np.uint8)
    assert export_projector(tmp_path / "projector", table, vectors, images) == 7
    config = text_format.Parse((tmp_path / "projector/projector_config.pbtxt").read_text(), ProjectorConfig())
    (told,) = config.embeddings
    assert np.array_equal(np.loadtxt(tmp_path / "projector" / told.tensor_path, delimiter="\t"), vectors)
    lines = (tmp_path / "projector" / told.metadata_path).read_text().splitlines()
    assert lines[0].split("\t") == ["scene", "role", "regime", "latitude", "longitude", "scale_km"]
    assert len(lines) == 8 and {line.count("\t") for line in lines} == {5}
    assert lines[1].split("\t")[2] == "a tab and a line"
    edge = told.sprite.single_image_dim[0]
    sprite = np.asarray(Image.open(tmp_path / "projector" / told.sprite.image_path))
    assert told.sprite.single_image_dim[:] == [64, 64]
    assert sprite.shape == (3 * edge, 3 * edge, 3)  # 7 pictures in a square of 3 x 3, row by row
    assert (sprite[edge : 2 * edge, :edge] == 90).all() and (sprite[2 * edge :, edge:] == 0).all()


def test_pictures_shrink_until_all_fit_and_points_are_thinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, vectors = make_table(30)
    images = np.zeros((30, 3, 64, 64), np.uint8)
    monkeypatch.setattr(embeddings_module, "LARGEST_SPRITE_PX", 100)
    monkeypatch.setattr(embeddings_module, "MOST_POINTS", 11)
    assert export_projector(tmp_path / "projector", table, vectors, images) == 11
    with Image.open(tmp_path / "projector/sprite.png") as sprite:
        assert sprite.size == (100, 100)  # 4 x 4 places of 25 pixels
    kept = np.loadtxt(tmp_path / "projector/vectors.tsv", delimiter="\t")
    assert kept[0, 0] == vectors[0, 0] and kept[-1, 0] == vectors[-1, 0]
    assert len(np.unique(kept[:, 0])) == 11
