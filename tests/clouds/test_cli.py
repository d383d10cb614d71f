"""`earthsignals clouds …` as people call it: one sentence for every fault, and no input is ever lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from earthsignals import tracking
from earthsignals.cli.main import app
from earthsignals.clouds import real
from earthsignals.clouds.check import check
from earthsignals.clouds.checkpoint import save_model
from earthsignals.clouds.dataset import make_triplets
from earthsignals.clouds.imagery.scene import write_scene
from earthsignals.clouds.inspection import inspect
from earthsignals.clouds.model import build
from earthsignals.clouds.params import CloudsParams, GridParams
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError
from tests.clouds.small_scenes import PARAMS, TILE_KM, TILE_PX, make_scene, with_gaps, write_scenes

NETWORK = {
    "architecture": "resnet18", "width": 4, "embedding": 8, "hidden": 16, "padding": "zero",
    "scattering": False,
}  # fmt: skip
SMALL = PARAMS.model_copy(update={"network": PARAMS.network.model_copy(update=NETWORK)})
SCAN = "OR_ABI-L1b-RadM1-M6C13_G17_s20193351027275_e20193351027344_c20193351027405.nc"
Call = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that was never trained, scenes and their triplets."""
    folder = tmp_path_factory.mktemp("made")
    torch.manual_seed(0)
    save_model(folder / "model.pt", build(SMALL.network), GridParams(tile_km=TILE_KM, tile_px=TILE_PX))
    write_scenes(folder / "scenes")
    make_triplets(folder / "scenes", SMALL, folder / "triplets.h5")
    return folder


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run a command in an empty folder; its exit status and output. A traceback fails the test."""
    monkeypatch.setenv("EARTHSIGNALS_DEVICE", "cpu")
    monkeypatch.setenv("EARTHSIGNALS_THREADS", "1")
    monkeypatch.setenv("EARTHSIGNALS_WORKERS", "1")
    monkeypatch.chdir(tmp_path)
    before = torch.get_num_threads()

    def run(*words: object) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["clouds", *map(str, words)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    yield run
    torch.set_num_threads(before)


def sentence(output: str) -> str:
    """What is left without the progress bars."""
    lines = [line for line in output.splitlines() if line.startswith("earthsignals: ")]
    assert len(lines) == 1, output
    return lines[0]


# ------------------------------------------------------------------------------------- embed and similar
def test_embed_writes_a_map_of_each_scene(call: Call, made: Path, tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    scenes = [made / "scenes" / f"scene-0{number}.nc" for number in (0, 1)]
    status, output = call("embed", *scenes, "-m", made / "model.pt", "-o", "maps", "--step", 16)
    assert status == 0, output
    assert "maps: 2 scenes, 50 windows" in output  # (96 - 32) / 16 + 1 = 5 along each edge
    with xarray.open_dataset(tmp_path / "maps" / "scene-00.nc") as found:
        names = {found[name].attrs.get("standard_name") for name in found.variables}
        assert {"latitude", "longitude"} <= names


def test_embed_takes_the_grid_from_the_model_and_names_what_it_cannot_use(
    call: Call, made: Path, tmp_path: Path
) -> None:
    truncated = tmp_path / "in" / "cut.nc"
    truncated.parent.mkdir()
    whole = (made / "scenes" / "scene-00.nc").read_bytes()
    truncated.write_bytes(whole[: len(whole) // 2])
    status, output = call("embed", "in", "-m", made / "model.pt", "-o", "maps")
    assert status == 1 and "no scene could be used" in sentence(output) and "cut.nc" in sentence(output)
    write_scene(tmp_path / "in" / "small.nc", make_scene(1, (31, 96)))
    shutil.copy(made / "scenes" / "scene-02.nc", tmp_path / "in")
    status, output = call("embed", "in", "-m", made / "model.pt", "-o", "maps")
    assert status == 0 and "1 scenes" in output and "2 refused, see maps/refused.csv" in output
    refused = pd.read_csv(tmp_path / "maps" / "refused.csv").set_index("file")["reason"]
    assert set(refused.index) == {"cut.nc", "small.nc"}


def test_a_mode_that_is_none_is_said_before_anything_is_read(call: Call) -> None:
    status, output = call("embed", "absent.nc", "--mode", "foo")
    assert status == 1 and "--mode foo is none, expected one of auto, exact" in sentence(output)


def test_results_never_take_the_place_of_a_scene(call: Call, made: Path, tmp_path: Path) -> None:
    shutil.copy(made / "scenes" / "scene-00.nc", tmp_path)
    before = (tmp_path / "scene-00.nc").read_bytes()
    status, output = call("embed", "scene-00.nc", "-m", made / "model.pt")
    assert status == 1 and "is one of the inputs and would be overwritten" in sentence(output)
    assert (tmp_path / "scene-00.nc").read_bytes() == before


def test_similar_finds_windows_that_do_not_overlap(call: Call, made: Path, tmp_path: Path) -> None:
    scene = make_scene(0)
    latitude, longitude = scene.plane.geolocate(20, 20)
    own, others = made / "scenes" / "scene-00.nc", made / "scenes" / "scene-03.nc"
    status, output = call(
        "similar", own, "--at", f"{latitude},{longitude}", "--among", others, "-n", 5, "-o", "alike",
        "-m", made / "model.pt",
    )  # fmt: skip
    assert status == 0, output
    found = pd.read_csv(tmp_path / "alike" / "similar.csv")
    assert 2 <= len(found) <= 5 and set(found["scene"]) <= {"scene-00", "scene-03"}
    assert found["distance"].is_monotonic_increasing
    assert (tmp_path / "alike" / "similar.png").stat().st_size > 1000
    for _, group in found.groupby("scene"):
        places = group[["row", "column"]].to_numpy()
        apart = np.abs(places[:, None] - places[None]).max(-1) + TILE_PX * np.eye(len(places))
        assert (apart >= TILE_PX).all()


@pytest.mark.parametrize("place", ["14.5", "14.5;-52", "north,west", "91,0", "0,nan", "1,2,3"])
def test_what_is_no_place_is_said_before_anything_is_read(call: Call, place: str) -> None:
    status, output = call("similar", "absent.nc", "--at", place, "-m", "absent.pt")
    assert status == 1
    assert f"--at {place} is no place, expected degrees north and east" in sentence(output)


def test_a_southern_place_is_no_option(call: Call) -> None:
    status, output = call("similar", "absent.nc", "--at", "-14.5,-52", "-m", "absent.pt")
    assert status == 1 and "absent" in sentence(output)
    assert "no place" not in output


def test_files_that_pose_as_models(call: Call, made: Path, tmp_path: Path) -> None:
    scene = made / "scenes" / "scene-00.nc"
    (tmp_path / "pickle.pt").write_bytes(b"\x80\x04cos\nsystem\n(S'touch hacked'\ntR.")
    for words in (("embed", scene), ("similar", scene, "--at", "12,-45")):
        status, output = call(*words, "-m", "pickle.pt")
        assert status == 1 and "pickle.pt" in sentence(output)
        assert call(*words, "-m", "absent.pt")[0] == 1
    assert not (tmp_path / "hacked").exists()


# --------------------------------------------------------------------------------------------- triplets
def test_triplets_travel_as_pictures_and_back(call: Call, made: Path, tmp_path: Path) -> None:
    status, output = call("triplets", "export", "pictures", "-t", made / "triplets.h5")
    assert status == 0 and "60 train" in output and "20 study" in output
    assert (tmp_path / "pictures" / "train" / "00000_neighbor.png").is_file()
    status, output = call("triplets", "import", "pictures", "-o", "back.h5", "--tile-km", TILE_KM)
    assert status == 0 and "60 train" in output
    status, output = call("triplets", "export", "pictures", "-t", "back.h5")
    assert status == 1 and "pictures is there already, expected a new name" in sentence(output)
    status, output = call("triplets", "import", "pictures", "-o", "back.h5")
    assert status == 1 and "back.h5 is there already, expected a new name" in sentence(output)
    status, output = call("triplets", "import", "nothing", "-o", "new.h5")
    assert status == 1 and "nothing: train/ holds no pictures of triplets" in sentence(output)


# -------------------------------------------------------------------------------- inspect, check and fetch
def test_inspect_counts_scenes_and_names_refusals(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    scene = make_scene(2)
    write_scene(folder / "a.nc", scene)
    write_scene(folder / "again.nc", scene)
    write_scene(folder / "other.nc", make_scene(4))
    write_scene(folder / "small.nc", make_scene(6, (20, 40)))
    write_scene(folder / "nothing.nc", with_gaps(make_scene(8), np.ones((96, 96), bool)))
    write_scene(folder / "infrared.nc", replace(make_scene(10), product="infrared"))
    (folder / SCAN).write_bytes(b"cut short")
    found = inspect(folder, SMALL).to_dict()
    assert (found["scenes"], found["refused"], found["days"]) == (3, 4, 3)
    assert found["products"] == {"visible": 2, "infrared": 1}
    assert found["pixels"] == {"96 x 96": 3}
    reasons = {reason: row["sources"] for reason, row in found["reasons"].items()}
    assert reasons["duplicate"] == reasons["too-small"] == 1 and sum(reasons.values()) == 4
    assert found["reasons"]["duplicate"]["examples"] == [
        {"source": "again.nc", "detail": "the same scene as a.nc"}
    ]  # fmt: skip
    # Outside of a project, with the pipeline's own grid: all are smaller than a tile of 200 km.
    status, output = call("inspect", "in")
    assert status == 0 and "in: 0 scenes of 0 days, 7 refused" in output
    assert "refused, too-small" in output
    assert call("inspect", "absent")[0] == 1


def test_check_goes_through_every_step(made: Path, tmp_path: Path) -> None:
    settings = Settings(device="cpu", workers=1)
    params = CloudsParams.model_validate({
        "grid": {"tile_px": 64, "tile_km": 200.0}, "scenes": {"size_px": 128, "days": 6, "scenes_per_day": 1},
        "network": NETWORK, "peers": {"losses": ("vicreg", "triplet")},
    })  # fmt: skip
    lines = list(check(params, settings, None))
    assert lines[0].startswith("scene: ") and "128 x 128 pixels of 3.12 km" in lines[0]
    assert any(line.startswith("augmentation: 8 x 3 x 3 x 64 x 64") for line in lines)
    for loss in ("contrastive", "vicreg", "triplet"):
        assert any(line.startswith(f"{loss}: one batch of 8 triplets") for line in lines)
    assert any("effective rank" in line for line in lines)
    assert lines[-1].startswith("all well after")
    own = list(check(SMALL, settings, made / "scenes" / "scene-04.nc"))
    assert "scene-04, 96 x 96" in own[0] and "9 of 50 km" in own[1]
    write_scene(tmp_path / "small.nc", make_scene(6, (20, 40)))
    with pytest.raises(EarthSignalsError, match="no room for a tile of 50 km"):
        list(check(SMALL, settings, tmp_path / "small.nc"))
    flat = make_scene(8)
    write_scene(tmp_path / "flat.nc", replace(flat, values=np.full_like(flat.values, 90)))
    with pytest.raises(EarthSignalsError, match="all but of one colour"):
        list(check(SMALL, settings, tmp_path / "flat.nc"))


def test_fetch_without_a_network_is_one_sentence(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody listens there
    goes = {"first_day": "2019-01-01", "last_day": "2019-01-01", "hours_from_noon": [0.0]}
    (tmp_path / "params.yaml").write_text(json.dumps({"clouds": {"goes": goes}}))
    status, output = call("fetch")
    assert status == 1 and "noaa-goes16" in sentence(output) and "check the network" in sentence(output)
    assert "Traceback" not in output


# ----------------------------------------------------------------------------------------- evaluate-real
def test_evaluate_real_writes_its_report_and_a_run(
    call: Call, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judging itself is test_real's: here what is done with it."""
    logged = {}
    found = {
        "tiles": 12, "scenes": 3, "probe": 0.75, "probe_chance": 0.33, "probe_majority": 0.5,
        "map_chance": 0.3, "says": "few",
        "rows": {"model": {"probe": 0.75, "probe_low": 0.5, "probe_high": 0.9, "probe_p": 0.02,
                           "probe_class_mean": 0.7, "map": 0.6}},
    }  # fmt: skip

    class Run:
        def __enter__(self) -> Run:
            return self

        def __exit__(self, *_: object) -> None: ...

        def set_tags(self, tags: dict) -> None:
            logged["tags"] = tags

        def log_metrics(self, metrics: dict) -> None:
            logged["metrics"] = metrics

        def log_artifact(self, path: Path) -> None:
            logged["artifact"] = path

    def judge(path, triplets, model, params, settings, out) -> dict:
        assert path == Path("real") and triplets.tile_px == model.grid.tile_px == TILE_PX
        return found

    monkeypatch.setattr(real, "evaluate_real", judge)
    monkeypatch.setattr(tracking, "run", lambda *names, kind: logged.update(kind=kind) or Run())
    (tmp_path / "params.yaml").write_text("clouds: {}\n")
    (tmp_path / "data" / "clouds").mkdir(parents=True)
    shutil.copy(made / "triplets.h5", tmp_path / "data" / "clouds")
    status, output = call("evaluate-real", "real", "-m", made / "model.pt")
    assert status == 0, output
    assert logged["kind"] == "evaluation" and logged["artifact"] == Path("reports/clouds/real.json")
    assert logged["metrics"]["probe"] == 0.75 and logged["tags"] == {"says": "few"}
    assert "model              probe 0.75 [0.50, 0.90]  p 0.020  mean of classes 0.70  mAP 0.60" in output
    assert "few" in output


@pytest.mark.parametrize(
    "command",
    ["embed", "similar", "triplets export", "triplets import", "fetch", "inspect", "check", "evaluate-real"],
)
def test_help_has_an_example(command: str) -> None:
    result = CliRunner().invoke(app, ["clouds", *command.split(), "--help"])
    assert f"  earthsignals clouds {command}" in result.output
