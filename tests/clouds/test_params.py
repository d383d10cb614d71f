"""The `clouds` section of params.yaml: what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from earthsignals.clouds.params import CloudsParams, Domain
from earthsignals.params import ParamsError, load_section, validate

ROOT = Path(__file__).resolve().parents[2]


def test_the_projects_own_section_is_valid() -> None:
    params = load_section("clouds", CloudsParams, ROOT / "params.yaml")
    assert params.grid.pixel_km == pytest.approx(params.grid.tile_km / params.grid.tile_px)


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"netwrok": {}}, "did you mean `network`"),
        ({"grid": {"tile_px": 64}}, "tile_px.*at least 111"),
        ({"grid": {"tile_px": 112}, "network": {"architecture": "resnet34"}}, "least 179"),
        ({"scenes": {"size_px": 100}}, "size_px"),
        ({"scenes": {"regimes": ["sugar", "candy"]}}, "one of `sugar`"),
        ({"network": {"scattering": False}}, "nothing to see"),
        ({"goes": {"domain": {"west": 10.0, "east": 10.0}}}, "the domain is empty"),
        ({"goes": {"domain": {"south": 30.0, "north": 10.0}}}, "less than north"),
        ({"goes": {"first_day": "2020-02-01", "last_day": "2020-01-01"}}, "must not be after"),
        ({"goes": {"first_day": "yesterday"}}, "first_day"),
        ({"triplets": {"validation_fraction": 0.5, "study_fraction": 0.5}}, "no days to train on"),
        ({"train": {"loss": "hinge"}}, "contrastive"),
        ({"augmentation": {"grey": 2.0}}, "grey"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(section: dict, told: str) -> None:
    with pytest.raises(ParamsError, match=told):
        validate(CloudsParams, section, source="params.yaml", prefix="clouds")


def test_a_domain_may_cross_the_antimeridian() -> None:
    assert Domain(west=170.0, east=-170.0, south=-10.0, north=10.0).width == 20.0
