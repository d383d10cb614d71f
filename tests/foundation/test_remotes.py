"""Remotes: what git may see of them, what a damaged one is told, and what mends it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from earthsignals.cli.doctor import _dvc_remote
from earthsignals.cli.main import app
from earthsignals.dvcfiles import cache_folder, object_name
from earthsignals.remotes import lock, openssh, tunnel
from earthsignals.remotes.adding import Wish, add
from earthsignals.remotes.config import Remote, check_remote, find_remote, without_user
from earthsignals.remotes.places import open_place
from earthsignals.remotes.places.bucket import Bucket, multipart_etag
from earthsignals.remotes.ports import free_port, is_loopback, listens
from earthsignals.remotes.sharing import share
from earthsignals.remotes.verify import Report, as_json, verify
from earthsignals.storage import EarthSignalsError

STAGES = """\
stages:
  t-make:
    cmd: python make.py
    outs:
      - big.bin
      - many
      - here.bin: {push: false}
    metrics:
      - metrics.json: {cache: false}
"""
SECRET = "not-for-git-5f1d"


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def store(folder: Path, content: bytes, suffix: str = "") -> str:
    """An object as DVC stores it: read-only, named by its md5."""
    md5 = hashlib.md5(content).hexdigest() + suffix
    path = folder / object_name(md5)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(content)
        path.chmod(0o444)
    return md5


def write_version(root: Path, version: int) -> None:
    """Outputs of one run in the cache, the lock and the run cache, without starting DVC."""
    from dvc.utils import dict_sha256

    cache = root / ".dvc" / "cache"
    files = {f"f {n}.bin": store(cache, bytes([version, n]) * 50) for n in range(3)}
    listing = json.dumps([{"md5": md5, "relpath": name} for name, md5 in files.items()]).encode()
    contents = {"big.bin": bytes([version]) * 5000, "here.bin": b"h", "metrics.json": b"{}"}
    outs = [
        {"path": name, "hash": "md5", "md5": store(cache, content), "size": len(content)}
        for name, content in contents.items()
    ]
    folder = store(cache, listing, ".dir")
    outs.append({"path": "many", "hash": "md5", "md5": folder, "size": 300, "nfiles": 3})
    entry = {"cmd": "python make.py", "deps": [{"path": "d", "hash": "md5", "md5": "0" * 32}], "outs": outs}
    locked = yaml.safe_dump({"schema": "2.0", "stages": {"t-make": entry}}, sort_keys=False)
    (root / "dvc.lock").write_text(locked)
    value = dict_sha256(entry, exclude=["size", "nfiles"])
    key = dict_sha256(entry | {"outs": [out["path"] for out in outs]}, exclude=["size", "nfiles"])
    run = cache / "runs" / key[:2] / key / value
    run.parent.mkdir(parents=True, exist_ok=True)
    run.write_text(yaml.safe_dump(entry, sort_keys=False))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A committed project of two versions, its objects in the local cache alone."""
    root = tmp_path / "project"
    (root / ".dvc" / "tmp").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("# our words\n[core]\n    analytics = false\n")
    (root / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (root / "params.yaml").write_text("x: 1\n")
    (root / "dvc.yaml").write_text(STAGES)
    git(root, "init", "-q")
    git(root, "config", "user.name", "t")
    git(root, "config", "user.email", "t@localhost")
    for version in (1, 2):
        write_version(root, version)
        git(root, "add", "-A")
        git(root, "commit", "-qm", f"version {version}")
    monkeypatch.setenv("EARTHSIGNALS_PROGRESS", "false")
    monkeypatch.chdir(root)
    return root


def push(root: Path, remote: Path, kept_here: bytes = b"h") -> Path:
    """All of the cache but what `push: false` keeps here."""
    shutil.copytree(root / ".dvc" / "cache", remote, dirs_exist_ok=True)
    (remote / object_name(hashlib.md5(kept_here).hexdigest())).unlink()
    return remote


def spoil(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def kinds(report: Report) -> dict[str, str]:
    return {f.uses[0].path if f.uses else f.name.split("/")[0]: f.kind for f in report.findings}


def of(root: Path, path: str, version: str = lock.WORKSPACE) -> str:
    return next(o.md5 for o in lock.objects(root, [version]) if o.path == path)


def test_the_lock_names_what_the_remote_should_hold(project: Path) -> None:
    """Not what lies in git (cache: false) or is kept here (push: false)."""
    now = lock.objects(project)
    assert [(o.path, o.stage, o.commit, o.size) for o in now] == [
        ("big.bin", "t-make", "workspace", 5000), ("many", "t-make", "workspace", None),
    ]  # fmt: skip
    commits = lock.all_commits(project)
    assert commits[0] == "workspace" and len(commits) == 3
    first = git(project, "rev-list", "--max-parents=0", "HEAD").strip()
    past = [o for o in lock.objects(project, commits) if o.commit == first]
    assert [o.path for o in past] == ["big.bin", "many"]
    assert len(lock.objects(project, commits)) == 4  # the newest commit's are the working tree's


def test_a_version_on_another_branch_is_found(project: Path) -> None:
    git(project, "checkout", "-qb", "side")
    write_version(project, 3)
    git(project, "commit", "-qam", "side")
    git(project, "checkout", "-q", "-")
    paths = [(o.path, o.commit) for o in lock.objects(project, lock.all_commits(project))]
    assert ("big.bin", git(project, "rev-parse", "side").strip()) in paths


def test_a_lock_with_a_merge_conflict_is_a_sentence(project: Path) -> None:
    (project / "dvc.lock").write_text("<<<<<<< HEAD\na: 1\n=======\na: [\n")
    with pytest.raises(EarthSignalsError, match="dvc.lock .*not readable YAML.*merge conflicts"):
        lock.objects(project)
    (project / "dvc.lock").unlink()
    add(project, Wish())
    with pytest.raises(EarthSignalsError, match="dvc.lock does not exist.*dvc repro"):
        verify(project)


def test_the_default_remote_is_a_folder_beside_the_project(project: Path) -> None:
    with pytest.raises(EarthSignalsError, match="make remote"):
        check_remote(project)
    assert _dvc_remote(project)[0] == "optional"
    added = add(project, Wish())
    assert added.changed and check_remote(project).url == str(project.parent / "project-remote")
    config = (project / ".dvc" / "config").read_text()
    assert "url = ../../project-remote" in config and "verify = true" in config and "# our words" in config
    assert not add(project, Wish()).changed  # again: nothing
    assert (project / ".dvc" / "config").read_text() == config
    assert _dvc_remote(project)[0] == "ok"
    (project.parent / "project-remote").rmdir()
    with pytest.raises(EarthSignalsError, match="does not exist here.*make remote"):
        check_remote(project)
    assert _dvc_remote(project)[0] == "bad"


def test_another_address_needs_force_and_forgets_the_old_keys(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    add(project, Wish("s3://bucket/a", endpoint_url="http://127.0.0.1:9", access_key_id="ID"))
    with pytest.raises(EarthSignalsError, match="s3://bucket/a already.*--force"):
        add(project, Wish("ssh://localhost:2222/srv/x"))
    add(project, Wish("ssh://localhost:2222/srv/x", force=True))
    both = (project / ".dvc" / "config").read_text() + (project / ".dvc" / "config.local").read_text()
    assert SECRET not in both and "endpointurl" not in both and "ssh://localhost:2222/srv/x" in both


def test_secrets_and_users_stay_in_the_ignored_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = project.parent / "key"
    key.touch()
    monkeypatch.setenv("DVC_SSH_PASSWORD", SECRET)
    wish = Wish("ssh://alice@203.0.113.7/srv/x", key_file=key, ask_password=True)
    added = add(project, wish)
    assert "accepts any host key" in added.notes[0] and "make tunnel HOST=alice@" in added.notes[0]
    # Behind the tunnel nothing but the address says who one is over there.
    assert "make remote URL=ssh://alice@localhost:2222/srv/x" in added.notes[0]
    assert not add(project, Wish("ssh://localhost:2222/srv/x", name="near")).notes  # through the tunnel
    tracked = (project / ".dvc" / "config").read_text()
    local = project / ".dvc" / "config.local"
    assert "ssh://203.0.113.7/srv/x" in tracked
    assert not any(word in tracked for word in ("alice", SECRET, str(key)))
    assert all(word in local.read_text() for word in ("alice", SECRET, str(key)))
    assert stat.S_IMODE(local.stat().st_mode) == 0o600
    git(project, "add", "-A")
    assert SECRET not in git(project, "diff", "--cached")
    assert SECRET not in repr(find_remote(project, "storage"))


def test_a_local_config_that_git_would_track_gets_no_secret(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".dvc" / ".gitignore").write_text("/tmp\n")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with pytest.raises(EarthSignalsError, match="would be tracked by git"):
        add(project, Wish("s3://bucket/a", access_key_id="ID"))
    assert not (project / ".dvc" / "config.local").exists()


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish("ssh://u:p@host/x"), "holds a password"),
        (Wish("ssh://host"), "names no folder"),
        (Wish("s3:///x"), "names no bucket"),
        (Wish("gdrive://x"), "not supported"),
        (Wish("inside"), "inside the project"),
        (Wish("s3://b/x", user="a"), "--user means nothing for S3"),
        (Wish("s3://b/x", access_key_id="ID"), "AWS_SECRET_ACCESS_KEY"),
        (Wish("ssh://h/x", key_file=Path("/nowhere/key")), "does not exist"),
        (Wish(name="A B"), "no name for a remote"),
        (Wish(""), "the address is empty"),
        (Wish(" "), "the address is empty"),
        (Wish("~no-such-user/x"), "is no path on this machine"),
        (Wish("a\nb"), "line ends"),
        (Wish("ssh://h/x", key_file=Path("~no-such-user/key")), "is no path on this machine"),
        (Wish("ssh://h/x", user="a b"), "--user has characters"),
        (Wish("ssh://h/x", user="a:b"), "is no user name"),
        (Wish("ssh://h:0/x"), "the address is none"),
        (Wish("ssh://[h/x"), "the address is none"),
        (Wish("ssh://h:p/x"), "the address is none"),
        (Wish("ssh://-oProxyCommand=x/x"), "no machine for ssh"),
        (Wish("ssh://a..b/x"), "no machine for ssh"),
        (Wish("ssh://h/x?y"), "has a `\\?` or `#`"),
        (Wish("s3://b/x#y"), "has a `\\?` or `#`"),
        (Wish("s3://a b/x"), "names no bucket"),
        (Wish("s3://b/%(x)s"), "cannot hold"),
        (Wish("s3://b/x", endpoint_url="http://[h"), "--endpoint-url is none"),
        (Wish("s3://b/x", endpoint_url="http://h:99999999/"), "--endpoint-url is none"),
        (Wish("s3://b/x", endpoint_url="http://h/?a"), "without `\\?` and `#`"),
        (Wish("s3://b/x", endpoint_url=""), "--endpoint-url is empty"),
        (Wish("s3://b/x", region="a\nb"), "--region has characters"),
    ],
)
def test_what_cannot_be_a_remote_is_a_sentence(
    project: Path, wish: Wish, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    before = (project / ".dvc" / "config").read_text()
    with pytest.raises(EarthSignalsError, match=words):
        add(project, wish)
    assert (project / ".dvc" / "config").read_text() == before


@pytest.mark.parametrize("secret", ["a\nb", "%(x)s", "'\""])
def test_a_secret_that_cannot_be_noted_changes_nothing(
    project: Path, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC would read another value, or none at all; an address without its key is of no use."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    before = (project / ".dvc" / "config").read_text()
    with pytest.raises(EarthSignalsError, match="secret_access_key has characters"):
        add(project, Wish("s3://bucket/a", access_key_id="ID"))
    assert (project / ".dvc" / "config").read_text() == before


def test_a_secret_comes_back_as_it_was_given(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret := "%(#,'/+= $")
    remote = add(project, Wish("s3://bucket/a", access_key_id="ID")).remote
    assert remote.options["secret_access_key"] == secret
    assert not add(project, Wish("s3://bucket/a", access_key_id="ID")).changed


@pytest.mark.parametrize("content", [b"[core", b"\xff\xfe\x00", b"[core]\n[core]\n", b"core = 5\n"])
def test_a_broken_local_config_is_a_sentence(project: Path, content: bytes) -> None:
    (project / ".dvc" / "config.local").write_bytes(content)
    with pytest.raises(EarthSignalsError, match="config.local is not readable"):
        add(project, Wish())
    for words in (["add"], ["check"], ["verify"]):
        shown = CliRunner().invoke(app, ["remote", *words])
        assert shown.exit_code == 1 and not isinstance(shown.exception, ValueError), shown.output


def test_a_reference_in_the_config_is_a_sentence(project: Path) -> None:
    (project / ".dvc" / "config.local").write_text("[core]\n    remote = %(x)s\n")
    with pytest.raises(EarthSignalsError, match="DVC cannot read its configuration"):
        check_remote(project)


def test_only_what_stands_before_the_host_is_hidden() -> None:
    assert without_user("ssh://u:p@host/a@b") == "ssh://host/a@b"
    assert without_user("s3://bucket/me@x") == "s3://bucket/me@x" and without_user("/a@b") == "/a@b"


@pytest.mark.parametrize("address", ["h\n", "h:0", "h:65536", "..", "a..b", "-h", "u@-h", "-u@h", "h:١"])
def test_what_is_no_machine_for_ssh_is_a_sentence(address: str) -> None:
    with pytest.raises(EarthSignalsError, match=r"expected \[user@\]host\[:port\]") as refused:
        openssh.parse_host(address)
    assert "\n" not in str(refused.value)


def test_without_git_its_absence_is_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(project, Wish())
    monkeypatch.setenv("PATH", str(project.parent))
    for call in (lambda: add(project, Wish()), lambda: verify(project), lambda: lock.all_commits(project)):
        with pytest.raises(EarthSignalsError, match="git is not installed"):
            call()


OUT = "{path: big.bin, hash: md5, md5: 0123456789abcdef0123456789abcdef, size: 5}"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("dvc.lock", b"\xff", "is not readable"),
        ("dvc.lock", "stages: {a: 3}", "stage `a`.* is no mapping"),
        ("dvc.lock", "stages: 3", "is no mapping"),
        ("dvc.lock", "stages: []", "is no mapping"),
        ("dvc.lock", "stages: {}", "has no stages"),
        ("dvc.lock", "", "has no stages"),
        ("dvc.lock", "stages: {a: {outs: 5}}", "`outs` is no list"),
        ("dvc.lock", "stages: {a: {outs: [5]}}", "has no path"),
        ("dvc.lock", "stages: {a: {outs: [{md5: x}]}}", "has no path"),
        ("dvc.lock", f"stages: {{a: {{outs: [{OUT.replace('size: 5', 'size: abc')}]}}}}", "is no number"),
        ("dvc.lock", "stages: {a: {outs: [{path: x, hash: md5, md5: [a]}]}}", "the md5 of x is none"),
        ("dvc.lock", "stages: {a: {outs: [{path: x, hash: md5, md5: ../../etc}]}}", "the md5 of x is none"),
        ("dvc.lock", "stages: {a: {outs: [{path: x, hash: md5}]}}", "no md5 of x"),
        ("dvc.yaml", "stages: 5", "is no mapping"),
        ("dvc.yaml", "stages: {a: 5}", "stage `a`.* is no mapping"),
        ("dvc.yaml", "stages: {a: {outs: 5}}", "are lists"),
        ("x.dvc", b"\xff", "is not readable"),
        ("x.dvc", "outs: 5", "`outs` is no list"),
        ("x.dvc", "outs: [{path: x}]", "no md5 of x"),
    ],
)
def test_what_dvc_never_writes_is_a_sentence_and_no_success(
    project: Path, name: str, text: str | bytes, words: str
) -> None:
    push(project, Path(add(project, Wish()).remote.url))
    (project / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(EarthSignalsError, match=words):
        verify(project)


def test_a_listing_that_is_none_is_named(project: Path) -> None:
    """Its hash is right: someone made DVC believe in it."""
    remote = push(project, Path(add(project, Wish()).remote.url))
    folder = of(project, "many")
    for content in (b"5", b"[5]", b'[{"relpath": "x", "md5": "../../x"}]', b"\xff"):
        md5 = store(remote, content, ".dir")
        text = (project / "dvc.lock").read_text()
        (project / "dvc.lock").write_text(text.replace(folder, md5))
        folder = md5
        for report in (verify(project), verify(project, repair=True), verify(project, sizes=True)):
            assert [(f.kind, f.uses[0].path) for f in report.bad] == [("unknown", "many")], content


def test_all_is_mended_that_can_be_and_the_rest_named(project: Path) -> None:
    remote = push(project, Path(add(project, Wish()).remote.url))
    big, many = of(project, "big.bin"), of(project, "many")
    (remote / object_name(big)).unlink()
    (remote / object_name(big)).mkdir()
    (remote / object_name(big) / "x").touch()  # a folder where the object belongs
    (remote / object_name(many)).unlink()
    report = verify(project, repair=True)
    assert [f.uses[0].path for f in report.bad] == ["big.bin"]
    assert "cannot be replaced" in report.bad[0].detail
    assert (remote / object_name(many)).is_file()
    (remote / "runs" / "ab\n\x1b[31m").write_text("x")
    assert all("\n" not in f.sentence() and "\x1b" not in f.sentence() for f in verify(project).findings)
    shutil.rmtree(remote / "runs")
    (remote / "runs").touch()
    with pytest.raises(EarthSignalsError, match="runs is no folder"):
        verify(project)


def test_what_was_never_in_the_cache_is_no_successful_push(project: Path) -> None:
    """`dvc push` says nothing of objects that it does not find here."""
    remote = push(project, Path(add(project, Wish()).remote.url))
    words = ["remote", "verify", "--sizes"]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0 and "5 objects" in shown.output and "all there" in shown.output
    big = object_name(of(project, "big.bin"))
    spoil(remote / big, b"y" * 5000)
    assert verify(project, sizes=True).findings == []  # of the right size: nothing was hashed
    (remote / big).unlink()
    assert "though the local cache has it" in verify(project, sizes=True).findings[0].detail
    (project / ".dvc" / "cache" / big).unlink()
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 1 and "not pushed because it is not in the local cache either" in shown.output
    assert "`dvc pull`" in shown.output and "dvc repro" in shown.output
    assert CliRunner().invoke(app, [*words, "--pipeline", "t"]).exit_code == 1
    with pytest.raises(EarthSignalsError, match="no stage of `other`"):
        verify(project, sizes=True, pipeline="other")
    with pytest.raises(EarthSignalsError, match="--sizes hashes nothing"):
        verify(project, sizes=True, repair=True)
    shutil.rmtree(remote)
    remote.mkdir()
    assert [f.kind for f in verify(project, sizes=True).findings] == ["missing"] * 5


def test_one_pipeline_alone(project: Path) -> None:
    """Another's missing outputs are another's."""
    push(project, Path(add(project, Wish()).remote.url))
    locked = yaml.safe_load((project / "dvc.lock").read_text())
    missing = {"path": "x", "hash": "md5", "md5": "0" * 32, "size": 1}
    locked["stages"]["tt-make"] = {"cmd": "x", "outs": [missing]}
    (project / "dvc.lock").write_text(yaml.safe_dump(locked))
    assert verify(project, pipeline="t").findings == []
    assert [f.uses[0].path for f in verify(project, pipeline="tt").findings] == ["x"]


def damage(root: Path, remote: Path) -> None:
    """One of each: a flipped bit, a cut folder list, a lost file, a cut file, a run-cache entry."""
    big, many = of(root, "big.bin"), of(root, "many")
    files = json.loads((root / ".dvc" / "cache" / object_name(many)).read_bytes())
    spoil(remote / object_name(big), bytes([2]) * 4999 + b"\0")
    spoil(remote / object_name(many), b"[]")
    (remote / object_name(files[0]["md5"])).unlink()
    spoil(remote / object_name(files[1]["md5"]), b"cut")
    run = next(path for path in sorted((remote / "runs").rglob("*")) if path.is_file())
    spoil(run, run.read_bytes()[:-20])


FOUND = {
    "big.bin": "corrupt", "many": "truncated", "many/f 0.bin": "missing", "many/f 1.bin": "truncated",
    "runs": "corrupt",
}  # fmt: skip


def test_a_folder_is_verified_and_mended(project: Path) -> None:
    remote = Path(add(project, Wish()).remote.url)
    with pytest.raises(EarthSignalsError, match="holds nothing of this project.*make push"):
        verify(project)
    push(project, remote)
    report = verify(project, all_commits=True)
    assert report.findings == [] and report.runs == 2 and report.runs_incomplete == 0
    assert report.objects == 2 * (2 + 3)
    damage(project, remote)
    assert kinds(verify(project)) == FOUND
    sentence = next(f.sentence() for f in verify(project).findings if f.kind == "missing")
    assert sentence.startswith("missing: many/f 0.bin of t-make (workspace)")
    mended = verify(project, repair=True)
    assert kinds(mended) == FOUND and mended.bad == [] and as_json(mended)["ok"]
    assert verify(project, all_commits=True).findings == []


def test_a_bad_local_copy_mends_nothing(project: Path) -> None:
    remote = push(project, Path(add(project, Wish()).remote.url))
    damage(project, remote)
    spoil(project / ".dvc" / "cache" / object_name(of(project, "big.bin")), b"x" * 5000)
    report = verify(project, repair=True)
    assert [f.uses[0].path for f in report.bad] == ["big.bin"]
    assert "no good copy" in report.bad[0].detail
    shutil.rmtree(project / ".dvc" / "cache")
    assert [f.uses[0].path for f in verify(project).bad] == ["big.bin"]  # verifying needs no cache
    spoil(remote / object_name(of(project, "many")), b"[")
    lost = [f.kind for f in verify(project).bad if f.uses[0].path == "many"]
    assert lost == ["corrupt", "unknown"]  # its files cannot be named without the list


def test_a_version_that_was_not_pushed_is_named_with_its_commit(project: Path) -> None:
    remote = push(project, Path(add(project, Wish()).remote.url))
    first = git(project, "rev-list", "--max-parents=0", "HEAD").strip()
    (remote / object_name(of(project, "big.bin", first))).unlink()
    assert verify(project).findings == [] and verify(project).runs_incomplete == 1
    (finding,) = verify(project, all_commits=True).findings
    assert (finding.kind, finding.uses[0].commit) == ("missing", first)


FAKE_SSH = """\
#!/bin/sh
# Stands for the machine at the other end: runs the command here. Notes its options.
echo "$@" >> {log}
while [ "$1" != -- ]; do [ "$1" = -N ] || [ "$1" = -O ] && exit 0; shift; done
shift 2
exec {shell} -c "$1"
"""


@pytest.fixture
def fake_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    def install(shell: str) -> Path:
        program = tmp_path / "bin" / "ssh"
        program.parent.mkdir(exist_ok=True)
        program.write_text(FAKE_SSH.format(log=tmp_path / "ssh.log", shell=shell))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        return tmp_path / "ssh.log"

    return install


@pytest.fixture
def near_end() -> Iterator[int]:
    """A port of this machine that something listens on, as a tunnel does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_over_ssh_the_other_machine_hashes(
    project: Path, fake_ssh: Callable[[str], Path], near_end: int
) -> None:
    """Host keys are checked on every call, objects are not fetched, and mending goes the same way."""
    log = fake_ssh("sh")
    remote = push(project, project.parent / "far away")
    add(project, Wish(f"ssh://alice@localhost:{near_end}{remote}"))
    assert verify(project, all_commits=True).findings == []
    damage(project, remote)
    assert kinds(verify(project)) == FOUND
    calls = log.read_text().splitlines()
    assert all("StrictHostKeyChecking=yes" in call for call in calls)
    assert any("md5sum" in call for call in calls) and not any(" cat " in call for call in calls)
    assert verify(project, repair=True).bad == []
    assert verify(project, download=True).findings == []
    shutil.rmtree(remote)
    with pytest.raises(EarthSignalsError, match="has no folder.*make push"):
        verify(project)
    assert "-O exit" in log.read_text().splitlines()[-1]  # no connection stays behind a failure


def test_what_arrives_cut_does_not_get_the_objects_name(
    project: Path, fake_ssh: Callable[[str], Path], near_end: int
) -> None:
    """A connection that breaks off looks like the end of the object at the other end."""
    fake_ssh("sh")
    remote = push(project, project.parent / "far")
    add(project, Wish(f"ssh://localhost:{near_end}{remote}"))
    big = remote / object_name(of(project, "big.bin"))
    big.unlink()
    cutting = project.parent / "cutting-sh"
    cutting.write_text('#!/bin/sh\nhead -c 1000 | sh "$@"\n')
    cutting.chmod(0o755)
    fake_ssh(str(cutting))
    with pytest.raises(EarthSignalsError):
        _put(project, near_end, remote, big)
    assert list(big.parent.iterdir()) == []  # neither the object nor a part of it
    fake_ssh("sh")
    _put(project, near_end, remote, big)
    assert big.stat().st_size == 5000


def _put(project: Path, port: int, remote: Path, target: Path) -> None:
    with open_place(project, find_remote(project), 1, None, lambda md5: None) as place:
        name = target.relative_to(remote).as_posix()
        place.put(name, project / ".dvc" / "cache" / name)


def test_a_login_that_never_ends_is_a_sentence(
    project: Path, fake_ssh: Callable[[str], Path], near_end: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = fake_ssh("sh")
    (log.parent / "bin" / "ssh").write_text("#!/bin/sh\nexec sleep 20\n")
    monkeypatch.setattr("earthsignals.remotes.places.machine._LOGIN_SECONDS", 0.2)
    monkeypatch.setattr("earthsignals.remotes.places.machine.Machine.disconnect", lambda self: None)
    add(project, Wish(f"ssh://localhost:{near_end}/srv/x"))
    with pytest.raises(EarthSignalsError, match="did not finish the login"):
        verify(project)


def test_a_tunnel_that_does_not_stand_is_told_before_dvc_tries(project: Path, near_end: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    add(project, Wish(f"ssh://root@localhost:{closed}/srv/x"))
    with pytest.raises(EarthSignalsError, match=f"nothing listens on port {closed}.*make tunnel HOST"):
        check_remote(project)
    assert _dvc_remote(project)[0] == "optional"  # this machine is ready; the droplet has the same config
    add(project, Wish(f"ssh://root@localhost:{near_end}/srv/x", force=True))
    assert check_remote(project).name == "storage"
    shown = CliRunner().invoke(app, ["remote", "check"])
    assert shown.exit_code == 0 and "no tunnel of this project" in shown.output
    add(project, Wish("ssh://203.0.113.7/srv/x", force=True))
    assert check_remote(project).name == "storage"  # other machines are not asked


@pytest.mark.parametrize(
    ("host", "own"),
    [("localhost", True), ("127.3.2.1", True), ("::1", True), ("0.0.0.0", False), ("localhost.org", False)],
)
def test_the_loopback_is_known_by_name_and_address(host: str, own: bool) -> None:
    assert is_loopback(host) is own


def test_a_taken_port_is_a_sentence_with_its_option(near_end: int) -> None:
    with pytest.raises(EarthSignalsError, match=f"port {near_end} .*choose another with --mlflow-port"):
        free_port(near_end, option="--mlflow-port")
    assert free_port(0) > 0 and listens(near_end) and not listens(free_port(0))


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        ("No ED25519 host key is known for h and you have requested strict checking.", "not known.*keyscan"),
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @", "another host key.*ssh-keygen -R"),
        ("alice@h: Permission denied (publickey).", "refused the login"),
        ("ssh: connect to host h port 22: Connection refused", "does not answer"),
        ("ssh: Could not resolve hostname h: Name or service not known", "not a known name"),
    ],
)
def test_what_ssh_says_becomes_a_sentence(stderr: str, words: str) -> None:
    assert words.split(".*")[0] in str(openssh.failure(openssh.Host("h"), stderr))
    assert words.split(".*")[-1] in str(openssh.failure(openssh.Host("h"), stderr))


def test_the_tunnel_checks_the_key_and_listens_on_the_loopback_alone(project: Path) -> None:
    words = tunnel.Tunnel(openssh.parse_host("root@203.0.113.7:2200"), ssh_port=22).words()
    assert words[-2:] == ["--", "203.0.113.7"] and "StrictHostKeyChecking=yes" in words
    assert "ExitOnForwardFailure=yes" in words and "Port=2200" in words
    assert [words[i + 1] for i, word in enumerate(words) if word == "-L"] == [
        "127.0.0.1:2222:127.0.0.1:22", "127.0.0.1:5001:127.0.0.1:5000",
    ]  # fmt: skip
    for address in ("-oProxyCommand=x", "a b", "host:port", ""):
        with pytest.raises(EarthSignalsError, match="no machine for ssh"):
            openssh.parse_host(address)
    assert tunnel.stop(project) is None and tunnel.behind(project, "localhost", 2222) == ()


def test_an_open_tunnel_says_the_address_with_the_far_machines_user(
    project: Path, fake_ssh: Callable[[str], Path]
) -> None:
    fake_ssh("sh")
    ports = [str(free_port(0)), str(free_port(0))]
    words = ["tunnel", "root@203.0.113.7", "--background", "--remote-port", ports[0]]
    shown = CliRunner().invoke(app, [*words, "--mlflow-port", ports[1]])
    assert shown.exit_code == 0, shown.output
    assert f"make remote URL=ssh://root@localhost:{ports[0]}/" in shown.output
    assert not tunnel.stranger(project, "localhost", int(ports[0]))  # it stands, as far as this ssh tells
    assert tunnel.stranger(project, "localhost", int(ports[1]))


def test_odd_notes_of_a_tunnel_are_no_tunnel(project: Path, fake_ssh: Callable[[str], Path]) -> None:
    note, kept = project / ".dvc" / "tmp" / "tunnel.json", project / ".dvc" / "tmp" / "tunnel.sock"
    fake_ssh("sh")
    for text in ("[]", "{}", '{"host": 5}', "null", "\xff"):
        note.write_text(text)
        assert tunnel.stop(project) is None and tunnel.behind(project, "localhost", 2222) == ()
    plan = tunnel.Tunnel(openssh.parse_host("h"), free_port(0), free_port(0), 22)
    for path in (note, kept):
        path.unlink(missing_ok=True)
        path.mkdir()
        assert tunnel.stop(project) is None
        with pytest.raises(EarthSignalsError, match=f"{path.name} cannot be replaced"):
            tunnel.start(project, plan)
        path.rmdir()


def test_two_tunnels_at_once_are_one(project: Path, fake_ssh: Callable[[str], Path]) -> None:
    log = fake_ssh("sh")
    plan = tunnel.Tunnel(openssh.parse_host("h"), free_port(0), free_port(0), 22)
    with open(project / ".dvc" / "tmp" / "tunnel.lock", "wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(EarthSignalsError, match="is opening one just now"):
            tunnel.start(project, plan)
    assert not log.exists()


HELD = """\
#!/bin/sh
# ssh as far as a tunnel needs it: -G, -O check while one is open, and the connection itself.
case " $* " in
    *" -G "*) echo port 22 ;;
    *" -O "*) test -e {folder}/pid ;;
    *) echo $$ > {folder}/pid; exec sleep 60 ;;
esac
"""


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 0)])
def test_a_tunnel_in_the_foreground_ends_with_its_command(project: Path, name: str, status: int) -> None:
    program = project.parent / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(HELD.format(folder=project.parent))
    program.chmod(0o755)
    ports = ["--remote-port", str(free_port(0)), "--mlflow-port", str(free_port(0))]
    process = subprocess.Popen(
        [sys.executable, "-m", "earthsignals.cli.main", "tunnel", "root@h", *ports], text=True,
        env=os.environ | {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        # Tests that a shell runs in its background inherit a Ctrl-C that is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stdout is not None
    assert "stands; Ctrl-C ends it" in process.stdout.readline()
    ssh = int((project.parent / "pid").read_text())
    process.send_signal(getattr(signal, name))
    said, _ = process.communicate(timeout=20)
    assert process.returncode == status and said.endswith("the tunnel is closed\n"), said
    with pytest.raises(ProcessLookupError):
        os.kill(ssh, 0)
    assert not (project / ".dvc" / "tmp" / "tunnel.json").exists()


class FakeBucket:
    """S3's client as far as sizes are concerned; `asked` holds the names of its calls."""

    def __init__(self, objects: dict[str, int]) -> None:
        self.objects, self.asked = objects, []

    def head_object(self, Bucket: str, Key: str) -> dict:  # noqa: N803
        from botocore.exceptions import ClientError

        self.asked.append("head")
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "404"}}, "HeadObject")
        return {"ContentLength": self.objects[Key], "ETag": '"AB"'}

    def get_paginator(self, name: str) -> FakeBucket:
        self.asked.append("list")
        return self

    def paginate(self, Bucket: str, Prefix: str) -> list[dict]:  # noqa: N803
        found = {key: size for key, size in self.objects.items() if key.startswith(Prefix)}
        return [{"Contents": [{"Key": key, "Size": size, "ETag": '"AB"'} for key, size in found.items()]}]


def test_a_bucket_is_listed_only_for_many_objects() -> None:
    names = [f"files/md5/ab/{number}" for number in range(50)]
    client = FakeBucket({f"p/{name}": number for number, name in enumerate(names)})
    bucket = Bucket(client, Remote("s", "s3://bucket/p"), 2, lambda md5: None)
    assert bucket.sizes([names[7], "files/md5/no/thing"]) == {names[7]: 7}
    assert client.asked == ["head", "head"] and bucket.etags == {names[7]: "ab"}
    assert bucket.sizes([]) == {} and client.asked == ["head", "head"]
    assert bucket.sizes(names) == dict(zip(names, range(50), strict=True))
    assert client.asked[2:] == ["list"]


def test_data_of_dvc_add_is_known_by_any_name(project: Path) -> None:
    """Git quotes names like these unless told not to."""
    out = f"- md5: {'1' * 32}\n  size: 3\n  hash: md5\n  path: Größe ä.csv\n"
    (project / "Größe ä.csv.dvc").write_text(f"outs:\n{out}")
    found = [each for each in lock.objects(project) if each.stage.endswith(".dvc")]
    assert [(each.path, each.md5) for each in found] == [("Größe ä.csv", "1" * 32)]


@pytest.mark.parametrize("levels", [0, 1, 2, 3, 4])
def test_the_cache_is_where_dvc_has_it(
    project: Path, levels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the levels that name a folder the last counts, each way to name one as DVC takes it."""
    from dvc.config import Config

    files = [project.parent / "system" / "config", project.parent / "global" / "config"]
    files += [project / ".dvc" / "config", project / ".dvc" / "config.local"]
    for name, file in zip(("SYSTEM", "GLOBAL"), files, strict=False):
        monkeypatch.setenv(f"DVC_{name}_CONFIG_DIR", str(file.parent))
        file.parent.mkdir()
    for file, folder in zip(files[:levels], ("/mnt/x", "~/cache", "../near", "sub"), strict=False):
        file.write_text(f"[cache]\n    dir = {folder}\n")
    known = Config(str(project / ".dvc"))["cache"].get("dir")
    assert str(cache_folder(project)) == str(known or project / ".dvc" / "cache")


def test_a_damaged_configuration_is_a_sentence(project: Path) -> None:
    (project / ".dvc" / "config").write_text("[cache\n")
    with pytest.raises(EarthSignalsError, match="config is not readable"):
        cache_folder(project)


def test_a_multipart_etag_is_the_md5_of_the_parts_md5s(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for size in (25, 20):  # a short last part, and none
        path.write_bytes(content := bytes(range(size)))
        parts = [content[i : i + 10] for i in range(0, size, 10)]
        expected = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()
        assert multipart_etag(path, 10) == f"{expected}-{len(parts)}"
    assert multipart_etag(path, None) == ""  # a server that does not tell: nothing is vouched for


def test_a_shared_cache_takes_good_objects_over(project: Path) -> None:
    bad = of(project, "big.bin")
    spoil(project / ".dvc" / "cache" / object_name(bad), b"rotten")
    (project / "dvc.lock").unlink()  # nothing to relink
    folder = project.parent / "shared"
    shared = share(project, folder)
    assert not (folder / object_name(bad)).exists() and any(bad[2:] in note for note in shared.notes)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o2775
    objects = [path for path in (folder / "files").rglob("*") if path.is_file()]
    assert objects and all(stat.S_IMODE(path.stat().st_mode) == 0o444 for path in objects)
    assert "shared = group" in (project / ".dvc" / "config.local").read_text()
    again = share(project, folder)
    assert again.carried == 0
    with pytest.raises(EarthSignalsError, match="no group"):
        share(project, folder, "no-such-group")


def test_a_shared_cache_that_cannot_be_written_is_a_sentence(project: Path) -> None:
    (project / "dvc.lock").unlink()
    folder = project.parent / "shared"
    (folder / "files" / "md5").mkdir(parents=True)
    (folder / object_name(of_cache(project))).parent.write_text("a file where a folder belongs")
    with pytest.raises(EarthSignalsError, match="cannot be written.*chmod 2775"):
        share(project, folder)


@pytest.mark.parametrize("place", ["used", "above", "file", "home"])
def test_a_folder_in_use_is_never_made_a_cache(
    project: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its rights nor its content are touched."""
    folder = project.parent if place == "above" else project.parent / place
    if place == "file":
        folder.write_text("x")
    elif place != "above":
        folder.mkdir()
    if place == "home":
        monkeypatch.setenv("HOME", str(folder))
    if place == "used":
        (folder / "letter.txt").write_text("mine")
    folder.chmod(0o700)
    before = sorted(folder.iterdir()) if folder.is_dir() else []
    with pytest.raises(EarthSignalsError, match=str(folder)):
        share(project, Path("~") if place == "home" else folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert before == (sorted(folder.iterdir()) if folder.is_dir() else [])
    assert not (project / ".dvc" / "config.local").exists()


def test_a_failed_relink_keeps_the_old_cache_and_says_why(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = project / ".dvc" / "config.local"
    local.write_text("# mine\n[core]\n    checksum_jobs = 1\n")
    before = local.read_text()
    program = project.parent / "python"
    program.write_text("#!/bin/sh\necho 'ERROR: unable to link: no rights' >&2\nexit 255\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(EarthSignalsError, match="unable to link: no rights.*keeps its old cache"):
        share(project, project.parent / "shared")
    assert local.read_text() == before and cache_folder(project) == project / ".dvc" / "cache"


def of_cache(project: Path) -> str:
    first = next(path for path in sorted((project / ".dvc/cache/files/md5").rglob("*")) if path.is_file())
    return first.parent.name + first.name


SHARED = "import sys; from pathlib import Path; from earthsignals.remotes.sharing import share; " \
         "share(Path(sys.argv[1]), Path(sys.argv[2]))"  # fmt: skip


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as two users")
def test_two_users_share_one_cache(project: Path, request: pytest.FixtureRequest) -> None:
    """What one user brought the other reads, as links and not as copies, and cannot change."""
    python = _python_of_others()
    place = Path(tempfile.mkdtemp())  # pytest's own folders are closed to others
    request.addfinalizer(lambda: shutil.rmtree(place))
    place.chmod(0o755)
    folder = place / "shared"
    folder.mkdir()
    shutil.chown(folder, group="users")
    folder.chmod(0o2775)
    clones = {}
    for user in ("daemon", "games"):
        clone = clones[user] = place / user
        shutil.copytree(project, clone, ignore=shutil.ignore_patterns("cache" if user == "games" else ""))
        subprocess.run(["chown", "-R", f"{user}:users", str(clone)], check=True)
        site = Path(yaml.__file__).parents[1]
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(clone), "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": f"{Path(__file__).parents[2] / 'src'}{os.pathsep}{site}", "DVC_NO_ANALYTICS": "1",
        }  # fmt: skip
        drop = ["setpriv", "--reuid", user, "--regid", "users", "--clear-groups"]
        seen = subprocess.run([*drop, python, "-c", "import earthsignals, dvc"], cwd=clone, env=environment)
        if seen.returncode:
            pytest.skip("other users cannot read this checkout or its environment")
        subprocess.run([*drop, python, "-c", SHARED, clone, folder], cwd=clone, env=environment, check=True)
    first, second = clones["daemon"] / "big.bin", clones["games"] / "big.bin"
    assert first.read_bytes() == second.read_bytes() == bytes([2]) * 5000
    shared = folder / object_name(of(project, "big.bin"))
    assert second.samefile(shared) and not shared.stat().st_mode & 0o222
    groups = {path.stat().st_gid for path in folder.rglob("*")}
    assert groups == {folder.stat().st_gid}


def _python_of_others() -> str:
    """A Python of this version that users other than root can start, with this environment's packages."""
    # It must be able to start itself, as it will start DVC: setpriv's own start has more rights.
    probe = (
        "import subprocess, sqlite3, sys; print(sys.version_info[:2], flush=True); "
        "subprocess.run([sys.executable, '-c', ''], check=True)"
    )
    for python in (sys.executable, "/usr/bin/python3"):
        words = ["setpriv", "--reuid", "games", "--regid", "users", "--clear-groups", python, "-c", probe]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.strip() == str(sys.version_info[:2]):
            return python
    pytest.skip("no Python here that other users may start")
