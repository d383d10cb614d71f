"""What the team's server would be started with: decided without starting one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from earthsignals.storage import EarthSignalsError
from earthsignals.tracking.server import Server, plan_server, prepare, read_environment

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
