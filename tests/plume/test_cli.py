"""`earthsignals plume …` as a person types it: the seed's flags, files, and errors in one sentence."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from affine import Affine
from rasterio.crs import CRS
from typer.testing import CliRunner

from earthsignals import tracking
from earthsignals.cli.main import app
from earthsignals.cli.plume import spread_numbers
from earthsignals.plume import predict, real
from earthsignals.plume.checkpoint import load_model, save_model
from earthsignals.plume.imagery.envi import Georeference, write_envi
from earthsignals.plume.imagery.flightline import open_flightline
from earthsignals.plume.model import build
from earthsignals.plume.preprocess import Preprocessing
from earthsignals.plume.saliency import devices
from earthsignals.storage import read_json, write_json
from earthsignals.training import save_checkpoint

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(sys.executable).with_name("earthsignals")
Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARTHSIGNALS_PROGRESS", "false")
    monkeypatch.setenv("EARTHSIGNALS_DEVICE", "cpu")
    monkeypatch.setenv("EARTHSIGNALS_THREADS", "1")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "best_model.pt"
    torch.manual_seed(2)
    save_model(path, build("plumenet", 64), Preprocessing(), threshold=0.5)
    return path


def call(*arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `earthsignals plume …`, in this process."""
    done = CliRunner().invoke(app, ["plume", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def probabilities(target: Path) -> np.ndarray:
    with open_flightline(target) as map_:
        return map_.read()


# ------------------------------------------------------------------------- several numbers after one -g
@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the command asks the engine for, instead of doing it."""
    calls: list[dict[str, Any]] = []

    def record(flightline: Path, net: object, output: Path, **options: Any) -> Path:
        calls.append({"flightline": str(flightline), "output": str(output), **options})
        return output

    monkeypatch.setattr(predict, "saliency", record)
    monkeypatch.setattr(devices, "inference_devices", lambda numbers: [])
    return calls


@pytest.mark.parametrize(
    ("typed", "gpus"),
    [
        ("FL -g 0 1 2 3", [0, 1, 2, 3]),
        ("-g 0 1 2 3 FL", [0, 1, 2, 3]),
        ("FL --gpus 0 1", [0, 1]),
        ("--gpus 2 0 FL", [2, 0]),
        ("FL -g 0 -g 1", [0, 1]),
        ("-g 0 1 FL -g 2 3", [0, 1, 2, 3]),
        ("FL --gpus=0", [0]),
        ("--gpus=0 --gpus=1 FL", [0, 1]),
        ("FL -g0", [0]),
        ("-g1 FL", [1]),
        ("FL -g -1", [-1]),
        ("-g -1 FL", [-1]),
        ("--gpus=-1 FL", [-1]),
        ("FL -g-1", [-1]),
        ("FL", None),
    ],
)
@pytest.mark.parametrize("rest", ["", "-b 512 -o maps"])
def test_gpu_numbers_in_every_form(
    asked: list[dict[str, Any]], model: Path, typed: str, gpus: list[int] | None, rest: str
) -> None:
    """As argparse's nargs="+" takes them, with options before, between and after."""
    for arguments in ([*typed.split(), *rest.split()], [*rest.split(), *typed.split()]):
        code, _, errors = call("saliency", "-m", model, *arguments)
        assert code == 0, errors
        call_ = asked.pop()
        assert (call_["flightline"], call_["devices"]) == ("FL", gpus)
        expected = (512, "maps") if rest else (32, ".")
        assert (call_["batch"], call_["output"]) == expected


def test_only_whole_numbers_are_taken() -> None:
    names = ("-g", "--gpus")
    assert spread_numbers(["-g", "0", "1x", "2"], names) == ["--gpus=0", "1x", "2"]
    assert spread_numbers(["-g", "0", "1.5"], names) == ["--gpus=0", "1.5"]
    assert spread_numbers(["-g", "0", "-b", "8", "9"], names) == ["--gpus=0", "-b", "8", "9"]
    assert spread_numbers(["-g", "0", "--", "1"], names) == ["--gpus=0", "--", "1"]
    assert spread_numbers(["-b", "8"], names) == ["-b", "8"]
    assert spread_numbers(["-g", "FL"], names) == ["-g", "FL"]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("FL -g", "requires an argument"),
        ("-g FL", "'--gpus' / '-g': Input should be a valid integer"),
        ("FL -g 0,1", "'--gpus' / '-g': Input should be a valid integer"),
        ("FL -b 0", "-b"),
        ("", "Missing argument 'FLIGHTLINE"),
    ],
)
def test_wrong_usage_is_said(asked: list[dict[str, Any]], model: Path, typed: str, message: str) -> None:
    code, _, errors = call("saliency", "-m", model, *typed.split())
    assert code == 2 and message in errors and not asked


def test_all_options_reach_the_engine(asked: list[dict[str, Any]], model: Path) -> None:
    code, _, errors = call(
        "saliency", "FL", "--model", model, "--mode", "sliding", "--band", "CH4", "--self-check", "9",
        "--cog", "--overwrite", "--batch", "8", "--output", "there",
    )  # fmt: skip
    assert code == 0, errors
    expected = {
        "mode": "sliding", "band": "CH4", "self_check": 9, "cog": True, "overwrite": True, "batch": 8,
        "output": "there", "devices": None,
    }  # fmt: skip
    assert {key: asked[0][key] for key in expected} == expected


# --------------------------------------------------------------------------------- whole, on real files
def test_a_flightline_becomes_a_map_from_a_shell(
    small_flightline: Make, model: Path, tmp_path: Path
) -> None:
    """In a process and a folder of its own, outside of any project, with the defaults."""
    path, work = small_flightline(lines=30, samples=20), tmp_path / "work"
    work.mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [str(PROGRAM), "plume", "saliency", str(path), "-m", str(model), "-g", "-1", "-b", "8"],
        cwd=work, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    target = Path(done.stdout.strip())
    assert target == Path(f"{path.stem}_saliency.img") and done.stderr == ""
    found = probabilities(work / target)
    with open_flightline(path) as image:
        expected = predict.map_scene(image.read(), load_model(model))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_the_seeds_call_works_unchanged(small_flightline: Make, model: Path, tmp_path: Path) -> None:
    """cnn_pred_pipeline.py FLIGHTLINE -m MODEL -g -1 -b 8, on a name without suffix."""
    path = small_flightline(lines=8, samples=9)
    bare = path.rename(path.with_suffix(""))
    code, out, errors = call("saliency", bare, "-m", model, "-g", -1, "-b", 8, "-o", tmp_path / "o")
    assert code == 0, errors
    assert out.strip() == str(tmp_path / "o" / f"{bare.name}_saliency.img")


def write_scene(path: Path, ch4: np.ndarray, place: Georeference | None = None) -> Path:
    write_envi(path, ch4.astype(np.float32), like=place, nodata=-9999.0)
    return path


NORTH_UP = Georeference(Affine(3, 0, 5e5, 0, -3, 4e6), CRS.from_epsg(32611))


@pytest.mark.parametrize("shape", [(1, 1), (5, 80), (80, 5), (63, 64)])
def test_a_scene_smaller_than_the_window_is_mapped(
    model: Path, tmp_path: Path, shape: tuple[int, int]
) -> None:
    path = write_scene(tmp_path / "small.img", np.full(shape, 300.0), NORTH_UP)
    code, out, errors = call("saliency", path, "-m", model, "-o", tmp_path / "o", "--self-check", 20)
    assert code == 0, errors
    found = probabilities(Path(out.strip()))
    assert found.shape == shape and np.isfinite(found).all()
    assert f"self check: {min(20, found.size)} pixels" in errors


def test_a_valid_area_one_pixel_wide_is_mapped(model: Path, tmp_path: Path) -> None:
    """All around it is invalid: −9999 in the map just there."""
    ch4 = np.full((70, 40), np.nan)
    ch4[:, 17] = np.linspace(0, 4000, 70)
    path = write_scene(tmp_path / "thin.img", ch4, NORTH_UP)
    code, out, errors = call("saliency", path, "-m", model, "-o", tmp_path / "o", "--self-check", 99)
    assert code == 0, errors
    found = probabilities(Path(out.strip()))
    assert np.array_equal(np.isfinite(found), np.isfinite(ch4)) and "70 pixels" in errors


def test_a_scene_without_one_measurement_is_all_nodata(model: Path, tmp_path: Path) -> None:
    path = write_scene(tmp_path / "empty.img", np.full((20, 30), np.nan), NORTH_UP)
    code, out, errors = call("saliency", path, "-m", model, "-o", tmp_path / "o", "--self-check", 5, "--cog")
    assert code == 0, errors
    target = Path(out.strip())
    assert (np.fromfile(target, "<f4") == -9999.0).all() and target.with_suffix(".tif").is_file()
    assert "self check: 0 pixels" in errors and "nothing was judged" in errors


def test_nan_nodata_and_infinite_pixels_are_the_same_hole(model: Path, tmp_path: Path) -> None:
    """Whatever marks it: the hole is −9999, and its neighbours see no methane there."""
    maps = []
    for name, hole in (("a", np.nan), ("b", np.inf), ("c", -np.inf), ("d", -9999.0)):
        ch4 = np.full((30, 30), 500.0)
        ch4[10, 12] = hole
        path = tmp_path / f"{name}.img"
        ch4.astype("<f4").tofile(path)  # as it is, infinity too
        path.with_suffix(".hdr").write_text(
            "ENVI\nsamples = 30\nlines = 30\nbands = 1\ndata type = 4\ninterleave = bsq\nbyte order = 0\n"
        )
        code, out, errors = call("saliency", path, "-m", model, "-o", tmp_path / "o")
        assert code == 0, errors
        maps.append(probabilities(Path(out.strip())))
    for found in maps:
        assert np.array_equal(found, maps[0], equal_nan=True)
        assert np.isnan(found[10, 12]) and np.isfinite(found).sum() == 899


def test_a_scene_without_a_place_gives_a_map_without_one(model: Path, tmp_path: Path) -> None:
    path = write_scene(tmp_path / "nowhere.img", np.full((20, 30), 100.0))
    code, out, errors = call("saliency", path, "-m", model, "-o", tmp_path / "o", "--cog")
    assert code == 0, errors
    with open_flightline(out.strip()) as map_:
        assert map_.crs is None and map_.transform == Affine.identity()
    assert "map info" not in Path(out.strip()).with_suffix(".hdr").read_text()


def test_several_flightlines_in_a_night(small_flightline: Make, model: Path, tmp_path: Path) -> None:
    """The broken one is named, the others are mapped, and the end is not silent."""
    good = [small_flightline(f"good{n}", lines=6, samples=6) for n in (1, 2)]
    broken = small_flightline("broken", lines=6, samples=6)
    broken.write_bytes(broken.read_bytes()[:-10])
    code, out, errors = call("saliency", good[0], broken, good[1], "-m", model, "-o", tmp_path / "o")
    assert code == 1
    assert [Path(line).name for line in out.split()] == ["good1_saliency.img", "good2_saliency.img"]
    assert "broken.img" in errors and "1 of 3 flightlines" in errors


# ----------------------------------------------------------------------------------------------- faults
def one_sentence(code: int, errors: str, *words: str) -> None:
    assert code == 1
    assert len(errors.strip().splitlines()) == 1 and errors.startswith("earthsignals: ")
    for word in words:
        assert word in errors


def test_faults_are_one_sentence(small_flightline: Make, model: Path, tmp_path: Path) -> None:
    path, out = small_flightline(lines=8, samples=8), tmp_path / "o"

    def fault(*arguments: object, words: tuple[str, ...]) -> None:
        code, printed, errors = call("saliency", *arguments)
        one_sentence(code, errors, *words)
        assert printed == ""
        assert not out.exists() or not list(out.glob("*_saliency*"))

    fault(path, "-m", tmp_path / "no.pt", "-o", out, words=("no.pt does not exist",))
    fault(path, "-m", "COVID_QC", "-o", out, words=("not public", "data/plume/weights/COVID_QC.pt"))
    fault(path, "-m", model, "-o", path, words=("is a file", "--output"))
    fault(path, "-m", model, "-o", out, "-g", 977, words=("GPU 977", "-1 for the CPU"))
    fault(path, "-m", model, "-o", out, "-g", 0, -1, words=("mixes the CPU",))
    fault(path, "-m", model, "-o", out, "-g", 1, 1, words=("twice",))
    fault(path, "-m", model, "-o", out, "--mode", "fcn", words=("no mode `fcn`", "shift-stitch"))
    fault(path, "-m", model, "-o", out, "--band", "CO2", words=("CO2", "CH4 Absorption"))
    fault(path, "-m", model, "-o", out, "--preprocessing", "COVID_QC", words=("its own preprocessing",))
    fault(tmp_path / "none.img", "-m", model, "-o", out, words=("none.img", "no such file"))
    save_checkpoint(tmp_path / "other.pt", "tdlas", {"w": torch.ones(1)}, {})
    fault(path, "-m", tmp_path / "other.pt", "-o", out, words=("kind 'tdlas'",))
    path.with_suffix(".hdr").unlink()
    fault(path, "-m", model, "-o", out, words=(".hdr",))


# ----------------------------------------------------------------------------------------------- plumes
@pytest.fixture
def mapped(small_flightline: Make, tmp_path: Path) -> tuple[Path, Path]:
    """A flightline with one strong plume, and a foreign saliency map that points at it."""
    path = small_flightline(lines=64, samples=60, place=NORTH_UP)
    row, col = np.mgrid[:64, :60]
    saliency = np.where((row - 16) ** 2 + (col - 15) ** 2 < 14**2, 0.9, 0.05)
    return path, write_scene(tmp_path / "foreign.img", saliency, NORTH_UP)


def test_plumes_of_a_given_map(mapped: tuple[Path, Path], tmp_path: Path) -> None:
    path, saliency = mapped
    out = tmp_path / "o"
    code, printed, errors = call(
        "plumes", path, "--saliency", saliency, "--threshold", 0.5, "--wind", 3.5, "--wind", "era5=7",
        "--wind-error", 0.2, "--wind-direction", 90, "-o", out,
    )  # fmt: skip
    assert code == 0, errors
    assert {p.name for p in out.iterdir()} == {
        f"{path.stem}_plumes.{kind}" for kind in ("gpkg", "geojson", "png", "kmz")
    }
    lines = printed.splitlines()
    assert lines[0].startswith("1 plume at") and "score 0.90" in lines[1]
    first, second = (float(v.replace(",", "")) for v in re.findall(r"([\d,]+) kg/h", lines[1]))
    assert second == pytest.approx(2 * first, rel=0.02)  # twice the wind, twice the rate
    assert "wind)" in lines[1] and "era5)" in lines[1]


def test_a_foreign_map_needs_a_threshold(mapped: tuple[Path, Path], tmp_path: Path) -> None:
    path, saliency = mapped
    code, _, errors = call("plumes", path, "--saliency", saliency, "-o", tmp_path / "o")
    one_sentence(code, errors, "foreign.img", "--threshold")


@pytest.mark.parametrize("wind", ["strong", "nan", "0", "-3", "inf"])
def test_a_wind_that_is_no_speed_is_named_before_any_work(
    wind: str, mapped: tuple[Path, Path], tmp_path: Path
) -> None:
    path, saliency = mapped
    code, _, errors = call("plumes", path, "--saliency", saliency, "--wind", wind, "-o", tmp_path / "o")
    one_sentence(code, errors, f"--wind {wind}", "era5=3.5")
    assert not (tmp_path / "o").exists()


def test_two_winds_of_one_name_are_refused(mapped: tuple[Path, Path], tmp_path: Path) -> None:
    path, saliency = mapped
    winds = ("--wind", "era5=3", "--wind", "ERA5=4")
    code, _, errors = call("plumes", path, "--saliency", saliency, *winds, "-o", tmp_path / "o")
    one_sentence(code, errors, "--wind", "era5", "name them apart")


def test_the_map_of_another_flightline_is_refused(
    model: Path, small_flightline, tmp_path: Path
) -> None:
    """By the flightline's md5 in the map's header; a map that is not there is told as that."""
    one, other = (small_flightline(name, seed=seed) for seed, name in enumerate(("one", "other")))
    assert call("saliency", one, "-m", model, "-g", -1, "-o", tmp_path)[0] == 0
    made = tmp_path / f"{one.stem}_saliency.img"
    code, _, errors = call("plumes", other, "--saliency", made, "-o", tmp_path / "o")
    one_sentence(code, errors, made.name, "another image")
    code, _, errors = call("plumes", other, "--saliency", tmp_path / "none.img", "-o", tmp_path / "o")
    one_sentence(code, errors, "none.img", "no such saliency map")
    assert not (tmp_path / "o").exists()


def test_plumes_makes_the_map_it_needs(mapped: tuple[Path, Path], model: Path, tmp_path: Path) -> None:
    """With the model's own threshold, from the map's header; no wind, no rate."""
    path, _ = mapped
    code, printed, errors = call("plumes", path, "-m", model, "-g", -1, "-o", tmp_path / "o")
    assert code == 0, errors
    assert (tmp_path / "o" / f"{path.stem}_saliency.img").is_file()
    assert "at saliency 0.50 and above" in printed and "kg/h" not in printed


def test_a_scene_without_a_place_has_plumes_in_pixels(
    small_flightline: Make, tmp_path: Path
) -> None:
    path = small_flightline(lines=64, samples=60, place=None)
    saliency = write_scene(tmp_path / "map.img", np.full((64, 60), 0.9))
    code, _, errors = call(
        "plumes", path, "--saliency", saliency, "--threshold", 0.5, "-o", tmp_path / "o"
    )
    assert code == 0, errors
    assert "no geojson" in errors and (tmp_path / "o" / f"{path.stem}_plumes.gpkg").is_file()


# ------------------------------------------------------------------------------------------ the others
@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is a project as far as the commands need one, with a small network to check."""
    folder = tmp_path / "project"
    (folder / ".dvc").mkdir(parents=True)
    shutil.copy(ROOT / "params.yaml", folder)
    monkeypatch.chdir(folder)
    return folder


def test_check_looks_at_everything_and_says_what_is_next(project: Path) -> None:
    code, out, errors = call("check")
    assert code == 0, errors
    assert all(line.startswith("✓") for line in out.splitlines())
    assert "flightline" in out and "dvc repro plume" in out.splitlines()[-1]


def test_evaluate_real_judges_with_frozen_thresholds(
    project: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command hands on what plume-evaluate froze, and writes what comes back."""
    given = {}
    scores = {"f1": 0.5, "iou": None}

    def judge(path: Path, net: Any, params: Any, frozen: dict, figures: Path) -> dict[str, Any]:
        given.update(path=path, threshold=net.threshold, frozen=frozen, figures=figures)
        return {
            "data": "chips", "model_md5": net.md5, "chips": ["a", "b"], "plumes": 1, "valid_km2": 2.0,
            "pixels": {"model": scores}, "detection": {"model": {"found": 1, "false_alarms": 3}},
        }  # fmt: skip

    class Run:
        def set_tags(self, tags: dict[str, Any]) -> None:
            assert tags == {"data": "chips", "model_md5": load_model(model).md5}

        def log_metrics(self, metrics: dict[str, Any]) -> None:
            assert metrics["pixels"]["model"] == scores

        def log_artifact(self, path: Path) -> None:
            assert path.name == "real.json"

    monkeypatch.setattr(real, "evaluate_real", judge)
    monkeypatch.setattr(tracking, "run", lambda *_, **__: nullcontext(Run()))
    code, _, errors = call("evaluate-real", tmp_path, "-m", model)
    one_sentence(code, errors, "reports/plume/metrics.json does not exist")
    write_json(project / "reports/plume/metrics.json", {"frozen": {"model": {"threshold": 0.5}}})
    code, out, errors = call("evaluate-real", tmp_path, "-m", model)
    assert code == 0, errors
    assert given == {
        "path": tmp_path, "threshold": 0.5, "frozen": {"model": {"threshold": 0.5}},
        "figures": Path("reports/plume/real"),
    }  # fmt: skip
    assert read_json(project / "reports/plume/real.json")["plumes"] == 1
    assert "2 chips of chips, 1 labelled plumes" in out and "f1  0.500  iou   none" in out


def test_help_names_every_command_and_is_quick_to_import() -> None:
    """No torch, rasterio or geopandas before a command needs it."""
    code = "import sys, earthsignals.cli.plume; print({'torch', 'rasterio', 'geopandas'} & {*sys.modules})"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
    _, out, _ = call("--help")
    for command in ("saliency", "plumes", "check", "evaluate-real"):
        assert command in out
    assert "-g 0 1 2 3" in out
