"""What stands under a figure of the paper: the stage that drew it, the run and the commit behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from earthsignals.storage import EarthSignalsError, read_json

_SHORT = 8  # digits of a hash that name it well enough to look for


def provenance(figures: str | Path) -> dict[str, dict[str, str]]:
    """The makers of every figure in the bundle `figures`, by `<pipeline>/<name>`, sorted.

    Each has `stage`, `command`, `source` (file and function) and, where they are known, `run` and `commit` of
    the nearest run, shortened, and `state`: `changed` where its working tree was not what the commit holds.
    A figure without a sidecar is left out.
    """
    folder = Path(figures)
    sidecars = sorted(folder.glob("*/*.json"))
    return {f"{path.parent.name}/{path.stem}": _makers(_read(path)) for path in sidecars}


def as_input(figures: str | Path) -> str:
    """The same as the text that Typst reads from `sys.inputs`."""
    return json.dumps(provenance(figures), sort_keys=True, ensure_ascii=False)


def _read(path: Path) -> Mapping[str, Any]:
    found = read_json(path)
    runs = found.get("runs") or [] if isinstance(found, Mapping) else None
    whole = isinstance(runs, list) and "stage" in found and all(
        isinstance(run, Mapping) and {"run_id", "commit"} <= set(run) for run in runs
    )  # fmt: skip
    if not whole:
        raise EarthSignalsError(
            f"{path} is no sidecar of a figure, expected its stage and runs; write it anew "
            "(`dvc repro paper-figures`)"
        )
    return found


def _makers(sidecar: Mapping[str, Any]) -> dict[str, str]:
    drawn = sidecar.get("drawn_by") or {}
    makers = {
        "stage": str(sidecar["stage"]),
        "command": str(sidecar.get("command", "")),
        "source": f"{Path(drawn.get('file', '')).name}: {drawn.get('function', '')}" if drawn else "",
    }
    for run in (sidecar.get("runs") or [])[:1]:
        makers |= {"run": str(run["run_id"])[:_SHORT], "commit": str(run["commit"])[:_SHORT]}
        if str(run.get("dirty")).lower() == "true":
            makers["state"] = "changed"
    return makers
