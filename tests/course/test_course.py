"""The course: every module runs top to bottom, offline, and is a lesson in form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
MODULES = (
    "Module_1A_Local_Setup", "Module_1B_GPU_Session_Setup", "Module_02_Physics_Background",
    "Module_03_HITRAN_Simulation", "Module_04_Detector_Voltage_Trace", "Module_05_Dataset_Generation",
    "Module_06_Build_1D_CNN", "Module_07_Training", "Module_08_Inference", "Module_09_Packaging",
)  # fmt: skip
COMMITTED = sorted([*NOTEBOOKS.glob("*.ipynb"), *NOTEBOOKS.glob("explore/*.ipynb")])


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def prose(book: nbformat.NotebookNode) -> str:
    return "\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")


# In the order in which people take them: later ones find what earlier ones made.
@pytest.mark.parametrize("name", MODULES)
def test_a_module_runs(name: str, run_notebook: Callable[[str], nbformat.NotebookNode]) -> None:
    book = run_notebook(name)
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    complaints = [output.text for output in outputs if output.get("name") == "stderr"]
    assert not complaints
    drawn = [output for output in outputs if "image/png" in output.get("data", {})]
    assert drawn or name in ("Module_1B_GPU_Session_Setup", "Module_09_Packaging")


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_a_lesson(name: str) -> None:
    book = read(name)
    text = prose(book)
    first = book.cells[0].source
    assert all(word in first for word in ("**Where:**", "**Takes:**", "**Needs:**", "**Next:**"))
    assert re.search(r"\$\$.+?\$\$", text, re.DOTALL), "no equation"
    assert "**What you should see:**" in text
    exercises = re.findall(r"\*\*Exercise (\d+)\.\*\*", text)
    assert exercises == [str(number) for number in range(1, len(exercises) + 1)]
    assert len(exercises) >= 3


@pytest.mark.parametrize("name", MODULES)
def test_every_exercise_has_an_answer_that_is_hidden_and_checked(name: str) -> None:
    """The next thing after an exercise is a folded answer: a cell that asserts, or a <details>."""
    cells = read(name).cells
    asserted = 0
    for cell, following in zip(cells, [*cells[1:], None], strict=True):
        if cell.cell_type != "markdown" or not (parts := cell.source.split("**Exercise ")[1:]):
            continue
        # Several exercises in one cell are answered in it, but for the last.
        assert all("<details>" in part for part in parts[:-1])
        if "<details>" in parts[-1]:
            continue
        assert following is not None and following.metadata["tags"] == ["answer"]
        assert following.metadata["jupyter"]["source_hidden"]
        assert re.search(r"\bassert |raise AssertionError", following.source)
        asserted += 1
    assert asserted >= 2


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_a_notebook_is_committed_clean(path: Path) -> None:
    """No outputs, no counters, one kernel, ids that do not change: a diff shows what somebody wrote."""
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert book.metadata.kernelspec.name == "python3"
    for cell in book.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
    ids = [cell.id for cell in book.cells]
    assert len(ids) == len(set(ids)) and not any(re.fullmatch(r"[0-9a-f]{8}", name) for name in ids)
    assert path.stat().st_size < 40_000
    assert "/home/" not in path.read_text() and "/root/" not in path.read_text()


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_links_of_a_notebook_lead_somewhere(path: Path) -> None:
    text = prose(nbformat.read(path, as_version=4))
    targets = re.findall(r"\]\((?!https?:)([^)#\s]+)", text)
    missing = [target for target in targets if not (path.parent / target).exists()]
    assert not missing


def test_the_outline_names_every_notebook_and_nothing_else() -> None:
    outline = (NOTEBOOKS / "README.md").read_text()
    named = set(re.findall(r"\]\(([\w/]+\.ipynb)\)", outline))
    assert named == {path.relative_to(NOTEBOOKS).as_posix() for path in COMMITTED}


def test_modules_are_thin() -> None:
    """A lesson calls the library: it defines no network, no simulator, no optimiser of its own."""
    for name in MODULES:
        code = "\n".join(cell.source for cell in read(name).cells if cell.cell_type == "code")
        assert not re.search(r"^\s*class |nn\.Module|wofz|\.backward\(|optim\.", code, re.MULTILINE), name
        assert "from earthsignals" in code


def test_notebooks_are_json_as_the_tools_write_it() -> None:
    for path in COMMITTED:
        text = path.read_text(encoding="utf-8")
        written = json.dumps(json.loads(text), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        assert text == written, path.name
