"""Fields of drift from lines of sight: normal equations, memory, width."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earthsignals.superdarn.layout import layout_of
from earthsignals.superdarn.params import GridParams, StateParams
from earthsignals.superdarn.state import LAST_RIDGE, Analysis, solve, sums
from tests.superdarn.worlds import SMALL, world

STATE = StateParams(history_minutes=20, memories_minutes=(0.0, 10.0), widths_cells=(0.0, 2.0))


def uniform(mlat, mlon, mlt, minutes):
    """120 m/s northward, -300 m/s eastward, everywhere and always."""
    return np.full_like(mlat, 120.0), np.full_like(mlat, -300.0)


def test_sums_are_those_of_a_loop():
    grid = world(uniform, 3, radars=2, share=0.4)
    got = sums(grid, 0, 2)
    expected = np.zeros_like(got, dtype=np.float64)
    for i in range(len(grid.frame)):
        k = np.deg2rad(float(grid.kvect[i]))
        c, s, v = np.cos(k), np.sin(k), float(grid.velocity[i])
        expected[grid.frame[i], :, grid.row[i], grid.column[i]] += (v * c, v * s, c * c, c * s, s * s)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-3)


def test_sums_before_the_grid_are_empty():
    grid = world(uniform, 3)
    assert not sums(grid, -2, 0)[:2].any()
    np.testing.assert_array_equal(sums(grid, -2, 0)[2], sums(grid, 0, 0)[0])


def test_a_gap_of_hours_is_no_past():
    early = world(uniform, 2)
    late = world(uniform, 80)
    grid = late
    grid.segment[40:] += 1  # as if hours were missing between the frames 39 and 40
    past = sums(grid, 35, 42)
    assert not past[:5].any()
    assert past[5:].any(axis=(1, 2, 3)).all()
    assert len(early) == 2


def test_one_line_of_sight_gives_its_component_and_nothing_across():
    k, v = np.deg2rad(30.0), 400.0
    c, s = np.cos(k), np.sin(k)
    equations = torch.tensor([v * c, v * s, c * c, c * s, s * s]).reshape(5, 1, 1)
    drift = solve(equations, 0.25)[:, 0, 0].numpy()
    assert drift @ (c, s) == pytest.approx(v / 1.25)  # no drift weighs a quarter of an observation
    assert drift @ (-s, c) == pytest.approx(0, abs=1e-3)


def test_two_lines_of_sight_give_the_whole_drift():
    grid = world(uniform, 1, radars=2)
    north, east = solve(torch.from_numpy(sums(grid, 0, 0)), 1e-6)[0].numpy()
    crossing = np.abs(np.linalg.det(_matrices(grid))) > 0.3  # where the two azimuths differ
    assert crossing.sum() > 20
    row, column = np.nonzero(_counts(grid) == 2)
    np.testing.assert_allclose(north[row, column][crossing], 120, atol=1)
    np.testing.assert_allclose(east[row, column][crossing], -300, atol=1)


def _counts(grid):
    counts = np.zeros(grid.layout.shape, int)
    np.add.at(counts, (grid.row, grid.column), 1)
    return counts


def _matrices(grid):
    equations = sums(grid, 0, 0)[0].astype(np.float64)
    row, column = np.nonzero(_counts(grid) == 2)
    nn, ne, ee = equations[2:, row, column]
    return np.stack([np.stack([nn, ne], -1), np.stack([ne, ee], -1)], -2)


def test_uniform_drift_is_found_from_any_azimuths():
    # Neighbours' lines of sight cross, so a smooth field knows both components, its own line but one.
    grid = world(uniform, 10, share=0.6)
    fields, density = _analyse(grid, 9, STATE)
    smooth = 1 + STATE_PAIRS.index((10.0, 2.0))
    inner = density[smooth] > 0.5 * density[smooth].max()
    np.testing.assert_allclose(fields[smooth, 0][inner], 120, atol=8)
    np.testing.assert_allclose(fields[smooth, 1][inner], -300, atol=15)


STATE_PAIRS = [(m, w) for m in STATE.memories_minutes for w in STATE.widths_cells]


def _analyse(grid, issue, state, layout=None):
    analysis = Analysis(state, layout or grid.layout, grid.params.cadence_minutes)
    history = torch.from_numpy(sums(grid, issue + 1 - analysis.history, issue))[None]
    known = analysis(history)
    return known.fields[0].numpy(), known.count[0].numpy()


def test_an_observation_loses_weight_with_the_memory():
    analysis = Analysis(STATE, layout_of(SMALL), 2)
    history = torch.zeros(1, analysis.history, 5, *analysis_shape())
    history[0, -6, 2] = 1.0  # ten minutes ago
    density = analysis(history).count
    field = 1 + STATE_PAIRS.index((10.0, 0.0))
    np.testing.assert_allclose(density[0, field].numpy(), np.exp(-1), rtol=1e-5)
    assert not density[0, 0].any()  # nothing in the last frame


def analysis_shape():
    return layout_of(SMALL).shape


def test_turning_the_circle_turns_the_fields():
    grid = world(uniform, 4, share=0.3)
    analysis = Analysis(STATE, grid.layout, 2)
    history = torch.from_numpy(sums(grid, -6, 3))[None]
    fields = analysis(history).fields
    turned = analysis(history.roll(17, -1)).fields
    np.testing.assert_allclose(turned.numpy(), fields.roll(17, -1).numpy(), atol=0.05)


def test_what_lies_across_the_last_line_of_sight():
    # The smooth field's component across; along it, nothing is left.
    grid = world(uniform, 4, share=0.5)
    fields, density = _analyse(grid, 3, STATE)
    across, seen = fields[-1], grid.vectors(3)
    k = np.deg2rad(seen.kvect)
    along = across[0][seen.row, seen.column] * np.cos(k) + across[1][seen.row, seen.column] * np.sin(k)
    smooth = fields[1 + STATE_PAIRS.index((10.0, 2.0))]
    size = np.hypot(*smooth)[seen.row, seen.column]
    assert np.abs(along).max() < 3 * LAST_RIDGE * size.max()
    unseen = density[0] == 0
    np.testing.assert_array_equal(across[:, unseen], smooth[:, unseen])


@pytest.mark.parametrize("representation", ["polar", "equal-area", "square", "flat"])
def test_every_representation_has_fields(representation):
    params = GridParams(representation=representation, latitude_min=75.0, columns=96, size=24)
    grid = world(uniform, 3, params=params)
    fields, density = _analyse(grid, 2, STATE)
    assert fields.shape[2:] == grid.layout.shape
    assert np.isfinite(fields).all()
    assert density[0].sum() == pytest.approx(len(grid.vectors(2).velocity), rel=1e-4)


def test_no_weight_is_negative_however_coarse_the_grid():
    params = GridParams(latitude_min=50.0, latitude_step=4.0, columns=24)
    grid = world(uniform, 2, share=0.02, params=params)
    state = StateParams(history_minutes=4, memories_minutes=(0.0, 10.0), widths_cells=(0.0, 0.3, 1.0))
    fields, density = _analyse(grid, 1, state)
    assert np.isfinite(fields).all() and (density >= 0).all()
    # What is spread is neither lost nor made, but for what leaves beyond the first and last row.
    narrow, wide = (1 + state.widths_cells.index(width) for width in (0.3, 1.0))
    seen = len(grid.vectors(1).velocity)
    assert density[0].sum() == pytest.approx(seen, rel=1e-5)
    assert 0.6 * seen < density[wide].sum() < density[narrow].sum() * 1.01 < 1.4 * seen
