"""The climatology: found from lines of sight, shown without one's own day, turned to the time of issue."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earthsignals.superdarn.climatology import block_sums, mean_drift, standing
from earthsignals.superdarn.params import GridParams, StateParams
from earthsignals.superdarn.start import LinearStart, NormalEquations
from earthsignals.superdarn.state import Analysis
from tests.superdarn.worlds import SMALL, world


def sun_fixed(mlat, mlon, mlt, minutes):
    """Two cells that stand still in local time."""
    return 400 * np.cos(mlt * np.pi / 12), 300 * np.sin(mlt * np.pi / 12)


@pytest.fixture(scope="module")
def grid():
    """720 frames, in each of which two radars see all cells; four blocks."""
    made = world(sun_fixed, 720, radars=2, share=0.4)
    made.block[:] = np.arange(len(made)) // 180
    return made


def test_the_mean_is_what_stands_in_local_time(grid) -> None:
    mean = mean_drift(grid, list(block_sums(grid, np.arange(len(grid))).values())).numpy()
    columns = grid.layout.shape[1]
    hours = (np.arange(columns) + 0.5) * 24 / columns
    rows = slice(1, 5)  # away from the first row and the pole
    north, east = sun_fixed(0.0, 0.0, hours, 0.0)
    # "No drift" weighs something, and smoothing takes some per cent of a wave of one turn.
    assert np.abs(mean[0, rows] - north).mean() < 0.1 * 400
    assert np.abs(mean[1, rows] - east).mean() < 0.1 * 400


def test_block_sums_add_up_to_all_vectors(grid) -> None:
    blocks = block_sums(grid, np.arange(len(grid)))
    assert sorted(blocks) == [0, 1, 2, 3]
    total = sum(blocks.values())
    assert total[2].sum() + total[4].sum() == pytest.approx(len(grid.velocity))  # cos² + sin² of each


def test_it_is_turned_to_the_time_of_issue(grid) -> None:
    mean = torch.randn(2, *grid.layout.shape)
    remembered = torch.zeros(2, 3, 5, *grid.layout.shape)
    found = standing(mean, remembered, torch.tensor([0, 17]))
    np.testing.assert_array_equal(found[0, 0], mean)
    np.testing.assert_array_equal(found[1, 0].numpy(), np.roll(mean.numpy(), -17, axis=-1))
    # Without vectors its strength is that of other days.
    torch.testing.assert_close(found[:, 1:], found[:, :1].expand(-1, 3, -1, -1, -1))


@pytest.mark.parametrize("strength", [0.5, 1.0, 2.0])
def test_its_strength_is_what_vectors_say(strength: float) -> None:
    """Many vectors along any azimuth of the pattern, times a factor, give that factor."""
    mean = 200 * torch.randn(2, 12, 96)
    angle = 2 * torch.pi * torch.rand(12, 96)
    cosine, sine = angle.cos(), angle.sin()
    velocity = strength * (mean[0] * cosine + mean[1] * sine)
    equations = torch.stack([velocity * cosine, velocity * sine, cosine**2, cosine * sine, sine**2])
    found = standing(mean, equations[None, None], torch.tensor([0]))
    torch.testing.assert_close(found[0, 1], strength * mean, rtol=0.02, atol=1.0)


def _equations(grid, prior=None):
    state = StateParams(history_minutes=10, memories_minutes=(0.0, 10.0), widths_cells=(0.0, 2.0))
    analysis = Analysis(state, grid.layout, 2)
    return NormalEquations(LinearStart(analysis, 5, grid.layout.shape, 2), analysis, prior)


def test_a_day_is_shown_the_mean_of_the_others(grid) -> None:
    """What a block holds changes what others are shown, and not what it is shown itself."""
    equations = _equations(grid)
    equations.blocks = block_sums(grid, np.arange(len(grid)))
    before = {block: equations._climatology(grid, frozenset([block])) for block in range(4)}
    equations.blocks[2] = equations.blocks[2] * np.array([3, 3, 1, 1, 1]).reshape(5, 1, 1)
    after = {block: equations._climatology(grid, frozenset([block])) for block in range(4)}
    assert torch.equal(before[2], after[2])
    assert all(not torch.equal(before[block], after[block]) for block in (0, 1, 3))


def test_a_single_day_has_no_climatology_but_the_one_it_is_given() -> None:
    alone = world(sun_fixed, 40)
    issues = alone.issues(0, 5, 5, 4)
    equations = _equations(alone)
    equations.add(alone, issues)
    equations.solve(alone, 0.01)
    assert not equations.start.climatology.any()
    prior = torch.ones(2, *alone.layout.shape)
    given = _equations(alone, prior)
    given.add(alone, issues)
    given.solve(alone, 0.01)
    assert torch.equal(given.start.climatology, prior)


def test_frames_of_another_split_do_not_join(grid) -> None:
    """Splits may cut a block (half a day to learn from): what is judged stays out."""
    grid.split[90:180] = 2
    try:
        equations = _equations(grid)
        equations.add(grid, np.array([20, 40]))
        learnt = equations.blocks[0][2].sum() + equations.blocks[0][4].sum()
        assert learnt == pytest.approx(int(grid.offsets[90]))
    finally:
        grid.split[:] = 0


def test_it_counts_where_velocities_are_noisy() -> None:
    """With errors as large as the drift itself, other days know more than the last frames."""
    noisy = world(sun_fixed, 240, share=0.3, noise=300.0)
    noisy.block[:] = np.arange(240) // 60
    equations = _equations(noisy)
    equations.add(noisy, np.arange(5, 230, 10))
    equations.solve(noisy, 0.01)
    assert 0.3 < float(equations.start.turned[-1, 1, -2:].sum()) < 1.3


def test_layouts_that_cannot_turn_have_none() -> None:
    square = world(sun_fixed, 6, params=GridParams(representation="square", latitude_min=75.0, size=24))
    assert block_sums(square, np.arange(6)) == {}
    assert not mean_drift(square, []).any()
    assert SMALL.representation == "polar"
