"""A real MLflow server dies in the middle of a run: the work goes on, and the history is whole again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from urllib.request import urlopen

import pytest

from earthsignals import tracking
from earthsignals.settings import Settings
from earthsignals.storage import read_json
from earthsignals.tracking.store import open_client

from ..project import ROOT, environment


class PlainServer:
    """`mlflow server` on SQLite and a folder, on a free port of this machine."""

    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port),
            "--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder}/server.db",
            "--artifacts-destination", str(self.folder / "artifacts"), "--serve-artifacts",
        ]  # fmt: skip
        log = (self.folder / "log").open("a")
        self.process = subprocess.Popen(
            command, env=environment(ROOT) | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        log.close()
        deadline = time.monotonic() + 120
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                urlopen(f"{self.address}/health", timeout=2).close()
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text())

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(30)


@pytest.fixture
def server(tmp_path):
    served = PlainServer(tmp_path / "server")
    served.folder.mkdir()
    served.start()
    yield served
    served.kill()


def test_a_run_outlives_its_server(server, tmp_path, monkeypatch, capsys):
    for name in ("DVC_STAGE", "DVC_ROOT", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    # A busy machine's server is slow, not dead.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    root = tmp_path / "project"
    figure = root / "reports/tdlas/figures/loss.png"
    figure.parent.mkdir(parents=True)
    figure.write_text("a picture")
    with tracking.run("tdlas", "train", {"rate": 1}, Settings(), kind="training", root=root) as run:
        run.log_metrics({"train/loss": 1.0}, step=0)
        server.kill()
        for epoch in (1, 2):
            started = time.monotonic()
            run.log_metrics({"train/loss": 1 / (epoch + 1)}, step=epoch)
            assert time.monotonic() - started < 30
        run.log_figure(figure)
    told = capsys.readouterr().err
    assert told.count("warning: ") == 1 and "`earthsignals runs import` completes it" in told
    assert [row[2] for row in read_json(run.record_path)["metrics"]["train/loss"]] == [1.0, 0.5, 1 / 3]

    server.start()
    client = open_client(root)
    assert client.get_run(run.id).info.status == "RUNNING"
    done = tracking.import_runs(root)
    assert (done.added, done.completed, done.skipped) == (0, 1, [])
    stored = client.get_run(run.id)
    assert stored.info.status == "FINISHED"
    assert [m.value for m in client.get_metric_history(run.id, "train/loss")] == [1.0, 0.5, 1 / 3]
    assert stored.data.params == {"rate": "1"} and float(stored.data.tags["wall_seconds"]) > 0
    assert [entry.path for entry in client.list_artifacts(run.id, "figures")] == ["figures/loss.png"]
    assert tracking.import_runs(root).present == 1

    # The same record in an empty store of another machine, beside the server's.
    other = tmp_path / "other"
    shutil.copytree(root / "reports", other / "reports")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking.import_runs(other).added == 1
