"""Finding runs: by what they made, and those whose process died."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from earthsignals.storage import EarthSignalsError
from earthsignals.tracking.store import open_client, told_in_a_sentence, tracking_uri, working_root

_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")


def find_run_by_output(md5: str, pipeline: str, *, root: Path | None = None) -> str | None:
    """Return the id of the newest finished run of ``pipeline`` with an out of this md5, or None.

    An evaluation finds its training run this way: a run id inside the checkpoint would make
    the checkpoint differ from run to run.

    Raises:
        EarthSignalsError: ``md5`` is no md5, or the store cannot be used.
    """
    if not _MD5.fullmatch(md5):
        raise EarthSignalsError(
            f"{md5!r} is not an md5: expected 32 hexadecimal digits, with .dir for a folder"
        )
    root = working_root(root)
    client = open_client(root)
    with told_in_a_sentence(tracking_uri(root)):
        experiment = client.get_experiment_by_name(pipeline)
        if experiment is None:
            return None
        found = client.search_runs(
            [experiment.experiment_id],
            f"tags.outs LIKE '%{md5}%' and attributes.status = 'FINISHED'",
            order_by=["attributes.start_time DESC"],
            max_results=20,
        )
    # LIKE would take a folder's "<md5>.dir" for a file's "<md5>": compare whole words.
    return next((r.info.run_id for r in found if md5 in r.data.tags["outs"].split()), None)


def close_abandoned(client: Any, experiment: str, stage: str) -> None:
    """Mark runs of this stage KILLED whose process is gone: SIGKILL leaves them RUNNING."""
    query = f"attributes.status = 'RUNNING' and tags.dvc_stage = '{stage}'"
    for old in client.search_runs([experiment], query, max_results=100):
        if not _alive(old.data.tags.get("process.pid"), old.data.tags.get("process.started")):
            client.set_terminated(old.info.run_id, status="KILLED")


def process_tags() -> dict[str, str]:
    """Return the tags by which :func:`close_abandoned` knows whether a run's process lives."""
    import psutil

    return {"process.pid": str(os.getpid()), "process.started": f"{psutil.Process().create_time()}"}


def _alive(pid: str | None, started: str | None) -> bool:
    import psutil

    if pid is None or started is None:
        return False
    try:
        # Process ids are reused; a start time within a second tells the same process.
        return abs(psutil.Process(int(pid)).create_time() - float(started)) < 1.0
    except psutil.Error:
        return False
