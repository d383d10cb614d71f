"""A project whose runs and figures are small stand-ins; its prose and metrics are the committed ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw
from ruamel.yaml import YAML

from earthsignals.storage import md5_path, write_json

from ..project import ROOT

PIPELINES = ("tdlas", "plume", "seismic", "clouds", "superdarn")
COMMIT = "9f2465c2d87df6bc0921b466781badc0068dfd05"
Picture = Callable[[str, str], Image.Image]


def make_project(
    root: Path, picture: Picture | None = None, pipelines: Sequence[str] = PIPELINES
) -> Path:
    """Write a project with a figure for every caption, and one run behind all of a pipeline's figures."""
    for name in ("params.yaml", "scales.yaml"):
        shutil.copyfile(ROOT / name, root / name)
    shutil.copytree(ROOT / "reports" / "cards", root / "reports" / "cards")
    shutil.copytree(ROOT / "reports" / "benchmarks", root / "reports" / "benchmarks")
    (root / "src").symlink_to(ROOT / "src")
    captions = YAML(typ="safe").load(root / "reports" / "cards" / "figures.yaml")
    for pipeline in pipelines:
        for name in ("metrics.json", "real.json"):
            (root / "reports" / pipeline).mkdir(exist_ok=True)
            shutil.copyfile(ROOT / "reports" / pipeline / name, root / "reports" / pipeline / name)
        for figure in (*captions[pipeline], "training"):
            _figure(root, pipeline, figure, (picture or plain)(pipeline, figure))
        _run(root, pipeline)
    _dvc_files(root, pipelines)
    write_json(root / "reports" / "claims.json", {"claims": CLAIMS, "verdicts": {}})
    return root


def plain(pipeline: str, figure: str) -> Image.Image:
    """A small picture, another one for each figure."""
    made = Image.new("RGB", (120, 80), "white")
    ImageDraw.Draw(made).text((4, 4), f"{pipeline}\n{figure}", fill="black")
    return made


def committed(pipeline: str, figure: str) -> Image.Image:
    """The figure as git has it, or a plain picture where it has none."""
    path = ROOT / "reports" / pipeline / "figures" / f"{figure}.png"
    return Image.open(path).convert("RGB") if path.is_file() else plain(pipeline, figure)


def _figure(root: Path, pipeline: str, name: str, picture: Image.Image) -> None:
    reports, data = (root / top / pipeline / "figures" for top in ("reports", "data"))
    for folder in (reports, data):
        folder.mkdir(parents=True, exist_ok=True)
    picture.save(reports / f"{name}.png")
    (reports / f"{name}.pdf").write_bytes(b"%PDF-1.4 stand-in\n")
    (data / f"{name}.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>\n')
    (data / f"{name}.csv").write_text("x,y\n1,2\n")


def _run(root: Path, pipeline: str) -> None:
    record = {
        "format_version": 2, "run_id": md5_path(root / "reports" / pipeline / "metrics.json"),
        "experiment": pipeline, "name": f"{pipeline}-evaluate", "status": "FINISHED",
        "start_ms": 1_700_000_000_000, "end_ms": 1_700_000_060_000, "params": {"seed": "7"}, "metrics": {},
        "tags": {
            "git_commit": COMMIT, "git_dirty": "false",
            f"dep.data/{pipeline}/best_model.pt": "a" * 32, f"dep.data/{pipeline}/dataset.h5": "b" * 32,
            f"dep.src/earthsignals/{pipeline}/evaluate.py": "c" * 32,
        },
    }  # fmt: skip
    write_json(root / "reports" / pipeline / "runs" / "evaluate.json", record)


def _dvc_files(root: Path, pipelines: Sequence[str]) -> None:
    stages, locked = {}, {}
    for pipeline in pipelines:
        record, arrays = f"reports/{pipeline}/runs/evaluate.json", f"data/{pipeline}/evaluation.h5"
        source, pictures = f"src/earthsignals/{pipeline}/figures", f"reports/{pipeline}/figures"
        script = f"python stages/{pipeline}"
        locked[f"{pipeline}-evaluate"] = {
            "cmd": f"{script}/evaluate.py",
            "outs": [{"path": arrays, "md5": "d" * 32}, {"path": record, "md5": md5_path(root / record)}],
        }
        locked[f"{pipeline}-figures"] = {
            "cmd": f"{script}/figures.py",
            "deps": [{"path": arrays, "md5": "d" * 32}, {"path": source, "md5": "e" * 32 + ".dir"}],
            "params": {"params.yaml": {f"{pipeline}.seed": 7}},
            "outs": [{"path": pictures, "md5": "f" * 32 + ".dir"}],
        }
        stages[f"{pipeline}-figures"] = {"cmd": f"{script}/figures.py", "outs": [pictures]}
    stages["paper-figures"] = {
        "cmd": "python stages/paper/figures.py",
        "deps": [f"reports/{pipeline}/figures" for pipeline in pipelines],
        "outs": ["data/paper/figures"],
    }
    # JSON is YAML.
    (root / "dvc.yaml").write_text(json.dumps({"stages": stages}, indent=1))
    (root / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": locked}, indent=1))


CLAIMS = [
    {
        "id": "plume-dense", "pipeline": "plume", "claim": "a flightline takes hours",
        "source": "a table, row 3", "expected": "7", "unit": "h", "measured": 0.00128,
        "low": None, "high": None, "beside": None,
        "verdict": "better", "promised": "better", "regression": False, "how": "on other hardware.",
        "because": None, "scale": None, "ours": False,
    },
    {
        "id": "seismic-files", "pipeline": "seismic", "claim": "so many files", "source": "the seed's list",
        "expected": "132169", "unit": "", "measured": 132169, "low": None, "high": None, "beside": None,
        "verdict": "reproduced", "promised": "reproduced", "regression": False, "how": "added up",
        "because": None, "scale": None, "ours": False,
    },
    {
        "id": "clouds-scale", "pipeline": "clouds", "claim": "scale is read off", "source": "earthsignals",
        "expected": ">= 0.8", "unit": "", "measured": 0.796, "low": 0.74, "high": 0.84, "beside": None,
        "verdict": "not reproduced", "promised": "not reproduced", "regression": False, "how": "R²",
        "because": "training ends early", "scale": "laptop", "ours": True,
    },
    {
        "id": "plume-gpu", "pipeline": "plume", "claim": "on a GPU", "source": "a table, row 9",
        "expected": "12", "unit": "min", "measured": None, "low": None, "high": None, "beside": 3.2,
        "verdict": "not measured", "promised": "not measured", "regression": False, "how": "no such GPU",
        "because": None, "scale": None, "ours": False,
    },
]  # fmt: skip
