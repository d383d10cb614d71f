"""Where the waveforms lie: in the stage's own output, or in a folder of the user's that it points to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from earthsignals.seismic.records.folder import find_files
from earthsignals.storage import EarthSignalsError, atomic_directory, read_json, write_json

POINTER = "source.json"


def point_to(folder: Path, channels: Sequence[str], out: Path) -> dict[str, int]:
    """Make `out` stand for the user's own files: name the folder and take note of what it holds.

    The note (number of files, total bytes, SHA-256 of their relative names and sizes) changes when files
    come, go or grow, so that a rerun of the stage makes later stages run again. Returns files by kind.

    Raises EarthSignalsError when the folder is missing, unreadable or without a waveform file.
    """
    files = find_files(folder, channels)
    if not files:
        raise EarthSignalsError(
            f"{folder} holds no waveform files of the kinds {', '.join(channels)}: point seismic.source to a "
            "folder with miniSEED or SAC files in it, or name their kinds in seismic.channels "
            f"(`earthsignals seismic inspect {folder}` shows what is there)"
        )
    told = [(str(entry.path.relative_to(folder)), entry.path.stat().st_size) for entry in files]
    digest = hashlib.sha256("\n".join(f"{name}\t{size}" for name, size in sorted(told)).encode())
    kinds: dict[str, int] = {}
    for entry in files:
        kinds[entry.kind] = kinds.get(entry.kind, 0) + 1
    with atomic_directory(out) as temporary:
        write_json(temporary / POINTER, {
            "folder": str(folder), "files": len(told), "bytes": sum(size for _, size in told),
            "sha256_of_names_and_sizes": digest.hexdigest(), "kinds": kinds,
        })  # fmt: skip
    return kinds


def waveforms_of(folder: Path) -> Path:
    """The folder that holds the waveform files: `folder` itself, or the one that it points to.

    Raises EarthSignalsError when there is neither.
    """
    if not folder.is_dir():
        raise EarthSignalsError(f"{folder} does not exist: run `dvc repro seismic-waveforms`")
    pointer = folder / POINTER
    if not pointer.is_file():
        return folder
    source = Path(read_json(pointer)["folder"])
    if not source.is_dir():
        raise EarthSignalsError(
            f"{source}, which {pointer} points to, is not there: mount it, or set seismic.source anew and "
            "run `dvc repro seismic-waveforms`"
        )
    return source
