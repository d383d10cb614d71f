"""The house itself: import rules, the lock, the entry points of make."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from earthsignals.cli.pipelines import PIPELINES
from earthsignals.dvcfiles import read_stages
from earthsignals.params import read_yaml
from earthsignals.publication.report.build import PAGES
from earthsignals.publication.report.build import PIPELINES as PUBLISHED

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINNED = [
    Requirement(line)
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if line and not line.startswith("#")
]
LOCK = {
    each.name: str(each.specifier).removeprefix("==")
    for each in PINNED
    if each.marker is None or each.marker.evaluate()
}
STAGES = read_stages(ROOT)
EXPECTED = read_yaml(ROOT / "reports/expected.yaml")


def test_imports_point_downwards() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_lock_pins_everything_that_is_required() -> None:
    """The closure of our requirements, dev included, is pinned, and within our bounds."""
    locked = {canonicalize_name(name): version for name, version in LOCK.items()}
    direct = [Requirement(text) for text in PROJECT["dependencies"]]
    direct += [Requirement(text) for text in PROJECT["optional-dependencies"]["dev"]]
    for requirement in direct:
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)])
    waiting, seen = [(each.name, tuple(each.extras)) for each in direct], set()
    while waiting:
        name, extras = waiting.pop()
        if (canonicalize_name(name), extras) in seen:
            continue
        seen.add((canonicalize_name(name), extras))
        assert canonicalize_name(name) in locked, f"{name} is not pinned"
        for text in metadata.requires(name) or []:
            needed = Requirement(text)
            # torch's GPU libraries differ by build; each build pins its own exactly.
            if name == "torch" and needed.name.startswith(("nvidia-", "cuda-", "triton")):
                continue
            marker = needed.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in ("", *extras)):
                waiting.append((needed.name, tuple(needed.extras)))
    assert {name for name, _ in seen} == set(locked), "the lock holds what nothing requires"


def test_torch_is_pinned_without_a_build_and_torchvision_is_absent() -> None:
    assert LOCK["torch"] == "2.13.0"
    assert "torchvision" not in LOCK and not any("+" in version for version in LOCK.values())


def test_no_registry_is_named() -> None:
    for name in ("requirements.lock", "pyproject.toml", "Makefile"):
        assert not re.search(r"https?://|--(extra-)?index-url", _code(ROOT / name)), name


def _code(path: Path) -> str:
    """The lines that are not comments or help; the address of `make ui` is one of ours."""
    lines = path.read_text().splitlines()
    return "\n".join(line for line in lines if "127.0.0.1" not in line)


def make(*arguments: str, folder: Path = ROOT) -> str:
    done = subprocess.run(
        ["make", "-n", *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_every_target_makes_the_environment_first(tmp_path: Path) -> None:
    """In a folder without .venv each target would install from the lock, then do its job."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / ".git").mkdir()
    for target, job in [("repro", "dvc repro"), ("test", "pytest"), ("lint", "lint-imports"),
                        ("ui", "mlflow ui"), ("real", "evaluate-real"), ("setup", "-e .")]:
        plan = make(target, folder=tmp_path)
        assert plan.index("-m venv") < plan.index("-r requirements.lock") < plan.index("-e .")
        assert job in plan
    assert "-r requirements.lock" not in make("help", folder=tmp_path)


def test_setup_is_keyed_by_lock_project_and_folder(tmp_path: Path) -> None:
    def stamp(folder: Path) -> str:
        found = re.search(r"\.venv/\.installed-[0-9a-f]{40}", make("setup", folder=folder))
        assert found
        return found[0]

    stamps = []
    for place, lock in (("a", "x==1\n"), ("b", "x==1\n"), ("c", "x==2\n")):
        folder = tmp_path / place
        folder.mkdir()
        (folder / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
        (folder / "pyproject.toml").write_text("")
        (folder / "requirements.lock").write_text(lock)
        stamps.append(stamp(folder))
        assert stamp(folder) == stamps[-1]
    assert len(set(stamps)) == 3
    (tmp_path / "a" / ".venv").mkdir()
    (tmp_path / "a" / stamps[0]).touch()
    assert "pip install" not in make("setup", folder=tmp_path / "a")  # a second run: nothing


def test_one_pipeline_is_its_stages(tmp_path: Path) -> None:
    assert "dvc repro --glob 'tdlas-*'" in make("repro", "PIPELINE=tdlas")
    assert "earthsignals summary tdlas" in make("repro", "PIPELINE=tdlas")
    assert re.search(r"^dvc repro *$", make("repro"), re.MULTILINE)
    pushed = make("push", "PIPELINE=tdlas")
    assert re.search(r"^dvc push --run-cache tdlas-lines .*tdlas-figures$", pushed, re.MULTILINE)


def test_the_paper_is_all_of_its_stages_and_no_pipeline_of_its_own() -> None:
    plan = make("paper")
    assert "dvc repro --glob 'paper*'" in plan
    assert plan.index("dvc repro") < plan.index("earthsignals claims --check")
    pushed = make("push", "PIPELINE=paper")
    assert re.search(r"^dvc push --run-cache paper-figures .* paper paper-report$", pushed, re.MULTILINE)
    assert f"for pipeline in {' '.join(sorted(PIPELINES))};" in make("real")


# What the paper's stages read of each pipeline; `paper-figures` its run records as well.
OF_EACH = {
    "paper-figures": {"data/{}/figures", "reports/{}/figures"},
    "paper-claims": {"reports/{}/metrics.json", "reports/{}/real.json"},
    "paper-fragments": {"reports/{}/metrics.json", "reports/{}/real.json"},
    "paper-report": {"data/{}/pages", "reports/{}/metrics.json", "reports/{}/real.json"},
}


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_stages_of_the_paper_depend_on_what_they_read_of_a_pipeline(pipeline: str) -> None:
    """All of it, or of a pipeline that has not joined the paper nothing but the metrics of its promises."""
    needed = {stage: {path.format(pipeline) for path in paths} for stage, paths in OF_EACH.items()}
    outs = [name for stage in STAGES if stage.startswith(f"{pipeline}-") for name in _paths(stage, "outs")]
    needed["paper-figures"] |= {name for name in outs if name.startswith(f"reports/{pipeline}/runs/")}
    page = {f"reports/{pipeline}.html"}
    if pipeline not in PUBLISHED:
        promised = {f"reports/{pipeline}/metrics.json"} if pipeline in EXPECTED else set()
        needed, page = {stage: set() for stage in OF_EACH} | {"paper-claims": promised}, set()
    for stage, paths in needed.items():
        named = {path for path in _paths(stage, "deps") if path.split("/")[:2][1:] == [pipeline]}
        assert named == paths, stage
    assert {path for path in _paths("paper-report", "outs") if path == f"reports/{pipeline}.html"} == page


def test_what_is_published_is_a_pipeline() -> None:
    assert set(PUBLISHED) <= set(PIPELINES)
    assert {f"reports/{name}.html" for name in PAGES} == set(_paths("paper-report", "outs"))


def _paths(stage: str, kind: str) -> list[str]:
    """Paths among the `deps` or `outs` of a stage; options that stand below a path are left out."""
    return [next(iter(each)) if isinstance(each, dict) else each for each in STAGES[stage].get(kind, [])]


def test_pages_and_paper_stay_small_enough_for_git() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", ":(glob)reports/*.html", "reports/paper/paper.pdf"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    megabytes = {name: (ROOT / name).stat().st_size / 1e6 for name in listed if (ROOT / name).is_file()}
    large = {name: size for name, size in megabytes.items() if size > (4 if name.endswith(".pdf") else 6)}
    assert not large, f"MB: {large}"


def test_telemetry_is_off_without_make_too() -> None:
    config = (ROOT / ".dvc" / "config").read_text()
    assert re.search(r"analytics = false", config)


@pytest.mark.parametrize("name", ["LICENSE", "CITATION.cff", "settings.example.yaml", ".ci/run"])
def test_files_a_visitor_looks_for(name: str) -> None:
    assert (ROOT / name).stat().st_size > 0


def test_no_module_is_named_for_leftovers() -> None:
    names = {path.stem for path in (ROOT / "src").rglob("*.py")}
    assert not names & {"utils", "helpers", "common", "misc"}


def test_stages_import_no_stage_and_nothing_of_dvc_or_mlflow() -> None:
    for path in (ROOT / "stages").rglob("*.py"):
        imports = re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.MULTILINE)
        assert not {"stages", "dvc", "mlflow"} & set(imports), path
