"""Runs notebooks in a project of their own, so that the checkout stays as it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
CELL_SECONDS = 300


@pytest.fixture(scope="session")
def lesson_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as a fresh clone has it, as far as notebooks look: parameters, records, no data."""
    root = tmp_path_factory.mktemp("course") / "earthsignals"
    (root / ".dvc").mkdir(parents=True)
    for name in ("params.yaml", "scales.yaml", "requirements.lock", "dvc.yaml"):
        shutil.copy(ROOT / name, root / name)
    for metrics in sorted((ROOT / "reports").glob("*/metrics.json")):
        target = root / metrics.relative_to(ROOT)
        target.parent.mkdir(parents=True)
        shutil.copy(metrics, target)
    shutil.copytree(NOTEBOOKS, root / "notebooks", ignore=shutil.ignore_patterns("work", ".*"))
    return root


@pytest.fixture(scope="session")
def run_notebook(lesson_project: Path) -> Callable[[str], nbformat.NotebookNode]:
    """`run_notebook("Module_02_Physics_Background")` executes it top to bottom and returns it with outputs.

    Nothing reaches the network or the checkout.
    """
    from nbclient import NotebookClient

    def run(name: str) -> nbformat.NotebookNode:
        path = lesson_project / "notebooks" / f"{name}.ipynb"
        book = nbformat.read(path, as_version=4)
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in _environment(lesson_project).items():
                patch.setenv(variable, value)
            client = NotebookClient(
                book, timeout=CELL_SECONDS, kernel_name="python3",
                resources={"metadata": {"path": str(path.parent)}},
            )  # fmt: skip
            client.execute()
        return book

    return run


def _environment(root: Path) -> dict[str, str]:
    """One worker and one thread; no network, no store and no keys of the user's."""
    nowhere = "http://127.0.0.1:9"
    return {
        "EARTHSIGNALS_WORKERS": "1", "EARTHSIGNALS_THREADS": "1", "OMP_NUM_THREADS": "1",
        "EARTHSIGNALS_REAL_DATA": str(root / "no-real-data"), "EARTHSIGNALS_PROGRESS": "false",
        "MLFLOW_TRACKING_URI": "", "HOME": str(root.parent), "JUPYTER_PREFER_ENV_PATH": "1",
        "http_proxy": nowhere, "https_proxy": nowhere, "HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere,
        "no_proxy": "127.0.0.1,localhost",
    }  # fmt: skip
