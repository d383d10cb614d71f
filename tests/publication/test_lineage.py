"""Lineage: a figure's sidecar names the bytes, the function and the runs behind it."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from earthsignals.publication.lineage import Lineage, digest, drawn_by, figure_lineage
from earthsignals.storage import EarthSignalsError, md5_path
from earthsignals.tracking.trace.lock import Lock, LockedStage

from ..project import ROOT
from .stand_ins import COMMIT, make_project

FILES = ["reports/plume/figures/rates.png", "data/plume/figures/rates.csv"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"))


def test_a_figure_knows_what_made_it(project: Path) -> None:
    found = figure_lineage(Lineage(project), "plume", "rates", FILES)
    assert (found["figure"], found["pipeline"], found["stage"]) == ("rates", "plume", "plume-figures")
    assert found["command"] == "python stages/plume/figures.py"
    assert found["files"] == {file: md5_path(project / file) for file in sorted(FILES)}
    assert found["deps"]["data/plume/evaluation.h5"] == "d" * 32
    assert found["deps"]["src/earthsignals/plume/figures"] == "e" * 32 + ".dir"
    # The canonical text of {"plume.seed": 7}, by hand.
    assert found["params"] == {
        "keys": ["plume.seed"], "sha256": hashlib.sha256(b'{"plume.seed":7}').hexdigest(),
    }  # fmt: skip


def test_the_run_behind_a_figure_is_named_with_its_commit_and_hashes(project: Path) -> None:
    (run,) = figure_lineage(Lineage(project), "plume", "rates", FILES)["runs"]
    assert (run["stage"], run["commit"], run["dirty"]) == ("plume-evaluate", COMMIT, "false")
    assert run["run_id"] == json.loads((project / run["record"]).read_text())["run_id"]
    # Code is no data, and a model is no dataset.
    assert run["models"] == {"data/plume/best_model.pt": "a" * 32}
    assert run["data"] == {"data/plume/dataset.h5": "b" * 32}
    assert run["params_sha256"] == digest({"seed": "7"})


def test_a_sidecar_holds_no_place_of_a_machine_and_repeats(project: Path) -> None:
    once, twice = (json.dumps(figure_lineage(Lineage(project), "plume", "rates", FILES)) for _ in range(2))
    assert once == twice
    assert str(project) not in once


def test_a_run_whose_record_is_not_here_is_left_out(project: Path, tmp_path: Path) -> None:
    """A clone without `dvc pull` has the lock, but no records."""
    (tmp_path / "dvc.lock").write_text((project / "dvc.lock").read_text())
    known = Lineage(tmp_path)
    assert known.runs(known.stage("plume")) == []


def test_a_judgement_is_nearer_than_the_model_that_it_judges() -> None:
    """Figures read both; whichever they name first, the run that made the judgement stands first."""
    train = LockedStage("a-train", "", outs={"model.pt": "1" * 32})
    judge = LockedStage("a-evaluate", "", deps={"model.pt": "1" * 32}, outs={"judged.h5": "2" * 32})
    draw = LockedStage("a-figures", "", deps={"model.pt": "1" * 32, "judged.h5": "2" * 32})
    lock = Lock({stage.name: stage for stage in (train, draw, judge)})
    assert [stage.name for stage in lock.upstream(draw)] == ["a-evaluate", "a-train"]


def test_figures_that_no_stage_drew_are_refused(project: Path) -> None:
    with pytest.raises(EarthSignalsError, match="no stage `lidar-figures`.*dvc repro lidar-figures"):
        Lineage(project).stage("lidar")


def test_digest_does_not_depend_on_the_order() -> None:
    assert digest({"a": 1, "b": [2, 3]}) == digest({"b": [2, 3], "a": 1})
    assert digest({"a": 1}) != digest({"a": 1.5})


@pytest.mark.parametrize(
    ("pipeline", "name", "file", "function"),
    [
        ("tdlas", "allan", "tdlas/figures/robustness.py", "allan"),
        # Two functions are called `neighbours`; only one returns a figure.
        ("clouds", "neighbours", "clouds/figures/neighbours.py", "neighbours"),
        ("seismic", "training_seed", "figures/curves.py", "training_curves"),
        ("superdarn", "training", "superdarn/figures/__init__.py", "training"),
        ("plume", "unheard_of", "plume/figures/__init__.py", "draw_all"),
    ],
)
def test_the_function_that_draws_is_found_in_the_source(
    pipeline: str, name: str, file: str, function: str
) -> None:
    assert drawn_by(ROOT, pipeline, name) == {"file": f"src/earthsignals/{file}", "function": function}


@pytest.mark.parametrize("pipeline", ["tdlas", "plume", "seismic", "clouds", "superdarn"])
def test_every_committed_figure_has_its_function(pipeline: str) -> None:
    for path in sorted((ROOT / "reports" / pipeline / "figures").glob("*.png")):
        found = drawn_by(ROOT, pipeline, path.stem)
        assert found["function"] != "draw_all", path
        text = (ROOT / found["file"]).read_text(encoding="utf-8")
        assert re.search(rf"^def {found['function']}\(", text, re.MULTILINE)
