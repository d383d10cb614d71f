"""Stand-ins for what the views of tdlas are drawn from: a small dataset, and estimates of known errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from earthsignals.tdlas.dataset import generate, open_scans
from earthsignals.tdlas.lines import embedded_lines
from earthsignals.tdlas.pages import Inputs
from earthsignals.tdlas.params import CourseParams, TdlasParams, TrainParams
from earthsignals.tdlas.simulate import PPM

PARAMS = TdlasParams(
    train=TrainParams(), course=CourseParams(),
    dataset={"scans": 128, "chunk_scans": 128, "test_fraction": 0.3},
)  # fmt: skip


@contextmanager
def made_inputs(folder: Path) -> Iterator[Inputs]:
    """The network half a bound above the truth, the course far below; least squares of every other scan."""
    path, lines = folder / "dataset.h5", embedded_lines()
    if not path.exists():
        generate(lines, PARAMS, path, resume_root=folder / "resume", workers=1)
    with open_scans(path) as file:
        truth = file.read(file.rows("test")).conditions.mole_fraction / PPM
        bound = 3.5 * np.hypot(1.0, truth / 8000.0)
        odd = np.arange(len(truth)) % 2 == 1
        arrays = {
            "test/truth_ppm": truth, "test/bound_ppm": bound, "test/model_ppm": truth + 0.5 * bound,
            "test/ridge_ppm": truth - 2 * bound, "test/pls_ppm": truth + 3 * bound,
            "test/course_ppm": truth - 200 * bound,
            "test/least_squares_ppm": np.where(odd, truth + bound, np.nan),
        }  # fmt: skip
        for level, z in ((68, 1.0), (95, 2.0)):
            arrays[f"test/low_{level}"] = truth + (0.5 - z) * bound
            arrays[f"test/high_{level}"] = truth + (0.5 + z) * bound
        yield Inputs(file, lines, PARAMS, arrays)
