"""Work on a Dask cluster: the same results as here, whatever becomes of its workers."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import cloudpickle
import numpy as np
import pytest

from earthsignals.compute import cluster as clusters
from earthsignals.compute import errand
from earthsignals.compute.batch import open_batch_cluster
from earthsignals.compute.mapping import ordered_map
from earthsignals.compute.progress import Progress
from earthsignals.compute.seeds import philox
from earthsignals.settings import Settings, load_settings
from earthsignals.storage import EarthSignalsError, sha256_file
from earthsignals.tdlas.dataset import generate

from ..dask_cluster import DaskCluster, dask_cluster
from ..tdlas.generation_job import lines_for, parameters

# Workers have no such module: its functions travel by value.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A scheduler and two workers with a nanny, which starts a dead one again."""
    with dask_cluster(tmp_path_factory.mktemp("dask")) as started:
        started.worker("--nworkers", "2")
        clusters.connect(Settings(cluster=started.address)).client.wait_for_workers(2, timeout=60)
        yield started
        clusters._close_all()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder to work in, other than the workers' own."""
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    (tmp_path / "params.yaml").write_text("{}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EARTHSIGNALS_PROGRESS", "false")
    return tmp_path


@pytest.fixture
def here(project: Path, dask: DaskCluster) -> Path:
    """The project folder, whose settings name the cluster."""
    (project / "settings.yaml").write_text(f"cluster: {dask.address}\n")
    return project


def test_results_come_in_order_and_are_those_of_one_process(here: Path) -> None:
    def draw(index: int) -> np.ndarray:
        time.sleep(0.02 * (index % 3 == 0))  # uneven work: results must not overtake each other
        return philox(5, "draw", index).standard_normal(4)

    there = np.array(list(ordered_map(draw, range(12), description="draws")))
    one = np.array(list(ordered_map(draw, range(12), workers=1, description="draws")))
    assert there.tobytes() == one.tobytes()


def test_work_is_done_by_the_clusters_workers_in_our_folder_on_one_thread_each(here: Path) -> None:
    def look(index: int) -> tuple[int, int, list[int]]:
        from threadpoolctl import threadpool_info

        Path(f"made-{index}.txt").write_text(str(index))  # a relative name
        time.sleep(0.1)
        # What an item maps in turn stays with its worker, or workers could wait for each other.
        inner = list(ordered_map(lambda _: os.getpid(), range(3), description="inner", inline=True))
        assert set(inner) == {os.getpid()}
        return index, os.getpid(), [pool["num_threads"] for pool in threadpool_info()]

    found = list(ordered_map(look, range(8), description="looking"))
    assert [index for index, _, _ in found] == list(range(8))
    pids = {pid for _, pid, _ in found}
    assert len(pids) == 2 and os.getpid() not in pids
    assert {n for _, _, threads in found for n in threads} == {1}
    assert len(list(here.glob("made-*.txt"))) == 8
    # A stated number of workers is of this machine, whatever the cluster.
    assert set(ordered_map(lambda _: os.getpid(), range(3), workers=1, description="x")) == {os.getpid()}


def test_exception_of_the_function_passes_through(here: Path) -> None:
    def fail(index: int) -> int:
        if index == 2:
            raise TimeoutError("item 2 is bad")  # the very exception that waiting raises
        return index

    results = ordered_map(fail, range(20), description="x")
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(TimeoutError, match="item 2 is bad"):
        next(results)


def test_killed_workers_change_nothing(here: Path) -> None:
    """Two items kill their worker the first time: their work, and what waited there, is done again."""

    def work(index: int) -> float:
        mark = Path(f"died-{index}")
        if index in (3, 11) and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return philox(5, "draw", index).random()

    found = list(ordered_map(work, range(20), description="draws"))
    assert Path("died-3").exists() and Path("died-11").exists()
    assert found == [philox(5, "draw", index).random() for index in range(20)]


def test_an_item_that_kills_every_worker_is_named(here: Path) -> None:
    def die(index: int) -> int:
        if index == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return index

    with pytest.raises(EarthSignalsError, match="scans: item [012] was under way on 3 workers.*more memory"):
        list(ordered_map(die, range(3), description="scans"))


def test_scans_of_a_cluster_are_the_same_bytes(here: Path) -> None:
    params = parameters(dataset={"scans": 1024, "chunk_scans": 128})
    generate(lines_for(params), params, Path("there.h5"), resume_root=Path("resume"))
    generate(lines_for(params), params, Path("here.h5"), resume_root=Path("resume"), workers=1)
    assert sha256_file("there.h5") == sha256_file("here.h5")
    assert not any(Path("resume").iterdir())  # the workers' chunks were found and used up


def test_the_scheduler_holds_a_few_items_at_a_time(here: Path) -> None:
    """As many tasks after 400 items as after 50, and no more memory: so for any number."""

    def state(dask_scheduler) -> tuple[int, float]:
        import psutil

        return len(dask_scheduler.tasks), psutil.Process().memory_info().rss / 2**20

    cluster = clusters.connect(load_settings())
    large = np.zeros(500_000)  # 4 MB with the function: sent once, not with each item
    tasks, megabytes, read = [], [], 0

    def source() -> Iterator[int]:
        nonlocal read
        for index in range(400):
            read += 1
            yield index

    bar = Progress("numbers", None, "items")
    for number, result in enumerate(cluster.map(lambda n: n + int(large[0]), source(), bar)):
        assert result == number and read <= number + 1 + 2 * 2 + 2
        if number % 50 == 49:
            held, resident = cluster.client.run_on_scheduler(state)
            tasks.append(held)
            megabytes.append(resident)
    # The items under way and the function; those with a result leave a moment later.
    assert max(tasks) <= 3 * (2 * 2 + 2)
    assert megabytes[-1] - megabytes[0] < 10
    assert bar.note == "2 workers"


def test_workers_that_come_go_and_come_again(project: Path, tmp_path_factory) -> None:
    """None at first; one without a nanny, killed at work; then another. Nothing is lost, nothing fails."""

    def work(index: int) -> int:
        time.sleep(0.1)
        return index * index

    with dask_cluster(tmp_path_factory.mktemp("few")) as dask:
        Path("settings.yaml").write_text(f"cluster: {dask.address}\ncluster_options: {{wait_seconds: 60}}\n")
        first: list = []
        Timer(0.5, lambda: first.append(dask.worker("--no-nanny"))).start()
        results = ordered_map(work, range(15), description="squares")
        found = [next(results) for _ in range(5)]
        first[0].kill()
        Timer(0.5, lambda: dask.worker("--no-nanny")).start()
        assert found + list(results) == [n * n for n in range(15)]

        Path("settings.yaml").write_text(f"cluster: {dask.address}\ncluster_options: {{wait_seconds: 0.5}}\n")
        for process in dask.processes[1:]:
            process.kill()
            process.wait()
        with pytest.raises(EarthSignalsError, match="has had no worker for 0.5 s; start some"):
            list(ordered_map(work, range(3), description="squares"))
        Path("settings.yaml").write_text(f"cluster: {dask.address}\n")
        Timer(0.5, dask.scheduler.kill).start()
        with pytest.raises(EarthSignalsError, match="the connection to tcp://.* was lost"):
            list(ordered_map(work, range(3), description="squares"))
        clusters._close_all()


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cluster", "options", "message"),
    [
        ("tcp://127.0.0.1:1", "{}", "no Dask scheduler answers at tcp://127.0.0.1:1.*dask scheduler"),
        ("tls://127.0.0.1:1", "{}", "needs certificates: give the files tls_ca_file"),
        ("tcp://127.0.0.1:1", "{cores: 4}", "holds cores, which mean nothing for the scheduler"),
    ],
)
def test_cluster_that_cannot_be_used(
    project: Path, cluster: str, options: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "_CONNECT_SECONDS", 0.3)
    Path("settings.yaml").write_text(f"cluster: {cluster}\ncluster_options: {options}\n")
    with pytest.raises(EarthSignalsError, match=message):
        list(ordered_map(abs, range(3), description="x"))


def test_batch_system_that_is_not_here_or_takes_no_such_options(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda command: None)
    with pytest.raises(EarthSignalsError, match="is pbs, but its command qsub is not on this machine"):
        open_batch_cluster("pbs", {})
    monkeypatch.setattr(shutil, "which", lambda command: f"/usr/bin/{command}")
    with pytest.raises(EarthSignalsError, match="slurm does not take the cluster_options memory.*cores"):
        open_batch_cluster("slurm", {"memory": "1GB"})


def test_versions_that_differ_are_told() -> None:
    ours = {"packages": {"python": "3.11.7.final.0", "dask": "2", "distributed": "2", "cloudpickle": "3"}}
    patch = {"packages": ours["packages"] | {"python": "3.11.9.final.0"}}  # the same language and bytecode
    clusters._check_versions({"client": ours, "scheduler": patch, "workers": {"a": ours}}, "tcp://x:1")
    other = {"packages": ours["packages"] | {"python": "3.12.1.final.0"}}
    with pytest.raises(EarthSignalsError, match=r"the worker a .* runs Python 3.12 \(expected 3.11\)"):
        clusters._check_versions({"client": ours, "scheduler": ours, "workers": {"a": other}}, "tcp://x:1")
    with pytest.raises(EarthSignalsError, match="the scheduler of tcp://x:1 runs Python 3.12"):
        clusters._check_versions({"client": ours, "scheduler": other, "workers": {}}, "tcp://x:1")


def test_a_worker_unlike_its_sender_refuses(project: Path) -> None:
    """Old sources in a worker that was started before the last change would give other bytes in silence."""
    with errand.sender() as sender:
        assert errand.run(cloudpickle.dumps(abs), "abs", cloudpickle.dumps(-3), sender) == 3
        runs = dict(sender.runs) | {"earthsignals": "0.1-00000000", "numpy": "9.9"}
        other = errand.Sender(sender.folder, sender.token, tuple(runs.items()))
        with pytest.raises(EarthSignalsError, match=r"runs numpy .* \(expected 9.9\), earth.*anew after"):
            errand.run(b"", "x", b"", other)
        for elsewhere in (
            errand.Sender("/no/such/folder", None, sender.runs),
            errand.Sender(sender.folder, str(project / ".dvc/tmp/none"), sender.runs),  # on another disk
        ):
            with pytest.raises(EarthSignalsError, match="does not see the folder .* that all of them mount"):
                errand.run(b"", "x", b"", elsewhere)
    assert not any((project / ".dvc/tmp").iterdir())
