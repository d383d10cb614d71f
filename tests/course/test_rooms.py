"""The rooms' modules and the notebooks to look around in: whole, and running where no results are."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
import yaml

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
MODULES = (
    "Module_10_Plumes", "Module_11_Seismic_Waveforms", "Module_12_Cloud_Organisation",
    "Module_13_Ionospheric_Drift",
)  # fmt: skip
VIEWS = (
    "explore/Embedding_Interpretation", "explore/Plume_Inspection", "explore/Radar_Files",
    "explore/Forecast_Viewing",
)  # fmt: skip
LEAST_EXERCISES = 3
PICTURES = {
    "Module_10_Plumes": 4, "Module_11_Seismic_Waveforms": 3, "Module_12_Cloud_Organisation": 5,
    "Module_13_Ionospheric_Drift": 4, "explore/Embedding_Interpretation": 8, "explore/Plume_Inspection": 2,
    "explore/Radar_Files": 5, "explore/Forecast_Viewing": 4,
}  # fmt: skip
"""Figures that each shows at least."""


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def prose(book: nbformat.NotebookNode) -> str:
    return "\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")


def pictures(book: nbformat.NotebookNode) -> int:
    """Figures among the outputs; a figure that is shown twice would count twice."""
    outputs = [output for cell in book.cells for output in cell.get("outputs", ())]
    return sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize("name", MODULES)
def test_module_teaches(name: str) -> None:
    """A prologue, equations, exercises; each has an answer in words, folded, and one in code that asserts."""
    book = read(name)
    text = prose(book)
    for word in ("**Where:**", "**Takes:**", "**Needs:**", "**Next:**"):
        assert word in book.cells[0].source
    assert text.count("$$") >= 6 and text.count("$$") % 2 == 0
    assert "**What you should see:**" in text
    assert [int(number) for number in re.findall(r"\*\*Exercise (\d+)\.\*\*", text)] == list(
        range(1, text.count("**Exercise") + 1)
    )
    asked = [number for number, cell in enumerate(book.cells) if "**Exercise" in cell.source]
    assert len(asked) >= LEAST_EXERCISES
    for number in asked:
        question, answer = book.cells[number], book.cells[number + 1]
        assert question.source.count("**Exercise") == 1
        assert re.search(r"<details><summary>Answer</summary>\n\n.+\n</details>", question.source, re.DOTALL)
        assert answer.cell_type == "code" and re.search(r"\bassert |raise AssertionError", answer.source)
        assert answer.metadata.tags == ["answer"] and answer.metadata.jupyter.source_hidden


@pytest.mark.parametrize("name", MODULES + VIEWS)
def test_notebook_names_nothing_of_one_machine(name: str) -> None:
    text = "\n".join(cell.source for cell in read(name).cells)
    assert not re.search(r"/home/|(?<!notebooks)/work/|/tmp/|/Users/|[A-Z]:\\\\", text)
    assert "http://" not in text and "!pip" not in text


@pytest.mark.parametrize("name", MODULES + VIEWS)
def test_notebook_names_files_and_stages_that_exist(name: str) -> None:
    """Documents, stages and notebooks that the text points to."""
    text = "\n".join(cell.source for cell in read(name).cells)
    root = NOTEBOOKS.parent
    for document in set(re.findall(r"docs/[\w-]+\.md", text)):
        assert (root / document).is_file(), document
    stages = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for stage in set(re.findall(r"dvc\s+repro\s+([a-z-]+)", text)):
        assert stage in stages, stage
    for book in set(re.findall(r"\]\(((?:explore/)?[A-Z]\w+)\.ipynb\)", text)):
        assert (NOTEBOOKS / f"{book}.ipynb").is_file(), book


@pytest.mark.parametrize("name", MODULES + VIEWS)
def test_notebook_runs_from_top_to_bottom(
    name: str, run_notebook: Callable[[str], nbformat.NotebookNode]
) -> None:
    """Offline, in a project without any results, with every figure drawn once; its own asserts hold.

    The modules come first: the notebooks to look around in use what those made, or make it.
    """
    book = run_notebook(name)
    assert PICTURES[name] <= pictures(book) <= 3 * PICTURES[name]
    warned = [
        output.text
        for cell in book.cells
        for output in cell.get("outputs", ())
        if output.output_type == "stream" and output.name == "stderr" and "Warning" in output.text
    ]
    assert not warned, warned
