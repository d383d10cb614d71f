"""The pages of docs/: their links resolve, and who follows the page on pipelines to the letter gets one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from earthsignals.publication.bundle import pipelines as bundled

from ..project import make_clone, run
from .written_page import follow

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name}: {target}"
        if anchor and found.suffix == ".md":
            titles = re.findall(r"^#+ (.+)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_page_is_reached_from_the_index() -> None:
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    names = {page.name for page in ROOT.glob("docs/**/*.md")} - {"README.md"}
    assert not {name for name in names if name not in index}


def test_no_page_names_a_folder_of_some_machine() -> None:
    for page in PAGES:
        assert not re.search(r"(?<![\w.])/(work/|home/\w+/|Users/)\w", page.read_text(encoding="utf-8")), page


@pytest.mark.timeout(900)
def test_the_page_on_pipelines_makes_one(tmp_path: Path) -> None:
    """Written to the letter into a clone: the stages run, a second time do nothing, and the house stands."""
    clone = make_clone(tmp_path / "clone")
    written = follow(ROOT / "docs/add-a-pipeline.md", clone)
    assert len(written) > 20
    assert "one batch forward and backward" in run(clone, "earthsignals", "tide", "check").stdout
    run(clone, "earthsignals", "scale", "smoke")
    run(clone, "dvc", "repro", "--glob", "tide-*")
    again = run(clone, "dvc", "repro", "--glob", "tide-*").stdout
    assert "Running stage" not in again and "up to date" in again
    metrics = json.loads((clone / "reports/tide/metrics.json").read_text())
    # 120 days, two epochs: damped surge knows the process, and is within its sampling error of the limit.
    assert 0.8 < metrics["rmse_over_limit"]["tide_and_damped_surge"]["value"] < 1.3
    assert metrics["rmse_m"]["model"] < metrics["rmse_m"]["persistence"]
    names = {path.name for path in (clone / "reports/tide/figures").iterdir()}
    assert {"forecast.png", "forecast.pdf", "methods.png", "training.pdf"} <= names
    assert {path.suffix for path in (clone / "data/tide/figures").iterdir()} == {".svg", ".csv"}
    run(clone, "earthsignals", "reference")
    assert "tide.levels" in (clone / "docs/reference/params.md").read_text()
    tools = Path(sys.executable).parent
    # The paper leaves a room out that has not joined it, and judges its promises all the same.
    assert "tide" not in bundled(clone)
    run(clone, sys.executable, "stages/paper/claims.py")
    judged = json.loads((clone / "reports/claims.json").read_text())["claims"]
    assert sum(row["pipeline"] == "tide" for row in judged) == 2
    for command in (
        [tools / "lint-imports", "--no-cache"],
        [tools / "ruff", "check", "src/earthsignals/tide", "src/earthsignals/cli/tide.py", "stages/tide",
         "tests/tide"],
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/tide"],
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/foundation/test_house.py",
         "-k", "paper"],
    ):  # fmt: skip
        run(clone, *map(str, command))


def test_the_workflow_does_what_it_says() -> None:
    from ruamel.yaml import YAML

    workflow = YAML(typ="safe").load((ROOT / ".github/workflows/test.yml").read_text())
    job = workflow["jobs"]["test"]
    assert job["strategy"]["matrix"]["os"] == ["ubuntu-latest", "macos-latest"]
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["cancel-in-progress"] is True
    commands = "\n".join(step.get("run", "") for step in job["steps"])
    targets = re.findall(r"make ([\w-]+)", commands)
    assert targets == ["setup", "lint", "test"]
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)
    # Actions are held at a major version: neither a moving branch nor nothing.
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"]) for step in job["steps"] if "uses" in step)
