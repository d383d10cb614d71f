"""The linear start against worlds whose best linear forecast is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.own_views import own_views, seen_again
from earthsignals.superdarn.params import StateParams
from earthsignals.superdarn.start import LinearStart, NormalEquations
from earthsignals.superdarn.state import Analysis, sums
from tests.superdarn.worlds import world

LEADS = 15
STATE = StateParams(
    history_minutes=20, memories_minutes=(0.0, 10.0), widths_cells=(0.0, 2.0), shrinkage=1e-4
)


def _fitted(grid, issues=None, state=STATE, leads=LEADS):
    analysis = Analysis(state, grid.layout, 2)
    start = LinearStart(analysis, leads, grid.layout.shape, 2)
    equations = NormalEquations(start, analysis)
    equations.add(grid, grid.issues(0, 10, leads, 3) if issues is None else issues)
    return start, analysis, equations.solve(grid, state.shrinkage)


def _forecast(start, analysis, grid, issue):
    known = analysis(torch.from_numpy(sums(grid, issue + 1 - analysis.history, issue))[None])
    roll = torch.tensor([grid.layout.roll_of(float(grid.mlt_zero[issue]))])
    return start(known, roll)[0].numpy()


def _seen(grid, frame, drift):
    seen = grid.vectors(frame)
    k = np.deg2rad(seen.kvect)
    return drift[0][seen.row, seen.column] * np.cos(k) + drift[1][seen.row, seen.column] * np.sin(k)


def _miss(grid, start, analysis, issue, lead):
    """Forecast, own views and all, less observation: along the lines of sight `lead` frames after `issue`."""
    drift = _forecast(start, analysis, grid, issue)[lead - 1]
    again = seen_again(grid, issue, lead)[:, -len(grid.vectors(issue + lead).velocity) :]
    own = start.carry[lead - 1].numpy() @ again
    return _seen(grid, issue + lead, drift) + own - grid.vectors(issue + lead).velocity


def steady(mlat, mlon, mlt, minutes):
    """A field that turns with the Earth and never changes."""
    return 300 * np.cos(np.deg2rad(2 * mlon)), 200 * np.sin(np.deg2rad(3 * mlon))


def sun_fixed(mlat, mlon, mlt, minutes):
    """A field that stands still in local time: two cells, seen over a turning Earth."""
    return 400 * np.cos(mlt * np.pi / 12), 400 * np.sin(mlt * np.pi / 6)


def test_what_never_changes_is_forecast_exactly():
    grid = world(steady, 60)
    start, analysis, error = _fitted(grid)
    assert start.damping[:, 1].numpy() == pytest.approx(1, abs=2e-3)
    assert np.sqrt(error).max() < 1
    assert np.abs(_miss(grid, start, analysis, 40, 10)).max() < 15


def test_damping_is_what_noise_asks_for():
    # A constant plus noise of the same variance: of the last frame alone, half is worth keeping.
    grid = world(steady, 90, noise=180.0)
    power = np.mean(grid.velocity.astype(float) ** 2)
    start, analysis, error = _fitted(grid)
    expected = (power - 180.0**2) / power
    assert start.damping[:, 1].numpy() == pytest.approx(expected, abs=0.03)
    # The past averages the noise: the start must be better than damped persistence, whose error is known.
    assert error.mean() == pytest.approx(power - (power - 180.0**2) * expected, rel=0.05)
    squares = [np.mean(_miss(grid, start, analysis, t, 5) ** 2) for t in range(40, 80, 10)]
    assert np.mean(squares) < 0.85 * error[4]


def test_convection_that_stands_still_in_local_time_is_turned_back():
    grid = world(sun_fixed, 70, radars=2)
    start, analysis, error = _fitted(grid)
    miss = _miss(grid, start, analysis, 45, LEADS)
    # In 30 minutes the Earth turns by 7.5 degrees, which costs persistence sin(7.5°) and more of the field.
    assert np.sqrt(np.mean(miss**2)) < 0.6 * np.sqrt(error[LEADS - 1])


def test_cells_never_seen_have_coefficients_of_their_own():
    grid = world(steady, 60, share=0.4)
    start, analysis, _ = _fitted(grid)
    assert not start.damping[:, 0].any()  # where nothing was seen there is nothing to damp
    assert start.fixed[:, 1, 0].abs().max() < 1e4
    assert np.isfinite(_forecast(start, analysis, grid, 40)).all()


def test_own_views_are_what_other_radars_do_not_explain():
    alone = world(steady, 3)
    velocity, beyond = own_views(alone, 1)
    np.testing.assert_array_equal(velocity, alone.vectors(1).velocity)
    assert np.abs(beyond).max() < 2e-3 * velocity.max()  # one vector is its cell's drift
    many = world(steady, 3, radars=3, noise=100.0)
    assert np.abs(own_views(many, 1)[1]).max() > 30  # three cannot all be one drift


def test_own_views_follow_radar_cell_and_sign():
    grid = world(steady, 12, radars=2, share=0.5)
    again = seen_again(grid, 2, 5)[0]
    span = grid.span(3, 7)
    then, now = grid.persistence_pairs(2, 5)
    k = np.deg2rad(grid.kvect)
    expected = grid.velocity[now] * np.cos(k[then] - k[now])
    np.testing.assert_allclose(again[then - span.start], expected, atol=1e-2)


def test_no_vectors_after_any_issue_is_a_sentence():
    grid = world(steady, 60)
    with pytest.raises(EarthSignalsError, match="no vectors follow"):
        _fitted(grid, issues=np.zeros(0, np.int64))
