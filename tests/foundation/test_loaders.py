"""Loading by processes: the same batches and the same weights for any number, and faults in one sentence."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError
from earthsignals.training import Interrupted
from earthsignals.training.data import Batches, BatchPlan
from earthsignals.training.loaders import Loading, pinned

sys.path.insert(0, str(Path(__file__).parent))  # spawned processes import the job by its name
import training_job as job  # noqa: E402


class Faulty(job.Source):
    """Complains in one epoch, and takes its process down in the next."""

    def batch(self, indices, epoch):
        if epoch == 0:
            raise EarthSignalsError("records.h5: block 3 is damaged; make it again")
        os._exit(9)


def batches_of(kind, loading, shuffle=True):
    """Batches of three epochs by the same loader, the second one from its second batch on."""
    plan = BatchPlan(100, 30, shuffle=shuffle, seed=1)
    batches, found = Batches(kind(*job.data()[0]), plan, loading), []
    for plan.epoch, plan.first in ((3, 0), (4, 1), (5, 0)):
        found.append(list(batches))
    return found


@pytest.mark.parametrize("shuffle", [True, False])
def test_any_number_of_processes_gives_the_same_batches(shuffle):
    """Noise is keyed by epoch and index, order by seed and epoch: nothing else may enter. From the middle of
    an epoch too. Nor is anything drawn from torch's generator, or dropout would depend on the loading."""
    reference = batches_of(job.Source, Loading(), shuffle)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    found = batches_of(job.Source, Loading(workers=1 + shuffle, prefetch_factor=3), shuffle)
    assert torch.equal(torch.get_rng_state(), before)
    assert [len(epoch) for epoch in found] == ([3, 2, 3] if shuffle else [4, 3, 4])
    for ours, theirs in zip(sum(found, []), sum(reference, []), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert not torch.equal(found[0][0][0], found[2][0][0])  # epochs differ


def test_processes_may_come_and_go_in_the_middle_of_a_training(tmp_path):
    """Interrupted with a loader and finished without: the weights of a training that never had one."""
    whole, expected = job.train(tmp_path / "whole", kind=job.Source)
    with pytest.raises(Interrupted):
        settings = job.settings(loader_workers=1)
        job.train(tmp_path / "loaded", job.Stopping(10), kind=job.Source, settings=settings)
    model, result = job.train(tmp_path / "loaded", kind=job.Source)
    assert (result.resumed_epoch, result.resumed_step) == (1, 1)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), whole.parameters(), strict=True))
    assert result.history == expected.history


def test_faults_in_a_process_are_one_sentence():
    """What a source complains of, without torch's traceback around it; and a process that dies."""
    plan = BatchPlan(100, 30, shuffle=True, seed=1)
    batches = Batches(Faulty(*job.data()[0]), plan, Loading(workers=1))
    with pytest.raises(EarthSignalsError, match=r"^records.h5: block 3 is damaged; make it again$"):
        list(batches)
    plan.epoch = 1
    with pytest.raises(EarthSignalsError, match="process that makes batches died.*loader_workers lower"):
        list(batches)


def test_a_source_that_cannot_be_pickled_is_one_sentence():
    class Local(job.Source):
        pass

    with pytest.raises(EarthSignalsError, match="cannot be handed.*set loader_workers to 0"):
        batches_of(Local, Loading(workers=1))


def test_settings_say_how_to_load():
    assert Loading.of(Settings()) == Loading(0, False, 2)
    chosen = Settings(loader_workers=3, pin_memory=True, prefetch_factor=5)
    assert Loading.of(chosen) == Loading(3, True, 5)
    assert Loading.of(chosen, workers=0) == Loading(0, True, 5)


def test_memory_is_pinned_where_there_is_a_device_to_gain_from_it(monkeypatch):
    """Without one torch would warn and pin nothing."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not Loading(pin_memory=True).pins and Loading(workers=2, pin_memory=True).options() == {
        "num_workers": 2, "pin_memory": False, "persistent_workers": True,
        "multiprocessing_context": "spawn", "prefetch_factor": 2,
    }  # fmt: skip
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert Loading(pin_memory=True).pins and not Loading().pins
    assert Loading(pin_memory=True).options() == {"num_workers": 0, "pin_memory": True}
    # Each way to a batch pins it: slices, and those that a source's thread makes.
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor + 100)
    x, y = job.data()[0]
    for data in ((x, y), job.Source(x, y)):
        plain, locked = (
            next(iter(Batches(data, BatchPlan(100, 30, shuffle=True, seed=1), loading)))
            for loading in (Loading(), Loading(pin_memory=True))
        )
        assert all(torch.equal(a + 100, b) for a, b in zip(plain, locked, strict=True))
    assert torch.equal(pinned((x,))[0], x + 100)
