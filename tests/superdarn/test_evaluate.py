"""The whole evaluation on a small grid: its keys, its arrays, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from earthsignals.results import read_arrays, save_arrays
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError, write_json
from earthsignals.superdarn.baselines import NAMES
from earthsignals.superdarn.cells import cells_above
from earthsignals.superdarn.evaluate import Found, evaluate, scalars
from earthsignals.superdarn.grid import GridFile, grid_of
from earthsignals.superdarn.judging.kept import seen_before, write_forecasts
from earthsignals.superdarn.params import SuperdarnParams
from earthsignals.superdarn.records.vectors import Vectors
from tests.superdarn.judging_stand_ins import GRID, MIDNIGHT_S, PARAMS, Oracle, a_grid, seen, waves
from tests.superdarn.test_judging import truth_file

SETTINGS = Settings(device="cpu", workers=1, progress=False)
LEADS = ("2", "10", "20")


@pytest.fixture(scope="module")
def grid() -> GridFile:
    return a_grid(waves)


@pytest.fixture(scope="module")
def found(grid: GridFile, tmp_path_factory: pytest.TempPathFactory) -> Found:
    truth = truth_file(tmp_path_factory.mktemp("truth") / "truth.h5", 100.0)
    return evaluate(grid, Oracle(waves), PARAMS, SETTINGS, truth)


def test_the_keys_that_were_agreed_on_are_there(found: Found) -> None:
    metrics = found.metrics
    for key in ("skill_vs_damped", "skill_vs_persistence"):
        for end in ("", "_low", "_high"):
            assert tuple(metrics[f"{key}{end}"]) == LEADS
    assert set(metrics["rmse_m_s"]) == {"model", "start", "field", *NAMES}
    assert all(tuple(of) == LEADS for of in metrics["rmse_m_s"].values())
    assert set(metrics["rmse_truth_m_s"]) == {"model", "start", "climatology", "zero"}
    for key in (
        "acc", "by_mlat", "by_mlt", "quiet", "storm", "vectors", "issues", "coverage", "dropped",
        "all_vectors", "damping", "storm_above_m_s", "model_md5", "blocks", "radars",
    ):  # fmt: skip
        assert key in metrics, key
    assert metrics["model_md5"] == "md5 of the oracle"
    assert metrics["radars"] == 4
    # 4 radars see the same 12 cells in every frame.
    assert metrics["coverage"] == pytest.approx(12 / len(cells_above(PARAMS.grid.latitude_min)))


def test_skill_is_that_of_the_squared_errors(found: Found) -> None:
    rmse = found.metrics["rmse_m_s"]
    for reference in ("damped", "persistence", "zero"):
        for lead in LEADS:
            skill = found.metrics[f"skill_vs_{reference}"][lead]
            assert skill == pytest.approx(1 - (rmse["model"][lead] / rmse[reference][lead]) ** 2)
            low, high = (found.metrics[f"skill_vs_{reference}_{end}"][lead] for end in ("low", "high"))
            assert low <= skill <= high


def test_the_start_is_the_model_without_its_network(grid: GridFile) -> None:
    class Asked(Oracle):
        def forecast(self, grid: GridFile, issue: int, *, network: bool = True) -> np.ndarray:
            calls.append((issue, network))
            return super().forecast(grid, issue, network=network)

    calls: list[tuple[int, bool]] = []
    evaluate(grid, Asked(waves), PARAMS, SETTINGS)
    issues = grid.issues("test", 1, 10, PARAMS.evaluate.stride).tolist()
    assert calls == [(t, network) for t in issues for network in (True, False)]


def test_metrics_and_arrays_survive_their_files(found: Found, tmp_path: Path) -> None:
    write_json(tmp_path / "metrics.json", found.metrics)
    assert json.loads((tmp_path / "metrics.json").read_text())["issues"] == found.metrics["issues"]
    save_arrays(tmp_path / "evaluation.h5", found.arrays)
    arrays = read_arrays(tmp_path / "evaluation.h5")
    assert arrays["leads"].tolist() == [2, 10, 20]
    assert arrays["rmse/model"].tolist() == list(found.metrics["rmse_m_s"]["model"].values())
    assert arrays["skill_damped_low"].tolist() == list(found.metrics["skill_vs_damped_low"].values())
    assert arrays["by_mlat/skill"].shape == (3, len(arrays["by_mlat/edges"]) - 1)
    assert arrays["map/skill"].shape == arrays["map/count"].shape
    assert int(arrays["map/lead"]) == 20  # the nearest to half an hour
    for k in range(3):
        assert arrays[f"example/{k}/forecast"].shape == (10, 2, *GRID_SHAPE)
        assert arrays[f"example/{k}/truth"].shape == (10, 2, *GRID_SHAPE)


GRID_SHAPE = (15, 24)


def test_the_forecasts_that_are_kept_are_the_models(found: Found, grid: GridFile) -> None:
    assert len(found.forecasts) == 3
    for t, forecast in found.forecasts.items():
        assert np.array_equal(forecast, Oracle(waves).forecast(grid, t))


def test_kept_forecasts_become_files(found: Found, grid: GridFile, tmp_path: Path) -> None:
    import xarray

    model = Oracle(waves)
    names = write_forecasts(tmp_path / "forecasts", grid, model, found.forecasts)
    assert names == sorted(path.name for path in (tmp_path / "forecasts").iterdir())
    t = min(found.forecasts)
    moment = np.datetime64(int(grid.times_s[t]), "s").astype("datetime64[m]").item()
    assert names[0] == f"{moment:%Y%m%dT%H%M}.nc"
    with xarray.open_dataset(tmp_path / "forecasts" / names[0], decode_times=False) as data:
        assert np.array_equal(data["drift_east"].values, found.forecasts[t][:, 1])
        assert data.attrs["model_md5"] == model.md5
        # Ten frames of history, in each of which four radars saw twelve cells.
        assert int(data["vectors_in_history"].sum()) == 10 * 48


def test_history_does_not_reach_over_missing_days() -> None:
    parts = [seen(waves, np.arange(700, 720)), seen(waves, np.arange(4), start_s=MIDNIGHT_S + 3 * 86_400)]
    grid = grid_of(Vectors.concatenate(parts), GRID)
    assert seen_before(grid, len(grid.times_s) - 1, 10).sum() == 4 * 48
    assert seen_before(grid, 15, 10).sum() == 10 * 48


def test_twice_the_same_is_the_same(found: Found, grid: GridFile) -> None:
    without = evaluate(grid, Oracle(waves), PARAMS, SETTINGS).metrics
    assert "rmse_truth_m_s" not in without
    assert without == {key: value for key, value in found.metrics.items() if key != "rmse_truth_m_s"}


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"seed": 5}, "rmse_m_s_low"), ({"bootstrap": 60}, "rmse_m_s_low"),
        ({"block_hours": 1.0}, "blocks"), ({"stride": 2}, "issues"),
        ({"storm_quantile": 0.1}, "storm_above_m_s"), ({"leads_minutes": (4,)}, "rmse_m_s"),
    ],
)  # fmt: skip
def test_every_parameter_changes_something(
    found: Found, grid: GridFile, changed: dict[str, object], key: str
) -> None:
    own = PARAMS.model_copy(update={"evaluate": PARAMS.evaluate.model_copy(update=changed)})
    assert evaluate(grid, Oracle(waves), own, SETTINGS).metrics[key] != found.metrics[key]


def test_headline_numbers_are_logged_by_flat_names(found: Found) -> None:
    flat = scalars(found.metrics)
    assert flat["rmse_m_s/model/10"] == found.metrics["rmse_m_s"]["model"]["10"]
    assert flat["skill_vs_damped_low/20"] == found.metrics["skill_vs_damped_low"]["20"]
    assert all(isinstance(value, float) for value in flat.values())
    assert "skill_vs_damped/2" not in scalars({"skill_vs_damped": {"2": None}, "rmse_m_s": {}})


def test_a_test_block_shorter_than_the_longest_lead_is_refused_in_a_sentence() -> None:
    short = a_grid(waves, frames=36)  # of which nine are test
    with pytest.raises(EarthSignalsError, match="no test block holds 20 minutes of forecast"):
        evaluate(short, Oracle(waves), PARAMS, SETTINGS)


@pytest.mark.parametrize("representation", ["equal-area", "square", "flat"])
def test_every_representation_is_judged(representation: str) -> None:
    """What the cells are makes no difference to persistence, which is the vectors' own."""
    params = GRID.model_copy(update={"representation": representation, "columns": 180, "size": 31})
    own = SuperdarnParams.model_validate(PARAMS.model_dump() | {"grid": params.model_dump()})
    grid, polar = a_grid(waves, params=params), a_grid(waves)
    metrics = evaluate(grid, Oracle(waves, params=params), own, SETTINGS).metrics
    expected = evaluate(polar, Oracle(waves), PARAMS, SETTINGS).metrics
    for name in NAMES:
        assert metrics["rmse_m_s"][name] == expected["rmse_m_s"][name]
    assert metrics["rmse_m_s"]["model"]["10"] < metrics["rmse_m_s"]["zero"]["10"]
