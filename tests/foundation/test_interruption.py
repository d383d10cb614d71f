"""A training that is asked to stop saves itself at that step, and goes on as if it never had stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from earthsignals.storage import EarthSignalsError
from earthsignals.training import Interrupted, TrainingOptions
from earthsignals.training.checkpoint import read_tensors, write_tensors
from earthsignals.training.interruption import StopRequest, listening
from earthsignals.training.reporting import announce
from earthsignals.training.resume import Clock, Progress
from earthsignals.training.tally import Tally, shared_out

sys.path.insert(0, str(Path(__file__).parent))
import training_job as job  # noqa: E402

# 100 items in batches of 16, of which a shuffled epoch keeps 6; 33 to validate in 3: 9 calls of the loss.
CALLS = 9


def options(**changes) -> TrainingOptions:
    return TrainingOptions(**(job.OPTIONS.model_dump() | changes))


def same(first, second) -> bool:
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return job.train(tmp_path_factory.mktemp("unbroken"))


def to_the_end(root: Path, calls: list[int], **changes):
    """Train, stopping in those calls of the loss, each counted from its own start, and then to the end."""
    for call in calls:
        with pytest.raises(Interrupted, match="run the same command again"):
            job.train(root, job.Stopping(call), **changes)
    return job.train(root, **changes)


# --- what an interruption must not change


@pytest.mark.parametrize(
    "call, epoch, step",
    [
        (1, 0, 1),
        (5, 0, 5),
        (6, 0, 6),  # the last step of an epoch: stops in its validation
        (8, 0, 6),  # in the middle of the validation
        (9, 1, 0),  # its last batch: the epoch is closed first
        (22, 2, 4),
        (35, 3, 6),  # only a batch of validation was outstanding in all
    ],
)
def test_stopped_anywhere_it_ends_with_the_same_bits(tmp_path, unbroken, call, epoch, step):
    with pytest.raises(Interrupted, match=f"epoch {epoch + 1}, after {step} of its 6 steps"):
        job.train(tmp_path, job.Stopping(call))
    counting = job.Stopping(-1)
    model, result = job.train(tmp_path, counting)
    assert (result.resumed_epoch, result.resumed_step) == (epoch, step)
    assert same(model, unbroken[0])
    assert result.history == unbroken[1].history
    assert result.best_epoch == unbroken[1].best_epoch
    # Nothing is computed twice: after the last step of an epoch one batch of validation still asks.
    assert counting.calls == 4 * CALLS - call - (call == 6)


@pytest.mark.parametrize(
    "changes",
    [
        {"options": {"sam_rho": 0.05, "ema_decay": 0.9, "optimizer": "sgd"}},
        {"precision": "bf16-mixed"},
        {"kind": job.Source},
        {"kind": torch.utils.data.TensorDataset},
        {"options": {"checkpoint_every": 3, "gradient_clip": 0.1, "patience": 1, "schedule": "cosine"}},
    ],
    ids=["sam-ema-momentum", "bf16", "source", "dataset", "rare-clipped-patient"],
)
def test_every_option_and_kind_of_data_goes_on_to_the_bit(tmp_path, changes):
    rest = {
        "options": options(**changes.get("options", {})),
        "settings": job.settings(precision=changes.get("precision", "auto")),
        "kind": changes.get("kind"),
    }
    whole, expected = job.train(tmp_path / "whole", **rest)
    sam = 2 if rest["options"].sam_rho else 1  # calls of the loss per step
    model, result = to_the_end(tmp_path / "broken", [3 * sam, 5 * sam + 2, 1], **rest)
    assert same(model, whole)
    assert result.history == expected.history


def test_it_advances_even_when_asked_at_every_step(tmp_path, unbroken):
    """A stop file that nobody removes: every call does one step or one batch of validation."""
    stop = tmp_path / "stop"
    stop.touch()
    counting = job.Stopping(-1)
    asked = job.settings(stop_file=stop)
    interruptions = 0
    while True:
        try:
            model, result = job.train(tmp_path, counting, settings=asked)
            break
        except Interrupted:
            interruptions += 1
            assert interruptions < 4 * CALLS
    assert counting.calls == 4 * CALLS  # no step was done twice
    assert interruptions == 4 * (CALLS - 1) - 1  # an epoch's last step goes with a batch of validation
    assert stop.exists()  # it belongs to whoever made it
    assert same(model, unbroken[0])
    assert result.history == unbroken[1].history


def test_a_killed_continuation_starts_again_from_the_interruption(tmp_path, unbroken):
    with pytest.raises(Interrupted):
        job.train(tmp_path, job.Stopping(12))
    command = [sys.executable, job.__file__, str(tmp_path), "step:2"]
    assert subprocess.run(command, timeout=120).returncode == -signal.SIGKILL
    model, result = job.train(tmp_path)
    assert (result.resumed_epoch, result.resumed_step) == (1, 3)
    assert same(model, unbroken[0])


def test_other_ranks_than_those_that_stopped_share_their_sums():
    """Three batches of two ranks, the last with one item that only the first has: 5 items, mean 13/5."""
    states = [
        {"columns": {"loss": torch.tensor([1.0, 3.0, 5.0])}, "weights": [1, 1, 1]},
        {"columns": {"loss": torch.tensor([1.0, 3.0, 9.0])}, "weights": [1, 1, 0]},
    ]
    assert shared_out(states, 1, 2) is states[1]
    one = Tally.go_on(shared_out(states, 0, 1), [])
    assert one.means(1, torch.device("cpu")) == {"loss": 13 / 5}
    others = [shared_out(states, rank, 3) for rank in range(3)]
    assert [sum(state["weights"]) for state in others] == [5, 0, 0]


# --- requests


def test_a_signal_to_the_parent_reaches_its_ranks(tmp_path):
    request = StopRequest(tmp_path / "stop")
    before = request.listen()
    try:
        assert not request.asked()
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert request.asked()
    assert StopRequest(tmp_path / "stop").asked()  # as another process sees it


def test_the_handler_is_put_back_and_old_requests_are_forgotten(tmp_path):
    def mine(*_):
        raise AssertionError("not while training")

    before = signal.signal(signal.SIGUSR1, mine)
    try:
        (tmp_path / "stop").touch()
        with listening(tmp_path, None) as request:
            assert not request.asked()
            signal.raise_signal(signal.SIGUSR1)
            assert request.asked()
        assert signal.getsignal(signal.SIGUSR1) is mine
        assert not (tmp_path / "stop").exists()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_in_a_thread_only_files_count(tmp_path):
    """Python allows handlers in the main thread alone; a training elsewhere must not fail over that."""
    found = []

    def train():
        with listening(tmp_path, tmp_path / "please") as request:
            found.append(request.asked())
            (tmp_path / "please").touch()
            found.append(request.asked())

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert found == [False, True]


def test_ruined_weights_are_no_resume_point(tmp_path):
    stop = tmp_path / "stop"
    stop.touch()
    with pytest.raises(EarthSignalsError, match="train loss became nan in epoch 0"):
        job.train(tmp_path, job.not_a_number, settings=job.settings(stop_file=stop))
    assert not list(tmp_path.glob("job/*.pt"))


class Bill:
    """What a run would be charged with, and its tags."""

    def __init__(self):
        self.seconds, self.earlier, self.tags = 0.0, None, {}

    def add_device_seconds(self, seconds):
        self.seconds += seconds

    def add_earlier(self, wall, device):
        self.earlier = wall, device

    def set_tags(self, tags):
        self.tags |= tags

    def __getattr__(self, name):
        return lambda *_, **__: None


def test_what_was_trained_in_all_starts_is_paid_for(tmp_path):
    """Each start hands on what it and those before it took, up to its last resume point."""
    bills = [Bill() for _ in range(4)]
    for bill, call in zip(bills[:2], (2, 5), strict=True):
        with pytest.raises(Interrupted):
            job.train(tmp_path, job.Stopping(call), run=bill)
    job.train(tmp_path, run=bills[2])
    job.train(tmp_path, run=bills[3])  # killed before its model was written: the training was done
    assert all(bill.seconds > 0 for bill in bills)
    assert bills[0].earlier is None
    spent = 0.0
    for before, bill in zip(bills, bills[1:], strict=False):
        spent += before.seconds
        # All of a start but the moments before its training began and after it saved itself.
        assert bill.earlier[0] == bill.earlier[1] == pytest.approx(spent, abs=1)
        assert 0 < bill.earlier[0] <= spent
    assert bills[1].earlier < bills[2].earlier < bills[3].earlier


def test_ranks_are_paid_for_each(tmp_path):
    settings = job.settings(devices=2)
    progress = Progress(wall_seconds=10.0, device_seconds=15.0)  # half of it on one rank alone
    clock = Clock(progress, ranks=2)
    clock._began -= 100
    for _ in range(2):  # twice is not counted twice
        clock.stamp(progress)
    assert progress.wall_seconds == pytest.approx(110, abs=1)
    assert progress.device_seconds == pytest.approx(215, abs=2)
    bill = Bill()
    announce(bill, torch.device("cpu"), "32-true", settings.model_copy(update={"nodes": 3}))
    assert bill.tags["device.count"] == 6


def test_resume_points_of_earlier_versions_are_read(tmp_path, unbroken):
    """They do not say what they took; all else goes on."""
    with pytest.raises(Interrupted):
        job.train(tmp_path, job.Stopping(12))
    (path,) = tmp_path.rglob("last.pt")
    content = read_tensors(path)
    for name in ("wall_seconds", "device_seconds"):
        assert content["progress"].pop(name) > 0
    write_tensors(path, content)
    bill = Bill()
    model, result = job.train(tmp_path, run=bill)
    assert (result.resumed_epoch, result.resumed_step, bill.earlier) == (1, 3, (0.0, 0.0))
    assert same(model, unbroken[0])
