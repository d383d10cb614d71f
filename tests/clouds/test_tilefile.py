"""The file of triplets: what is written is read back, the same bytes in any order, and damage is named."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from earthsignals.clouds.imagery.scene import TRUTH
from earthsignals.clouds.tiles.tilefile import (
    KNOWN,
    ROLES,
    SPLITS,
    TABLE,
    TripletsError,
    open_triplets,
    writing,
)

EDGE, COUNTS = 32, {"train": 7, "validation": 0, "study": 3}


def images_of(split: str) -> np.ndarray:
    shape = (3 * COUNTS[split], 3, EDGE, EDGE)
    return np.random.default_rng(SPLITS.index(split)).integers(0, 256, shape, dtype=np.uint8)


def table_of(split: str) -> pd.DataFrame:
    rows = np.arange(3 * COUNTS[split])
    told = {
        "triplet": rows // 3, "role": np.array(ROLES)[rows % 3], "row": rows, "column": 2 * rows - 1,
        "scene": [f"{split}-é{row % 5}" for row in rows], "day": [f"2020-01-0{1 + row % 5}" for row in rows],
        "time": [f"2020-01-0{1 + row % 5}T12:00:00+00:00" for row in rows],
        "regime": ["" if row % 5 else "fish" for row in rows], "latitude": rows / 7, "longitude": -rows / 7,
        "size_km": 200.0, "missing_share": rows / 1024, **{name: np.nan for name in KNOWN},
    }  # fmt: skip
    return pd.DataFrame(told, columns=list(TABLE))


def write(path: Path, backwards: bool = False) -> Path:
    step = -1 if backwards else 1
    with writing(path, COUNTS, EDGE, 200.0) as file:
        for split in SPLITS[::step]:
            rows = np.arange(3 * COUNTS[split])[::step]
            file.put(split, rows, images_of(split)[rows])
        file.finish({split: table_of(split) for split in SPLITS}, {"source": "here"}, {"too small": 2})
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("triplets") / "triplets.h5")


def test_what_is_written_is_read_back(path):
    triplets = open_triplets(path)
    assert triplets.splits == SPLITS and (triplets.tile_px, triplets.tile_km) == (EDGE, 200.0)
    assert triplets.about == {"source": "here"} and triplets.dropped == {"too small": 2}
    for split in SPLITS:
        assert triplets.count(split) == COUNTS[split]
        assert np.array_equal(triplets.images(split), images_of(split))
        pd.testing.assert_frame_equal(
            triplets.table(split), table_of(split), check_dtype=False, check_index_type=False
        )


def test_known_columns_are_the_truths_of_a_scene():
    assert KNOWN == TRUTH


def test_images_are_mapped_read_only_and_survive_pickling(path):
    triplets = pickle.loads(pickle.dumps(open_triplets(path)))
    images = triplets.images("train")
    assert isinstance(images, np.memmap) and not images.flags.writeable
    assert np.array_equal(images[[20, 0, 3]], images_of("train")[[20, 0, 3]])


def test_a_triplet_lies_in_one_piece(path):
    """One read of 9·P² bytes brings anchor, neighbour and distant tile."""
    with h5py.File(path) as file:
        offset = file["train/images"].id.get_offset()
    size = 9 * EDGE**2
    with open(path, "rb") as file:
        file.seek(offset + 4 * size)
        read = np.frombuffer(file.read(size), np.uint8).reshape(3, 3, EDGE, EDGE)
    assert np.array_equal(read, images_of("train")[12:15])


def test_the_order_of_writing_does_not_show(path, tmp_path):
    assert write(tmp_path / "other.h5", backwards=True).read_bytes() == path.read_bytes()


def test_an_unknown_split_is_named(path):
    with pytest.raises(TripletsError, match="no split `test`, expected one of train, validation, study"):
        open_triplets(path).images("test")


def test_a_missing_file_and_a_foreign_one(tmp_path):
    with pytest.raises(TripletsError, match="no such file; run `dvc repro clouds-triplets`"):
        open_triplets(tmp_path / "triplets.h5")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["images"] = np.zeros(3)
    with pytest.raises(TripletsError, match="is no earthsignals.clouds.triplets file"):
        open_triplets(tmp_path / "foreign.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(TripletsError, match="truncated or damaged"):
        open_triplets(tmp_path / "text.h5")


def test_one_turned_bit_is_noticed_and_named(path, tmp_path):
    copy = tmp_path / "triplets.h5"
    content = bytearray(path.read_bytes())
    triplets = open_triplets(path)
    content[triplets.offsets["study"] + 5 * 3 * EDGE**2 + 100] ^= 1
    copy.write_bytes(content)
    with pytest.raises(TripletsError, match=r"1 tiles of study do not match .*first row 5"):
        open_triplets(copy)
    assert open_triplets(copy, verify=False).count("study") == 3


@pytest.mark.parametrize("share", [0.2, 0.7, 0.99])
def test_a_truncated_file_is_noticed(path, tmp_path, share):
    copy = tmp_path / "triplets.h5"
    content = path.read_bytes()
    copy.write_bytes(content[: int(share * len(content))])
    with pytest.raises(TripletsError, match="damaged"):
        open_triplets(copy)


def test_a_file_without_its_tables_does_not_appear(tmp_path):
    path = tmp_path / "a.h5"
    with pytest.raises(TripletsError, match="not written"), writing(path, COUNTS, EDGE, 200.0):
        pass
    with pytest.raises(KeyboardInterrupt), writing(path, COUNTS, EDGE, 200.0):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []
