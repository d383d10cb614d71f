"""The pages written from the code: they agree with it, leave nothing out, and do not depend on the moment."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from pydantic import Field
from typer.testing import CliRunner

from earthsignals.cli.main import app
from earthsignals.cli.pipelines import PIPELINES
from earthsignals.cli.reference import pages
from earthsignals.cli.reference.commands import commands_page
from earthsignals.cli.reference.house import house_picture, layers
from earthsignals.cli.reference.markdown import table
from earthsignals.cli.reference.params import parameters, params_page, read_comments
from earthsignals.cli.reference.stages import feeds, outputs, stages_page
from earthsignals.dvcfiles import read_stages
from earthsignals.params import Range, Section, apply_scale, read_yaml
from earthsignals.storage import EarthSignalsError
from earthsignals.training import TrainingOptions

ROOT = Path(__file__).parents[2]
SOURCES = ("params.yaml", "scales.yaml", "dvc.yaml", "pyproject.toml")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What the pages are written from, without anything else."""
    rooms = [path.relative_to(ROOT) for path in ROOT.glob("src/earthsignals/**/__init__.py")]
    for name in (*SOURCES, *rooms, *(path.relative_to(ROOT) for path in ROOT.glob("src/earthsignals/*.py"))):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".dvc").mkdir()
    return tmp_path


def test_committed_pages_are_what_the_code_says() -> None:
    stale = [name for name, text in pages(ROOT).items() if (ROOT / name).read_text(encoding="utf-8") != text]
    assert not stale, "run `earthsignals reference`"


def test_every_key_and_comment_of_params_yaml_is_on_the_page(project: Path) -> None:
    page = params_page(project)
    rows = {row.split("|")[1].strip(" `") for row in page.splitlines() if row.startswith("| `")}
    for path in _paths(read_yaml(project / "params.yaml")):
        # A key is a row of its section, a range is two; a mapping of free keys is one value.
        assert {path[-1], ".".join(path[-2:]), path[-2]} & rows, path
    for comment in read_comments((project / "params.yaml").read_text()).values():
        assert " ".join(comment.split()).replace("|", "\\|") in page or comment in page


def _paths(values: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(values, dict) and values:
        return [each for key, value in values.items() for each in _paths(value, (*path, key))]
    return [path]


@pytest.mark.parametrize("scale", ["smoke", "paper"])
def test_the_page_is_the_same_at_every_scale(project: Path, scale: str) -> None:
    before = params_page(project)
    assert apply_scale(scale, project / "params.yaml", project / "scales.yaml")
    assert params_page(project) == before


class Cell(Range):
    """Pressure in atm."""

    low: float = Field(0.8, gt=0)
    high: float = Field(1.1, gt=0)


class Part(Section):
    """A part."""

    cell: Cell = Cell()
    count: int = Field(3, ge=1)
    """How many."""
    needed: str
    options: TrainingOptions = TrainingOptions()


def test_a_parameter_is_said_by_its_model_and_the_comment_beside_it() -> None:
    found = {each.path[1:]: each for each in parameters(Part, ("room",), {("room", "needed"): "a path"})}
    assert set(found) == {("cell", "low"), ("cell", "high"), ("count",), ("needed",)}  # options: a section
    assert found["cell", "low"][1:] == ("a number > 0", "0.8", "Pressure in atm.")
    assert found[("count",)][1:] == ("a whole number >= 1", "3", "How many.")
    assert found[("needed",)][1:] == ("text", "", "a path")  # it must stand there


def test_comments_are_found_by_the_path_of_their_key() -> None:
    text = "a:  # first\n  b: 1  # in a\n  c:\n    b: 2\nd: '#x'  # last\n"
    assert read_comments(text) == {("a",): "first", ("a", "b"): "in a", ("d",): "last"}


def test_every_command_has_a_section_with_its_help() -> None:
    page = commands_page()
    rooms = [f"earthsignals {each}" for each in PIPELINES]
    for name in ("earthsignals", *rooms, "earthsignals tdlas predict"):
        assert re.search(rf"^#+ {name}$", page, re.MULTILINE), name
    assert "`--out <path>`" in page and "[default: predictions.csv]" in page
    assert "\b" not in page


def test_stages_say_what_they_read_and_write(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text("""\
stages:
  sea-levels:
    desc: levels | metres
    cmd: python stages/sea/levels.py
    deps: [stages/sea/levels.py]
    outs: [data/sea/levels.h5]
  sea-evaluate:
    cmd: python stages/sea/evaluate.py
    params: [sea.evaluate]
    deps: [data/sea/levels.h5, src/earthsignals/sea/evaluate.py]
    metrics:
      - reports/sea/metrics.json: {cache: false}
""")
    stages = read_stages(tmp_path)
    assert outputs(stages["sea-evaluate"]) == {"reports/sea/metrics.json": True}
    assert outputs(stages["sea-levels"]) == {"data/sea/levels.h5": False}
    assert list(feeds(stages)) == [("sea-levels", "sea-evaluate")]
    page = stages_page(tmp_path)
    assert "  sea-levels --> sea-evaluate" in page
    assert "levels \\| metres" in page  # a bar would end the cell
    assert "`reports/sea/metrics.json` *git*" in page
    assert "- `sea-evaluate`: `src/earthsignals/sea/evaluate.py`" in page


def test_the_picture_shows_every_room_and_stage_and_is_well_formed() -> None:
    picture = house_picture(ROOT)
    root = ElementTree.fromstring(picture)
    texts = {"".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {room for floor in layers(ROOT) for room in floor} <= texts
    assert {name.partition("-")[2] or name for name in read_stages(ROOT)} <= texts
    width, height = map(float, root.get("viewBox").split()[2:])
    for each in root.iter("{http://www.w3.org/2000/svg}rect"):
        x, y = float(each.get("x", 0)), float(each.get("y", 0))
        assert x >= 0 and x + float(each.get("width")) <= width
        assert y >= 0 and y + float(each.get("height")) <= height
    assert house_picture(ROOT) == picture


def test_a_new_room_appears_by_itself(project: Path) -> None:
    path = project / "pyproject.toml"
    path.write_text(path.read_text().replace("clouds | superdarn", "clouds | superdarn | tide"))
    (project / "src/earthsignals/tide").mkdir()
    (project / "src/earthsignals/tide/__init__.py").write_text('"""Sea level: <levels> & forecasts."""\n')
    picture = house_picture(project)
    ElementTree.fromstring(picture)
    assert ">tide</text>" in picture and "&lt;levels&gt;" in picture and "&amp;" in picture


def test_a_project_without_floors_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    with pytest.raises(EarthSignalsError, match="pyproject.toml: has no import-linter contract"):
        house_picture(tmp_path)


def test_the_command_writes_stale_pages_and_only_those(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    refused = CliRunner().invoke(app, ["reference", "--check"])
    assert refused.exit_code == 1 and "run `earthsignals reference`" in refused.stderr
    assert not (project / "docs").exists()
    assert CliRunner().invoke(app, ["reference"]).stdout.count(": written") == 4
    assert CliRunner().invoke(app, ["reference", "--check"]).exit_code == 0


def test_a_table_has_as_many_cells_in_every_line() -> None:
    assert table(("a", "b"), [("1", "2")]) == ["| a | b |", "| --- | --- |", "| 1 | 2 |"]
