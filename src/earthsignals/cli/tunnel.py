"""`earthsignals tunnel`: one ssh connection with checked host keys for DVC's remote and for MLflow."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from earthsignals.storage import EarthSignalsError, find_project_root


def tunnel(
    host: Annotated[
        str | None, typer.Argument(help="[user@]host[:port], or a name of ~/.ssh/config.")
    ] = None,
    remote_port: Annotated[int, typer.Option(help="Port here that leads to the host's sshd.")] = 2222,
    mlflow_port: Annotated[int, typer.Option(help="Port here that leads to its MLflow.")] = 5001,
    server_port: Annotated[int, typer.Option(help="MLflow's port on the host.")] = 5000,
    ssh_port: Annotated[
        int | None,
        typer.Option(help="sshd's port as the host itself sees it; default: the one ssh connects to."),
    ] = None,
    background: Annotated[bool, typer.Option("--background", help="Return when it stands.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End the tunnel that stands.")] = False,
    show: Annotated[bool, typer.Option("--print", help="Show the ssh command, do nothing.")] = False,
    ssh_config: Annotated[
        Path | None, typer.Option("-F", "--ssh-config", help="An ssh configuration instead of yours.")
    ] = None,
) -> None:
    """Carry DVC's remote and MLflow's port over one ssh connection that checks the host's key.

    DVC's own ssh client accepts any host key; through the tunnel it talks to localhost alone. Ctrl-C ends
    the tunnel; with --background it stays until --stop.

    Examples:

    \b
      earthsignals tunnel root@203.0.113.7
      earthsignals tunnel droplet --background      then: earthsignals tunnel --stop
      earthsignals tunnel droplet --print           the plain ssh command
    """
    from earthsignals.remotes import tunnel as tunnels
    from earthsignals.remotes.openssh import parse_host

    root = find_project_root()
    if stop:
        ended = tunnels.stop(root)
        typer.echo(f"✓ the tunnel to {ended} is closed" if ended else "· no tunnel stands here")
        return
    if host is None:
        raise EarthSignalsError(
            "no machine is named; expected `make tunnel HOST=root@203.0.113.7`, or `earthsignals tunnel "
            "HOST` with a name of ~/.ssh/config"
        )
    plan = tunnels.plan(
        tunnels.Tunnel(parse_host(host, ssh_config), remote_port, mlflow_port, ssh_port, server_port)
    )
    if show:
        typer.echo(shlex.join(plan.words()))
        return
    login = tunnels.login(plan.host)

    def stands() -> None:
        ends = "`earthsignals tunnel --stop`" if background else "Ctrl-C"
        typer.echo(f"✓ the tunnel to {host} stands; {ends} ends it")
        _say_next(login, remote_port, mlflow_port)

    if background:
        tunnels.start(root, plan)
        stands()
        return
    try:
        with _signals_as_interrupts() as got:
            by_stop = tunnels.hold(root, plan, stands)
    except KeyboardInterrupt:
        by_stop = False
    with suppress(OSError):  # SIGHUP: nobody may be there to read it
        typer.echo(f"✓ the tunnel is closed{', by `earthsignals tunnel --stop`' if by_stop else ''}")
    if got:
        raise typer.Exit(128 + got[0])


@contextmanager
def _signals_as_interrupts() -> Iterator[list[int]]:
    """SIGTERM and SIGHUP end what runs in here as Ctrl-C does, so that ssh is ended too; yields those got."""
    got: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        got.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield got
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_next(login: str, remote_port: int, mlflow_port: int) -> None:
    typer.echo(
        f"  once: make remote URL=ssh://{login}@localhost:{remote_port}/srv/earthsignals; then make push\n"
        f"  MLflow: MLFLOW_TRACKING_URI=http://localhost:{mlflow_port} (a server there: `make server`)"
    )
