"""Dense embeddings: equal to windows run one by one, whatever is shared; bounded in memory; their files."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch
import xarray
from torch.nn.functional import conv2d

from earthsignals.clouds.dense import texture as texture_module
from earthsignals.clouds.dense import trunk as trunk_module
from earthsignals.clouds.dense.fields import embed_to_file, read_map, write_map
from earthsignals.clouds.dense.fourier import WindowConvolution
from earthsignals.clouds.dense.phase import Phase
from earthsignals.clouds.dense.shared import DensePlan, embed_scene
from earthsignals.clouds.dense.top import Top
from earthsignals.clouds.dense.trunk import RollingTrunk
from earthsignals.clouds.dense.windows import Windows
from earthsignals.clouds.embedding import embed_tiles
from earthsignals.clouds.networks.scattering import COUNT
from earthsignals.clouds.tiles.cutting import fill_gaps
from earthsignals.storage import EarthSignalsError
from tests.clouds.embedding_stand_ins import TILE_PX, make_model, make_network, make_noise

EXACT = 1e-5  # of the largest value: rounding of float32 sums through a score of layers


def assert_equal(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape and found.dtype == np.float32
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    assert np.nanmax(np.abs(found - expected)) <= EXACT * np.nanmax(np.abs(expected))


@pytest.mark.parametrize(("n", "products"), [(1, 1), (2, 13), (3, 22), (5, 52), (8, 121), (10, 181)])
def test_the_convolution_in_fourier_space_is_the_convolution(n: int, products: int) -> None:
    generator = torch.Generator().manual_seed(n)
    x = torch.randn(4, 5, n, n, generator=generator, dtype=torch.float64)
    weight = torch.randn(3, 5, 3, 3, generator=generator, dtype=torch.float64)
    bias = torch.randn(3, generator=generator, dtype=torch.float64)
    fast = WindowConvolution(weight, bias, n)
    found = fast(x.float().permute(2, 3, 0, 1).reshape(n * n, 4, 5).contiguous())
    expected = conv2d(x, weight, bias, padding=1).permute(2, 3, 0, 1).reshape(n * n, 4, 3)
    # Real frequencies are 1 (odd period) or 4 and cost one product, each pair of complex ones three.
    real = 1 if n % 2 == 0 else 4
    assert len(fast.weights) == products == (real + 3 * ((n + 1) ** 2 - real) // 2 if n > 1 else 1)
    assert (found - expected).abs().max() < 1e-6 * expected.abs().max()  # as exact as float32 is


@pytest.mark.parametrize("anti_aliased", [False, True])
@pytest.mark.parametrize(
    ("architecture", "size"), [("resnet18", 20), ("resnet18", 5), ("resnet34", 3), ("resnet18", 1)]
)
@torch.inference_mode()
def test_the_top_on_shared_features_is_the_network_s(
    architecture: str, size: int, anti_aliased: bool
) -> None:
    network = make_network(architecture, anti_aliased=anti_aliased)
    features = torch.rand(1, 8, size + 5, size + 4, generator=torch.Generator().manual_seed(0))
    rows, columns = (
        each.flatten() for each in torch.meshgrid(torch.arange(6), torch.arange(5), indexing="ij")
    )
    texture = torch.randn(len(rows), COUNT, generator=torch.Generator().manual_seed(1))
    found = Top(network, size)(features, rows, columns, texture, batch=7)
    windows = [
        features[0, :, r : r + size, c : c + size]
        for r, c in zip(rows.tolist(), columns.tolist(), strict=True)
    ]  # fmt: skip
    assert_equal(found.numpy(), network.finish(torch.stack(windows), texture).numpy())


@pytest.mark.parametrize("step", [8, 16, 12, 35])
def test_sharing_equals_running_every_window(step: int) -> None:
    """At every phase against the trunk's stride: one (8, 16), two (12), and all eight each way (35)."""
    model, scene = make_model(), make_noise((210, 181))
    shared, sliding = (embed_scene(model, scene, step, mode=mode) for mode in ("exact", "sliding"))
    assert (shared.mode, sliding.mode) == ("shared", "sliding")
    assert shared.difference is None  # nothing to tell where it is exact
    assert shared.values.shape == ((210 - 128) // step + 1, (181 - 128) // step + 1, 6)
    assert_equal(shared.values, sliding.values)


@pytest.mark.parametrize("architecture", ["resnet18", "scattering"])
@pytest.mark.parametrize("tile_px", [117, 124, 131])
def test_sharing_is_exact_for_tiles_of_any_size(tile_px: int, architecture: str) -> None:
    """Trunk, blocks of powers and wavelets leave other rests of a tile each."""
    model = make_model(tile_px, architecture=architecture)
    scene = make_noise((171, 180), tile_px=tile_px)
    for step in (8, 12, 16):
        shared, sliding = (embed_scene(model, scene, step, mode=mode) for mode in ("exact", "sliding"))
        assert_equal(shared.values, sliding.values)


@pytest.mark.parametrize(
    "options", [{"architecture": "resnet34"}, {"anti_aliased": True}, {"width": 8}, {"scattering": False}]
)
def test_sharing_is_exact_for_every_network_without_padding(options: dict) -> None:
    model = make_model(192, **options)
    scene = make_noise((216, 232), tile_px=192)
    assert_equal(
        embed_scene(model, scene, 8, mode="exact").values, embed_scene(model, scene, 8, mode="sliding").values
    )


def test_a_window_is_embedded_as_a_tile_of_its_pixels() -> None:
    model, scene = make_model(), make_noise()
    dense = embed_scene(model, scene, 16)
    tile = scene.values[None, :, 32 : 32 + TILE_PX, 48 : 48 + TILE_PX]
    assert_equal(dense.values[2, 3][None], embed_tiles(model, tile))
    # And in its place: the window's centre lies between four pixels of the scene.
    corners = scene.plane.geolocate(np.array([95, 96]), np.array([111, 112]))
    longitude, latitude = dense.plane.lonlat()
    assert latitude[2, 3] == pytest.approx(np.mean(corners[0]), abs=1e-6)
    assert longitude[2, 3] == pytest.approx(np.mean(corners[1]), abs=1e-5)


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    model, scene = make_model(), make_noise((300, 150))
    whole = embed_scene(model, scene, 8, mode="exact")
    assert len(list(DensePlan(model, scene, 8, "exact").strips())) == 1
    monkeypatch.setattr(trunk_module, "STRIP_BYTES", 1)  # eight rows of pixels at a time
    monkeypatch.setattr(texture_module, "PIXELS", 140 * 128)  # two windows
    assert len(list(DensePlan(model, scene, 8, "exact").strips())) == whole.values.shape[0] == 22
    assert_equal(embed_scene(model, scene, 8, mode="exact").values, whole.values)


@pytest.mark.parametrize("padding", ["none-in-trunk", "zero"])
@torch.inference_mode()
def test_the_trunk_in_strips_is_the_trunk_of_the_image(padding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, image = make_network(padding=padding), make_noise((264, 140)).values
    monkeypatch.setattr(trunk_module, "STRIP_BYTES", 1)
    rolling = RollingTrunk(network, image)
    expected = network.trunk_of(torch.from_numpy(image[None] / np.float32(255)))
    for start, stop in ((0, 4), (1, 9), (5, 9), (12, 20)):  # overlapping, nothing new, a gap
        torch.testing.assert_close(
            rolling.rows(start, stop), expected[:, :, start:stop], rtol=1e-5, atol=1e-5
        )


def test_a_padded_trunk_is_not_shared_unless_asked_for() -> None:
    model, scene = make_model(padding="zero"), make_noise((160, 160))
    sliding = embed_scene(model, scene, 16)
    assert sliding.mode == "sliding"
    shared = embed_scene(model, scene, 16, mode="shared")
    worst = np.abs(shared.values - sliding.values).max() / np.abs(sliding.values).max()
    assert shared.difference == pytest.approx(worst, rel=1e-4)  # nine windows: all are in the sample
    assert worst > 100 * EXACT  # it is another embedding, not a rounding
    with pytest.raises(
        EarthSignalsError, match="padding `zero`, which overlapping windows cannot share exactly"
    ):
        embed_scene(model, scene, 16, mode="exact")
    with pytest.raises(EarthSignalsError, match="no mode `fast`"):
        embed_scene(model, scene, 16, mode="fast")


def test_windows_far_apart_have_nothing_to_share() -> None:
    model, scene = make_model(), make_noise((128, 400))
    assert (
        embed_scene(model, scene, 136).mode == "sliding"
    )  # two of 128 in 400 columns, less than all of them
    assert embed_scene(model, scene, 8).mode == "shared"


@pytest.mark.parametrize("mode", ["exact", "sliding"])
def test_windows_with_missing_pixels_are_nan_and_counted(mode: str) -> None:
    model, scene = make_model(), make_noise()
    valid = scene.valid.copy()
    valid[150, 40] = False
    gappy = replace(scene, valid=valid, values=np.where(valid, scene.values, 0).astype(np.uint8))
    dense = embed_scene(model, gappy, 16, mode=mode)
    rows, columns = dense.windows.row, dense.windows.column
    sees = ((rows <= 150) & (rows + TILE_PX > 150))[:, None] & ((columns <= 40) & (columns + TILE_PX > 40))
    assert np.array_equal(np.isnan(dense.values).all(-1), sees)
    assert dense.missing == sees.sum() == 9
    assert_equal(dense.values[~sees], embed_scene(model, scene, 16).values[~sees])
    # One pixel of 16,384 allowed: its gap takes the mean of the rest, as a tile's does.
    filled = embed_scene(model, gappy, 16, mode=mode, maximum_missing=1e-4)
    tile = fill_gaps(gappy.values[:, 32:160, :TILE_PX], valid[32:160, :TILE_PX])
    assert filled.missing == 0
    assert_equal(filled.values[2, 0][None], embed_tiles(model, tile[None]))


def test_a_scene_without_data_is_all_nan() -> None:
    scene = make_noise((140, 150))
    empty = replace(scene, valid=np.zeros_like(scene.valid), values=np.zeros_like(scene.values))
    dense = embed_scene(make_model(), empty, 8, maximum_missing=1.0)
    assert np.isnan(dense.values).all() and dense.missing == 2 * 3


def test_share_of_missing_pixels_is_counted_window_by_window() -> None:
    valid = np.random.default_rng(0).random((70, 90)) > 0.3
    windows = Windows.of(valid.shape, 32, 7)
    expected = [[1 - valid[r : r + 32, c : c + 32].mean() for c in windows.column] for r in windows.row]
    assert windows.shape == (6, 9)
    np.testing.assert_allclose(windows.missing_share(valid), expected, atol=1e-12)


def test_scenes_that_do_not_fit_are_refused_by_a_sentence() -> None:
    model = make_model()
    with pytest.raises(
        EarthSignalsError, match="noise-0 has 100 x 300 pixels, expected at least one window of 128"
    ):
        embed_scene(model, make_noise((100, 300)), 16)
    with pytest.raises(EarthSignalsError, match=r"pixels of 3\.125 km, expected the 1\.5625 km"):
        embed_scene(model, make_noise((300, 300), tile_px=64), 16)
    with pytest.raises(EarthSignalsError, match="a step of 0 pixels"):
        embed_scene(model, make_noise(), 0)


MEASURE = """
import sys
from pathlib import Path
from earthsignals.clouds.dense import trunk
from earthsignals.clouds.dense.fields import embed_to_file
from earthsignals.compute.memory import peak_memory_gb
from tests.clouds.embedding_stand_ins import make_model, make_noise

trunk.STRIP_BYTES = 16 * 2**20
model, out = make_model(width=16), Path(sys.argv[1]) / "map.nc"
for scene in [make_noise((rows, 512)) for rows in (1024, 4096)]:
    embed_to_file(model, scene, out, 16, quiet=True)
    print(1024 * peak_memory_gb())
"""


def test_memory_does_not_grow_with_the_scene(tmp_path: Path) -> None:
    """Four times the rows (both scenes are in memory from the start), but for a few MiB the same peak."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], stdout=subprocess.PIPE, text=True, check=True
    )
    short, tall = (float(line) for line in done.stdout.split())
    # The stem's output of the further rows alone would be 24 MiB, three of which live at a time.
    assert tall - short < 12


def test_a_map_is_read_back_and_has_its_place(tmp_path: Path) -> None:
    model, scene = make_model(), make_noise()
    dense = embed_scene(model, scene, 16)
    write_map(tmp_path / "map.nc", dense, {"model": model.name, "model_md5": ""})
    back = read_map(tmp_path / "map.nc")
    assert np.array_equal(back.values, dense.values)
    assert (back.name, back.time, back.windows, back.plane) == (
        scene.name,
        scene.time,
        dense.windows,
        dense.plane,
    )
    assert (back.mode, back.missing, back.difference) == ("shared", 0, None)
    with xarray.open_dataset(tmp_path / "map.nc") as field:
        assert field["embedding"].dims == ("scene", "y", "x", "component")
        assert set(field["embedding"].coords) >= {"lat", "lon", "time"}
        assert field["time"].values[0] == np.datetime64("2020-01-01T12:00:00")
        mapping = field[field["embedding"].encoding.get("grid_mapping", "crs")].attrs
        assert mapping["grid_mapping_name"] == "lambert_azimuthal_equal_area"
        # The coordinates and the projection say the same.
        latitude, longitude = dense.plane.geolocate(*np.indices(dense.windows.shape))
        np.testing.assert_allclose(field["lat"], latitude, atol=1e-5)
        np.testing.assert_allclose(field["lon"], longitude, atol=1e-5)
        assert np.diff(field["x"]) == pytest.approx(16 * 1562.5)


def test_a_map_streamed_to_disk_is_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, scene = make_model(), make_noise()
    write_map(
        tmp_path / "whole.nc", embed_scene(model, scene, 12), {"model": model.name, "model_md5": model.md5}
    )
    done = embed_to_file(model, scene, tmp_path / "streamed.nc", 12)
    assert done == {"mode": "shared", "windows": 7 * 10, "missing": 0, "difference": None}
    assert (tmp_path / "whole.nc").read_bytes() == (tmp_path / "streamed.nc").read_bytes()
    before = (tmp_path / "streamed.nc").read_bytes()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Phase, "embedded", stop)
    with pytest.raises(KeyboardInterrupt):
        embed_to_file(model, scene, tmp_path / "streamed.nc", 8)
    assert (tmp_path / "streamed.nc").read_bytes() == before  # and no half of a file beside it
    assert sorted(path.name for path in tmp_path.iterdir()) == ["streamed.nc", "whole.nc"]


def test_maps_that_are_none_are_refused_by_a_sentence(tmp_path: Path) -> None:
    write_map(tmp_path / "map.nc", embed_scene(make_model(), make_noise(), 16))
    whole = (tmp_path / "map.nc").read_bytes()
    (tmp_path / "short.nc").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EarthSignalsError, match=r"short\.nc cannot be read as a map of embeddings"):
        read_map(tmp_path / "short.nc")
    with netCDF4.Dataset(tmp_path / "other.nc", "w") as file:
        file.title = json.dumps("something else")
    with pytest.raises(EarthSignalsError, match=r"other\.nc is netCDF but no map of embeddings"):
        read_map(tmp_path / "other.nc")
    with pytest.raises(EarthSignalsError, match=r"absent\.nc does not exist"):
        read_map(tmp_path / "absent.nc")
