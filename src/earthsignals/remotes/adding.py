"""Set up a DVC remote: a folder, a machine reached by ssh, or an S3 bucket."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from earthsignals.remotes.config import Remote, load, without_user, write
from earthsignals.remotes.ports import is_loopback
from earthsignals.storage import EarthSignalsError

_PUBLIC = ("endpointurl", "region")
_PRIVATE = (
    "user", "keyfile", "password", "passphrase", "access_key_id", "secret_access_key", "session_token",
)  # fmt: skip
_RISK = (
    "DVC's ssh client accepts any host key: whoever sits between this machine and {host} could read and "
    "change artifacts. Better: `make tunnel HOST={user}@{host}`, which checks the key, and "
    "`make remote URL=ssh://{user}@localhost:2222{path}`, {user} being {whose}"
)


@dataclass
class Wish:
    """What the user asked for; `ask` prompts for a secret without showing it (None: do not ask)."""

    url: str | None = None
    name: str = "storage"
    local: bool = False
    force: bool = False
    user: str | None = None
    key_file: Path | None = None
    ask_password: bool = False
    endpoint_url: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    ask: Callable[[str], str] | None = None


@dataclass
class Added:
    """What was done: the remote, whether files changed, and what the user should know."""

    remote: Remote
    changed: bool
    notes: list[str] = field(default_factory=list)


def add(root: Path, wish: Wish) -> Added:
    """Make `wish` the default remote. The same wish again changes nothing.

    Address and `verify = true` (DVC hashes what it pulls) go to `.dvc/config`, which git tracks, or with
    `local` to `.dvc/config.local`; user, key file, keys and passwords always to the latter.
    Raises EarthSignalsError for an address of no known kind, one that holds a password, or when the
    remote exists with another address and `force` is not set.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", wish.name):
        raise EarthSignalsError(f"`{wish.name}` is no name for a remote: use small letters, digits, - and _")
    if wish.url is not None and "://" in wish.url:
        url, options, notes = _by_scheme(wish)
    else:
        _refuse_options(wish, "a folder", "endpoint_url", "region", "access_key_id", "user", "key_file")
        url, options, notes = _folder(root, wish.url), {}, []
    present = _refuse_other(root, wish, url)
    section = f'remote "{wish.name}"'
    public = {key: options[key] for key in _PUBLIC if key in options}
    private = {key: options[key] for key in _PRIVATE if key in options}
    if present and present != url:  # what belonged to the old place means nothing at the new one
        if not wish.local:
            write(root, {section: dict.fromkeys(("url", *_PUBLIC))}, local=False)
        write(root, {section: dict.fromkeys(("url", *_PUBLIC, *_PRIVATE))}, local=True)
    if not wish.local:  # what is noted for this machine alone would win over the tracked values
        mine = {"core": {"remote": None}, section: dict.fromkeys(("url", "verify", *_PUBLIC))}
        write(root, mine, local=True)
    values = {"core": {"remote": wish.name}, section: {"url": url, "verify": "true", **public}}
    changed = write(root, values, local=wish.local)
    if private:
        changed |= write(root, {section: private}, local=True)
    remote = load(root)["remote"][wish.name]
    return Added(Remote(wish.name, str(remote["url"]), remote), changed, notes)


def _by_scheme(wish: Wish) -> tuple[str, dict[str, str], list[str]]:
    assert wish.url is not None
    try:
        parts = urlsplit(wish.url)
        port = parts.port
    except ValueError as error:
        raise EarthSignalsError(f"{without_user(wish.url)} is no address: {error}") from None
    if parts.password is not None:
        raise EarthSignalsError(
            f"the address of {parts.hostname} holds a password, which would end up in the shell's history; "
            "leave it out and use a key file (--key FILE) or --ask-password"
        )
    if parts.scheme == "s3":
        _refuse_options(wish, "S3", "user", "key_file", "ask_password")
        return _s3(wish)
    if parts.scheme == "ssh":
        _refuse_options(wish, "ssh", "endpoint_url", "region", "access_key_id")
        return _ssh(wish, parts.hostname, port, parts.path, parts.username)
    raise EarthSignalsError(
        f"`{parts.scheme}://` is not supported here; use a folder, ssh://[user@]host[:port]/path or "
        "s3://bucket/prefix (for MinIO with --endpoint-url)"
    )


def _ssh(
    wish: Wish, host: str | None, port: int | None, path: str, user: str | None
) -> tuple[str, dict[str, str], list[str]]:
    if not host or path in ("", "/"):
        raise EarthSignalsError(
            f"{without_user(wish.url or '')} names no folder; expected ssh://[user@]host[:port]/folder/of/objects"
        )
    options = {}
    if user := wish.user or user:
        options["user"] = user
    if wish.key_file:
        key = wish.key_file.expanduser().resolve()
        if not key.is_file():
            raise EarthSignalsError(f"the key file {key} does not exist; name the private key file")
        options["keyfile"] = str(key)
    if wish.ask_password:
        options["password"] = _secret(wish, f"Password of {user or 'you'} at {host}", "DVC_SSH_PASSWORD")
    notes = [] if is_loopback(host) else [_risk(host, path, user)]
    bracketed = f"[{host}]" if ":" in host else host
    return f"ssh://{bracketed}{f':{port}' if port else ''}{path}", options, notes


def _s3(wish: Wish) -> tuple[str, dict[str, str], list[str]]:
    assert wish.url is not None
    url, options, notes = wish.url.rstrip("/"), {}, []
    if not urlsplit(url).netloc or "@" in url:
        raise EarthSignalsError(f"{without_user(url)} names no bucket; expected s3://bucket/prefix")
    if wish.endpoint_url:
        endpoint = urlsplit(wish.endpoint_url)
        if endpoint.scheme not in ("http", "https") or not endpoint.hostname or endpoint.username:
            raise EarthSignalsError("--endpoint-url must be http(s)://host[:port], without user or password")
        options["endpointurl"] = wish.endpoint_url
        if endpoint.scheme == "http" and not is_loopback(endpoint.hostname):
            notes.append(f"http to {endpoint.hostname} is not encrypted: artifacts can be read on the way")
    if wish.region:
        options["region"] = wish.region
    if wish.access_key_id:
        options["access_key_id"] = wish.access_key_id
        options["secret_access_key"] = _secret(wish, "Secret access key", "AWS_SECRET_ACCESS_KEY")
    return url, options, notes


def _folder(root: Path, url: str | None) -> str:
    """The folder, made if need be, as DVC notes it: seen from `.dvc` unless given as an absolute path."""
    given = Path(url).expanduser() if url else root.parent / f"{root.name}-remote"
    folder = given.resolve()
    if folder == root or root in folder.parents:
        raise EarthSignalsError(
            f"{folder} lies inside the project: artifacts would be lost with it; choose another folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EarthSignalsError(
            f"{folder} cannot be the remote ({error.strerror}); choose a folder of yours"
        ) from None
    if url and given.is_absolute():
        return str(folder)
    return Path(os.path.relpath(folder, root / ".dvc")).as_posix()


def _refuse_other(root: Path, wish: Wish, url: str) -> str | None:
    """The address which the remote has now, as its file notes it; other than `url` only with `force`."""
    from configobj import ConfigObj

    for name in ("config.local", "config"):
        noted = ConfigObj(str(root / ".dvc" / name)).get(f'remote "{wish.name}"', {}).get("url")
        if noted is None:
            continue
        if wish.local and name == "config" and noted != url:
            raise EarthSignalsError(
                f"the remote `{wish.name}` is {without_user(noted)} for everybody (.dvc/config); give this "
                "machine's own another name with `--name`"
            )
        if noted != url and not wish.force:
            raise EarthSignalsError(
                f"the remote `{wish.name}` is {without_user(noted)} already, not {url}; `--force` replaces "
                "it (its content stays where it is), `--name` adds another"
            )
        return noted
    return None


def _refuse_options(wish: Wish, kind: str, *names: str) -> None:
    for name in names:
        if getattr(wish, name):
            option = "--key" if name == "key_file" else f"--{name.replace('_', '-')}"
            raise EarthSignalsError(f"{option} means nothing for {kind}; leave it out, or check the address")


def _secret(wish: Wish, words: str, variable: str) -> str:
    secret = os.environ.get(variable) or (wish.ask(words) if wish.ask else "")
    if not secret:
        raise EarthSignalsError(
            f"the {words.lower()} is missing: type it when asked, or set the environment variable {variable}"
        )
    return secret


def _risk(host: str, path: str, user: str | None) -> str:
    """Through the tunnel ssh's own configuration knows the user no more: the address must name it."""
    whose = f"your name on {host}"
    return _RISK.format(host=host, path=path, user=user or "USER", whose=whose)
