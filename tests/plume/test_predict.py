"""Saliency maps: equal to the sliding window wherever they are cut, whole or absent, resumed to the bit."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from earthsignals.plume import predict
from earthsignals.plume.checkpoint import SaliencyModel, load_model, save_model
from earthsignals.plume.imagery.envi import find_pair, read_header, write_envi
from earthsignals.plume.imagery.flightline import Flightline, open_flightline
from earthsignals.plume.model import build
from earthsignals.plume.networks.dense import margins
from earthsignals.plume.predict import map_scene, saliency
from earthsignals.plume.preprocess import NAMED, Preprocessing
from earthsignals.plume.saliency import mapfile, modes, partial
from earthsignals.plume.saliency.devices import inference_devices
from earthsignals.plume.saliency.partial import open_partial
from earthsignals.plume.saliency.selfcheck import SelfCheckError
from earthsignals.plume.saliency.strips import ArrayScene, Block, cut, cut_evenly, read_padded
from earthsignals.storage import EarthSignalsError, md5_file, read_json

from .conftest import PLACE, plume_scene

ROOT = Path(__file__).resolve().parents[2]
OWN = Preprocessing(mean=90.0, std=210.0)
CPU = torch.device("cpu")
ROUNDING = 3e-6  # of float32 against float64; a pixel beside the right one is off by 1e-2
Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sums depend on the number of threads; nothing here shows progress."""
    monkeypatch.setenv("EARTHSIGNALS_PROGRESS", "false")
    monkeypatch.setenv("EARTHSIGNALS_DEVICE", "cpu")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def unsaturated(architecture: str, window: int, seed: int = 7) -> torch.nn.Module:
    """Random weights whose logits over a small scene spread around 0 with deviation 1: errors would show."""
    torch.manual_seed(seed)
    network = build(architecture, window).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # not the identity that it starts as
            module.weight.data.uniform_(0.7, 1.3)
            module.bias.data.uniform_(-0.2, 0.2)
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.7, 1.4)
    last = network.last if architecture == "unet" else getattr(network, "linear", None) or network.fc
    whole = cut((36, 27), 36, 27)[0]
    padded, _ = read_padded(ArrayScene(scene_with_holes(36, 27)), whole, margins(window), OWN)
    views = torch.from_numpy(padded).unfold(0, window, 1).unfold(1, window, 1)[::12, ::13]
    some = views.reshape(-1, 1, window, window)
    with torch.no_grad():
        last.weight /= network(some).std()
        last.bias[-1] -= network(some).mean()
    return network


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "best_model.pt"
    save_model(path, unsaturated("plumenet", 64), OWN, temperature=1.5, threshold=0.6)
    return path


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> SaliencyModel:
    return load_model(checkpoint)


def in_memory(network: torch.nn.Module) -> SaliencyModel:
    return SaliencyModel(network, network.architecture, network.window, OWN)


def scene_with_holes(lines: int, samples: int) -> np.ndarray:
    """Noise, a plume, an invalid edge, single invalid and infinite pixels."""
    ch4, _ = plume_scene(lines, samples)
    ch4[3, 2], ch4[lines // 2, samples // 2], ch4[lines - 1, 0] = np.nan, np.inf, -np.inf
    return ch4


def by_sliding_window(ch4: np.ndarray, model: SaliencyModel) -> np.ndarray:
    """The definition, pixel by pixel in float64, sharing no code with the maps.

    The window of pixel (i, j) has rows i − W/2 .. i + W/2 − 1; outside and holes are 0 ppm·m.
    """
    own, side = model.preprocessing, model.window
    filled = np.where(np.isfinite(ch4), ch4, 0.0).astype(np.float64)
    seen = (np.clip(filled, own.clamp_low, own.clamp_high) - own.mean) / own.std
    nothing = (max(0.0, own.clamp_low) - own.mean) / own.std
    padded = np.pad(seen, ((side // 2, side // 2 - 1),) * 2, constant_values=nothing)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side))
    network = build(model.architecture, side)
    network.load_state_dict(model.network.state_dict())
    network = network.eval().double()
    with torch.no_grad():
        rows = [network(torch.from_numpy(row.copy())[:, None]).numpy() for row in windows]
    found = 1 / (1 + np.exp(-np.stack(rows) / model.temperature))
    return np.where(np.isfinite(ch4), found, np.nan)


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return scene_with_holes(36, 27)


@pytest.fixture(scope="module")
def truth(scene: np.ndarray, model: SaliencyModel) -> np.ndarray:
    return by_sliding_window(scene, model)


# --------------------------------------------------------------------------------------- the same map
def test_the_weights_tell_errors(truth: np.ndarray) -> None:
    """A map of ones would equal anything."""
    assert np.nanmax(truth) - np.nanmin(truth) > 0.2
    assert np.nanmin(truth) > 0.02 and np.nanmax(truth) < 0.98


@pytest.mark.parametrize("block", [None, (5, 4096), (11, 10), (1, 7), (4096, 13)])
def test_every_cut_gives_the_sliding_window(
    scene: np.ndarray, truth: np.ndarray, model: SaliencyModel, block: tuple[int, int] | None
) -> None:
    """All pixels: corners, edges, every seam, a scene smaller than the window. Holes stay holes."""
    found = map_scene(scene, model, block=block)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, truth, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(found, map_scene(scene, model), rtol=0, atol=1e-6)
    assert np.isnan(found[3, 2]) and np.isnan(found[18, 13]) and np.isnan(found[35, 0])


@pytest.mark.parametrize("mode", ["sliding", "shift-stitch"])
def test_all_modes_give_the_same_map(
    scene: np.ndarray, truth: np.ndarray, model: SaliencyModel, mode: str
) -> None:
    found = map_scene(scene, model, mode=mode, batch=13, block=(20, 30))
    np.testing.assert_allclose(found, truth, rtol=0, atol=ROUNDING)


def test_window_256_is_exact_too() -> None:
    network = unsaturated("plumenet", 256)
    scene = scene_with_holes(40, 40)[2:5, 1:6]  # with the hole at 3, 2
    found = map_scene(scene, in_memory(network), block=(2, 4))
    # Hardly anything of these windows is scene: the last weights are large, and so is rounding.
    np.testing.assert_allclose(found, by_sliding_window(scene, in_memory(network)), rtol=0, atol=1e-5)


def test_googlenet_slides_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its zero padding forbids a dense map; without a word about the mode it gets its exact one."""
    net = in_memory(unsaturated("googlenet", 256))
    monkeypatch.setattr(modes, "SLIDING_PIXELS", 2)
    scene = scene_with_holes(40, 40)[3:5, 1:3]
    found = map_scene(scene, net)
    np.testing.assert_allclose(found, by_sliding_window(scene, net), rtol=0, atol=1e-5)
    with pytest.raises(EarthSignalsError, match="mode sliding or --mode shift-stitch"):
        map_scene(scene, net, mode="dense")


def test_a_unet_maps_by_fixed_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """One tile is the network on the filled scene; of several, each ignores all beyond its overlap."""
    monkeypatch.setattr(modes, "CORE", 32)
    monkeypatch.setattr(modes, "OVERLAP", 16)
    net = in_memory(unsaturated("unet", 64))
    ch4 = scene_with_holes(40, 70)
    whole = map_scene(ch4, net)
    image = np.full((64, 64), OWN.fill, np.float32)
    image[16 : 16 + 32, 16 : 16 + 48] = OWN.apply(ch4[:40, :48])[:32]
    image[48:56, 16:64] = OWN.apply(ch4[:40, :48])[32:]
    with torch.no_grad():
        tile = net.network(torch.from_numpy(image)[None, None])[0, 16:48, 16:48].numpy()
    expected = np.where(np.isfinite(ch4[:32, :32]), net.probability(tile), np.nan)
    np.testing.assert_allclose(whole[:32, :32], expected, rtol=0, atol=ROUNDING)
    assert np.array_equal(np.isnan(whole), ~np.isfinite(ch4))
    assert np.array_equal(map_scene(ch4, net, block=(7, 9)), whole, equal_nan=True)
    with pytest.raises(EarthSignalsError, match="no window per pixel"):
        map_scene(ch4, net, mode="sliding")


def test_an_unknown_mode_names_the_known_ones(scene: np.ndarray, model: SaliencyModel) -> None:
    with pytest.raises(EarthSignalsError, match="no mode `fast`: choose one of dense, sliding, shift-stitch"):
        map_scene(scene, model, mode="fast")


def test_temperature_and_preprocessing_change_the_map(scene: np.ndarray, model: SaliencyModel) -> None:
    """Twice the temperature halves the logits; other statistics give another map."""
    once, twice = (map_scene(scene, replace(model, temperature=t)).astype(float) for t in (1.0, 2.0))
    logit = lambda p: np.log(p / (1 - p))  # noqa: E731
    np.testing.assert_allclose(logit(twice), logit(once) / 2, rtol=0, atol=1e-4)
    other = map_scene(scene, replace(model, preprocessing=NAMED["Permian_QC"], temperature=1.0))
    assert np.nanmax(np.abs(other - once)) > 1e-3


# ------------------------------------------------------------------------------------------ blocks
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (7, 5), (10, 100), (100, 4), (23, 17)])
def test_blocks_cover_a_scene_once_and_keep_to_their_size(rows: int, columns: int) -> None:
    seen = np.zeros((23, 17), int)
    blocks = cut_evenly(seen.shape, rows, columns)
    for block in blocks:
        assert block.shape[0] <= rows and block.shape[1] <= columns
        seen[block.top : block.bottom, block.left : block.right] += 1
    assert (seen == 1).all()
    assert len(blocks) == -(-23 // rows) * -(-17 // columns)
    assert cut((23, 17), 8, 17)[-1] == Block(16, 23, 0, 17)


def test_a_padded_block_is_the_padded_scene_cut() -> None:
    ch4 = scene_with_holes(9, 8)
    whole = np.pad(OWN.apply(ch4), ((5, 4), (5, 4)), constant_values=OWN.fill)
    for block in cut(ch4.shape, 4, 3):
        padded, valid = read_padded(ArrayScene(ch4), block, (5, 4), OWN)
        assert np.array_equal(padded, whole[block.top : block.bottom + 9, block.left : block.right + 9])
        inside = ch4[block.top : block.bottom, block.left : block.right]
        assert np.array_equal(valid, np.isfinite(inside))


def test_no_read_exceeds_a_block_and_its_halo(
    small_flightline: Make, model: SaliencyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory cannot grow with a flightline of which no more is ever read."""
    sizes = []
    read = Flightline.read

    def spy(self: Flightline, rows: slice, cols: slice) -> np.ndarray:
        found = read(self, rows, cols)
        sizes.append(found.shape)
        return found

    monkeypatch.setattr(Flightline, "read", spy)
    saliency(small_flightline(lines=300, samples=90), model, tmp_path / "out", block=(20, 30))
    assert len(sizes) == 15 * 3
    assert max(s[0] for s in sizes) == 20 + 63 and max(s[1] for s in sizes) == 30 + 60


# ------------------------------------------------------------------------------------- the map's files
def test_the_map_lies_where_the_flightline_lies(
    small_flightline: Make, model: SaliencyModel, checkpoint: Path, tmp_path: Path
) -> None:
    path = small_flightline(lines=40, samples=30)
    target = saliency(path, model, tmp_path / "maps", cog=True, self_check=10)
    assert target == tmp_path / "maps" / f"{path.stem}_saliency.img"
    with open_flightline(path) as image:
        ch4 = image.read()
    expected = map_scene(ch4, model)
    for file, driver in ((target, "ENVI"), (target.with_suffix(".tif"), "GTiff")):
        with rasterio.open(file) as map_:
            assert (map_.driver, map_.count, map_.dtypes, map_.nodata) == (driver, 1, ("float32",), -9999.0)
            assert map_.transform.almost_equals(PLACE.transform, 1e-6) and map_.crs == PLACE.crs
            assert map_.transform.b != 0  # the rotation is still there
            found = map_.read(1)
            if driver == "GTiff":
                assert map_.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            else:
                assert map_.descriptions == (mapfile.BAND_NAME,)
        assert np.array_equal(found == -9999.0, ~np.isfinite(ch4))
        assert np.array_equal(np.where(found == -9999.0, np.nan, found), expected, equal_nan=True)
    description = read_header(target.with_suffix(".hdr")).fields["description"]
    assert "best_model (plumenet, window 64" in description and md5_file(checkpoint) in description
    assert mapfile.model_of_map(target) == (md5_file(checkpoint), 0.6)
    assert mapfile.model_of_map(path) == ("", None)
    assert sorted(p.suffix for p in (tmp_path / "maps").iterdir()) == [".hdr", ".img", ".json", ".tif"]


def test_the_log_says_what_was_done(
    small_flightline: Make, model: SaliencyModel, checkpoint: Path, tmp_path: Path
) -> None:
    path = small_flightline(lines=20, samples=12)
    log = read_json(saliency(path, model, tmp_path / "a", self_check=7).with_suffix(".json"))
    expected = {
        "flightline_md5": md5_file(path), "header_md5": md5_file(path.with_suffix(".hdr")),
        "model_md5": md5_file(checkpoint), "architecture": "plumenet", "window": 64, "mode": "dense",
        "devices": ["cpu"], "pixels_resumed": 0, "lines": 20, "samples": 12, "temperature": 1.5,
        "self_check_pixels": 7, "band": "4 CH4 Absorption (ppm x m)", "preprocessing": OWN.to_dict(),
    }  # fmt: skip
    assert {key: log[key] for key in expected} == expected
    assert log["seconds"] > 0 and 0 <= log["self_check_difference"] <= 1e-5
    quiet = saliency(path, model, tmp_path / "b", log=False)
    assert not quiet.with_suffix(".json").exists()


def test_map_and_header_repeat_to_the_byte(
    small_flightline: Make, model: SaliencyModel, tmp_path: Path
) -> None:
    """Whenever and wherever the flightline was copied to: dates are no content."""
    path = small_flightline(lines=20, samples=12)
    first = saliency(path, model, tmp_path / "a")
    os.utime(path, (1, 1))
    second = saliency(path, model, tmp_path / "b")
    for suffix in (".img", ".hdr"):
        assert md5_file(first.with_suffix(suffix)) == md5_file(second.with_suffix(suffix))


def test_another_band_makes_another_map(
    small_flightline: Make, model: SaliencyModel, tmp_path: Path
) -> None:
    """By number, by name, or as the model says; the choice for this flightline wins."""
    path = small_flightline(lines=10, samples=12)
    with open_flightline(path) as image:
        expected = {band: map_scene(image.read(band=band), model) for band in (1, 4)}
    asking = replace(model, preprocessing=replace(OWN, band="Red"))
    for number, (band, net, wanted) in enumerate(
        [(None, model, 4), ("1", model, 1), ("red", model, 1), (None, asking, 1), (4, asking, 4)]
    ):
        target = saliency(path, net, tmp_path / str(number), band=band)
        with open_flightline(target) as map_:
            assert np.array_equal(map_.read(), expected[wanted], equal_nan=True)
    assert not np.array_equal(expected[1], expected[4], equal_nan=True)


def test_a_map_that_is_there_is_not_made_again(
    small_flightline: Make, model: SaliencyModel, tmp_path: Path
) -> None:
    path = small_flightline(lines=12, samples=12)
    said: list[str] = []
    target = saliency(path, model, tmp_path)
    os.utime(target, (1, 1))
    assert saliency(path, model, tmp_path, self_check=5, cog=True, say=said.append) == target
    assert target.stat().st_mtime == 1 and "is there already" in said[0]
    assert "self check: 5 pixels" in said[1] and target.with_suffix(".tif").is_file()
    saliency(path, model, tmp_path, overwrite=True)
    assert target.stat().st_mtime > 1 and not target.with_suffix(".tif").exists()


def test_another_model_flightline_or_mode_makes_it_anew(
    small_flightline: Make, model: SaliencyModel, tmp_path: Path
) -> None:
    """And what belonged to the old map goes with it: its COG, GDAL's statistics."""
    path = small_flightline(lines=12, samples=12)
    target = saliency(path, model, tmp_path, cog=True)
    statistics = target.with_name(target.name + ".aux.xml")
    statistics.write_text("<PAMDataset/>")
    maps, headers = [target.read_bytes()], [target.with_suffix(".hdr").read_bytes()]

    def again(net: SaliencyModel, mode: str | None = None) -> None:
        said: list[str] = []
        saliency(path, net, tmp_path, mode=mode, say=said.append)
        assert len(said) == 1 and "is of another image, band, model or mode, and is replaced" in said[0]
        maps.append(target.read_bytes())
        headers.append(target.with_suffix(".hdr").read_bytes())

    hot = replace(model, temperature=3.0)
    again(hot)
    assert not statistics.exists() and not target.with_suffix(".tif").exists()
    again(hot, "sliding")
    small_flightline(lines=12, samples=12, seed=9)
    again(hot, "sliding")
    assert len(set(headers)) == 4 and maps[0] != maps[1] and maps[2] != maps[3]
    np.testing.assert_allclose(
        np.frombuffer(maps[1], "<f4"), np.frombuffer(maps[2], "<f4"), rtol=0, atol=ROUNDING
    )


def test_a_broken_map_is_not_taken_for_whole(
    small_flightline: Make, model: SaliencyModel, tmp_path: Path
) -> None:
    path = small_flightline(lines=12, samples=12)
    target = saliency(path, model, tmp_path)
    whole = target.read_bytes()
    target.write_bytes(whole[:-4])
    assert saliency(path, model, tmp_path).read_bytes() == whole


# ---------------------------------------------------------------------------------------- self check
class _Shifted(torch.nn.Module):
    """A dense form that is off by one column: what a wrong margin would do."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.dense = DENSE_FORM(network)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense(x).roll(1, dims=1)


DENSE_FORM = modes.dense_form


def test_a_wrong_map_is_refused_and_nothing_is_left(
    small_flightline: Make, model: SaliencyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = small_flightline(lines=40, samples=30), tmp_path / "out"
    with monkeypatch.context() as broken:
        broken.setattr(modes, "dense_form", _Shifted)
        with pytest.raises(SelfCheckError, match=r"differs from the sliding window .* at line \d+, sample"):
            saliency(path, model, out, self_check=20)
        assert list(out.iterdir()) == []
        wrong = saliency(path, model, out)  # unchecked, it stays
    with pytest.raises(SelfCheckError):
        saliency(path, model, out, self_check=20)  # until somebody looks
    assert not wrong.exists() and list(out.iterdir()) == []
    assert saliency(path, model, out, self_check=20).is_file()


def test_the_self_check_takes_valid_pixels_only_and_all_there_are(
    model: SaliencyModel, tmp_path: Path
) -> None:
    ch4 = np.full((30, 20), np.nan, np.float32)
    ch4[4:28, 7] = 200.0
    path = tmp_path / "line.img"
    write_envi(path, ch4)
    said: list[str] = []
    saliency(path, model, tmp_path / "out", self_check=1000, say=said.append)
    assert said[0].startswith("self check: 24 pixels")


def test_a_unet_has_nothing_to_check_against(small_flightline: Make, tmp_path: Path) -> None:
    net = in_memory(unsaturated("unet", 64))
    with pytest.raises(EarthSignalsError, match="leave --self-check away"):
        saliency(small_flightline(), net, tmp_path / "out", self_check=5)


# ------------------------------------------------------------------------------------ kill and resume
def run_job(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    job = [sys.executable, str(Path(__file__).with_name("saliency_job.py")), *map(str, arguments)]
    return subprocess.run(job, env=environment, capture_output=True, text=True)


def test_a_killed_map_goes_on_and_ends_with_the_same_bytes(
    small_flightline: Make, checkpoint: Path, model: SaliencyModel, tmp_path: Path
) -> None:
    path, out = small_flightline(lines=90, samples=40), tmp_path / "out"
    killed = run_job(path, checkpoint, out, 10, 4)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [p.name for p in out.iterdir()] == [".resume"]  # nothing under the final name
    said: list[str] = []
    target = saliency(path, model, out, block=(10, 4096), say=said.append)
    unbroken = saliency(path, model, tmp_path / "unbroken", block=(10, 4096))
    assert "going on with an unfinished map: 44% is done" in said[0]
    assert read_json(target.with_suffix(".json"))["pixels_resumed"] == 4 * 10 * 40
    for suffix in (".img", ".hdr"):
        assert target.with_suffix(suffix).read_bytes() == unbroken.with_suffix(suffix).read_bytes()
    assert not (out / ".resume").exists()


class _PowerCutError(Exception):
    pass


@pytest.fixture
def unfinished(
    small_flightline: Make, model: SaliencyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path, Path]:
    """(flightline, output folder, resume folder) of a map that broke off after three of six strips."""
    path, out = small_flightline(lines=60, samples=12), tmp_path / "out"
    write = partial.PartialMap.write

    def write_three(self: partial.PartialMap, number: int, values: np.ndarray) -> None:
        if number == 3:
            raise _PowerCutError
        write(self, number, values)

    with monkeypatch.context() as cut_off:
        cut_off.setattr(partial.PartialMap, "write", write_three)
        with pytest.raises(_PowerCutError):
            saliency(path, model, out, block=(10, 4096))
    return path, out, out / ".resume" / f"{path.stem}_saliency"


def go_on(path: Path, model: SaliencyModel, out: Path, **options: object) -> tuple[str, int]:
    """What was said first, and how many pixels were taken over."""
    said: list[str] = []
    target = saliency(path, model, out, **({"block": (10, 4096)} | options), say=said.append)
    return (said or [""])[0], read_json(target.with_suffix(".json"))["pixels_resumed"]


def test_an_unfinished_map_goes_on(unfinished: tuple[Path, Path, Path], model: SaliencyModel) -> None:
    path, out, _ = unfinished
    assert go_on(path, model, out) == ("going on with an unfinished map: 50% is done", 360)


@pytest.mark.parametrize(
    "options",
    [{"block": (15, 4096)}, {"mode": "sliding"}, {"batch": 3}, {"band": 2}, {"model": 3.0}],
    ids=["cut", "mode", "batch", "band", "model"],
)
def test_other_work_starts_anew(
    unfinished: tuple[Path, Path, Path], model: SaliencyModel, options: dict
) -> None:
    path, out, _ = unfinished
    other = replace(model, temperature=options.pop("model", 1.5))
    said, resumed = go_on(path, other, out, **options)
    assert "starting anew" in said and resumed == 0
    expected = saliency(path, other, out.parent / "fresh", **({"block": (10, 4096)} | options))
    assert (out / expected.name).read_bytes() == expected.read_bytes()


def test_a_changed_flightline_starts_anew(
    unfinished: tuple[Path, Path, Path], model: SaliencyModel, small_flightline: Make
) -> None:
    path, out, _ = unfinished
    small_flightline(lines=60, samples=12, seed=2)
    said, resumed = go_on(path, model, out)
    assert "starting anew" in said and resumed == 0


def test_a_damaged_strip_is_computed_again(
    unfinished: tuple[Path, Path, Path], model: SaliencyModel, tmp_path: Path
) -> None:
    """After a power cut the journal may know of bytes that never reached the disk."""
    path, out, folder = unfinished
    with open(folder / "map.img", "r+b") as file:
        file.seek(4 * 12 * 15)
        file.write(bytes(100))
    assert go_on(path, model, out)[1] == 240
    expected = saliency(path, model, tmp_path / "fresh", block=(10, 4096))
    assert (out / expected.name).read_bytes() == expected.read_bytes()


@pytest.mark.parametrize("journal", ["{", "[]", '{"key": 1}', '{"key": "x", "finished": {"a": 1}}'])
def test_a_damaged_journal_starts_anew(
    unfinished: tuple[Path, Path, Path], model: SaliencyModel, journal: str
) -> None:
    path, out, folder = unfinished
    (folder / "journal.json").write_text(journal)
    said, resumed = go_on(path, model, out)
    assert "starting anew" in said and resumed == 0


def test_one_process_per_map(unfinished: tuple[Path, Path, Path], model: SaliencyModel) -> None:
    path, out, folder = unfinished
    with (
        open_partial(folder, (60, 12), cut((60, 12), 10, 12), "another key"),
        pytest.raises(EarthSignalsError, match="another process is writing this map"),
    ):
        saliency(path, model, out)


def test_the_unfinished_map_may_lie_elsewhere(
    small_flightline: Make, model: SaliencyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another disk too, where a rename cannot reach."""
    replace_file = os.replace

    def far(source: Path, target: Path) -> None:
        if "elsewhere" in str(source) and "elsewhere" not in str(target):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        replace_file(source, target)

    path = small_flightline(lines=12, samples=12)
    here = saliency(path, model, tmp_path / "here")
    monkeypatch.setattr(os, "replace", far)
    target = saliency(path, model, tmp_path / "out", resume_root=tmp_path / "elsewhere")
    assert target.read_bytes() == here.read_bytes()
    assert not (tmp_path / "elsewhere").exists()


# ------------------------------------------------------------------------------------------- devices
def test_devices_share_the_strips_and_write_the_same_bytes(
    small_flightline: Make, model: SaliencyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small_flightline(lines=80, samples=40)
    alone = saliency(path, model, tmp_path / "alone", block=(6, 30))
    monkeypatch.setattr(predict, "inference_devices", lambda numbers: [CPU] * 3)
    together = saliency(path, model, tmp_path / "together", block=(6, 30))
    assert alone.read_bytes() == together.read_bytes()
    assert read_json(together.with_suffix(".json"))["devices"] == ["cpu"] * 3


def test_an_error_on_one_device_ends_all(
    small_flightline: Make, model: SaliencyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = partial.PartialMap.write

    def fail_later(self: partial.PartialMap, number: int, values: np.ndarray) -> None:
        if number == 2:
            raise _PowerCutError
        write(self, number, values)

    monkeypatch.setattr(partial.PartialMap, "write", fail_later)
    monkeypatch.setattr(predict, "inference_devices", lambda numbers: [CPU] * 2)
    with pytest.raises(_PowerCutError):
        saliency(small_flightline(lines=60), model, tmp_path / "out", block=(3, 40))
    assert not list((tmp_path / "out").glob("*.img"))


def test_device_numbers() -> None:
    assert inference_devices([-1]) == [CPU]
    assert inference_devices(None) == inference_devices([]) == [CPU]  # the setting
    with pytest.raises(EarthSignalsError, match=r"--gpus 0 -1 mixes the CPU \(-1\) with GPUs"):
        inference_devices([0, -1])
    with pytest.raises(EarthSignalsError, match="--gpus 1 1 names a device twice"):
        inference_devices([1, 1])
    with pytest.raises(EarthSignalsError, match=r"GPU 977, -2 was asked for .* or -1 for the CPU"):
        inference_devices([977, -2])


def test_devices_that_are_there_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert inference_devices([1, 0]) == [torch.device("cuda", 1), torch.device("cuda", 0)]
    with pytest.raises(EarthSignalsError, match="GPU 2 was asked for .* sees GPU 0 1 only"):
        inference_devices([0, 2])


def test_a_device_of_the_settings_that_is_absent_is_no_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARTHSIGNALS_DEVICE", "cuda:977")
    with pytest.raises(EarthSignalsError, match="`cuda:977` was asked for"):
        inference_devices(None)


# ------------------------------------------------------------------------------------------- folders
def test_an_output_folder_that_cannot_be_written_is_named_before_any_work(
    small_flightline: Make, model: SaliencyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small_flightline()
    monkeypatch.setattr(predict, "map_blocks", lambda *_: pytest.fail("work was done"))
    (tmp_path / "file").touch()
    with pytest.raises(EarthSignalsError, match="file is a file: choose a folder"):
        saliency(path, model, tmp_path / "file")
    with pytest.raises(EarthSignalsError, match="below cannot be written"):
        saliency(path, model, tmp_path / "file" / "below")

    def deny(self: Path, *_: object, **__: object) -> None:  # root may write anywhere
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "touch", deny)
    with pytest.raises(EarthSignalsError, match=r"locked cannot be written \(Permission denied\)"):
        saliency(path, model, tmp_path / "locked")


def test_a_full_disk_is_named_before_any_work(
    small_flightline: Make, model: SaliencyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    monkeypatch.setattr(predict, "map_blocks", lambda *_: pytest.fail("work was done"))
    with pytest.raises(EarthSignalsError, match=r"cannot take a map .*No space left"):
        saliency(small_flightline(), model, tmp_path / "out")


def test_a_sheared_scene_is_refused_before_any_work(model: SaliencyModel, tmp_path: Path) -> None:
    """ENVI can only turn square pixels; a GeoTIFF may hold anything."""
    path = tmp_path / "sheared.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=8, height=8, count=1, dtype="float32", crs="EPSG:32611",
        transform=rasterio.Affine(3, 1, 5e5, 0, -3, 4e6),
    ) as file:  # fmt: skip
        file.write(np.ones((1, 8, 8), np.float32))
    with pytest.raises(EarthSignalsError, match="sheared"):
        saliency(path, model, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(("architecture", "window"), [("plumenet", 64), ("plumenet", 256)])
def test_a_usual_flightline_has_strips_enough_to_share_and_resume(architecture: str, window: int) -> None:
    """Four GPUs have work, and a kill costs a fifth at most."""
    blocks = modes.plan(in_memory(build(architecture, window)), "dense", (2801, 669))
    assert len(blocks) >= 5 and len({block.shape[1] for block in blocks}) == 1
    assert max(block.shape[0] for block in blocks) <= min(block.shape[0] for block in blocks) + 5


# -------------------------------------------------------------------------------------------- memory
def test_a_swath_of_669_columns_stays_below_1_gb(tmp_path: Path) -> None:
    """Of the whole process, window 256, in strips as a user gets them: nothing of the first may stay.

    669 × 28010 takes as much (benchmarks/plume_dense.py): no read exceeds a block, and no map is held.
    """
    network = unsaturated("plumenet", 256)
    save_model(tmp_path / "m.pt", network, OWN)
    path = tmp_path / "swath"
    rng = np.random.default_rng(3)
    write_envi(path, rng.normal(0, 200, (1100, 669)).astype(np.float32))
    done = run_job(path, tmp_path / "m.pt", tmp_path / "out", 512, 0)
    assert done.returncode == 0, done.stderr
    peak = json.loads(done.stdout.splitlines()[-1])["peak_mb"]
    assert 100 < peak < 1000
    assert find_pair(tmp_path / "out" / "swath_saliency.img")[1].is_file()
