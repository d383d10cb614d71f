"""The `superdarn` section of params.yaml: what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from earthsignals.params import load_section, validate
from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.params import SuperdarnParams

ROOT = Path(__file__).resolve().parents[2]


def test_the_projects_own_section_is_valid() -> None:
    params = load_section("superdarn", SuperdarnParams, ROOT / "params.yaml")
    reach = params.train.time_step * params.network.levels * params.grid.cadence_minutes
    assert reach >= max(params.evaluate.leads_minutes)


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"s3": {"secret_key": "x"}}, "superdarn.s3.secret_key.*AWS_SECRET_ACCESS_KEY"),
        ({"grid": {"colums": 90}}, "did you mean `columns`"),
        ({"grid": {"cadence_minutes": 7}}, "must divide a day"),
        ({"grid": {"representation": "hexagons"}}, "polar"),
        ({"grid": {"hemisphere": "east"}}, "north"),
        ({"network": {"embed_dim": 31}}, "multiple of every number of heads"),
        ({"network": {"levels": 60}}, "must not exceed state.history_minutes"),
        ({"train": {"time_step": 1}}, "raise time_step"),
        ({"evaluate": {"leads_minutes": [3]}}, "no multiple of grid.cadence_minutes"),
        ({"split": {"validation_fraction": 0.5, "test_fraction": 0.5}}, "leave nothing to train on"),
        ({"simulation": {"first_day": "soon"}}, "first_day"),
        ({"train": {"logger": "tensorboard"}}, "wandb"),
        ({"state": {"ridge": 0.0}}, "ridge"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(section: dict, told: str) -> None:
    with pytest.raises(EarthSignalsError, match=told):
        validate(SuperdarnParams, section, source="params.yaml", prefix="superdarn")
