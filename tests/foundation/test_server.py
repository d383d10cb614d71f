"""What the team's server would be started with: decided without starting one."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from ruamel.yaml import YAML

from earthsignals.storage import EarthSignalsError
from earthsignals.tracking.server import Server, life, plan_server, prepare, read_environment
from earthsignals.tracking.server.checks import check_artifacts, check_database, check_port
from earthsignals.tracking.server.secrets import alone_in

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PASSWORD = "hunter2@:/%"  # with all letters that an address would read differently
WRITTEN = "hunter2%40%3A%2F%25"


def plan(folder: Path, environment: dict[str, str] | None = None, **changed) -> Server:
    words = {"database": None, "artifacts": None, "host": "127.0.0.1", "port": 5000} | changed
    return plan_server(folder, environment=environment or {}, **words)


def test_the_password_leaves_the_address(tmp_path: Path) -> None:
    """It goes by PGPASSWORD; neither the command nor what is shown holds it."""
    address = f"postgresql://mlflow:{WRITTEN}@db.example:5433/runs?sslmode=require"
    server = plan(tmp_path, {"MLFLOW_BACKEND_STORE_URI": address})
    assert server.environment["PGPASSWORD"] == PASSWORD
    # The driver is named: SQLAlchemy's own choice is another than the one installed.
    assert server.database == "postgresql+psycopg2://mlflow@db.example:5433/runs?sslmode=require"
    shown = "\n".join(server.lines()) + repr(server)
    assert "PGPASSWORD=***" in shown and "hunter2" not in shown
    in_query = "postgresql://mlflow@db.example/runs?password=hunter2"
    server = plan(tmp_path, {"MLFLOW_BACKEND_STORE_URI": in_query})
    assert "hunter2" not in server.database and server.environment["PGPASSWORD"] == "hunter2"


@pytest.mark.parametrize(
    ("words", "environment", "told"),
    [
        ({"database": "postgresql://m:hunter2@h/d"}, {}, "every user of this machine can read"),
        ({"database": "mysql://m@h/d"}, {}, "mysql is no database for runs"),
        ({"database": "nonsense"}, {}, "expected postgresql://"),
        ({"database": "postgresql://m@h/d?sslpassword=hunter2"}, {}, "every user of this machine can read"),
        *(({"database": f"sqlite://{file}"}, {}, "is a file") for file in ("", "/:memory:", "/file:x?a=b")),
        ({"artifacts": "s3://AKIA:hunter2@runs/x"}, {}, "AWS_SECRET_ACCESS_KEY"),
        ({}, {"MLFLOW_ARTIFACTS_DESTINATION": "s3://AKIA:hunter2@runs/x"}, "AWS_SECRET_ACCESS_KEY"),
        ({"artifacts": "http://runs/x"}, {}, "no store of artifacts"),
        ({"artifacts": "s3://x/y"}, {}, "no name of a bucket"),
        ({"host": ""}, {}, "every address"),
        *(
            ({}, {"MLFLOW_SERVER_ALLOWED_HOSTS": hosts}, "switches the host check off")
            for hosts in ("*", "a.example, *", "a.example,\t**", " ?* ,a.example", "*:5000", "*.*:*")
        ),
        ({}, {"MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "https://*"}, "switches the host check off"),
    ],
)
def test_what_is_refused(tmp_path: Path, words: dict, environment: dict, told: str) -> None:
    with pytest.raises(EarthSignalsError, match=told) as caught:
        plan(tmp_path, environment, **words)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("hosts", ["", "a.example, *.b.example:*", "10.*, [[]::1]:*", "localhost:*"])
def test_named_hosts_are_let_in(tmp_path: Path, hosts: str) -> None:
    assert plan(tmp_path, {"MLFLOW_SERVER_ALLOWED_HOSTS": hosts}).port == 5000


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    """SQLite and a folder stand in, each with a note; planning makes nothing."""
    folder = tmp_path / "state"
    server = plan(folder)
    assert [note.split(" (")[0] for note in server.notes] == [
        "no database is named", "no store of artifacts is named",
    ]  # fmt: skip
    assert server.database == f"sqlite:///{folder}/mlflow.db" and not folder.exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "team-server"])
def test_leaving_the_loopback_is_told(tmp_path: Path, host: str) -> None:
    assert any("plain HTTP" in note for note in plan(tmp_path, host=host).notes)
    for loopback in ("127.0.0.1", "::1", "localhost"):
        assert not any("plain HTTP" in note for note in plan(tmp_path, host=loopback).notes)


def test_what_is_shown_is_for_a_shell_and_without_secrets(tmp_path: Path) -> None:
    """A client key's password has no variable of its own: it stays in the address, but out of sight."""
    address = "postgresql://m@h/d?sslpassword=hunter2"
    server = plan(tmp_path / "sp ace", {"MLFLOW_BACKEND_STORE_URI": address})
    assert "hunter2" in server.database
    shown = server.lines()
    assert "hunter2" not in "".join(shown)
    assert f"MLFLOW_AUTH_CONFIG_PATH='{tmp_path}/sp ace/auth.ini'" in shown


def test_what_stands_in_the_way_is_told(tmp_path: Path) -> None:
    """Checked before anything starts, and nothing is made where it was not asked for."""
    file = tmp_path / "text.db"
    file.write_text("no database")
    (tmp_path / "ini" / "auth.ini").mkdir(parents=True)
    (tmp_path / "key").mkdir()
    (tmp_path / "key" / "session-key").write_bytes(b"\xff\xfe")
    absent = tmp_path / "absent" / "x.db"
    for told, check in (
        ("no SQLite database", lambda: check_database(plan(tmp_path, database=f"sqlite:///{file}"))),
        ("it is a folder", lambda: check_database(plan(tmp_path, database=f"sqlite:///{tmp_path}"))),
        ("there is no folder", lambda: check_database(plan(tmp_path, database=f"sqlite:///{absent}"))),
        ("in the way", lambda: check_artifacts(plan(tmp_path, artifacts=str(file)))),
        ("No such file", lambda: check_artifacts(plan(tmp_path, artifacts=str(absent)))),
        ("no address of this machine", lambda: check_port("999.1.1.1", 5000)),
        ("in the way", lambda: prepare(plan(file), {}, has_admin=False)),
        ("Is a directory", lambda: prepare(plan(tmp_path / "ini"), {}, has_admin=False)),
        ("is no text", lambda: prepare(plan(tmp_path / "key"), {}, has_admin=False)),
    ):
        with pytest.raises(EarthSignalsError, match=told):
            check()
    assert not absent.parent.exists()


def test_one_server_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earthsignals.tracking.server.secrets._LOCK_SECONDS", 0.0)
    with alone_in(tmp_path), pytest.raises(EarthSignalsError, match="another server works in"):
        alone_in(tmp_path).__enter__()
    with alone_in(tmp_path):  # free again
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_server_and_its_worker(tmp_path: Path, number: signal.Signals) -> None:
    """The child starts a worker, as MLflow does; one line tells the end, and nobody is left."""
    worker = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {worker!r}])"
    code = (
        # Under nohup this process ignores SIGHUP, and so would its children.
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from earthsignals.tracking.server import life; lock = os.open(os.devnull, 0); "
        f"sys.exit(life._run((sys.executable, '-c', {child!r}), lock))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        pid = int(server.stdout.readline())
        server.send_signal(number)
        _, told = server.communicate(timeout=30)
    assert (server.returncode, told) == (128 + number, f"the server is stopped ({number.name})\n")
    deadline = time.monotonic() + 5
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(pid)


def test_a_server_that_ends_by_itself_is_told() -> None:
    with open("/dev/null") as lock, pytest.raises(EarthSignalsError, match="by itself with status 3"):
        life._run((sys.executable, "-c", "raise SystemExit(3)"), lock.fileno())


def test_a_percent_sign_survives_the_settings(tmp_path: Path) -> None:
    """MLflow reads them with interpolation, in which % has a meaning."""
    from configparser import ConfigParser

    folder = tmp_path / "sp ace%d"
    prepare(plan(folder), {}, has_admin=True)
    read = ConfigParser()
    read.read(folder / "auth.ini")
    assert read["mlflow"]["database_uri"] == f"sqlite:///{folder}/users.db"
    assert (folder / "auth.ini").stat().st_mode & 0o777 == 0o600


def test_secrets_are_made_once_for_their_owner_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o755)  # as an earlier version made it
    server = plan(folder)
    first = prepare(server, {}, has_admin=False)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert prepare(server, {}, has_admin=True) == first
    for name in ("admin-password", "session-key"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600
        assert (folder / name).read_text().strip() not in capsys.readouterr().out
    assert min(map(len, first.values())) >= 32 and len(set(first.values())) == 2
    assert (folder / ".gitignore").read_text() == "*\n"  # git never sees the folder
    # What the environment names is taken, and no file is made.
    other = plan(tmp_path / "other")
    named = {"MLFLOW_AUTH_ADMIN_PASSWORD": "a", "MLFLOW_FLASK_SERVER_SECRET_KEY": "b"}
    assert prepare(other, named, has_admin=False) == {}
    assert (tmp_path / "other").stat().st_mode & 0o777 == 0o700
    assert not (tmp_path / "other" / "admin-password").exists()
    # A database that knows the administrator would not take a new password.
    assert list(prepare(plan(tmp_path / "third"), {}, has_admin=True)) == [
        "MLFLOW_FLASK_SERVER_SECRET_KEY"
    ]
    (folder / "admin-password").chmod(0o644)
    with pytest.raises(EarthSignalsError, match="chmod 600"):
        prepare(server, {}, has_admin=False)


def test_the_environment_file_is_private(tmp_path: Path) -> None:
    file = tmp_path / "server.env"
    file.write_text("# a note\nPGPASSWORD=a$b#c\nEMPTY=\n")
    file.chmod(0o600)
    assert read_environment(file) == {"PGPASSWORD": "a$b#c"}
    file.chmod(0o640)
    with pytest.raises(EarthSignalsError, match="others can read it"):
        read_environment(file)
    with pytest.raises(EarthSignalsError, match="cannot be read"):
        read_environment(tmp_path / "absent.env")
    file.chmod(0o600)
    second = b"A=1\nhunter2 x\n"
    for content, told in ((second, "line 2 of"), (b"A\n", "line 1 of"), (b"\xff=\n", "is no text")):
        file.write_bytes(content)
        with pytest.raises(EarthSignalsError, match=told) as caught:
            read_environment(file)
        assert "hunter2" not in str(caught.value)


def test_compose_starts_the_same_server(tmp_path: Path) -> None:
    """Same words, same settings; loopback ports alone; no secret in the file; all are watched."""
    text = (DEPLOY / "compose.yaml").read_text()
    compose = YAML(typ="safe").load(text)
    services = compose["services"]
    address = {
        "MLFLOW_BACKEND_STORE_URI": "postgresql://mlflow@database:5432/mlflow",
        "MLFLOW_ARTIFACTS_DESTINATION": "s3://mlflow/artifacts",
        "MLFLOW_S3_ENDPOINT_URL": services["mlflow"]["environment"]["MLFLOW_S3_ENDPOINT_URL"],
    }
    server = plan(tmp_path, address, host="0.0.0.0")
    assert tuple(services["mlflow"]["command"]) == ("mlflow", *server.command[3:])
    given = services["mlflow"]["environment"] | {"MLFLOW_AUTH_CONFIG_PATH": "here"}
    own = server.environment | {"MLFLOW_AUTH_CONFIG_PATH": "here"}
    del own["PYTHONWARNINGS"]  # of no consequence in a log
    assert own.items() <= given.items()
    prepare(server, {}, has_admin=True)
    assert compose["configs"]["auth"]["content"] == (tmp_path / "auth.ini").read_text()
    for service in services.values():
        assert "healthcheck" in service
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))
    # Every variable stands in the example, empty there.
    example = (DEPLOY / "server.env.example").read_text()
    asked = set(re.findall(r"\$\{([A-Z_]+):\?", text))
    assert asked == set(re.findall(r"^([A-Z_]+)=$", example, re.MULTILINE))
