"""Where records come from: simulation, a bucket, or a folder; always to daily grid files."""

from __future__ import annotations

from pathlib import Path

from earthsignals.storage import EarthSignalsError, atomic_directory
from earthsignals.superdarn.params import SuperdarnParams
from earthsignals.superdarn.records.summary import DayFile, Summary, write_summary


def prepare_records(params: SuperdarnParams, out: Path) -> Summary:
    """Write the records that `params.source` names to the folder `out`, which is replaced as a whole:
    `YYYYMMDD.<north|south>.grid.bz2` and `records.json` (and `truth.h5` of synthetic ones). Returns what
    `records.json` holds.

    `synthetic` and `s3` are sources of their own, anything else is the path of a folder or a file. Files that
    give nothing are reported, skipped and never touched.

    Raises EarthSignalsError when no vector comes of it, or the bucket cannot be read.
    """
    out = Path(out)
    with atomic_directory(out) as folder:
        if params.source == "synthetic":
            summary = _simulated(params, folder)
        elif params.source == "s3":
            summary = _from_bucket(params, folder)
        else:
            summary = _from_folder(params, folder)
        write_summary(folder, summary)
    return summary


def _simulated(params: SuperdarnParams, folder: Path) -> Summary:
    from dataclasses import asdict

    from earthsignals.superdarn.simulation.days import write_days
    from earthsignals.superdarn.stations import by_code

    told = asdict(write_days(params, folder))
    radars = tuple(sorted(by_code(code).stid for code in told.pop("radars")))
    files = tuple(DayFile(name, None, None, radars) for name in told.pop("files"))
    return Summary("synthetic", files, told.pop("vectors"), radars, about=told)


def _from_bucket(params: SuperdarnParams, folder: Path) -> Summary:
    from earthsignals.remotes.bucket import Bucket, list_objects
    from earthsignals.superdarn.records.days import BucketFile, write_days

    s3 = params.s3
    bucket = Bucket(s3.bucket, s3.endpoint_url, s3.prefix, s3.profile)
    objects = [item for item in list_objects(bucket) if not item.key.endswith("/")]
    if not objects:
        raise EarthSignalsError(
            f"{bucket.shown}: holds no object; correct bucket, prefix or endpoint_url of superdarn.s3 in "
            "params.yaml"
        )
    files = [BucketFile(item.key, bucket, item) for item in objects]
    return write_days(files, params.gridding, folder, f"s3://{s3.bucket}/{s3.prefix}")


def _from_folder(params: SuperdarnParams, folder: Path) -> Summary:
    from earthsignals.superdarn.records.days import LocalFile, write_days
    from earthsignals.superdarn.records.read import files_below

    path = Path(params.source).expanduser()
    root = path if path.is_dir() else path.parent
    files = [LocalFile(file.relative_to(root).as_posix(), file) for file in files_below(path)]
    return write_days(files, params.gridding, folder, params.source)
