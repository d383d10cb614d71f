"""The notebooks' helper: small parameters in memory, files made once, nothing of the project touched."""

from __future__ import annotations

import hashlib
from pathlib import Path

import matplotlib as mpl
import pytest

from earthsignals import classroom
from earthsignals.params import ParamsError, apply_scale, load_section
from earthsignals.storage import EarthSignalsError
from earthsignals.tdlas.params import TdlasParams

ROOT = Path(__file__).resolve().parents[2]
PIPELINES = ("tdlas", "plume", "seismic", "clouds", "superdarn")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with parameters and nothing else; the working folder is a notebook's."""
    (tmp_path / ".dvc").mkdir()
    for name in ("params.yaml", "scales.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "notebooks" / "explore").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "notebooks" / "explore")
    monkeypatch.setenv("EARTHSIGNALS_PROGRESS", "true")
    return tmp_path


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("stands_at", ["laptop", "paper"])
def test_a_lesson_computes_at_smoke_scale_wherever_the_project_stands(
    project: Path, pipeline: str, stands_at: str
) -> None:
    apply_scale(stands_at, project / "params.yaml", project / "scales.yaml")
    before = (project / "params.yaml").read_bytes()
    params = classroom.lesson_params(pipeline)
    assert (project / "params.yaml").read_bytes() == before
    apply_scale("smoke", project / "params.yaml", project / "scales.yaml")
    assert params == load_section(pipeline, type(params), project / "params.yaml")


def test_changes_go_deep_and_are_validated(project: Path) -> None:
    params = classroom.lesson_params("tdlas", changes={"dataset": {"scans": 512}})
    assert params.dataset.scans == 512
    assert params.dataset.seed == load_section("tdlas", TdlasParams, project / "params.yaml").dataset.seed
    with pytest.raises(ParamsError, match=r"tdlas.dataset.scan`.*did you mean `scans`"):
        classroom.lesson_params("tdlas", changes={"dataset": {"scan": 512}})


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"pipeline": "methane"}, "no pipeline `methane`.*tdlas"),
        ({"pipeline": "tdlas", "scale": "tiny"}, "no scale `tiny`.*smoke"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(project: Path, arguments: dict, fault: str) -> None:
    with pytest.raises(ParamsError, match=fault):
        classroom.lesson_params(**arguments)


def test_a_lesson_lies_in_the_ignored_folder(project: Path) -> None:
    with mpl.rc_context():
        lesson = classroom.open_lesson("tdlas")
    assert lesson.folder == project / "notebooks" / "work" / "tdlas"
    assert lesson.folder.is_dir()
    assert not lesson.settings.progress
    assert "/notebooks/work/" in (ROOT / ".gitignore").read_text().splitlines()


def test_outside_a_project_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EarthSignalsError, match="not inside an earthsignals project"):
        classroom.open_lesson("tdlas")


def test_made_makes_once_and_anew_where_the_key_changed(tmp_path: Path) -> None:
    calls = []

    def make(path: Path) -> None:
        calls.append(path)
        path.write_text(str(len(calls)))

    path = tmp_path / "deep" / "file.txt"
    assert classroom.made(path, make, key="a") == path
    classroom.made(path, make, key="a")
    assert len(calls) == 1
    classroom.made(path, make, key="b")
    assert path.read_text() == "2"
    path.unlink()
    classroom.made(path, make, key="b")
    assert len(calls) == 3


def test_what_an_interrupted_make_left_does_not_pass_for_whole(tmp_path: Path) -> None:
    def broken(path: Path) -> None:
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        classroom.made(tmp_path / "file", broken)
    classroom.made(tmp_path / "file", lambda path: path.write_text("whole"))
    assert (tmp_path / "file").read_text() == "whole"


def test_a_folder_left_by_an_interrupted_make_is_cleared_first(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "stale").touch()
    classroom.made(tmp_path / "folder", lambda path: path.mkdir())  # would fail on what is there
    assert list((tmp_path / "folder").iterdir()) == []


def test_make_that_makes_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(EarthSignalsError, match="was not made"):
        classroom.made(tmp_path / "file", lambda path: None)


def test_runs_go_to_the_lessons_own_store(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # the user's server stays out of it
    with mpl.rc_context():
        lesson = classroom.open_lesson("tdlas")
    with lesson.run("train") as run:
        run.log_metrics({"loss": 1.0}, step=0)
    work = project / "notebooks" / "work"
    assert (work / "mlflow.db").is_file()
    assert (work / "reports" / "tdlas" / "runs" / "train.json").is_file()
    assert not (project / "mlflow.db").exists()
    assert not (project / "reports").exists()


def test_the_house_style_holds_and_the_backend_stays() -> None:
    from earthsignals import figures

    with figures.style():
        expected = {name: mpl.rcParams[name] for name in ("font.size", "axes.spines.top", "image.cmap")}
    with mpl.rc_context():
        backend = mpl.get_backend()
        classroom.house_style()
        assert {name: mpl.rcParams[name] for name in expected} == expected
        assert mpl.get_backend() == backend


def test_equal_parameters_have_equal_fingerprints(project: Path) -> None:
    first, second = (classroom.lesson_params("tdlas") for _ in range(2))
    other = classroom.lesson_params("tdlas", changes={"dataset": {"scans": 512}})
    assert classroom.fingerprint(first) == classroom.fingerprint(second) != classroom.fingerprint(other)
    assert len(classroom.fingerprint(first)) == hashlib.sha256().digest_size // 2
