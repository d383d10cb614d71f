"""The team's server on a real PostgreSQL and a real S3: logins, many writers, sudden death."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pytest

from earthsignals import tracking
from earthsignals.cli.pipelines import PIPELINES

from ..project import ROOT, environment
from .service import free_port, wait_until_healthy

EPOCHS = 30
MEMBER, MEMBER_PASSWORD = "member", "a-member's-password"


@dataclass
class TeamServer:
    """`earthsignals server` in a project of its own, killed and started at will."""

    project: Path
    port: int
    variables: dict[str, str]
    process: subprocess.Popen | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.project / "server.log"

    @property
    def password(self) -> str:
        return (self.project / ".server" / "admin-password").read_text().strip()

    def start(self) -> None:
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                ["earthsignals", "server", "--port", str(self.port)], cwd=self.project,
                env=environment(ROOT) | self.variables, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        wait_until_healthy(self.process, self.port, self.log)

    def processes(self) -> list[psutil.Process]:
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def end(self, number: int) -> None:
        """Send a signal to the server and its worker, and wait until they are gone."""
        if self.process is not None:
            os.killpg(self.process.pid, number)
            self.process.wait(30)
            self.process = None

    def ask(
        self, path: str, content: dict[str, Any] | None = None, *, user: str = "admin",
        password: str | None = None, **headers: str,
    ) -> Any:  # fmt: skip
        """The answer of MLflow's REST interface; HTTPError where it refuses. No user: anonymous."""
        if user:
            pair = f"{user}:{password or self.password}".encode()
            headers["Authorization"] = f"Basic {b64encode(pair).decode()}"
        body = None if content is None else json.dumps(content).encode()
        headers["Content-Type"] = "application/json"
        request = Request(f"{self.address}/api/2.0/mlflow/{path}", body, headers)
        with urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def runs(self, pipeline: str) -> dict[str, Any]:
        """The runs of an experiment by name: info, and data with its metrics, params and tags."""
        found = self.ask(f"experiments/get-by-name?experiment_name={pipeline}")["experiment"]
        answer = self.ask("runs/search", {"experiment_ids": [found["experiment_id"]]})
        return {run["info"]["run_name"]: run for run in answer.get("runs", [])}

    def steps(self, run: dict[str, Any], metric: str) -> list[int]:
        name, run_id = metric.replace("/", "%2F"), run["info"]["run_id"]
        history = self.ask(f"metrics/get-history?run_id={run_id}&metric_key={name}")
        return [int(point["step"]) for point in history["metrics"]]

    def artifacts(self, run_id: str, folder: str) -> list[str]:
        answer = self.ask(f"artifacts/list?run_id={run_id}&path={folder}")
        return [file["path"] for file in answer.get("files", [])]

    def client(self) -> dict[str, str]:
        """The environment of a member's process."""
        return environment(ROOT) | {
            "MLFLOW_TRACKING_URI": self.address,
            "MLFLOW_TRACKING_USERNAME": MEMBER,
            "MLFLOW_TRACKING_PASSWORD": MEMBER_PASSWORD,
            # On a machine that other tests keep busy too: slow is not lost.
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "120",
        }

    def job(self, pipeline: str, verb: str, pause: float) -> subprocess.Popen:
        arguments = [str(self.project), pipeline, verb, "0.1", str(EPOCHS), str(pause)]
        return subprocess.Popen(
            [sys.executable, "-m", "tests.services.logging_job", *arguments], cwd=ROOT,
            env=self.client(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip


@pytest.fixture(scope="module")
def server(
    postgres: dict[str, str], s3: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TeamServer]:
    project = tmp_path_factory.mktemp("team")
    (project / "params.yaml").write_text("{}\n")
    (project / ".dvc").mkdir()
    variables = {
        "MLFLOW_BACKEND_STORE_URI": postgres["URI"],
        "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{s3['BUCKET']}/mlflow",
        "MLFLOW_S3_ENDPOINT_URL": s3["ENDPOINT"],
        "AWS_ACCESS_KEY_ID": s3["ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": s3["SECRET_ACCESS_KEY"],
    }
    served = TeamServer(project, free_port(), variables)
    try:
        served.start()
        served.ask("users/create", {"username": MEMBER, "password": MEMBER_PASSWORD})
        yield served
    finally:
        served.end(signal.SIGKILL)


def test_only_members_get_in(server: TeamServer) -> None:
    """No login, a wrong password and a foreign host name are refused; a member is not an admin."""
    question = "experiments/search?max_results=1"

    def refused(**how: str) -> int:
        with pytest.raises(HTTPError) as caught:
            server.ask(question, **how)
        caught.value.close()
        return caught.value.code

    assert refused(user="") == 401
    assert refused(password="not-the-password") == 401
    # A web page under another name that resolves to the loopback (DNS rebinding).
    assert refused(Host="elsewhere.example") == 403
    assert "experiments" in server.ask(question, user=MEMBER, password=MEMBER_PASSWORD)
    with pytest.raises(HTTPError, match="403") as caught:
        new = {"username": "another", "password": "another-password"}
        server.ask("users/create", new, user=MEMBER, password=MEMBER_PASSWORD)
    caught.value.close()


def test_a_wrong_password_is_told_in_a_sentence_without_it(server: TeamServer) -> None:
    wrong = server.client() | {"MLFLOW_TRACKING_PASSWORD": "not-the-password"}
    arguments = [str(server.project), "tdlas", "refused", "0.1", "1", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.services.logging_job", *arguments], cwd=ROOT, env=wrong,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "EarthSignalsError: the MLflow store http://127.0.0.1" in done.stderr
    assert "not-the-password" not in done.stdout + done.stderr


def test_no_run_of_many_writers_is_lost(server: TeamServer, s3: dict[str, str]) -> None:
    """Two processes of every pipeline at once, the first of each experiment among them."""
    names = [(pipeline, verb) for pipeline in PIPELINES for verb in ("train-1", "train-2")]
    jobs = [server.job(pipeline, verb, pause=0.02) for pipeline, verb in names]
    for job in jobs:
        _, told = job.communicate(timeout=240)
        assert (job.returncode, told) == (0, "")
    for pipeline, verb in names:
        run = server.runs(pipeline)[f"{pipeline}-{verb}"]
        assert run["info"]["status"] == "FINISHED"
        for metric in ("train/loss", "val/loss"):
            assert server.steps(run, metric) == list(range(EPOCHS))
        assert "test/loss" in {metric["key"] for metric in run["data"]["metrics"]}
        assert {"key": "train.epochs", "value": str(EPOCHS)} in run["data"]["params"]
        # The server, and no client, wrote the artifact into the bucket: members have no S3 keys.
        stored = list(Path(s3["FOLDER"]).rglob(f"{run['info']['run_id']}/artifacts/tables/{verb}.csv"))
        written = server.project / "reports" / pipeline / f"{verb}.csv"
        assert [file.read_bytes() for file in stored] == [written.read_bytes()]


def test_a_run_outlives_its_server(
    server: TeamServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed mid-run and started again: the training goes on, its record completes the run."""
    job = server.job("tdlas", "unbroken", pause=0.1)
    assert any(int(line) == 5 for line in job.stdout), job.communicate()
    server.end(signal.SIGKILL)
    _, told = job.communicate(timeout=120)
    assert job.returncode == 0
    assert told.count("warning: ") == 1 and "warning: the MLflow store" in told
    assert "the run goes on" in told and "`earthsignals runs import` completes it" in told

    server.start()
    half = server.runs("tdlas")["tdlas-unbroken"]
    run_id = half["info"]["run_id"]
    assert half["info"]["status"] == "RUNNING"
    known = server.steps(half, "train/loss")
    assert known == list(range(len(known))) and 6 <= len(known) < EPOCHS
    assert server.artifacts(run_id, "tables") == server.artifacts(run_id, "figures") == []

    for _ in range(2):  # the second time there is nothing left to do
        done = subprocess.run(
            ["earthsignals", "runs", "import"], cwd=server.project, env=server.client(),
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        whole = server.runs("tdlas")["tdlas-unbroken"]
        assert (whole["info"]["run_id"], whole["info"]["status"]) == (run_id, "FINISHED")
        for metric in ("train/loss", "val/loss"):
            assert sorted(server.steps(whole, metric)) == list(range(EPOCHS))
        assert server.steps(whole, "test/loss") == [0]
        assert {"key": "train.epochs", "value": str(EPOCHS)} in whole["data"]["params"]
        tags = {tag["key"]: tag["value"] for tag in whole["data"]["tags"]}
        assert float(tags["wall_seconds"]) > 0.1 * EPOCHS
        # What was logged while nobody listened is there too.
        assert server.artifacts(run_id, "tables") == ["tables/unbroken.csv"]
        assert server.artifacts(run_id, "figures") == ["figures/unbroken.png"]

    # The same record in the empty store of another machine, beside the server's.
    other = tmp_path / "other"
    (other / ".dvc").mkdir(parents=True)
    shutil.copytree(server.project / "reports", other / "reports")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    done = tracking.import_runs(other, "tdlas")
    assert done.skipped == [] and done.added == len(list(other.glob("reports/tdlas/runs/*.json")))
    assert run_id in tracking.runs_in_store(other, {"tdlas"})


def test_secrets_stay_out_of_sight(
    server: TeamServer, postgres: dict[str, str], s3: dict[str, str]
) -> None:
    """Not in arguments, not in logs, not in files that others can read, not in the settings."""
    secrets = [
        postgres["PASSWORD"], s3["SECRET_ACCESS_KEY"], server.password, MEMBER_PASSWORD,
        (server.project / ".server" / "session-key").read_text().strip(),
    ]  # fmt: skip
    seen = server.log.read_text()
    seen += "".join(" ".join(process.cmdline()) for process in server.processes())
    for file in server.project.rglob("*"):
        if file.is_file() and file.stat().st_mode & 0o077:
            seen += file.read_text(errors="replace")
    assert not [secret for secret in secrets if secret in seen]


def test_without_postgresql_nobody_else_reads_the_files(tmp_path: Path) -> None:
    """SQLite's files hold runs and the members' password hashes, and get the modes of the umask."""
    (tmp_path / "params.yaml").write_text("{}\n")
    for folder in (".dvc", ".server"):  # the latter as an earlier version made it
        (tmp_path / folder).mkdir(mode=0o755)
    own = TeamServer(tmp_path, free_port(), {})
    try:
        own.start()
        own.ask("experiments/create", {"name": "tdlas"})
        kept = tmp_path / ".server"
        assert kept.stat().st_mode & 0o777 == 0o700
        assert {"mlflow.db", "users.db", "admin-password"} <= {file.name for file in kept.iterdir()}
        outside = [file for file in tmp_path.rglob("*") if file.is_file() and kept not in file.parents]
        assert own.password not in "".join(file.read_text(errors="replace") for file in outside)
        assert own.password not in "".join(" ".join(each.cmdline()) for each in own.processes())
    finally:
        own.end(signal.SIGKILL)


def test_memory_stays_lean(server: TeamServer, record_property: Any) -> None:
    """After all of the above; MLflow's defaults (4 workers and a job runner) hold 3 GB."""
    memory = sum(process.memory_info().rss for process in server.processes()) / 2**20
    record_property("server_memory_mib", round(memory))
    print(f"server: {memory:.0f} MiB in {len(server.processes())} processes")
    assert memory < 1024


def test_the_database_must_be_usable(server: TeamServer, postgres: dict[str, str]) -> None:
    """A wrong password ends the start within seconds, in a sentence."""
    variables = server.variables | {"PGPASSWORD": "wrong"}
    variables["MLFLOW_BACKEND_STORE_URI"] = postgres["URI"].replace(f":{postgres['PASSWORD']}@", "@")
    done = subprocess.run(
        ["earthsignals", "server", "--port", str(server.port + 1)], cwd=server.project,
        env=environment(ROOT) | variables, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "password authentication failed" in done.stderr and "Traceback" not in done.stderr
