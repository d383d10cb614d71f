"""Stand-ins for what the views of plume are drawn from: a flightline with one plume, found a little off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from earthsignals.plume.imagery.index import Scene, SceneIndex
from earthsignals.plume.pages import Inputs

from .conftest import plume_scene

LINES, SAMPLES, STEM = 240, 96, "ang20300216t081200_ch4mf_synthetic"
FOUND: dict[str, Any] = {
    "score": 0.97, "ime_kg": 12.34, "area_m2": 2500.0, "rate_kg_h": 480.4, "rate_error_kg_h": 150.2,
    "rate_low_95": 210.0, "rate_high_95": 905.0, "source_row": 63.0, "source_col": 24.0,
}  # fmt: skip


def made_inputs(lines: int = LINES, samples: int = SAMPLES, pixel_m: float = 5.0) -> Inputs:
    """The plume around (lines / 4, samples / 4), found three rows further down; a roof that is none."""
    ch4, mask = plume_scene(lines, samples)
    arrays = {
        "flightline/ch4": ch4,
        "flightline/saliency": np.where(np.isfinite(ch4), 0.1 + (mask == 1) * 0.8, np.nan),
        "flightline/truth": mask == 1, "flightline/found": np.roll(mask == 1, 3, axis=0),
        "flightline/pixel_m": np.array(pixel_m), "flightline/stem": np.array(STEM.encode(), "S34"),
    }  # fmt: skip
    at = {"row": lines / 4, "col": samples / 4}
    scene = Scene(
        STEM, "2030-02-16", "test", Path("x.img"), None, lines, samples, pixel_m,
        plumes=({"id": 1, "rate_kg_h": 512.0, "wind_m_s": 3.2, **at},),
        confusers=({"kind": "roof", "row": lines * 3 / 4 + 1.5, "col": samples / 2 + 1.5},),
    )  # fmt: skip
    found = {"scenes": [{"stem": STEM, "plumes": [FOUND | {"source_row": lines / 4 + 3.0}]}]}
    return Inputs(arrays, SceneIndex("synthetic", (scene,)), found)
