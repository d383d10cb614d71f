"""The view of plume: codes that give values back, outlines at their place, rates at their plume."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from earthsignals.plume.imagery.index import SceneIndex
from earthsignals.plume.pages import VIEWS, write
from earthsignals.plume.pages.codes import OFFSET, SCORES, coded_ppm_m, coded_score
from earthsignals.plume.pages.outlines import outlines, owners

from ..described import sources
from .paged import LINES, SAMPLES, made_inputs


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pages")
    assert write(VIEWS, made_inputs(), out) == {}
    return out / "flightline.json"


def test_codes_give_values_back_and_keep_what_is_missing() -> None:
    ppm_m = np.array([-1598.4, 0.0, 1499.6, 23_260.8, 1e9, np.nan])
    codes = coded_ppm_m(ppm_m)
    assert codes.dtype == np.uint16 and codes.tolist()[-2:] == [65_535, 0]
    np.testing.assert_allclose(codes[:4].astype(int) - OFFSET, ppm_m[:4], atol=0.5)
    scores = coded_score(np.array([0.0, 0.31, 1.0, np.nan]))
    assert scores.dtype == np.uint8 and scores[3] == 0
    np.testing.assert_allclose((scores[:3] - 1.0) / SCORES, [0.0, 0.31, 1.0], atol=0.5 / SCORES)


def test_a_piece_belongs_to_the_nearest_source_within_reach() -> None:
    mask = np.zeros((20, 30), bool)
    mask[2:5, 2:5], mask[2:5, 20:25], mask[15, 15] = True, True, True
    # Pieces are numbered row by row. The third has no source within five pixels.
    assert owners(mask, [(3, 22), (4, 6)], 5.0).tolist() == [1, 0, -1]
    assert owners(mask, [], 5.0).tolist() == [-1, -1, -1]


def test_an_outline_goes_around_the_pixels() -> None:
    mask = np.zeros((6, 8), bool)
    mask[1:3, 2:6] = True
    (border,) = outlines(mask)
    assert border.min(0).tolist() == [1.5, 0.5] and border.max(0).tolist() == [5.5, 2.5]
    mask[3, 6] = True  # joined by a corner: still one plume
    (border,) = outlines(mask)
    assert np.nanmax(border, 0).tolist() == [6.5, 3.5]


def test_the_images_are_those_of_the_evaluation_on_their_side(view: Path) -> None:
    (images,) = sources(view, "ch4", "saliency")
    ch4, saliency = images["ch4"][0].astype(float), images["saliency"][0].astype(float)
    assert ch4.shape == saliency.shape == (SAMPLES, LINES)
    given = made_inputs().arrays
    known = np.isfinite(given["flightline/ch4"].T)
    np.testing.assert_array_equal(ch4 > 0, known)
    np.testing.assert_allclose(ch4[known] - OFFSET, given["flightline/ch4"].T[known], atol=0.51)
    np.testing.assert_allclose(
        (saliency[known] - 1) / SCORES, given["flightline/saliency"].T[known], atol=0.51 / SCORES
    )


def test_outlines_tell_the_rates_of_their_plumes(view: Path) -> None:
    true, found = sources(view, "xs", "said")
    assert true["said"] == ["true rate 512 kg/h, wind 3.2 m/s"]
    assert found["said"] == ["480 kg/h ± 150 (95 %: 210 to 905); score 0.97, 12.3 kg in 2,500 m²"]
    # A disc of 12 pixels around row 60 and column 24, of 5 m each; found 3 rows further on.
    assert (min(true["xs"][0]), max(true["xs"][0])) == pytest.approx((48 * 0.005, 73 * 0.005), abs=0.003)
    assert (min(true["ys"][0]), max(true["ys"][0])) == pytest.approx((12 * 0.005, 37 * 0.005), abs=0.003)
    assert min(found["xs"][0]) - min(true["xs"][0]) == pytest.approx(3 * 0.005, abs=1e-6)


def test_sources_and_confusers_are_marked(view: Path) -> None:
    marks = {each["what"][0]: each for each in sources(view, "x", "what")}
    assert marks["true source"]["x"] == [pytest.approx(60.5 * 0.005)]
    assert marks["confuser"]["said"] == ["roof"]


def test_a_long_flightline_is_thinned_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["earthsignals.plume.pages.flightline"], "MOST_PIXELS", 6000)
    write(VIEWS, made_inputs(), tmp_path)
    assert "means of 2 × 2 of the flightline" in (tmp_path / "flightline.html").read_text()
    (images,) = sources(tmp_path / "flightline.json", "ch4", "saliency")
    assert images["ch4"][0].shape == (SAMPLES // 2, LINES // 2)
    given = made_inputs().arrays["flightline/ch4"].T[: SAMPLES // 2 * 2, : LINES // 2 * 2].astype(float)
    blocks = given.reshape(SAMPLES // 2, 2, LINES // 2, 2)
    whole = np.isfinite(blocks).all((1, 3))
    codes = images["ch4"][0].astype(float)[whole]
    np.testing.assert_allclose(codes - OFFSET, blocks.mean((1, 3))[whole], atol=0.51)


def test_of_a_real_flightline_no_truth_is_told(tmp_path: Path) -> None:
    inputs = made_inputs()
    arrays = inputs.arrays | {"flightline/truth": np.zeros((LINES, SAMPLES), bool)}
    assert write(VIEWS, replace(inputs, arrays=arrays, index=SceneIndex("files", ())), tmp_path) == {}
    true, found = sources(tmp_path / "flightline.json", "xs", "said")
    assert true["said"] == [] and len(found["said"]) == 1


def test_without_flightlines_there_is_no_view(tmp_path: Path) -> None:
    left_out = write(VIEWS, replace(made_inputs(), arrays={}), tmp_path)
    assert "flightline/ch4" in left_out["flightline"]


def test_views_are_small_and_the_same_bytes_each_time(view: Path, tmp_path: Path) -> None:
    write(VIEWS, made_inputs(), tmp_path)
    for path in view.parent.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()
    assert view.stat().st_size < 1_200_000
