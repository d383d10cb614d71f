"""What a member sees: MLflow's pages in a real browser, over a history imported from run records.

`SAVE_PAGES=1 pytest tests/services/test_pages.py` writes the pictures anew into reports/pages/.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from earthsignals.cli.pipelines import PIPELINES

from ..project import ROOT, environment
from .service import free_port, wait_until_healthy

PICTURES = ROOT / "reports" / "pages"
PATIENCE_MS = 90_000
JOB = [sys.executable, "-m", "tests.services.logging_job"]

# Charts are drawn only once they are in view.
SHORT, TALL = {"width": 1440, "height": 900}, {"width": 1440, "height": 1580}

# Two trainings to compare, and one run of every other pipeline: verb and learning rate.
RUNS = [("tdlas", "train", 0.02), ("tdlas", "train-faster", 0.2)]
RUNS += [(pipeline, "train", 0.05) for pipeline in PIPELINES if pipeline != "tdlas"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose records came by `make pull`: its own MLflow store saw none of the runs."""
    other, here = (tmp_path_factory.mktemp(name) for name in ("droplet", "laptop"))
    for folder in (other, here):
        (folder / "params.yaml").write_text("{}\n")
        (folder / ".dvc").mkdir()
    jobs = [
        subprocess.Popen(
            [*JOB, str(other), pipeline, verb, str(rate), "40", "0"], cwd=ROOT,
            env=environment(ROOT), stdout=subprocess.DEVNULL,
        )
        for pipeline, verb, rate in RUNS
    ]  # fmt: skip
    assert [job.wait(180) for job in jobs] == [0] * len(RUNS)
    shutil.copytree(other / "reports", here / "reports")
    done = subprocess.run(
        ["earthsignals", "runs", "import"], cwd=here, env=environment(ROOT), capture_output=True,
        text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return here


@pytest.fixture(scope="module")
def ui(project: Path) -> Iterator[str]:
    """`make ui`'s server over the project's store; its address."""
    port = free_port()
    command = ["mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    variables = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_BACKEND_STORE_URI": "sqlite:///mlflow.db",
    }
    with (project / "ui.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=project, env=environment(ROOT) | variables, stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_healthy(process, port, project / "ui.log")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


@pytest.fixture(scope="module")
def page(chromium: dict[str, str], ui: str) -> Iterator[Any]:
    """A browser's page. It reaches the server alone: nothing here may need the internet."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Root has no sandbox in a container; the page is our own server's.
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium["EXECUTABLE"], args=flags)
        opened = browser.new_page(viewport=SHORT)
        opened.set_default_timeout(PATIENCE_MS)
        opened.route(lambda url: not url.startswith(ui), lambda route: route.abort())
        # The side panel that opens on a first visit is of no use to us.
        opened.add_init_script(
            "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');"
            "localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false');"
        )
        yield opened
        browser.close()


@pytest.fixture(scope="module")
def tdlas(ui: str) -> tuple[str, dict[str, str]]:
    """The experiment's id, and its runs' ids by name."""
    found = _ask(ui, "experiments/get-by-name?experiment_name=tdlas")["experiment"]["experiment_id"]
    runs = _ask(ui, "runs/search", {"experiment_ids": [found]})["runs"]
    return found, {run["info"]["run_name"]: run["info"]["run_id"] for run in runs}


def test_every_pipeline_is_an_experiment(page: Any, ui: str, tmp_path: Path) -> None:
    page.set_viewport_size(SHORT)
    page.goto(f"{ui}/#/experiments?workflowType=machine_learning")
    for pipeline in PIPELINES:
        page.get_by_role("link", name=pipeline, exact=True).wait_for()
    _picture(page, "experiments", tmp_path)


def test_the_curves_of_a_pulled_run_are_drawn(
    page: Any, ui: str, tdlas: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    """Both curves of 40 epochs, drawn as lines, though this machine's MLflow never saw the training."""
    experiment, runs = tdlas
    run = runs["tdlas-train"]
    page.goto(f"{ui}/#/experiments/{experiment}/runs/{run}/model-metrics?workflowType=machine_learning")
    page.set_viewport_size(TALL)
    page.get_by_placeholder("Search metric charts").fill("loss")
    _await_curves(page, charts=2, lines=1)
    for legend in ("tdlas-train (train/loss)", "tdlas-train (val/loss)"):
        page.get_by_text(legend).first.wait_for()
    _picture(page, "run", tmp_path)


def test_two_runs_are_compared_in_one_chart(
    page: Any, ui: str, tdlas: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    """Both trainings' train/loss in the same axes: the names are the same, so they meet."""
    experiment, _ = tdlas
    page.goto(
        f"{ui}/#/experiments/{experiment}/runs?workflowType=machine_learning&compareRunsMode=CHART"
    )
    page.set_viewport_size(TALL)
    page.get_by_placeholder("Search metric charts").fill("loss")
    _await_curves(page, charts=2, lines=2)
    for legend in ("tdlas-train (train/loss)", "tdlas-train-faster (train/loss)"):
        page.get_by_text(legend).first.wait_for()
    _picture(page, "comparison", tmp_path)


def test_what_differs_between_two_runs_stands_side_by_side(
    page: Any, ui: str, tdlas: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    experiment, runs = tdlas
    page.set_viewport_size(SHORT)
    pair = json.dumps(list(runs.values())).replace(" ", "").replace('"', "%22")
    page.goto(
        f"{ui}/#/compare-runs?runs={pair}&experiments=[%22{experiment}%22]&workflowType=machine_learning"
    )
    page.get_by_text("Comparing 2 Runs from 1 Experiment").wait_for()
    rates = page.get_by_role("row").filter(has_text="train.learning_rate")
    rates.first.wait_for()
    assert {"0.02", "0.2"} <= set(rates.first.inner_text().split())
    rates.first.scroll_into_view_if_needed()
    _picture(page, "differences", tmp_path)


def _await_curves(page: Any, *, charts: int, lines: int) -> None:
    """Wait until at least `charts` charts show `lines` curves each, by their colours."""
    page.wait_for_function(
        """([charts, lines]) => [...document.querySelectorAll('.js-plotly-plot')].filter(
            plot => new Set([...plot.querySelectorAll('.scatterlayer path.js-line')].map(
                line => line.style.stroke)).size >= lines
        ).length >= charts""",
        arg=[charts, lines],
    )


def _picture(page: Any, name: str, folder: Path) -> None:
    file = folder / f"{name}.png"
    page.wait_for_timeout(1000)  # charts grow into their place
    page.screenshot(path=file)
    # An empty page of this size takes less than 10 kB.
    assert file.stat().st_size > 20_000
    if os.environ.get("SAVE_PAGES"):
        PICTURES.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, PICTURES / file.name)


def _ask(address: str, path: str, content: dict[str, Any] | None = None) -> Any:
    body = None if content is None else json.dumps(content).encode()
    request = Request(f"{address}/api/2.0/mlflow/{path}", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=60) as answer:
        return json.load(answer)
