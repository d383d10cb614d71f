"""The traces of a file, whatever its name: the format is told by the bytes alone.

Nothing is handed to obspy's own detection: it tries every format it knows, among them Python's pickle.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from obspy import Trace

from earthsignals.seismic.records.miniseed import looks_like_miniseed, read_miniseed
from earthsignals.seismic.records.record import RefusedRecord
from earthsignals.seismic.records.sac import looks_like_sac, read_sac


def read_traces(path: Path) -> list[Trace]:
    """Traces with samples, in the file's order; text channels (logs) are left out.

    Raises RefusedRecord with the reasons of a file that is unreadable, empty, foreign, truncated or corrupt.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for without end
        raise RefusedRecord(path, "unreadable", "is no file; expected a waveform file")
    try:
        data = path.read_bytes()
    except OSError as error:
        said = error.strerror or str(error)
        raise RefusedRecord(
            path, "unreadable", f"cannot be read ({said}); expected a waveform file"
        ) from None
    if not data:
        raise RefusedRecord(path, "empty", "is empty (0 bytes); fetch the file again")
    if looks_like_miniseed(data):
        traces = read_miniseed(data, path)
    elif looks_like_sac(data):
        traces = read_sac(data, path)
    else:
        raise RefusedRecord(
            path, "unknown-format",
            "its bytes are neither miniSEED nor binary SAC; convert it to one of them (obspy can) first",
        )  # fmt: skip
    traces = [trace for trace in traces if trace.stats.npts and np.asarray(trace.data).dtype.kind in "iuf"]
    if not traces:
        raise RefusedRecord(path, "no-data", "holds no samples; expected three components of a waveform")
    return traces
