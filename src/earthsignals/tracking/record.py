"""The run record: a file that DVC carries and from which MLflow's run can be rebuilt elsewhere.

MLflow's database holds absolute paths and cannot be synchronised; the record holds none.
"""

from __future__ import annotations

import hashlib
import json
import math
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from earthsignals.storage import EarthSignalsError, write_json
from earthsignals.tracking.plain import one_line

if TYPE_CHECKING:
    from earthsignals.tracking.run import Run

FORMAT_VERSION = 2

# What a store takes is checked when a record is read: refused half-way, it would leave half a run.
_KEY = re.compile(r"[\w\-. :/]{1,250}")
_YEAR_9999_MS = 253_370_764_800_000
_DOCUMENT_DEPTH = 50


def _inside(name: str) -> str:
    """A pulled record must not lead out of the folder of artifacts."""
    if not name.isprintable() or "\\" in name or not _is_path(name):
        raise ValueError("names of artifacts are relative paths without `..`")
    return name


def _key(name: str) -> str:
    if not _KEY.fullmatch(name) or not _is_path(name):
        raise ValueError(
            "keys are at most 250 letters, digits and `_-. :/`, and like paths without `..` and `//`"
        )
    return name


def _is_path(name: str) -> bool:
    """MLflow's rule for all names: relative, and written in the shortest way."""
    return name != "." and not name.startswith(("/", "..")) and posixpath.normpath(name) == name


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("text holds a zero byte, which PostgreSQL refuses")
    return text


def _shallow(document: Any) -> Any:
    level = [document]
    for _ in range(_DOCUMENT_DEPTH):
        level = [
            child
            for each in level
            if isinstance(each, (dict, list))
            for child in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return document
    raise ValueError(f"documents are nested at most {_DOCUMENT_DEPTH} deep")


Key = Annotated[str, AfterValidator(_key)]
"""Name of a metric, param or tag."""

Text = Annotated[str, AfterValidator(_storable)]
"""Value of a param or tag, or a name for people."""

Milliseconds = Annotated[int, Field(ge=0, le=_YEAR_9999_MS)]
"""Time since 1970."""

Point = tuple[Annotated[int, Field(ge=-(2**63), lt=2**63)], Milliseconds, float]
"""One value of a metric: step, time (ms since 1970), value."""

ArtifactName = Annotated[str, AfterValidator(_inside)]
"""Path of a file among a run's artifacts."""


class Record(BaseModel):
    """What a run record holds; format 1 had none of the last four and other metric names."""

    model_config = ConfigDict(frozen=True)

    format_version: int
    # The id becomes part of a query to the store, the experiment's name part of a path: a pulled
    # record must not smuggle anything else into them.
    run_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    experiment: str = Field(pattern=r"^[A-Za-z0-9][\w-]*$", max_length=250)
    name: Text = Field(max_length=250)
    status: Literal["FINISHED", "FAILED", "KILLED"]
    start_ms: Milliseconds
    end_ms: Milliseconds
    params: dict[Key, Text]
    tags: dict[Key, Text]
    metrics: dict[Key, list[Point]]
    artifacts: dict[ArtifactName, str] = {}
    """MD5 of each figure and small file that the run stored, by its path among the artifacts."""
    datasets: list[tuple[Annotated[Text, Field(max_length=500)], Text, Text]] = []
    """Path, md5 and context (``training``, ``evaluation``) of each dataset that the run used."""
    documents: dict[ArtifactName, Annotated[Any, AfterValidator(_shallow)]] = {}
    """Content of small JSON artifacts, which lie in no other file."""
    md5: str = ""
    """MD5 of the record's own bytes, as dvc.lock has it; not in the file."""

    def renamed_metrics(self) -> dict[str, list[Point]]:
        """Metrics by today's names: ``train/…`` and ``val/…`` for epochs, ``test/…`` for evaluations."""
        if self.format_version > 1:
            return self.metrics
        if self.tags.get("kind") == "evaluation":
            return {f"test/{name}": rows for name, rows in self.metrics.items()}
        return {self._renamed(name): rows for name, rows in self.metrics.items()}

    def _renamed(self, name: str) -> str:
        # What has the steps and times of the loss is a metric of the epochs; `train_scans` is not.
        epochs = [row[:2] for row in self.metrics.get("train_loss", ())]
        if [row[:2] for row in self.metrics[name]] != epochs:
            return name
        for old, new in (("train_", "train/"), ("validation_", "val/")):
            if name.startswith(old):
                return new + name.removeprefix(old)
        return name


def write_record(run: Run, end_ms: int) -> None:
    """Write ``run.record_path``: params, tags, artifacts, and each metric's [step, time, value] rows.

    JSON has no NaN: values that are not finite are written as ``"nan"``, ``"inf"``, ``"-inf"``.
    """
    metrics = {
        key: [[step, time_ms, _finite(value)] for step, time_ms, value in rows]
        for key, rows in run.metrics.items()
    }
    record = {
        "format_version": FORMAT_VERSION,
        "run_id": run.id,
        "experiment": run.pipeline,
        "name": run.name,
        "status": "FINISHED",
        "start_ms": run.start_ms,
        "end_ms": end_ms,
        "params": run.params,
        "tags": run.tags,
        "metrics": metrics,
        "artifacts": run.artifacts,
        "datasets": run.datasets,
        "documents": run.documents,
    }
    write_json(run.record_path, record)


def read_record(path: Path, md5: str | None = None) -> Record:
    """Read and check a run record.

    Args:
        path: the file, under any name.
        md5: what its bytes must hash to, where that is known (a file of DVC's cache).

    Raises:
        EarthSignalsError: the file is unreadable, damaged, no run record, or of a newer format.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EarthSignalsError(f"{path} cannot be read ({error.strerror})") from None
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 not in (None, found):
        raise EarthSignalsError(
            f"{path} is damaged: its md5 is {found}, expected {md5}; delete it, and `make pull` fetches it"
        )
    try:
        plain = json.loads(content)
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or nested without end
        raise EarthSignalsError(
            f"{path} is damaged ({error}): `dvc checkout {path}` or `dvc pull` brings it back"
        ) from None
    if not isinstance(plain, dict) or "run_id" not in plain:
        raise EarthSignalsError(f"{path} is not a run record: it has no run_id")
    version = plain.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise EarthSignalsError(
            f"{path} is a run record of format {version}, this version reads up to "
            f"{FORMAT_VERSION}: update earthsignals"
        )
    try:
        return Record.model_validate(plain | {"md5": found})
    except ValidationError as error:
        first = error.errors()[0]
        where = one_line(".".join(str(part)[:60] for part in first["loc"] if part != "[key]"))
        told = first["msg"].removeprefix("Value error, ")
        raise EarthSignalsError(
            f"{path} is damaged: `{where}` is not what a run record holds ({told}); "
            f"`dvc checkout {path}` or `dvc pull` brings it back"
        ) from None


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else str(float(value))
