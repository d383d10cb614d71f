"""`earthsignals server`: one MLflow server for a team."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

_ENVIRONMENT_FILE = Path("deploy/server.env")


def server(
    database: Annotated[
        str | None, typer.Option(help="postgresql://user@host:5432/name, without the password.")
    ] = None,
    artifacts: Annotated[str | None, typer.Option(help="s3://bucket/prefix, or a folder.")] = None,
    host: Annotated[str, typer.Option(help="Where to listen; beyond loopback is plain HTTP.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
    env_file: Annotated[
        Path | None, typer.Option(help=f"NAME=value lines, mode 600 [{_ENVIRONMENT_FILE} if it is there].")
    ] = None,
    folder: Annotated[
        Path, typer.Option(help="Keeps its secrets, and its data where nothing else is named.")
    ] = Path(".server"),
    show: Annotated[bool, typer.Option("--print", help="Show what would be started, and stop.")] = False,
) -> None:
    """Run an MLflow server for a team: logins, PostgreSQL, artifacts on S3.

    Its database and store come from options, the environment or a file (see deploy/server.env.example);
    without them it uses SQLite and a folder. docs/experiments.md tells how members log in.

    Examples:

    \b
      earthsignals server                               SQLite and a folder, on this machine alone
      earthsignals server --database postgresql://mlflow@127.0.0.1/mlflow --artifacts s3://runs/mlflow
      earthsignals server --print                       the command and its environment, no secrets
    """
    from earthsignals.storage import find_project_root
    from earthsignals.tracking.server import launch, plan_server, read_environment

    root = find_project_root()
    file = env_file or root / _ENVIRONMENT_FILE
    if env_file or file.exists():
        # What the caller's own environment says goes before the file.
        os.environ.update(read_environment(file) | os.environ)
    planned = plan_server(
        root / folder, database=database, artifacts=artifacts, host=host, port=port,
        environment=os.environ,
    )  # fmt: skip
    for note in planned.notes:
        print(f"note: {note}", file=sys.stderr)
    if show:
        print("\n".join(planned.lines()))
        return
    if status := launch(planned):
        raise typer.Exit(status)
