"""Ranks by srun: what they are told, what they send back, and that they compute what spawned ones do.

A stand-in for srun, a script on PATH, starts the ranks on this machine with the variables that SLURM sets;
tests/services runs the same against a real SLURM.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from earthsignals.storage import EarthSignalsError
from earthsignals.training import Interrupted, TrainingOptions
from earthsignals.training.jobfile import LARGE_BYTES, read_job, written_job
from earthsignals.training.ranks import Placement, fit_by_srun, main

sys.path.insert(0, str(Path(__file__).parent))  # ranks import the job by its name
import training_job as job  # noqa: E402

SRUN = """#!{python}
import os, subprocess, sys
options = [word for word in sys.argv[1:] if word.startswith("--")]
command = sys.argv[1 + len(options):]
chosen = dict(option[2:].split("=", 1) for option in options if "=" in option)
assert chosen["nodes"] == "1" and chosen["kill-on-bad-exit"] == "1", chosen
ranks = [
    subprocess.Popen(command, env=os.environ | {{
        "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank), "SLURM_NODEID": "0",
        "SLURM_NTASKS": chosen["ntasks"], "SLURM_NTASKS_PER_NODE": chosen["ntasks-per-node"],
    }})
    for rank in range(int(chosen["ntasks"]))
]
while any(rank.poll() is None for rank in ranks):
    try:
        [rank.wait(0.1) for rank in ranks]
    except subprocess.TimeoutExpired:
        pass
    if any(rank.poll() for rank in ranks):
        [rank.kill() for rank in ranks]
sys.exit(max(abs(rank.wait()) for rank in ranks))
"""


@pytest.fixture
def srun(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "srun").write_text(SRUN.format(python=sys.executable))
    (folder / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    return job.settings(devices=2, launcher="srun")


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_ranks_stop_at_one_step_go_on_to_the_bit_and_srun_starts_the_same(tmp_path, srun):
    """Batch norm, dropout, an average: every rank has random numbers, buffers and sums of its own."""
    chosen = TrainingOptions(**(job.OPTIONS.model_dump() | {"epochs": 2, "ema_decay": 0.9}))
    rows = []
    whole, expected = job.train(tmp_path / "whole", options=chosen, settings=srun, on_epoch=rows.append)
    assert rows == expected.history  # the rows of rank 0 reached this process
    assert not list((tmp_path / "whole").glob("job/ranks*"))  # nothing of the handover is left
    two = job.settings(devices=2)
    with pytest.raises(Interrupted, match="epoch 1, after 4 of its 6 steps"):
        job.train(tmp_path / "broken", job.Stopping(4), options=chosen, settings=two)  # a signal to each rank
    shutil.copytree(tmp_path / "broken", tmp_path / "one")
    model, result = job.train(tmp_path / "broken", options=chosen, settings=two)
    assert (result.resumed_epoch, result.resumed_step) == (0, 4)
    assert same(model.state_dict(), whole.state_dict())
    assert result.history == expected.history
    # One rank goes on where two have stopped: batch norm sees other batches, the rest is the same.
    _, alone = job.train(tmp_path / "one", options=chosen)
    assert alone.resumed_step == 4
    assert alone.history[0]["train_loss"] == pytest.approx(expected.history[0]["train_loss"], rel=0.1)


SAYING = """#!{python}
import sys
sys.stdout.write("epochs to come")
sys.stdout.write('\\x1eearthsignals {{"row": {{"e": 0}}}}\\x1eearthsignals {{"error": "no data"}}\\nbye\\n')
sys.exit({status})
"""


@pytest.mark.parametrize("status", [0, 3])
def test_what_ranks_say_is_told_apart_from_what_they_print(tmp_path, srun, capsys, status):
    (tmp_path / "bin" / "srun").write_text(SAYING.format(python=sys.executable, status=status))
    rows = []
    placement = Placement("cpu", 0, 2, 1, "32-true")
    with pytest.raises(EarthSignalsError, match="^no data$"):
        fit_by_srun(SimpleNamespace(folder=tmp_path), placement, rows.append)
    assert rows == [{"e": 0}]
    assert capsys.readouterr().out == "epochs to come\nbye\n"


def test_a_rank_that_dies_without_a_word_is_a_sentence(tmp_path, srun):
    (tmp_path / "bin" / "srun").write_text("#!/bin/sh\nexit 9\n")
    with pytest.raises(EarthSignalsError, match="srun left with status 9"):
        fit_by_srun(SimpleNamespace(folder=tmp_path), Placement("cpu", 0, 2, 1, "32-true"), print)


def test_a_rank_tells_why_it_refuses(tmp_path, capfd):
    """Whatever a rank raises as a sentence goes up as one, and its status ends the others."""
    (tmp_path / "ranks.pkl").touch(0o600)
    before = signal.getsignal(signal.SIGUSR1)
    try:
        assert main(str(tmp_path / "ranks.pkl"), "0") == 1
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert "not the file this rank was started for" in capfd.readouterr().out


@pytest.mark.parametrize("tasks", [None, "4"])
def test_one_rank_needs_no_srun_and_lightning_does_not_look_for_one(tmp_path, srun, monkeypatch, tasks):
    """With srun on PATH Lightning would warn; inside a job of four tasks, wait for three other ranks."""
    if tasks:
        monkeypatch.setenv("SLURM_NTASKS", tasks)
        monkeypatch.setenv("SLURM_PROCID", "3")
    chosen = TrainingOptions(**(job.OPTIONS.model_dump() | {"epochs": 1}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, result = job.train(tmp_path, options=chosen, settings=job.settings(launcher="srun"))
    assert len(result.history) == 1


def test_impossible_launches_are_refused(tmp_path, srun, monkeypatch):
    with pytest.raises(EarthSignalsError, match="nodes is 2.*on this machine alone"):
        job.train(tmp_path, settings=job.settings(nodes=2))
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "1")
    with pytest.raises(EarthSignalsError, match="nodes is 2, and the job has 1"):
        job.train(tmp_path, settings=job.settings(nodes=2, launcher="srun"))
    monkeypatch.delenv("SLURM_JOB_ID")
    with pytest.raises(EarthSignalsError, match="SLURM_JOB_ID is not set"):
        job.train(tmp_path, settings=srun)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EarthSignalsError, match="no such command on PATH"):
        job.train(tmp_path, settings=srun)


def test_a_loss_that_cannot_be_handed_over_is_a_sentence(tmp_path, srun):
    with pytest.raises(EarthSignalsError, match="cannot be handed to ranks of srun.*lambda"):
        job.train(tmp_path, lambda model, batch: 0, settings=srun)


# --- the file


def test_large_arrays_are_mapped_and_stay_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    large = torch.arange(LARGE_BYTES, dtype=torch.float32)
    whole = np.arange(LARGE_BYTES, dtype=np.int64)
    whole.flags.writeable = False
    half = large[LARGE_BYTES // 2 :]
    given = {"a": large, "again": large, "part": half, "b": whole, "small": torch.ones(3)}
    path = list(sys.path)
    with written_job(tmp_path, given) as (file, digest):
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.stat().st_size < LARGE_BYTES  # the pickle holds none of them
        arrays = file.with_suffix(".arrays.pt")
        # Once each, and the part without the rest of what it is a part of.
        assert arrays.stat().st_size == pytest.approx(LARGE_BYTES * (4 + 2 + 8), rel=0.01)
        found = read_job(file, digest)
        mapped = Path("/proc/self/maps").read_text() if sys.platform == "linux" else arrays.name
        assert arrays.name in mapped
    assert found["again"] is found["a"]
    for name, value in given.items():
        assert type(found[name]) is type(value)
        assert (found[name] == value).all()
    assert sys.path == path
    assert not list(tmp_path.iterdir())


def test_other_files_are_not_read(tmp_path, monkeypatch):
    """A pickle runs what it says: it must be the one that was written for this rank."""
    monkeypatch.chdir(tmp_path)
    with written_job(tmp_path, "job") as (file, digest):
        assert read_job(file, digest) == "job"
        with pytest.raises(EarthSignalsError, match="not the file this rank was started for"):
            read_job(file, "0" * 64)
        file.chmod(0o644)
        with pytest.raises(EarthSignalsError, match="not this account's alone"):
            read_job(file, digest)
