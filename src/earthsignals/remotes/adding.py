"""Set up a DVC remote: a folder, a machine reached by ssh, or an S3 bucket."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from earthsignals.dvcfiles import read_config
from earthsignals.remotes.config import Remote, expanded, load, split_address, without_user, write
from earthsignals.remotes.openssh import parse_host
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
    _refuse_unfit_words(wish)
    folder = None
    if wish.url is not None and "://" in wish.url:
        url, options, notes = _by_scheme(wish)
    else:
        _refuse_options(wish, "a folder", "endpoint_url", "region", "access_key_id", "user", "key_file",
                        "ask_password")  # fmt: skip
        folder, url = _folder(root, wish.url)
        options, notes = {}, []
    _refuse_unreadable({"address": url} | options)
    present = _refuse_other(root, wish, url)
    if folder:
        _make(folder)
    section = f'remote "{wish.name}"'
    public: dict[str, str | None] = {key: options[key] for key in _PUBLIC if key in options}
    private: dict[str, str | None] = {key: options[key] for key in _PRIVATE if key in options}
    if present and present != url:  # what belonged to the old place means nothing at the new one
        public, private = dict.fromkeys(_PUBLIC) | public, dict.fromkeys(_PRIVATE) | private
    address = {"url": url, "verify": "true", **public}
    if wish.local:
        changed = write(root, {"core": {"remote": wish.name}, section: address | private}, local=True)
    else:
        # What is noted for this machine alone would win over the tracked values. First what may fail, the
        # secrets: an address without its key is of no use.
        mine = {"core": {"remote": None}, section: dict.fromkeys(("url", "verify", *_PUBLIC)) | private}
        changed = write(root, mine, local=True)
        changed |= write(root, {"core": {"remote": wish.name}, section: address}, local=False)
    remote = load(root)["remote"][wish.name]
    return Added(Remote(wish.name, str(remote["url"]), remote), changed, notes)


def _by_scheme(wish: Wish) -> tuple[str, dict[str, str], list[str]]:
    assert wish.url is not None
    parts = split_address(wish.url, "the address")
    if parts.query or parts.fragment or "?" in wish.url or "#" in wish.url:
        raise EarthSignalsError(
            f"{without_user(wish.url)} has a `?` or `#`, which no address of a remote has; leave it out"
        )
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
        return _ssh(wish, parts.hostname, parts.port, parts.path, parts.username)
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
    bracketed = f"[{host}]" if ":" in host else host
    parse_host(bracketed)
    if user := wish.user or user:
        if not re.fullmatch(r"[^\s:@/-][^\s:@/]*", user):
            raise EarthSignalsError(f"{user!r} is no user name: no blanks, `:`, `@`, `/`, nor a leading `-`")
        options["user"] = user
    if wish.key_file:
        key = expanded(wish.key_file)
        if not key.is_file():
            raise EarthSignalsError(f"the key file {key} does not exist; name the private key file")
        options["keyfile"] = str(key)
    if wish.ask_password:
        options["password"] = _secret(wish, f"Password of {user or 'you'} at {host}", "DVC_SSH_PASSWORD")
    notes = [] if is_loopback(host) else [_risk(host, path, user)]
    return f"ssh://{bracketed}{f':{port}' if port else ''}{path}", options, notes


def _s3(wish: Wish) -> tuple[str, dict[str, str], list[str]]:
    assert wish.url is not None
    url, options, notes = wish.url.rstrip("/"), {}, []
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", split_address(url, "the address").netloc):
        raise EarthSignalsError(
            f"{without_user(url)} names no bucket; expected s3://bucket/prefix, a bucket's name being "
            "letters, digits, `.`, `_` and `-`"
        )
    if wish.endpoint_url:
        endpoint = split_address(wish.endpoint_url, "--endpoint-url")
        secret = endpoint.username is not None or "@" in endpoint.netloc
        if endpoint.scheme not in ("http", "https") or not endpoint.hostname or secret:
            raise EarthSignalsError("--endpoint-url must be http(s)://host[:port], without user or password")
        if endpoint.query or endpoint.fragment:
            raise EarthSignalsError("--endpoint-url must be http(s)://host[:port], without `?` and `#`")
        parse_host(f"[{endpoint.hostname}]" if ":" in endpoint.hostname else endpoint.hostname)
        options["endpointurl"] = wish.endpoint_url
        if endpoint.scheme == "http" and not is_loopback(endpoint.hostname):
            notes.append(f"http to {endpoint.hostname} is not encrypted: artifacts can be read on the way")
    if wish.region:
        options["region"] = wish.region
    if wish.access_key_id:
        options["access_key_id"] = wish.access_key_id
        options["secret_access_key"] = _secret(wish, "Secret access key", "AWS_SECRET_ACCESS_KEY")
    return url, options, notes


def _folder(root: Path, url: str | None) -> tuple[Path, str]:
    """The folder, and as DVC notes it: seen from `.dvc` unless given as an absolute path."""
    given = Path(url) if url else root.parent / f"{root.name}-remote"
    folder = expanded(given)
    if folder == root or root in folder.parents:
        raise EarthSignalsError(
            f"{folder} lies inside the project: artifacts would be lost with it; choose another folder"
        )
    if url and (given.is_absolute() or url.startswith("~")):
        return folder, str(folder)
    return folder, Path(os.path.relpath(folder, root / ".dvc")).as_posix()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EarthSignalsError(
            f"{folder} cannot be the remote ({error.strerror}); choose a folder of yours"
        ) from None


def _refuse_unfit_words(wish: Wish) -> None:
    """Nothing that is empty or holds line ends may come into a configuration or an ssh command."""
    if wish.url is not None and not wish.url.strip():
        raise EarthSignalsError(
            "the address is empty; expected a folder, ssh://[user@]host[:port]/path or s3://bucket/prefix "
            "(or no address at all, for the folder beside the project)"
        )
    given = {
        "the address": wish.url, "--user": wish.user, "--endpoint-url": wish.endpoint_url,
        "--region": wish.region, "--access-key-id": wish.access_key_id,
        "--key": None if wish.key_file is None else str(wish.key_file),
    }  # fmt: skip
    for option, value in given.items():
        if value is not None and not value.strip():
            raise EarthSignalsError(f"{option} is empty; leave it out, or give its value")
        blanks = value is not None and option in ("--region", "--access-key-id", "--endpoint-url", "--user")
        if value is not None and (not value.isprintable() or (blanks and " " in value)):
            raise EarthSignalsError(f"{option} has characters that it cannot have: line ends or blanks")


def _refuse_unreadable(options: dict[str, str]) -> None:
    """Values that DVC's configuration would give back as something else, or not at all."""
    for key, value in options.items():
        reference = re.search(r"%\([^)]*\)s", value)
        if not value.isprintable() or reference or ("'" in value and '"' in value):
            raise EarthSignalsError(
                f"the {key} has characters that DVC's configuration cannot hold: line ends, quotes of both "
                "kinds, or %(…)s; choose another, or give it to DVC by the environment"
            )


def _refuse_other(root: Path, wish: Wish, url: str) -> str | None:
    """The address which the remote has now, as its file notes it; other than `url` only with `force`."""
    for name in ("config.local", "config"):
        noted = read_config(root / ".dvc" / name).get(f'remote "{wish.name}"', {}).get("url")
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
