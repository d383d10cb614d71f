"""Masks in every form people give them, and the splits that keep days apart."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from earthsignals.plume.imagery.envi import write_envi
from earthsignals.plume.imagery.flightline import FlightlineError
from earthsignals.plume.imagery.masks import find_mask, read_mask
from earthsignals.plume.imagery.splits import split_days
from earthsignals.storage import EarthSignalsError

MARKED = np.array([[0, 1, 1, 0], [2, 0, 1, 0], [2, 2, 0, 0]], np.uint8)
COLOURS = {0: (0, 0, 0, 255), 1: (255, 0, 0, 255), 2: (0, 255, 255, 255)}


def write_picture(path: Path, values: np.ndarray, colormap: dict | None = None) -> Path:
    """values (bands, lines, samples) as PNG or TIF, by the suffix."""
    driver = "PNG" if path.suffix == ".png" else "GTiff"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver=driver, count=len(values), height=values.shape[1], width=values.shape[2],
            dtype=values.dtype,
        ) as file:  # fmt: skip
            file.write(values)
            if colormap:
                file.write_colormap(1, colormap)
    return path


def painted(marked: np.ndarray, bands: int = 4) -> np.ndarray:
    """(bands, lines, samples) of the colours that weak labels are painted in."""
    table = np.array([COLOURS[value] for value in range(3)], np.uint8)
    return table[marked].transpose(2, 0, 1)[:bands]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bands", [3, 4])
def test_colours(tmp_path: Path, suffix: str, bands: int) -> None:
    path = write_picture(tmp_path / f"a_mask{suffix}", painted(MARKED, bands))
    np.testing.assert_array_equal(read_mask(path, MARKED.shape), MARKED)


def test_transparent_is_nothing_whatever_its_colour(tmp_path: Path) -> None:
    picture = painted(MARKED)
    picture[3, 0, 1] = 0  # a plume pixel made transparent
    picture[:, 2, 3] = (255, 255, 255, 0)
    expected = MARKED.copy()
    expected[0, 1] = 0
    np.testing.assert_array_equal(read_mask(write_picture(tmp_path / "a.png", picture)), expected)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_single_band_of_values(tmp_path: Path, suffix: str) -> None:
    path = write_picture(tmp_path / f"a{suffix}", MARKED[None])
    found = read_mask(path, MARKED.shape)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, MARKED)
    white = write_picture(tmp_path / f"b{suffix}", np.where(MARKED == 1, 255, 0).astype(np.uint8)[None])
    np.testing.assert_array_equal(read_mask(white), MARKED == 1)


def test_palette_is_read_by_its_colours(tmp_path: Path) -> None:
    """Numbers 5, 7, 9 stand for black, cyan, red: the colours count, not the numbers."""
    numbers = np.array([5, 9, 7], np.uint8)[MARKED]
    palette = {5: COLOURS[0], 9: COLOURS[1], 7: COLOURS[2]}
    path = write_picture(tmp_path / "a.png", numbers[None], palette)
    np.testing.assert_array_equal(read_mask(path), MARKED)


def test_envi_masks(tmp_path: Path) -> None:
    for number, values in enumerate([MARKED, MARKED.astype(np.float32)]):
        path = tmp_path / f"{number}_mask.img"
        write_envi(path, values)
        np.testing.assert_array_equal(read_mask(path, MARKED.shape), MARKED)
        np.testing.assert_array_equal(read_mask(path.with_suffix(".hdr")), MARKED)


def test_missing_values_of_a_float_mask_are_nothing(tmp_path: Path) -> None:
    values = MARKED.astype(np.float32)
    values[0, 0] = np.nan
    path = write_picture(tmp_path / "a.tif", values[None])
    np.testing.assert_array_equal(read_mask(path), MARKED)


def test_other_shape_names_both(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png", MARKED[None])
    with pytest.raises(FlightlineError, match=r"a\.png.*3 lines × 4 samples, its flightline 5 × 4;"):
        read_mask(path, (5, 4))
    with pytest.raises(FlightlineError, match="turned by 90 degrees or transposed"):
        read_mask(path, (4, 3))


def test_values_and_colours_without_meaning(tmp_path: Path) -> None:
    with pytest.raises(FlightlineError, match=r"holds the values 0, 3; expected 0 nothing"):
        read_mask(write_picture(tmp_path / "a.png", np.where(MARKED == 1, 3, 0).astype(np.uint8)[None]))
    picture = painted(MARKED)
    picture[:3, 1, 3] = (255, 255, 0)
    with pytest.raises(FlightlineError, match=r"1 pixels have a colour.*\(255, 255, 0\) at line 1, sample 3"):
        read_mask(write_picture(tmp_path / "b.png", picture))


def test_unreadable_masks(tmp_path: Path) -> None:
    with pytest.raises(FlightlineError, match="no such file"):
        read_mask(tmp_path / "a.png")
    broken = tmp_path / "a.png"
    broken.write_bytes(b"\x89PNG and nothing more")
    with pytest.raises(FlightlineError, match="a.png: not readable"):
        read_mask(broken)
    write_envi(tmp_path / "b.img", MARKED)
    (tmp_path / "b.img").write_bytes(b"\x01" * 5)
    with pytest.raises(FlightlineError, match="cut off"):
        read_mask(tmp_path / "b.img")


def test_mask_is_found_beside_its_flightline(
    small_flightline: Callable[..., Path], tmp_path: Path
) -> None:
    path = small_flightline(mask=False)
    assert find_mask(path) is None
    mask = write_picture(tmp_path / f"{path.stem}_mask.tif", MARKED[None])
    assert find_mask(path) == find_mask(path.with_suffix(".hdr")) == mask
    picture = write_picture(tmp_path / f"{path.stem}_mask.png", MARKED[None])
    assert find_mask(path) == picture


def test_real_weak_label(real_data: Path) -> None:
    """28 red plumes and 105 cyan patches of a real flightline; every pixel has a meaning."""
    path = real_data / "plume" / "srcfinder" / "ang20190923t174142_ch4mf_v2x1_img_mask.png"
    if not path.is_file():
        pytest.skip("no real label picture")
    mask = read_mask(path, (782, 16179))
    assert np.bincount(mask.ravel()).tolist() == [12319048, 41236, 291694]
    with pytest.raises(FlightlineError, match="16179 × 782 .it looks turned"):
        read_mask(path, (16179, 782))


def test_real_chip_masks(real_data: Path) -> None:
    chips = sorted((real_data / "plume" / "starcop_avirisng").glob("*/mag1c.tif"))
    if not chips:
        pytest.skip("no chips")
    masks = [read_mask(find_mask(chip), (512, 512)) for chip in chips]
    assert sorted(int(mask.sum()) for mask in masks) == [0, 1753]  # PROVENANCE: one plume of 1753 pixels


# ---------------------------------------------------------------------------------------- splits
DAYS = [f"2020-{month:02d}-{day:02d}" for month in (7, 8) for day in range(1, 11)]


def test_each_day_is_in_one_split_by_its_share() -> None:
    split = split_days(DAYS, 0.2, 0.25, seed=31)
    assert sorted(split) == DAYS
    counts = {name: list(split.values()).count(name) for name in ("train", "validation", "test")}
    assert counts == {"train": 11, "validation": 4, "test": 5}  # 20 days: 4 are a fifth, 5 a quarter


def test_split_depends_on_the_set_and_the_seed_alone() -> None:
    split = split_days(DAYS, 0.2, 0.25, seed=31)
    assert split_days([*DAYS[::-1], *DAYS[:7]], 0.2, 0.25, seed=31) == split
    assert split_days(DAYS, 0.2, 0.25, seed=32) != split


@pytest.mark.parametrize("fractions", [(0.01, 0.01), (0.2, 0.25), (0.45, 0.45)])
@pytest.mark.parametrize("number", [3, 4, 5, 9])
def test_every_split_has_a_day(number: int, fractions: tuple[float, float]) -> None:
    split = split_days(DAYS[:number], *fractions, seed=1)
    assert set(split.values()) == {"train", "validation", "test"}


def test_too_few_days() -> None:
    with pytest.raises(EarthSignalsError, match=r"2 day\(s\) \(a, b\).*add flightlines of other days"):
        split_days(["a", "b", "a"], 0.2, 0.2, seed=0)
