"""A remote behind ssh: hashed by `md5sum` over there, through OpenSSH with host keys checked.

Where the account may only use SFTP, objects are fetched one after the other and hashed here.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import shlex
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from earthsignals.remotes import openssh
from earthsignals.remotes.config import Remote
from earthsignals.remotes.places import Wanted
from earthsignals.remotes.tunnel import behind
from earthsignals.storage import EarthSignalsError

_SSH_FAILED = 255
_LOGIN_SECONDS = 120
_ASKPASS = "#!/bin/sh\nprintf '%s\\n' \"$EARTHSIGNALS_REMOTE_SECRET\"\n"


@contextmanager
def open_machine(root: Path, remote: Remote, jobs: int, ssh_config: Path | None) -> Iterator[Machine]:
    """One ssh connection for all that follows. Raises EarthSignalsError when it cannot be made."""
    parts = remote.parts
    options = remote.options
    port = parts.port or options.get("port")
    host = openssh.Host(
        parts.hostname or "", parts.username or options.get("user"), int(port) if port else None,
        options.get("keyfile"), ssh_config and ssh_config.resolve(),
        # At the other end of our tunnel is a machine whose key is known under its own name.
        behind(root, parts.hostname or "", int(port or 22)),
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="earthsignals-") as folder:  # 0700; a socket's path is short
        machine = Machine(host, unquote(parts.path), jobs, Path(folder), _environment(options, Path(folder)))
        try:
            machine.connect()
            yield machine
        finally:
            machine.disconnect()


def _environment(options: dict, folder: Path) -> dict[str, str]:
    """A password from config.local reaches ssh by its askpass way: never as an argument or in a file."""
    secret = options.get("password") or options.get("passphrase")
    if not secret:
        return dict(os.environ)
    script = folder / "askpass"
    script.write_text(_ASKPASS)
    script.chmod(0o700)
    asked = {"SSH_ASKPASS": str(script), "SSH_ASKPASS_REQUIRE": "force", "EARTHSIGNALS_REMOTE_SECRET": secret}
    return os.environ | asked


class Machine:
    def __init__(
        self, host: openssh.Host, folder: str, jobs: int, scratch: Path, environment: dict[str, str]
    ) -> None:
        self.host, self.folder, self.jobs, self.scratch = host, folder, jobs, scratch
        self.environment = environment
        self.socket = scratch / "s"
        self.shell = True

    def connect(self) -> None:
        words = openssh.command(self.host, "-f", "-N", "-M", "-S", str(self.socket))
        if "SSH_ASKPASS" in self.environment:
            words = [word.replace("BatchMode=yes", "NumberOfPasswordPrompts=1") for word in words]
        log = self.scratch / "log"
        with log.open("wb") as file:  # the connection stays in the background: it must hold none of our pipes
            try:
                done = subprocess.run(
                    words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file,
                    env=self.environment, timeout=_LOGIN_SECONDS,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                raise EarthSignalsError(
                    f"{self.host.shown} took the connection but did not finish the login in "
                    f"{_LOGIN_SECONDS} s: try `ssh {self.host.shown}` by hand"
                ) from None
        if done.returncode:
            raise openssh.failure(self.host, log.read_text(errors="replace"))
        probe = self._run("command -v md5sum && command -v xargs", check=False)
        self.shell = probe.returncode == 0 and b"md5sum" in probe.stdout
        if self.shell and self._run(f"test -d {shlex.quote(self.folder)}", check=False).returncode:
            raise EarthSignalsError(
                f"{self.host.shown} has no folder {self.folder}: nothing was pushed there yet (`make push`), "
                "or the address is wrong"
            )

    def disconnect(self) -> None:
        words = openssh.command(self.host, "-S", str(self.socket), "-O", "exit")
        subprocess.run(words, capture_output=True)

    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        names = list(names)
        if not names:
            return {}
        if not self.shell:
            return self._sftp_sizes(names)
        # For a regular file `wc -c` asks for the length and reads nothing; `stat` differs between systems.
        listed = self._lines("xargs -0 -n 200 wc -c 2>/dev/null", names)
        found = (line.strip().split(" ", 1) for line in listed)
        return {name: int(size) for size, name in found if name != "total"}

    def hashes(self, wanted: list[Wanted], download: bool) -> Iterator[tuple[str, str]]:
        names = [each.name for each in wanted]
        if download or not self.shell:
            for name in names:
                yield name, self._fetched(name, _hash_and_drop)
            return
        left = set(names)
        # One file a process: each line is written at once, so lines of several processes never mix.
        for line in self._lines(f"xargs -0 -n 1 -P {self.jobs} md5sum 2>/dev/null", names):
            md5, _, name = line.partition(" ")
            name = name.strip().lstrip("*")
            left.discard(name)
            yield name, md5
        for name in left:
            yield name, ""

    def read(self, name: str) -> bytes:
        if self.shell:
            return self._run(f"cat {self._quoted(name)}").stdout
        return self._fetched(name, lambda file: file.read_bytes())

    def runs(self) -> dict[str, bytes]:
        if not self.shell:
            return self._sftp_runs()
        # One stream for all: entries are small and many, and each command costs a round trip or more.
        sent = self._run(f"cd {shlex.quote(self.folder)} && test ! -d runs || tar -cf - runs").stdout
        if not sent:
            return {}
        with tarfile.open(fileobj=io.BytesIO(sent)) as archive:
            files = ((each.name, archive.extractfile(each)) for each in archive if each.isfile())
            return {name: file.read() for name, file in sorted(files, key=lambda each: each[0]) if file}

    def put(self, name: str, source: Path) -> None:
        target = f"{self.folder}/{name}"
        temporary = f"{target}.{secrets.token_hex(6)}.partial"
        parent = target.rpartition("/")[0]
        if not self.shell:
            self._sftp(
                f"-mkdir {_sftp_quoted(parent)}",
                f"put {_sftp_quoted(str(source))} {_sftp_quoted(temporary)}",
                f"rename {_sftp_quoted(temporary)} {_sftp_quoted(target)}",
            )  # fmt: skip
            return
        there, here = shlex.quote(temporary), source.stat().st_size
        # Where the connection breaks off, `cat` sees its input's end and is content: the size tells.
        steps = (
            f"mkdir -p {shlex.quote(parent)} && cat > {there} && test $(wc -c < {there}) -eq {here} && "
            f"mv -f {there} {shlex.quote(target)} || "
            f"{{ rm -f {there}; echo 'the object did not arrive whole' >&2; exit 1; }}"
        )
        with source.open("rb") as file:
            self._run(steps, stdin=file)

    def _quoted(self, name: str) -> str:
        return shlex.quote(f"{self.folder}/{name}")

    def _words(self, remote_command: str) -> list[str]:
        return [*openssh.command(self.host, "-S", str(self.socket)), remote_command]

    def _run(
        self, remote_command: str, check: bool = True, stdin: int | IO[bytes] = subprocess.DEVNULL
    ) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            self._words(remote_command), stdin=stdin, capture_output=True, env=self.environment
        )
        if done.returncode == _SSH_FAILED or (check and done.returncode):
            raise openssh.failure(self.host, done.stderr.decode(errors="replace"))
        return done

    def _lines(self, tool: str, names: list[str]) -> Iterator[str]:
        """Lines that `tool` prints in the remote folder for `names`, which it reads from stdin."""
        with tempfile.TemporaryFile(dir=self.scratch) as paths:
            paths.write(b"\0".join(name.encode() for name in names) + b"\0")
            paths.seek(0)
            process = subprocess.Popen(
                self._words(f"cd {shlex.quote(self.folder)} && {tool}"), stdin=paths,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment, text=True,
            )  # fmt: skip
            with process:
                assert process.stdout is not None and process.stderr is not None
                yield from (line.rstrip("\n") for line in process.stdout)
                complaint = process.stderr.read()
            if process.returncode == _SSH_FAILED:
                raise openssh.failure(self.host, complaint or "connection closed")

    def _sftp(self, *steps: str, check: bool = True) -> str:
        master = f"ControlPath={self.socket}"
        words = openssh.command(self.host, "-q", "-o", master, "-b", "-", program="sftp")
        done = subprocess.run(
            words, input="\n".join(steps) + "\n", capture_output=True, text=True, env=self.environment
        )
        if check and done.returncode:
            raise openssh.failure(self.host, done.stderr)
        return done.stdout

    def _sftp_sizes(self, names: list[str]) -> dict[str, int]:
        steps = [f"-ls -ln {_sftp_quoted(f'{self.folder}/{name}')}" for name in names]
        rows = (line.split() for line in self._sftp(*steps).splitlines() if line.startswith("-"))
        by_path = {row[-1]: int(row[4]) for row in rows if len(row) >= 9}
        return {name: size for name in names if (size := by_path.get(f"{self.folder}/{name}")) is not None}

    def _sftp_runs(self) -> dict[str, bytes]:
        with tempfile.TemporaryDirectory(dir=self.scratch) as fetched:
            self._sftp(f"-get -r {_sftp_quoted(f'{self.folder}/runs')} {_sftp_quoted(fetched)}")
            files = sorted(file for file in Path(fetched).rglob("*") if file.is_file())
            return {file.relative_to(fetched).as_posix(): file.read_bytes() for file in files}

    def _fetched(self, name: str, use) -> object:
        file = self.scratch / "object"
        if self.shell:
            with file.open("wb") as out:
                done = subprocess.run(
                    self._words(f"cat {self._quoted(name)}"), stdin=subprocess.DEVNULL, stdout=out,
                    stderr=subprocess.DEVNULL, env=self.environment,
                )  # fmt: skip
            if done.returncode:
                return ""
        else:
            self._sftp(f"-get {_sftp_quoted(f'{self.folder}/{name}')} {_sftp_quoted(str(file))}")
        try:
            return use(file) if file.exists() else ""
        finally:
            file.unlink(missing_ok=True)


def _hash_and_drop(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def _sftp_quoted(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
