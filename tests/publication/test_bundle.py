"""The bundle: every figure in all its forms, with data and lineage, the same bytes each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from earthsignals.publication.bundle import find_figures, pipelines, read_bundle, write_bundle
from earthsignals.storage import EarthSignalsError, md5_path

from .stand_ins import make_project

PIPELINES = ("plume", "superdarn")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path, pipelines=PIPELINES)


def test_every_figure_comes_in_all_its_forms(project: Path) -> None:
    (project / "reports/superdarn/figures/forecast.gif").write_bytes(b"GIF89a")
    written = write_bundle(project, project / "data/paper/figures")
    assert set(written) == set(PIPELINES)
    for pipeline, names in written.items():
        for name in names:
            forms = {path.suffix for path in (project / "data/paper/figures" / pipeline).glob(f"{name}.*")}
            assert forms - {".gif"} == {".png", ".pdf", ".svg", ".csv", ".json"}
    assert (project / "data/paper/figures/superdarn/forecast.gif").read_bytes() == b"GIF89a"
    original = project / "reports/plume/figures/rates.png"
    copied = project / "data/paper/figures/plume/rates.png"
    assert md5_path(original) == md5_path(copied)
    # No links: DVC makes a stage's outs its own.
    assert original.stat().st_ino != copied.stat().st_ino


def test_the_same_figures_make_the_same_bundle(project: Path) -> None:
    for name in ("one", "two"):
        write_bundle(project, project / name)
    assert md5_path(project / "one") == md5_path(project / "two")


def test_sidecars_are_read_by_name(project: Path) -> None:
    write_bundle(project, project / "bundle")
    found = read_bundle(project / "bundle", "plume")
    assert found["rates"]["drawn_by"]["function"] == "rates"
    assert list(found) == sorted(found)


def test_pipelines_are_those_that_draw_figures_but_the_paper(project: Path) -> None:
    assert pipelines(project) == list(PIPELINES)


def test_a_figure_that_lacks_a_form_is_named(project: Path) -> None:
    (project / "data/plume/figures/rates.csv").unlink()
    with pytest.raises(EarthSignalsError, match=r"rates: \.csv missing.*dvc repro plume-figures"):
        write_bundle(project, project / "bundle")
    assert not (project / "bundle").exists()


def test_a_pipeline_without_figures_is_named(tmp_path: Path) -> None:
    with pytest.raises(EarthSignalsError, match="no figures, expected those of plume"):
        find_figures(tmp_path, "plume")


def test_hidden_files_are_none(project: Path) -> None:
    (project / "reports/plume/figures/.gitignore").write_text("*\n")
    assert ".gitignore" not in find_figures(project, "plume")
