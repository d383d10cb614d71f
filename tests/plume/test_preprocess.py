"""What a network sees: clamped, normalised, and the same number for holes and for the outside."""

from __future__ import annotations

import numpy as np
import pytest

from earthsignals.plume.params import PreprocessingParams
from earthsignals.plume.preprocess import NAMED, Preprocessing
from earthsignals.storage import EarthSignalsError


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("COVID_QC", 110.6390, 183.9152),
        ("CalCH4_v8", 140.6399, 237.5434),
        ("Permian_QC", 100.2635, 158.7060),
        ("multicampaign", 115.0, 190.0),
    ],
)
def test_published_statistics_are_kept_to_the_digit(name: str, mean: float, std: float) -> None:
    """srcfinder's weights only mean something behind exactly these numbers."""
    expected = Preprocessing(0.0, 4000.0, mean, std)
    assert NAMED[name] == expected
    assert Preprocessing.from_params(PreprocessingParams(name=name)) == expected


def test_own_statistics_band_and_clamp_come_from_the_parameters() -> None:
    params = PreprocessingParams(
        name="own", mean=10.0, std=20.0, clamp_low=-100.0, clamp_high=500.0, band="CH4"
    )
    assert Preprocessing.from_params(params) == Preprocessing(-100.0, 500.0, 10.0, 20.0, "CH4")


def test_values_are_clamped_then_normalised() -> None:
    """(clip(x) − mean) / std by hand; below 0 and above 4000 ppm·m nothing changes any more."""
    own = Preprocessing(mean=100.0, std=50.0)
    seen = own.apply(np.array([-9999.0, -5.0, 0.0, 100.0, 150.0, 4000.0, 1e30]))
    np.testing.assert_allclose(seen, [-2, -2, -2, 0, 1, 78, 78], rtol=1e-6)
    assert seen.dtype == np.float32


def test_holes_are_no_methane_and_so_is_the_outside() -> None:
    """One number for NaN, infinity and the outside, equal bit by bit to that of 0 ppm·m."""
    for own in (*NAMED.values(), Preprocessing(clamp_low=30.0, mean=77.7, std=0.3)):
        holes = own.apply(np.array([np.nan, np.inf, -np.inf], np.float32))
        assert (holes == np.float32(own.fill)).all()
        assert own.apply(np.zeros(1))[0] == np.float32(own.fill)
    assert Preprocessing(clamp_low=30.0, mean=0.0, std=1.0).fill == 30.0


def test_the_scene_itself_is_left_as_it_is() -> None:
    scene = np.array([[np.nan, 9000.0]], np.float32)
    NAMED["COVID_QC"].apply(scene)
    assert np.isnan(scene[0, 0]) and scene[0, 1] == 9000.0


def test_a_dictionary_brings_it_back() -> None:
    own = Preprocessing(1.0, 2.0, 3.0, 4.0, 2)
    assert Preprocessing.from_dict(own.to_dict()) == own
    with pytest.raises(EarthSignalsError, match="is not one of this version"):
        Preprocessing.from_dict(own.to_dict() | {"gamma": 1.0})


@pytest.mark.parametrize("wrong", [{"std": 0.0}, {"clamp_low": 4000.0}, {"mean": float("nan")}])
def test_impossible_statistics_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(EarthSignalsError, match="clamp_low must be below clamp_high"):
        Preprocessing(**wrong)
