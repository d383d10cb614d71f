"""From any file or run to what made it, back to the raw data, and forward to what was made of it.

    from earthsignals.tracking.trace import trace

    traced = trace("reports/tdlas/figures/allan.png")
    traced.stage.command, traced.stage.commit, traced.runs[0].id

The answer is about the bytes at hand: where the file here is not what `dvc.lock` says, the newest commit
whose lock knew these bytes is traced instead, and `notes` says so.
"""

from __future__ import annotations

from earthsignals.tracking.trace.answer import Trace, TracedFile, TracedStage, Use
from earthsignals.tracking.trace.known_runs import KnownRun
from earthsignals.tracking.trace.subject import trace

__all__ = ["KnownRun", "Trace", "TracedFile", "TracedStage", "Use", "trace"]
