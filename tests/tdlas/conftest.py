"""A small trained pipeline, made once: enough to test files and interfaces, not accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from earthsignals.params import load_section, validate
from earthsignals.settings import Settings
from earthsignals.tdlas.checkpoint import LoadedNet, load_filter_net
from earthsignals.tdlas.dataset import generate, open_scans
from earthsignals.tdlas.hitran import collect_lines
from earthsignals.tdlas.lines import LineList
from earthsignals.tdlas.params import TdlasParams
from earthsignals.tdlas.train import train

ROOT = Path(__file__).resolve().parents[2]
QUIET = Settings(progress=False, workers=1, device="cpu")


def with_values(params: TdlasParams, **sections: dict) -> TdlasParams:
    """`params` with some values of some sections replaced, validated anew."""
    values = params.model_dump(mode="json")
    for section, changed in sections.items():
        values[section] |= changed
    return validate(TdlasParams, values, source="test", prefix="tdlas")


@dataclass(frozen=True)
class Small:
    """Files of the small pipeline and what made them."""

    folder: Path
    params: TdlasParams
    lines: LineList
    net: LoadedNet

    @property
    def dataset(self) -> Path:
        return self.folder / "dataset.h5"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "best_model.pt"


@pytest.fixture(scope="session")
def params() -> TdlasParams:
    """The project's own parameters at a size for tests."""
    own = load_section("tdlas", TdlasParams, ROOT / "params.yaml")
    return with_values(
        own,
        dataset={"scans": 3072, "source": "simulated"},
        train={"epochs": 2, "filters": "auto", "initial_checkpoint": None},
    )


@pytest.fixture(scope="session")
def small(params: TdlasParams, tmp_path_factory: pytest.TempPathFactory) -> Small:
    """3,072 scans and a network trained on them for two epochs."""
    folder = tmp_path_factory.mktemp("tdlas")
    lines = collect_lines(params.lines)
    generate(lines, params, folder / "dataset.h5", resume_root=folder / "resume", workers=1)
    with open_scans(folder / "dataset.h5") as file:
        train(file, lines, params, QUIET, folder / "best_model.pt", resume_root=folder / "resume")
    return Small(folder, params, lines, load_filter_net(folder / "best_model.pt"))
