"""The figures show the drifts, vectors and numbers they were given, the same bytes each time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.quiver import Quiver
from PIL import Image

from earthsignals import figures as house
from earthsignals.publication.sections import superdarn as sections
from earthsignals.results import MissingData
from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn import figures
from earthsignals.superdarn.cells import cell_centre, cell_index, cells_above
from earthsignals.superdarn.figures import animation, equipotentials
from earthsignals.superdarn.figures.dial import (
    ARROW_DEG,
    Speeds,
    angle,
    arrows,
    averaged,
    direction,
    evenly,
    place,
)
from earthsignals.superdarn.figures.exploration import exploration, write_exploration
from earthsignals.superdarn.figures.inputs import METHODS
from earthsignals.superdarn.figures.reading import cells, over_cells, read_examples, read_weights
from earthsignals.superdarn.figures.timeline import show_hours
from tests.pictures import compared, lettered

from .pictured import AHEAD, LEADS, centres, made_arrays, made_inputs, made_metrics, potential_kv, two_cells


@pytest.fixture(scope="module")
def inputs():
    """Coarse cells: what is drawn is the same, and drawn sooner."""
    return made_inputs(rows=20, columns=72, examples=2, radars=5)


@pytest.fixture
def styled():
    with house.style():
        yield


# --- the dial ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mlt", "x", "y"),
    [(12, 0, 10), (0, 0, -10), (6, 10, 0), (18, -10, 0)],
    ids=["noon", "midnight", "dawn", "dusk"],
)
def test_noon_is_on_top_and_dawn_to_the_right(mlt, x, y):
    np.testing.assert_allclose(place(80.0, mlt), (x, y), atol=1e-12)
    np.testing.assert_allclose(place(-80.0, mlt), (x, y), atol=1e-12)


def test_the_angle_turns_once_in_a_day():
    assert angle(6.0) == 0
    assert angle(30.0) - angle(6.0) == pytest.approx(2 * np.pi)


def test_poleward_points_to_the_middle_and_east_to_later_local_time():
    """Checked against finite differences of the places themselves."""
    rng = np.random.default_rng(1)
    small = 1e-5
    for sign in (1, -1):
        mlat, mlt = sign * rng.uniform(55, 85, 20), rng.uniform(0, 24, 20)
        x, y = place(mlat, mlt)
        north = direction(mlat, mlt, np.ones(20), np.zeros(20))
        moved = place(mlat + small, mlt)
        np.testing.assert_allclose((moved[0] - x) / small, north[0], atol=1e-5)
        np.testing.assert_allclose((moved[1] - y) / small, north[1], atol=1e-5)
        east = direction(mlat, mlt, np.zeros(20), np.ones(20))
        later = place(mlat, mlt + small)
        length = np.hypot(later[0] - x, later[1] - y)
        np.testing.assert_allclose((later[0] - x) / length, east[0], atol=1e-5)
        np.testing.assert_allclose((later[1] - y) / length, east[1], atol=1e-5)


def test_flow_over_the_pole_points_away_from_the_sun(styled):
    """Two cells: antisunward over the polar cap (down on the dial), sunward at dawn and dusk below it."""
    mlat, mlt = np.array([88.0, 65.0, 65.0]), np.array([12.0, 6.0, 18.0])
    drift = two_cells(mlat, mlt)
    _, up = direction(mlat, mlt, *drift)
    assert up[0] < 0 < min(up[1], up[2])


def test_arrows_are_as_long_as_the_scale_says(styled):
    _, axes = house.columns(1)
    drawn = arrows(axes, np.array([70.0]), np.array([12.0]), np.array([[500.0], [0.0]]), Speeds(1000.0))
    assert isinstance(drawn, Quiver)
    assert np.hypot(drawn.U, drawn.V)[0] / drawn.scale == pytest.approx(ARROW_DEG / 2)
    np.testing.assert_allclose((drawn.U[0], drawn.V[0]), (0, -500), atol=1e-9)  # northward at noon: down


def test_cells_without_a_drift_have_no_arrow(styled):
    _, axes = house.columns(1)
    drift = np.array([[100.0, np.nan], [0.0, 1.0]])
    assert len(arrows(axes, np.full(2, 70.0), np.zeros(2), drift, Speeds(1000.0)).U) == 1


def test_arrows_stand_evenly_on_any_raster():
    for rows, columns in ((40, 180), (10, 36)):
        mlat, mlon = np.meshgrid(*centres(rows, columns), indexing="ij")
        chosen = evenly(mlat, mlon, 8.0)
        x, y = place(mlat.ravel()[chosen], mlon.ravel()[chosen] / 15)
        apart = np.hypot(x[:, None] - x, y[:, None] - y) + 99 * np.eye(len(x))
        assert 3 < np.median(apart.min(1)) < 10
        assert 50 < len(chosen) < 120  # a disc of 40° radius holds 78 cells of 8° × 8°


def test_a_uniform_flow_over_the_pole_keeps_its_mean():
    """North and east turn with longitude, the flow on the dial does not: 300 m/s downwards everywhere."""
    mlat, mlon = np.meshgrid(*centres(20, 72), indexing="ij")
    mlt = mlon.ravel() / 15
    turn = angle(mlt)
    drift = 300 * np.stack([np.sin(turn), -np.cos(turn)])  # poleward and east of (0, −1)
    np.testing.assert_allclose(direction(mlat.ravel(), mlt, *drift), [[0] * len(mlt), [-300] * len(mlt)],
                               atol=1e-9)  # fmt: skip
    chosen = evenly(mlat, mlon, 8.0)
    drift[:, 40:90] = np.nan  # what is unknown takes no part
    mean = averaged(mlat.ravel(), mlt, drift, chosen)
    np.testing.assert_allclose(
        direction(mlat.ravel()[chosen], mlt[chosen], *mean)[1], np.full(len(chosen), -300.0), atol=1e-9
    )


def test_cells_of_grid_files_are_shown_wherever_they_reach():
    """On a raster of 2° near the pole most raster cells hold no centre: they show the cell they lie in."""
    mlat, mlon = np.meshgrid(50.5 + np.arange(40), 1.0 + 2 * np.arange(180), indexing="ij")
    index = cell_index(mlat, mlon)
    sparse = np.full(mlat.shape, np.nan)
    row, column = np.floor(cell_centre(cells_above(50))[0] - 50), cell_centre(cells_above(50))[1] // 2
    sparse[row.astype(int), column.astype(int)] = cells_above(50)
    shown = over_cells(mlat, mlon, sparse)
    assert np.isfinite(shown).all()
    # Two cells of a wide band can share a raster cell, which then shows one of these neighbours.
    assert (shown[20:] == index[20:]).all()
    assert np.abs(shown - index).max() <= 1


def test_speeds_are_coloured_up_to_a_round_number():
    assert Speeds.of(np.array([0.0, 730.0]), share=100).top == 800
    assert Speeds.of(np.array([np.nan])).top == 100  # nothing known
    assert Speeds.of().top == 100


# --- equipotentials ----------------------------------------------------------------------------


def test_the_potential_comes_back_from_its_drift():
    """Within 2 % of its span: half a cell of discretisation; the stand-in is zero on the rim within 1e-3."""
    mlat, mlon = centres(40, 180)
    true = potential_kv(mlat[:, None], mlon / 15)
    found = equipotentials.potential_kv(mlat, two_cells(mlat[:, None], np.broadcast_to(mlon / 15, (40, 180))))
    assert np.abs(found - true).max() < 0.02 * np.ptp(true)


def test_the_mirror_image_in_the_south_has_the_same_potential():
    """As much towards the pole and as much east, B along the same axis of the Earth: dawn is positive."""
    mlat, mlon = centres(20, 72)
    drift = two_cells(mlat[:, None], np.broadcast_to(mlon / 15, (20, 72)))
    north = equipotentials.potential_kv(mlat, drift)
    south = equipotentials.potential_kv(-mlat, np.stack([-drift[0], drift[1]]))
    np.testing.assert_allclose(south, north, atol=1e-6)


def test_unknown_drift_leaves_the_potential_unknown_there_alone():
    mlat, mlon = centres(20, 72)
    drift = two_cells(mlat[:, None], np.broadcast_to(mlon / 15, (20, 72)))
    drift[:, 5:8, 10:20] = np.nan
    found = equipotentials.potential_kv(mlat, drift)
    assert np.isnan(found).sum() == 30 and np.isnan(found[5:8, 10:20]).all()


def test_the_dipole_is_twice_as_strong_at_the_pole():
    assert equipotentials.field_tesla(90.0) == pytest.approx(2 * equipotentials.field_tesla(0.0))


# --- what is read ------------------------------------------------------------------------------


def test_examples_hold_what_was_seen_at_each_lead(inputs):
    example = inputs.examples[0]
    assert example.regular and set(example.seen) == {0, *AHEAD.tolist()}
    arrays, seen = inputs.arrays, example.seen[30]
    chosen = arrays["example/0/observed/lead"] == 30
    np.testing.assert_array_equal(seen.velocity, arrays["example/0/observed/velocity"][chosen])
    np.testing.assert_array_equal(example.truth[30].shape, arrays["example/0/truth"][14].shape)


def test_predicted_is_the_drift_along_the_line_of_sight(inputs):
    """A constant drift of (3, 4) m/s: 3 cos k + 4 sin k at every vector."""
    example = inputs.examples[0]
    constant = np.broadcast_to(np.array([3.0, 4.0])[None, :, None, None], example.forecast.shape)
    predicted = replace(example, forecast=constant).predicted(10)
    azimuth = np.deg2rad(example.seen[10].kvect)
    np.testing.assert_allclose(predicted, 3 * np.cos(azimuth) + 4 * np.sin(azimuth))


def test_predicted_takes_the_nearest_cell(inputs):
    example = inputs.examples[0]
    marked = np.zeros(example.forecast.shape)
    marked[:, 0, 12, 30] = 1
    own = replace(example.seen[10], mlat=example.mlat[12:14, 30] - 0.3, mlon=example.mlon[12:14, 30] + 360,
                  kvect=np.zeros(2), velocity=np.ones(2))  # fmt: skip
    np.testing.assert_allclose(replace(example, forecast=marked, seen={10: own}).predicted(10), [1, 0])


def test_local_time_goes_on_with_the_lead(inputs):
    example = inputs.examples[0]
    assert example.mlt(np.array([0.0]))[0] == pytest.approx(example.mlt_zero)
    assert example.mlt(np.array([15.0]), 60)[0] == pytest.approx((example.mlt_zero + 2) % 24)
    assert example.moment(60)[11:16] == "13:00"


def test_an_example_that_is_not_whole_is_named():
    arrays = made_arrays(examples=1, rows=4, columns=8)
    del arrays["example/0/observed/kvect"]
    with pytest.raises(EarthSignalsError, match=r"evaluation.h5: `example/0` lacks `observed/kvect`"):
        read_examples(arrays, Path("evaluation.h5"))


def test_cells_that_go_round_the_pole_are_told_from_others():
    mlat, mlon = centres(4, 36)
    full, _, regular = cells(mlat, mlon, 4, 36)
    assert regular and full.shape == (4, 36)
    both = np.meshgrid(mlat, mlon, indexing="ij")
    assert cells(*both, 4, 36)[2]
    assert not cells(both[0], both[1] + np.arange(4)[:, None], 4, 36)[2]  # rows turned
    assert not cells(both[0] + 0.1 * np.arange(36), both[1], 4, 36)[2]  # latitude changes along a row
    assert not cells(np.linspace(50, 89, 36)[None], mlon[None], 1, 36)[2]  # a flat list


def test_weights_are_those_of_the_checkpoint():
    """Fields turned back by the Earth's rotation count with those that stay."""
    import torch

    from earthsignals.superdarn.params import StateParams

    class Start:
        damping = torch.tensor([[0.1, 0.9]])
        fixed = torch.arange(12.0).reshape(1, 2, 6) / 10
        turned = torch.tensor([[[1.0], [2.0]]])
        turning = (4,)
        carry = torch.tensor([[0.5, 0.25]])

    class Model:
        state = StateParams(memories_minutes=(0.0, 10.0), widths_cells=(0.0, 1.0))
        leads_minutes = (2,)
        forecaster = type("Forecaster", (), {"start": Start})

    found = read_weights(Model)
    np.testing.assert_allclose(found.last, [[0.1 + 0.0, 0.9 + 0.6]])
    np.testing.assert_allclose(found.carry, [[0.5, 0.25]])
    np.testing.assert_allclose(found.spread[0, 0], [[0.1, 0.2], [0.3, 0.4 + 1]], rtol=1e-6)
    np.testing.assert_allclose(found.spread[0, 1], [[0.7, 0.8], [0.9, 1.0 + 2]], rtol=1e-6)
    np.testing.assert_allclose(found.across[0, :, 1, 1], [0.5, 1.1], rtol=1e-6)
    assert np.isnan(found.across).sum() == 6  # the last frame alone, and cells by themselves


# --- what is drawn -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", figures.FIGURES)
def test_every_figure_is_drawn(inputs, styled, name):
    figure = figures.FIGURES[name](inputs)
    assert figure.get_figwidth() in (house.COLUMN_WIDTH, house.PAGE_WIDTH)
    lettered(figure)
    assert figure.get_figheight() < 10  # fits on a page


def test_figures_are_the_same_bytes_each_time(inputs, tmp_path, monkeypatch):
    few = {name: figures.FIGURES[name] for name in ("examples", "regions")}
    monkeypatch.setattr(figures, "FIGURES", few)
    monkeypatch.setattr(animation, "MOST_FRAMES", 2)
    one = replace(inputs, examples=inputs.examples[:1])
    for run in ("one", "two"):
        again = made_inputs(rows=20, columns=72, examples=2, radars=5)
        again = replace(again, examples=again.examples[:1])
        assert figures.draw_all(one if run == "one" else again, tmp_path / run) == {}
    names = {f"{name}.{kind}" for name in few for kind in ("png", "pdf")} | {figures.ANIMATION}
    for run in ("one", "two"):
        assert {path.name for path in (tmp_path / run).iterdir()} == names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    with Image.open(tmp_path / "one" / figures.ANIMATION) as film:
        assert film.n_frames == 2 and film.info["loop"] == 0
        assert film.convert("RGB").getpixel((1, 1)) == (255, 255, 255)
        film.seek(film.n_frames - 1)
        assert film.info["duration"] == animation.LAST_MS  # the last one stays for a while


def test_what_is_not_there_is_left_out_with_its_reason(tmp_path):
    left_out = figures.draw_all(figures.Inputs(), tmp_path)
    assert set(left_out) == {*figures.FIGURES, figures.ANIMATION}
    assert all(left_out.values())
    assert not list(tmp_path.iterdir())


def test_real_days_have_no_truth_to_draw(inputs, styled):
    unknown = [replace(example, truth={30: np.full((2, 20, 72), np.nan)}) for example in inputs.examples]
    with pytest.raises(MissingData, match="simulated"):
        figures.FIGURES["convection"](replace(inputs, examples=tuple(unknown)))


def test_the_truth_is_drawn_at_the_nearest_lead_where_it_is_known(inputs, styled):
    partly = [replace(e, truth={10: e.truth[10], 40: e.truth[40]}) for e in inputs.examples[:1]]
    figure = figures.FIGURES["convection"](replace(inputs, examples=tuple(partly)))
    assert any("+40 min" in text.get_text() for text in figure.axes[0].texts)


def test_maps_tell_the_rmse_of_what_they_show(inputs, styled):
    figure = figures.FIGURES["forecast"](inputs)
    example = inputs.examples[1]  # the middle one
    for row, lead in enumerate((10, 30, 60)):
        error = example.predicted(lead) - example.seen[lead].velocity
        texts = [text.get_text() for text in figure.axes[3 * row + 2].texts]
        assert f"RMSE {np.sqrt(np.mean(error**2)):.0f} m/s" in texts
        assert f"{len(error):,} vectors" in [text.get_text() for text in figure.axes[3 * row].texts]


def test_a_frame_in_which_nothing_was_seen_is_drawn_empty(inputs, styled):
    example = inputs.examples[0]
    nothing = replace(example.seen[30], **{n: np.zeros(0) for n in ("mlat", "mlon", "kvect", "velocity")})
    bare = replace(example, seen=example.seen | {30: nothing})
    figure = figures.FIGURES["examples"](replace(inputs, examples=(bare,)))
    assert "nothing seen" in [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("shape", ["square", "flat", "south"])
def test_other_representations_are_drawn(inputs, styled, shape):
    """A square over the pole with corners that are no cells, a list of cells, and the southern hemisphere."""
    example = inputs.examples[0]
    if shape == "south":
        example = replace(example, mlat=-example.mlat)
    elif shape == "flat":
        flat = [a.reshape(1, -1) for a in (example.mlat, example.mlon)]
        example = replace(example, mlat=flat[0], mlon=flat[1], regular=False, truth={
            lead: drift.reshape(2, 1, -1) for lead, drift in example.truth.items()
        }, forecast=example.forecast.reshape(len(AHEAD), 2, 1, -1))  # fmt: skip
    else:
        mlat = example.mlat.copy()
        mlat[0, :5] = np.nan
        example = replace(example, mlat=mlat, regular=False)
    one = replace(inputs, examples=(example,))
    for name in ("forecast", "convection"):
        assert figures.FIGURES[name](one).axes[1].collections


def test_skill_is_drawn_with_its_values_and_intervals(inputs, styled):
    left, right = figures.FIGURES["skill"](inputs).axes
    lines = {line.get_label(): line.get_xydata() for line in left.get_lines()}
    assert set(lines) == set(METHODS.values())
    np.testing.assert_allclose(lines["network"], np.stack([LEADS, inputs.arrays["rmse/model"]], 1))
    assert left.get_ylim()[0] == 0  # errors are compared from zero on
    skill = {line.get_label(): line.get_ydata() for line in right.get_lines()}
    np.testing.assert_allclose(skill["over damped persistence"], inputs.arrays["skill_damped"])
    band = right.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(inputs.arrays["skill_damped_low"].min())
    assert band.max() == pytest.approx(inputs.arrays["skill_damped_high"].max())


def test_regions_that_few_vectors_were_seen_in_stay_empty(inputs, styled):
    arrays = inputs.arrays | {"map/count": np.zeros((8, 24))}
    arrays["map/count"][3, 4] = 1000
    dial = figures.FIGURES["regions"](replace(inputs, arrays=arrays)).axes[2]
    drawn = [patch for patch in dial.patches if type(patch).__name__ == "Polygon"]
    assert len(drawn) == 1
    reach = np.hypot(*drawn[0].get_xy().T)  # the band from 65° to 70°
    assert reach.min() == pytest.approx(20) and reach.max() == pytest.approx(25)


def test_hours_become_days_where_there_are_too_many(styled):
    _, axes = house.columns(1)
    count = np.ones((2, 24 * 365 + 5), int)
    image, stretch = show_hours(axes, count, 0.0, ["gbr", "kap"])
    assert stretch == "day" and image.get_array().shape == (2, 366)
    assert image.get_array().sum() == count.sum()  # nothing is lost
    assert image.get_array()[0, -1] == 5


def test_coverage_names_radars_and_tells_the_mean_share(inputs, styled):
    figure = figures.FIGURES["coverage"](inputs)
    names = [label.get_text() for label in figure.axes[2].get_yticklabels()]
    assert names == ["gbr", "2", "kap", "4", "sas"]
    label = next(axes.get_xlabel() for axes in figure.axes if "mean" in axes.get_xlabel())
    # Of the area, on a raster coarser than the cells: within a tenth of the weighted mean of its own cells.
    weight = np.cos(np.deg2rad(inputs.arrays["coverage/mlat"]))
    share = 100 * np.average(inputs.arrays["coverage/share"], weights=weight)
    assert float(label.split("mean ")[1].split(" ")[0]) == pytest.approx(share, rel=0.1)


def test_an_exploration_is_drawn_with_gaps_and_faults(styled, tmp_path):
    from earthsignals.superdarn.records.explore import Exploration, FileFound, Gap

    files = tuple(
        FileFound(f"{n}.grid", "grid" if n else "fitacf", 3, (1,), {}, {}, ("cut short",) if n == 1 else ())
        for n in range(4)
    )
    hours = 1_425_168_000.0 + 3600 * np.arange(24)
    count = np.full((2, 24), 30)
    found = Exploration(
        "folder", files, np.array([1, 9999]), hours, count, (Gap(9999, hours[3], hours[7]),)
    )
    timeline, bars, *_ = exploration(found).axes
    assert timeline.get_title() == "1 gaps of more than 10 minutes"
    assert [label.get_text() for label in timeline.get_yticklabels()][1] == "9999"  # in no table: its number
    np.testing.assert_allclose(timeline.get_lines()[0].get_xydata(), [[3, 1], [7, 1]])
    assert [label.get_text() for label in bars.get_yticklabels()] == ["fitacf", "grid"]
    assert sorted(bar.get_width() for bar in bars.patches) == [0, 1, 1, 2]
    nothing = replace(found, stid=np.zeros(0, int), hours_s=np.zeros(0), count=np.zeros((0, 0), int), gaps=())
    with pytest.raises(MissingData, match="no file holds a record"):
        write_exploration(nothing, tmp_path / "exploration")


# --- README ------------------------------------------------------------------------------------


def test_the_readme_holds_skill_and_rmse_by_lead():
    text = sections.results(made_metrics())
    lines = text.splitlines()
    assert "| | 2 min | 10 min | 30 min | 60 min |" in text.replace("|  |", "| |")
    row = next(line for line in lines if line.startswith("| **network**"))
    assert "**88** (84–92)" in row
    skill = next(line for line in lines if "**skill over damped persistence**" in line)
    assert "0.20 (0.15 to 0.25)" in skill and "−0.02 (−0.05 to 0.01)" in skill
    assert "22 radars see 8.4 % of the cells" in text
    assert "0.30 (0.25 to 0.35) in quiet hours and 0.10 in storm hours" in text


def test_the_readme_tells_where_a_real_day_is_above_damped_persistence():
    found = made_metrics() | {
        "days": [{"day": "2015-03-01", "hemisphere": "north", "radars": 22, "grid_vectors": 390_000}],
        "ingest": {"files": 22, "refused": {}},
    }
    text = sections.real(found)
    assert "2015-03-01, north: 22 radars, 390,000 vectors; 22 files read, 0 refused" in text
    assert "above damped persistence at 10, 30 and 60 minutes" in text
    assert "not to be told from damped persistence at 2 minutes" in text


def test_what_was_not_judged_is_a_dash():
    metrics = made_metrics()
    metrics["skill_vs_damped"]["30"] = None
    metrics["rmse_m_s"]["model"]["30"] = None
    assert sections.results(metrics).count("–") >= 2
    assert "potential" in sections.potential({"speedup_vs_pydarn": 412.0, "max_rel_error": 3e-6}).lower()


@compared
def test_picture_of_a_forecast(inputs):
    return lettered(figures.FIGURES["forecast"](inputs))


@compared
def test_picture_of_the_skill(inputs):
    return lettered(figures.FIGURES["skill"](inputs))
