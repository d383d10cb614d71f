"""Sweeps: the runs of `dvc exp run` that share a baseline commit lie below one parent run.

The parent is known by a tag that holds the commit, never by its id: it is another one in every store.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from earthsignals.tracking.store import locked

SWEEP_TAG = "sweep"
PARENT_TAG = "mlflow.parentRunId"


def experiment_tags() -> dict[str, str]:
    """Return what DVC tells a stage of its experiment: baseline commit and name; empty in `dvc repro`."""
    baseline = os.environ.get("DVC_EXP_BASELINE_REV")
    if not baseline:
        return {}
    return {SWEEP_TAG: baseline, "dvc_experiment": os.environ.get("DVC_EXP_NAME") or "unnamed"}


def sweep_parent(client: Any, root: Path, experiment: str, baseline: str) -> str:
    """Return the id of the parent run of this baseline commit, made on first use.

    Experiments that start at once on this machine make one, under a file lock. Machines that share
    a server can both make one within the same instant; all later runs then take the older.
    """
    # The commit comes from the environment or a pulled record: only hexadecimal digits enter a query.
    digits = "".join(c for c in baseline.lower() if c in "0123456789abcdef")
    with locked(root, "sweep"):
        found = client.search_runs(
            [experiment],
            f"tags.{SWEEP_TAG} = '{digits}' and tags.kind = 'sweep'",
            order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
            max_results=1,
        )
        if found:
            return found[0].info.run_id
        tags = {
            SWEEP_TAG: digits,
            "kind": "sweep",
            "git_commit": digits,
            "mlflow.user": "earthsignals",
            "mlflow.source.git.commit": digits,
        }
        made = client.create_run(experiment, tags=tags, run_name=f"sweep from {digits[:7]}")
        client.set_terminated(made.info.run_id)
    return made.info.run_id
