"""Seeds, mapping and devices: the same results whatever runs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from earthsignals.compute.device import (
    check_device,
    choose_device,
    describe_device,
    deterministic,
)
from earthsignals.compute.mapping import ordered_map
from earthsignals.compute.progress import progress
from earthsignals.compute.seeds import Stream, philox
from earthsignals.storage import EarthSignalsError

# --- seeds -------------------------------------------------------------------------------------


def test_pinned_values() -> None:
    """Datasets hang on these: a change of key or counter layout must not pass unnoticed."""
    raw = philox(42, "scan", 7).bit_generator.random_raw(2)
    assert [int(word) for word in raw] == [2844066606126288532, 16511182199456467737]
    values = philox(42, "scan", 7).standard_normal(3)
    assert values.tolist() == [0.39072729452910127, -0.12028639844667666, 1.3293905204530854]


def test_streams_seeds_and_items_are_independent() -> None:
    base = philox(1, "white", 0).standard_normal(20_000)
    for other in (philox(2, "white", 0), philox(1, "pink", 0), philox(1, "white", 1)):
        correlation = np.corrcoef(base, other.standard_normal(20_000))[0, 1]
        assert abs(correlation) < 4 / np.sqrt(20_000)  # four standard errors
    # a seed and a stream cannot be confused: 1 + "1/a" is not 11 + "/a"
    assert philox(1, "1/a").random() != philox(11, "/a").random()


def test_neighbours_never_overlap() -> None:
    """Item i's millionth number is not item i+1's: the index sits above the running counter."""
    first = philox(3, "s", 5)
    first.random(1_000_000)
    later = first.random(1000)
    assert not np.isin(later, philox(3, "s", 6).random(1000)).any()
    state = philox(3, "s", 5).bit_generator.state["state"]["counter"].tolist()
    assert state == [0, 0, 5, 0]


def test_order_and_global_state_do_not_matter() -> None:
    np.random.seed(0)
    backwards = [philox(9, "x", index).random() for index in reversed(range(50))]
    np.random.seed(1)
    assert backwards[::-1] == [philox(9, "x", index).random() for index in range(50)]
    assert philox(9, "x", 2**70).random() != philox(9, "x", 2**70 % 2**64).random()
    with pytest.raises(ValueError, match="expected a number >= 0"):
        philox(9, "x", -1)


def test_stream_draws_what_philox_draws() -> None:
    """One object moved about: neither order nor a half-used buffer may leak into the next item."""
    stream = Stream(9, "x")
    for index in (3, 0, 2**70, 3):
        assert stream.at(index).standard_normal(5).tolist() == (
            philox(9, "x", index).standard_normal(5).tolist()
        )
        stream.at(index).integers(0, 10, dtype="uint32")  # leaves half a 64-bit word behind
    assert stream.at(1).integers(0, 2**32, 3, dtype="uint32").tolist() == (
        philox(9, "x", 1).integers(0, 2**32, 3, dtype="uint32").tolist()
    )


# --- mapping -----------------------------------------------------------------------------------


def draw(index: int) -> np.ndarray:
    time.sleep(0.02 * (index % 3 == 0))  # uneven work: results must not overtake each other
    return philox(5, "draw", index).standard_normal(4)


def die(index: int) -> int:
    if index == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return index


def fail(index: int) -> int:
    if index == 2:
        raise ValueError("item 2 is bad")
    return index


def blas_threads(_: int) -> list[int]:
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))
    return [pool["num_threads"] for pool in threadpool_info()]


def test_same_results_for_any_number_of_workers() -> None:
    results = [
        np.array(list(ordered_map(draw, range(12), workers=workers, description="draws")))
        for workers in (1, 2, 3)
    ]
    assert results[0].tobytes() == results[1].tobytes() == results[2].tobytes()


def test_dead_worker_is_named_with_a_remedy() -> None:
    with pytest.raises(EarthSignalsError, match="scans: a worker process died.*fewer `workers`"):
        list(ordered_map(die, range(8), workers=2, description="scans"))


@pytest.mark.parametrize("workers", [1, 2])
def test_exception_of_the_function_passes_through(workers: int) -> None:
    results = ordered_map(fail, range(6), workers=workers, description="x")
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="item 2 is bad"):
        next(results)


def test_workers_use_one_blas_thread() -> None:
    for threads in ordered_map(blas_threads, range(2), workers=2, description="x"):
        assert threads and set(threads) == {1}


def process_of(_: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def test_without_a_number_the_settings_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARTHSIGNALS_WORKERS", "1")
    assert set(ordered_map(process_of, range(3), description="x")) == {os.getpid()}
    monkeypatch.setenv("EARTHSIGNALS_WORKERS", "2")
    assert os.getpid() not in ordered_map(process_of, range(3), description="x")
    # Work that uses all processors by itself stays here.
    assert set(ordered_map(process_of, range(3), description="x", inline=True)) == {os.getpid()}


def test_foreign_executor_and_bounded_flight() -> None:
    """Anything with submit() will do; the source is read only a few items ahead."""
    read = 0

    def source() -> Iterator[int]:
        nonlocal read
        for index in range(1000):
            read += 1
            yield index

    with ThreadPoolExecutor(2) as pool:
        results = ordered_map(
            lambda n: n * n, source(), workers=2, description="x", executor=pool
        )
        assert [next(results) for _ in range(10)] == [n * n for n in range(10)]
        assert read <= 10 + 2 * 2 + 2
        results.close()


def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, sys, time\n"
        "from earthsignals.compute.mapping import ordered_map\n"
        "def work(index):\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(0 if index < 4 else 600)\n"
        "if __name__ == '__main__':\n"
        "    list(ordered_map(work, range(6), workers=2, description='x'))\n"
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids: set[int] = set()
        while len(pids) < 2:  # how the items fall to the two workers is the pool's affair
            pids.add(int(parent.stdout.readline()))
        parent.kill()
    deadline = time.monotonic() + 10
    while any(_runs(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_runs(pid) for pid in pids)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # a zombie has ended
    except psutil.NoSuchProcess:
        return False


def test_progress_is_silent_when_short_and_plain_in_a_log(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("earthsignals.compute.progress.time.monotonic", lambda: now[0])
    with progress("quick", 10, "scans", enabled=True) as bar:
        bar.advance(10)
    assert capsys.readouterr().err == ""
    with progress("slow", 400, "scans", enabled=True) as bar:
        for _ in range(40):  # 1 s and 10 scans each
            now[0] += 1
            bar.advance(10)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "slow: 20 of 400 scans, 10.0/s, 0:38 left"
    assert lines[-1] == "slow: 400 scans, 10.0/s, took 0:40"
    assert len(lines) == 5  # at 2, 12, 22, 32 s and the end
    with progress("there", 100, "scans", enabled=True) as bar:
        bar.annotate("3 workers")
        now[0] += 4
        bar.advance(50)
        bar.annotate("2 workers")
        now[0] += 4
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "there (3 workers): 50 of 100 scans, 12.5/s, 0:04 left"
    assert lines[-1] == "there (2 workers): 50 scans, 6.2/s, took 0:08"
    with progress("off", 400, enabled=False) as bar:
        now[0] += 100
        bar.advance(400)
    assert capsys.readouterr().err == ""


# --- device ------------------------------------------------------------------------------------


def test_auto_takes_what_is_there() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    if expected == "cpu" and torch.backends.mps.is_available():
        expected = "mps"
    assert choose_device("auto").type == expected
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "rocm", "mps"])
def test_absent_device_is_refused_not_replaced(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(EarthSignalsError, match=f"`{name}` was asked for.*sees only the cpu"):
        choose_device(name)


def test_device_number_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.version, "hip", None)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(EarthSignalsError, match="sees cuda:0, cuda:1"):
        choose_device("cuda:2")
    with pytest.raises(EarthSignalsError, match="`rocm` was asked for"):
        choose_device("rocm")  # NVIDIA's build is not AMD's
    monkeypatch.setattr(torch.version, "hip", "7.1")
    assert choose_device("rocm") == torch.device("cuda", 0)


def test_description_and_check_of_the_default_device() -> None:
    device = choose_device("auto")
    about = describe_device(device)
    assert about["backend"] in ("cuda", "rocm", "mps", "cpu")
    assert about["memory_gb"] > 0 and about["name"] and about["torch"].startswith("2.13.0")
    result = check_device(device)
    assert result["ok"] and result["seconds"] > 0
    if device.type == "cpu":
        assert result["max_abs_difference"] == 0.0  # the CPU against itself


def test_deterministic_repeats() -> None:
    threads = torch.get_num_threads()
    try:
        draws = []
        for _ in range(2):
            deterministic(3, threads=1)
            draws.append((torch.randn(3).tolist(), np.random.random()))
        assert draws[0] == draws[1]
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)
