"""The preset `seed`: sizes and recipe that forecasting of SuperDARN by Pangu's network began with."""

from __future__ import annotations

from typing import Any

from earthsignals.params import validate
from earthsignals.superdarn.params import SuperdarnParams

SEED: dict[str, dict[str, Any]] = {
    "grid": {"representation": "square", "size": 300},
    "network": {
        "patch_size": [2, 4, 4], "embed_dim": 128, "num_heads": [8, 16, 16, 8], "depths": [2, 6, 6, 2],
        "window_size": [2, 8, 16], "mlp_ratio": 4.0, "drop_path": 0.2,
    },
    "train": {
        "learning_rate": 1e-4, "batch_size": 16, "epochs": 200, "gradient_clip": 0.25, "noise_factor": 0.1,
    },
}  # fmt: skip
"""What it says. Patches, depths and drop path are Pangu-Weather's. Steps of the rollout stay as they are: the
original took one, which here would not reach an hour."""


def seed_params(params: SuperdarnParams) -> SuperdarnParams:
    """`params` with the preset's values; the rest as it is. For a GPU: it has tens of millions of weights."""
    values = params.model_dump(mode="json")
    for section, changes in SEED.items():
        values[section] |= changes
    return validate(SuperdarnParams, values, source="the preset `seed`", prefix="superdarn")
