"""`mirror BUCKET DIR`: the objects of an S3 bucket as files of a folder."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import typer

from earthsignals.storage import EarthSignalsError


def mirror(
    bucket: Annotated[str, typer.Argument(metavar="BUCKET", help="Its name, or s3://name/prefix.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An object becomes DIR/<its key>.")],
    endpoint_url: Annotated[
        str | None, typer.Option(help="Of MinIO and its kin [AWS_ENDPOINT_URL, else Amazon].")
    ] = None,
    prefix: Annotated[str, typer.Option(help="Only keys that begin so.")] = "",
    profile: Annotated[str | None, typer.Option(help="Of ~/.aws, instead of the environment's keys.")] = None,
    include: Annotated[
        str, typer.Option(metavar="PATTERN", help="Only keys of this form; * stands for / too.")
    ] = "*",
    workers: Annotated[int, typer.Option(min=1, max=64, help="Objects at a time.")] = 8,
    anonymous: Annotated[bool, typer.Option("--anonymous", help="A public bucket, without keys.")] = False,
) -> None:
    """Mirror a bucket into a folder: in parallel, keeping its structure, checked by size and checksum.

    Repeat it to go on after an interruption, or to fetch what is new; what is there and whole is kept, and
    nothing is deleted. Keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from a profile.
    Ends with status 1 when an object was refused, each with its reason.

    Examples:

    \b
      earthsignals superdarn mirror superdarn records --endpoint-url http://127.0.0.1:9000
      earthsignals superdarn mirror s3://superdarn/2015/ records --include '*.grid.bz2'
    """
    from earthsignals.remotes.bucket import Bucket
    from earthsignals.remotes.bucket import mirror as bring

    name, beginning = _parts(bucket, prefix)
    source = Bucket(name, endpoint_url, beginning, profile, anonymous)
    done = bring(source, folder, workers=workers, include=lambda key: fnmatchcase(key, include))
    for key, why in done.refused.items():
        typer.echo(f"refused: {key!r}: {why}", err=True)
    if not (done.fetched or done.kept or done.refused):
        asked = f" of the form {include}" if include != "*" else ""
        raise EarthSignalsError(f"{source.shown} holds no objects{asked}; correct the prefix or the pattern")
    typer.echo(
        f"{folder}: {done.fetched:,} files came ({done.bytes / 1e6:,.1f} MB), {done.kept:,} were here already"
        f", {len(done.refused):,} refused"
    )
    if done.refused:
        raise typer.Exit(1)


def _parts(bucket: str, prefix: str) -> tuple[str, str]:
    """Name and prefix, the latter from the address where it holds one."""
    if not bucket.startswith("s3://"):
        return bucket, prefix
    name, _, beginning = bucket.removeprefix("s3://").partition("/")
    if beginning and prefix:
        raise EarthSignalsError(f"{bucket} has a prefix, and --prefix {prefix} is another; give one of them")
    return name, beginning or prefix
