"""`earthsignals remote …`: where artifacts are kept between machines, and whether they are whole there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from earthsignals.storage import find_project_root

app = typer.Typer(
    help="""DVC remotes: set up, check, verify and repair; a cache that several users share.

Examples:

\b
  earthsignals remote add                            a folder beside the project: works offline
  earthsignals remote add ssh://root@localhost:2222/srv/earthsignals
  earthsignals remote add s3://bucket/prefix --endpoint-url http://127.0.0.1:9000 --access-key-id ID
  earthsignals remote verify --all-commits           hash everything the remote holds for us
  earthsignals remote verify --repair                ... and mend it from the local cache
  earthsignals remote share-cache /mnt/group/dvc --group science
""",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def add(
    url: Annotated[
        str | None,
        typer.Argument(help="Folder, ssh://[user@]host[:port]/path or s3://bucket/prefix; default: a folder "
                            "beside the project."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Its name in DVC; default: storage, with --local storage-here.")
    ] = None,
    local: Annotated[
        bool,
        typer.Option("--local", help="For this machine alone: out of git, in place of everybody's default."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace another address.")] = False,
    user: Annotated[str | None, typer.Option(help="User name at the host (ssh).")] = None,
    key: Annotated[Path | None, typer.Option(help="Private key file (ssh).")] = None,
    ask_password: Annotated[
        bool, typer.Option("--ask-password", help="Ask for a password, or read DVC_SSH_PASSWORD (ssh).")
    ] = False,
    endpoint_url: Annotated[
        str | None, typer.Option(help="A server other than Amazon's, as MinIO (S3).")
    ] = None,
    region: Annotated[str | None, typer.Option(help="Region of the bucket (S3).")] = None,
    access_key_id: Annotated[
        str | None,
        typer.Option(help="Access key (S3); its secret is asked for, or read from AWS_SECRET_ACCESS_KEY."),
    ] = None,
) -> None:
    """Say where `make push` sends artifacts and `make pull` finds them. Doing it again changes nothing.

    The address goes to .dvc/config, which git tracks; user names, key files and secrets go to
    .dvc/config.local alone, which git ignores. No secret is ever an option.

    Examples:

    \b
      earthsignals remote add
      earthsignals remote add ssh://root@localhost:2222/srv/earthsignals --key ~/.ssh/id_ed25519
      AWS_SECRET_ACCESS_KEY=… earthsignals remote add s3://bucket/prefix --access-key-id ID
    """
    from earthsignals.remotes.adding import Wish, add

    name = name or ("storage-here" if local else "storage")
    wish = Wish(url, name, local, force, user, key, ask_password, endpoint_url, region, access_key_id, _ask)
    added = add(find_project_root(), wish)
    state = "is set" if added.changed else "was set already"
    typer.echo(f"✓ {added.remote.name}: {added.remote.shown} {state}; next: make push")
    for note in added.notes:
        typer.echo(f"! {note}", err=True)


def _ask(words: str) -> str:
    if not sys.stdin.isatty():  # nobody to answer, or no way to keep the answer off the screen
        return ""
    return typer.prompt(words, hide_input=True, default="", show_default=False, err=True)


@app.command()
def check(
    remote: Annotated[str | None, typer.Option(help="Its name; default: DVC's default remote.")] = None,
) -> None:
    """Is a remote configured, and its folder or its tunnel there? Contacts no other machine.

    Examples:

    \b
      earthsignals remote check && dvc pull
    """
    from earthsignals.remotes.config import check_remote, near_end
    from earthsignals.remotes.tunnel import stranger

    root = find_project_root()
    found = check_remote(root, remote)
    typer.echo(f"✓ {found.name}: {found.shown}")
    if stranger(root, *near_end(found)):
        typer.echo(
            "! what listens there is no tunnel of this project, so nobody has checked whose host key it "
            "shows: `earthsignals tunnel HOST` does",
            err=True,
        )


@app.command()
def verify(
    remote: Annotated[str | None, typer.Option(help="Its name; default: DVC's default remote.")] = None,
    all_commits: Annotated[
        bool, typer.Option("--all-commits", help="Every commit of every branch, tag and experiment.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Replace what is bad by good copies of the local cache.")
    ] = False,
    download: Annotated[
        bool, typer.Option("--download", help="Read every object instead of trusting the remote's hashes.")
    ] = False,
    sizes: Annotated[
        bool, typer.Option("--sizes", help="Names and sizes only, nothing is hashed: is all of it there?")
    ] = False,
    pipeline: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only stages named NAME-…; default: all.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Objects hashed at a time.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
    ssh_config: Annotated[
        Path | None, typer.Option("-F", "--ssh-config", help="An ssh configuration instead of yours.")
    ] = None,
) -> None:
    """Hash what the remote holds for dvc.lock; name each missing, truncated or corrupt object.

    A folder is read here, over ssh `md5sum` runs at the other end, S3 is asked for its MD5s. Exit code 1
    when anything is bad (with --repair: and could not be mended).

    Examples:

    \b
      earthsignals remote verify
      earthsignals remote verify --sizes --pipeline tdlas    did everything get there? (`make push` asks)
      earthsignals remote verify --all-commits --repair
      earthsignals remote verify --json | python -m json.tool
    """
    import json

    from earthsignals.remotes.verify import as_json as plain
    from earthsignals.remotes.verify import verify

    report = verify(
        find_project_root(), name=remote, all_commits=all_commits, repair=repair, download=download,
        jobs=jobs, ssh_config=ssh_config, sizes=sizes, pipeline=pipeline,
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(plain(report)))
    else:
        shown = report.findings if report.hashed else report.findings[:_SHOWN]
        for finding in shown:
            mark = "+ repaired, was" if finding.repaired else "✗"
            typer.echo(f"{mark} {finding.sentence()}")
        if len(shown) < len(report.findings):
            typer.echo(f"✗ … and {len(report.findings) - len(shown):,} more (--json names all)")
        _sum_up(report, repair)
    if report.bad:
        raise typer.Exit(1)


_SHOWN = 20
_SEND = (
    "`dvc pull` what another machine has pushed, or `dvc repro` the stages, so that the local cache has it; "
    "then `make push`"
)
_MEND = "`earthsignals remote verify --repair` replaces what the local cache has"
_LEFT = (
    "run `earthsignals remote verify --repair` on a machine whose cache has what is left, or `dvc repro` the "
    "stages and `make push`"
)


def _sum_up(report, repair: bool) -> None:
    runs = f", {report.runs:,} run-cache entries" if report.hashed else " by names and sizes"
    seen = f"{report.objects:,} objects, {report.bytes / 1e6:,.1f} MB{runs}"
    commits = f" of {report.commits:,} commits" if report.commits > 1 else ""
    if report.runs_incomplete:
        typer.echo(
            f"· {report.runs_incomplete:,} run-cache entries are of versions whose outputs the remote does "
            "not hold: those stages would run again"
        )
    mended = len(report.findings) - len(report.bad)
    what = f"{report.remote} ({report.url}): {seen}{commits}"
    if not report.bad:
        good = "all good" if report.hashed else "all there"
        typer.echo(f"✓ {what}: {good}{f', {mended} mended' if mended else ''}")
        return
    if not report.hashed:
        typer.echo(f"✗ {what}: {len(report.bad):,} missing or cut\n  → {_SEND}")
        return
    typer.echo(f"✗ {what}: {len(report.bad)} bad, {mended} mended")
    typer.echo(f"  → {_LEFT if repair else _MEND}")


@app.command("share-cache")
def share_cache(
    folder: Annotated[Path, typer.Argument(help="The cache's folder on a disk that all users reach.")],
    group: Annotated[str | None, typer.Option(help="The users' group; default: yours.")] = None,
) -> None:
    """Keep DVC's cache on a network mount, for several users and clones: each file is stored once.

    Makes the folder (group-writable, setgid), carries this clone's objects over, hash-checked, and turns
    the outputs into links to it. Run it once in every clone.

    Examples:

    \b
      earthsignals remote share-cache /mnt/group/dvc-cache --group science
    """
    from earthsignals.remotes.sharing import share

    shared = share(find_project_root(), folder, group)
    typer.echo(
        f"✓ {shared.folder}: {shared.carried:,} objects carried over, {shared.present:,} were there; "
        f"outputs are linked by {shared.links}"
    )
    for note in shared.notes:
        typer.echo(f"! {note}", err=True)
