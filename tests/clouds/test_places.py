"""Where tiles lie: distances, directions, other scenes, gaps, and what happens where there is no room."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pytest
from scipy import stats

from earthsignals.clouds.imagery.plane import Plane
from earthsignals.clouds.params import TripletsParams
from earthsignals.clouds.tiles import places as module
from earthsignals.clouds.tiles.places import (
    GIVEN_UP,
    MISSING,
    NEAR,
    NEAR_KEPT,
    NO_PLACE,
    OUTSIDE,
    TOO_SMALL,
    Ground,
    Places,
    distance_km,
    draw_offset,
    place_triplets,
    survey,
)
from earthsignals.clouds.tiles.tilefile import TripletsError
from earthsignals.compute.seeds import Stream
from tests.clouds.small_scenes import TILE_PX, make_scene, with_gaps

SPREAD = TripletsParams()
SCALING = TripletsParams(neighbour_rule="scaling")
START = dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)


def ground(number: int, size: int = 512, hours: float | None = None) -> Ground:
    """All of a scene of `size` pixels, a day after the last, or `hours` after START; tiles of 128 pixels."""
    plane = Plane.around(20.0, -40.0, 200 / 128, (size, size))
    time = START + dt.timedelta(hours=24 * number if hours is None else hours)
    return Ground(f"scene-{number}", time, plane, 128, size - 127, size - 127, np.array([0]))


def placed(grounds: list[Ground], asked: int = 3000, params: TripletsParams = SPREAD) -> Places:
    return place_triplets(grounds, asked, params, "train", "data/clouds/scenes")


def offsets(found: Places) -> np.ndarray:
    """Rows down and columns right from anchor to neighbour, (N, 2)."""
    return found.spots[:, 1, 1:] - found.spots[:, 0, 1:]


@pytest.fixture(scope="module")
def found() -> Places:
    return placed([ground(number) for number in range(7)])


def test_spread_distances_are_normal_around_eight_tenths_of_a_tile(found):
    """Mean 0.8, standard deviation 0.08 tile widths, within four times the error of 3,000 draws."""
    tiles = np.hypot(*offsets(found).T) / 128
    assert abs(tiles.mean() - 0.8) < 4 * 0.08 / math.sqrt(len(tiles))
    assert abs(tiles.std() - 0.08) < 4 * 0.08 / math.sqrt(2 * len(tiles))
    assert stats.kstest(tiles, "norm", (0.8, 0.08)).pvalue > 1e-3
    assert found.redrawn == {}  # nothing was rejected, so nothing is biased


@pytest.mark.parametrize("tiles", [0.05, 0.5, 1.0, 1.7])
def test_scaling_distances_are_exact_to_half_a_pixel(tiles):
    params = SCALING.model_copy(update={"neigh_dist_scaling": tiles})
    pixels = np.hypot(*offsets(placed([ground(number) for number in range(3)], 800, params)).T)
    assert np.abs(pixels - 128 * tiles).max() <= 0.5 + 1e-9


def test_every_short_distance_is_exact_to_half_a_pixel():
    """Where rounding matters most."""
    stream = Stream(0, "test")
    for number, pixels in enumerate(np.linspace(0.1, 6, 400)):
        params = SCALING.model_copy(update={"neigh_dist_scaling": pixels / 32})
        assert abs(math.hypot(*draw_offset(params, 32, stream.at(number))) - pixels) <= 0.5 + 1e-9


@pytest.mark.parametrize("size", [512, 260])
def test_directions_are_uniform_however_near_the_edge(size):
    """260 pixels leave room for 132, barely more than a neighbour's distance of 128: no direction suffers."""
    found = placed([ground(number, size) for number in range(5)], 4000, SCALING)
    down, right = offsets(found).T
    sectors = np.floor((np.arctan2(down, right) + math.pi + math.pi / 16) / (math.pi / 8)).astype(int) % 16
    assert stats.chisquare(np.bincount(sectors, minlength=16)).pvalue > 1e-3


def test_tiles_lie_within_their_scenes_and_reach_their_edges(found):
    corners = found.spots[:, :, 1:]
    assert corners.min() == 0 and corners.max() == 512 - 128
    assert (found.spots[:, 0, 0] == found.spots[:, 1, 0]).all()  # the neighbour is of the anchor's scene


def test_the_distant_tile_is_always_of_another_scene(found):
    assert (found.spots[:, 2, 0] != found.spots[:, 0, 0]).all()
    others = (found.spots[:, 2, 0] - found.spots[:, 0, 0]) % 7  # uniform among the six others
    assert stats.chisquare(np.bincount(others, minlength=7)[1:]).pvalue > 1e-3
    two = placed([ground(0), ground(1)], 200)
    assert (two.spots[:, 2, 0] == 1 - two.spots[:, 0, 0]).all()


def test_every_scene_has_as_many_anchors_as_any_other_up_to_one():
    counts = np.bincount(placed([ground(n) for n in range(7)], 100).spots[:, 0, 0], minlength=7)
    assert set(counts) == {14, 15} and counts.sum() == 100


def test_asking_for_more_only_adds(found):
    """Triplet 12 is the same whether 20 or 3,000 are asked for: each has its own random numbers."""
    fewer = placed([ground(number) for number in range(7)], 20)
    assert np.array_equal(fewer.spots, found.spots[:20])
    again = placed([ground(number) for number in range(7)], 20, SPREAD.model_copy(update={"seed": 1}))
    assert not np.array_equal(again.spots, fewer.spots)


def test_a_distant_tile_shows_other_air_where_that_is_possible():
    """Scenes an hour apart over the same ground: the distant tile then lies two tile widths away."""
    grounds = [ground(0, 900, hours=0), ground(1, 900, hours=1)]
    found = placed(grounds, 200)
    assert found.redrawn[NEAR] > 0 and NEAR_KEPT not in found.redrawn
    for anchor, _, distant in found.spots:
        here, there = (grounds[scene].centre(row, column) for scene, row, column in (anchor, distant))
        assert distance_km(here, there) >= 400


def test_where_it_is_not_possible_the_distant_tile_is_kept_and_counted():
    found = placed([ground(0, 300, hours=0), ground(1, 300, hours=1)], 20)
    assert len(found.spots) == 20 and found.redrawn[NEAR_KEPT] == 20


def test_great_circle_distances():
    """A degree of a meridian is 111.19 km on the sphere of 6371 km; across the antimeridian, too."""
    assert distance_km((0, 10), (1, 10)) == pytest.approx(6371 * math.pi / 180)
    assert distance_km((0, 179.5), (0, -179.5)) == pytest.approx(6371 * math.pi / 180)
    assert distance_km((90, 0), (-90, 55)) == pytest.approx(6371 * math.pi)


# ---------------------------------------------------------------------------------- gaps
def test_usable_places_are_those_with_few_enough_missing_pixels():
    random = np.random.default_rng(3)
    missing = random.random((70, 90)) < 0.002
    missing[:, 88] = True
    scene = with_gaps(make_scene(0, (70, 90)), missing)
    windows = np.lib.stride_tricks.sliding_window_view(~scene.valid, (TILE_PX, TILE_PX)).sum(axis=(2, 3))
    for share in (0.0, 1 / 1024, 0.05, 1.0):
        found = survey(scene, TILE_PX, share)
        assert isinstance(found, Ground) and (found.rows, found.columns) == windows.shape
        usable = [[found.holds(row, column) for column in range(found.columns)] for row in range(found.rows)]
        assert np.array_equal(usable, windows <= share * 1024)


def test_a_tile_without_any_known_pixel_is_never_usable():
    scene = make_scene(0, (40, 40))
    assert survey(with_gaps(scene, np.ones((40, 40), bool)), TILE_PX, 1.0) == NO_PLACE
    first_known = np.ones((40, 40), bool)
    first_known[0, 0] = False
    found = survey(with_gaps(scene, first_known), TILE_PX, 1.0)
    assert found.holds(0, 0) and not found.holds(0, 1) and not found.holds(8, 8)


def test_scenes_without_a_tile_say_why():
    assert survey(make_scene(0, (31, 200)), TILE_PX, 0.0) == TOO_SMALL
    assert isinstance(survey(make_scene(0, (32, 32)), TILE_PX, 0.0), Ground)
    holes = np.zeros((60, 60), bool)
    holes[::16, ::16] = True
    assert survey(with_gaps(make_scene(0, (60, 60)), holes), TILE_PX, 0.0) == NO_PLACE


def test_no_tile_with_a_gap_is_taken_and_each_refusal_is_counted():
    holes = np.zeros((200, 200), bool)
    holes[90:110, 60:140] = True
    scenes = [with_gaps(make_scene(number, (200, 200)), holes) for number in (0, 2, 4)]
    found = placed([survey(scene, TILE_PX, 0.0) for scene in scenes], 300)
    assert len(found.spots) == 300 and found.redrawn[MISSING] > 0
    for _, row, column in found.spots.reshape(-1, 3):
        assert not holes[row : row + TILE_PX, column : column + TILE_PX].any()


# ---------------------------------------------------------------------------------- no room
def test_a_split_of_one_scene_is_refused_with_its_name_and_a_remedy():
    message = r"data/clouds/scenes: of the train days 1 scenes .*\(scene-4\).*another scene; add scenes"
    with pytest.raises(TripletsError, match=message):
        placed([ground(4)])
    with pytest.raises(TripletsError, match=r"0 scenes .*\(none\)"):
        placed([])


def test_scenes_without_room_for_a_neighbour_are_refused_with_their_size():
    """A scene of 150 pixels leaves 22 pixels, and 31 along the diagonal, where 102 are needed."""
    with pytest.raises(TripletsError, match=r"scene-1; the largest of 150 × 150 pixels.*larger scenes"):
        placed([ground(0, 150), ground(1, 150)], 5)


def test_a_small_scene_draws_the_pair_anew_and_counts_it():
    """Room of 80 pixels: a neighbour at 102 fits along diagonals alone."""
    found = placed([ground(0, 208), ground(1, 208)], 100)
    assert len(found.spots) == 100 and found.redrawn[OUTSIDE] > 0 and GIVEN_UP not in found.redrawn
    assert np.abs(offsets(found)).max() <= 80


def test_a_scene_without_room_leaves_its_turn_to_others():
    found = placed([ground(0, 130), ground(1), ground(2)], 60)
    assert len(found.spots) == 60 and 0 not in found.spots[:, 0, 0] and 0 in found.spots[:, 2, 0]


def test_triplets_given_up_are_counted(monkeypatch):
    """With two draws per triplet many find no place: the result is shorter, and says by how much."""
    monkeypatch.setattr(module, "PAIRS", 2)
    found = placed([ground(0, 208), ground(1, 208)], 100)
    assert 0 < len(found.spots) < 100 and found.redrawn[GIVEN_UP] == 100 - len(found.spots)
