"""Files appear whole or not at all; hashes are DVC's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from earthsignals.storage import (
    EarthSignalsError,
    atomic_directory,
    atomic_path,
    find_project_root,
    is_partial,
    md5_file,
    md5_path,
    read_json,
    sha256_file,
    write_json,
)


def test_file_takes_its_name_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "scans.h5"
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent  # same file system: the rename is atomic
        assert temporary.suffix == ".h5" and temporary.name.startswith(".")
        temporary.write_bytes(b"whole")
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert os.listdir(target.parent) == ["scans.h5"]


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "model.pt"
    target.write_text("old")
    with pytest.raises(ValueError, match="boom"), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise ValueError("boom")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["model.pt"]


def test_writer_that_wrote_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(EarthSignalsError, match="nothing was written"), atomic_path(tmp_path / "a"):
        pass


def test_read_only_hard_link_is_replaced_not_edited(tmp_path: Path) -> None:
    cached = tmp_path / "cached"
    cached.write_text("version 1")
    cached.chmod(0o444)
    os.link(cached, tmp_path / "out")
    with atomic_path(tmp_path / "out") as temporary:
        temporary.write_text("version 2")
    assert cached.read_text() == "version 1"
    assert (tmp_path / "out").read_text() == "version 2"


def test_leftovers_of_dead_processes_are_cleared_those_of_living_kept(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with atomic_path(tmp_path / "a.json") as temporary:
        temporary.write_text("{}")
    host = temporary.name.removeprefix(".a.json.").split("-")[0]
    dead = tmp_path / f".a.json.{host}-{ended.pid}.partial.json"
    living = tmp_path / f".a.json.{host}-{os.getppid()}.partial.json"
    other = tmp_path / f".b.json.{host}-{ended.pid}.partial.json"
    for path in (dead, living, other):
        path.write_text("half")
    write_json(tmp_path / "a.json", {})
    assert not dead.exists()
    assert living.exists() and other.exists()


def test_machines_that_share_a_disk_leave_each_others_writes_alone(tmp_path: Path) -> None:
    """The same process id on another machine is another process; only that machine knows whether it lives."""
    target = tmp_path / "model.pt"
    script = f"""
import platform
platform.node = lambda: "node7.cluster.example"
from earthsignals.storage import atomic_path
import os
os.getpid = lambda: {os.getpid()}
with atomic_path({str(target)!r}) as temporary:
    temporary.write_text("theirs")
    print(temporary, flush=True)
    input()
"""
    theirs = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        half = Path(theirs.stdout.readline().strip())
        assert is_partial(half.name) and "node7" not in half.name
        ended = half.with_name(half.name.replace(f"-{os.getpid()}.", "-4194305."))  # above Linux's ids
        ended.write_text("half")
        earlier = tmp_path / ".model.pt.4194305.partial.pt"  # of a version that named no host
        earlier.write_text("half")
        with atomic_path(target) as temporary:
            assert temporary != half
            temporary.write_text("ours")
        assert half.read_text() == "theirs" and ended.exists() and earlier.exists()
        theirs.communicate("\n", timeout=30)
        assert theirs.returncode == 0 and target.read_text() == "theirs"
    finally:
        theirs.kill()
        theirs.wait()


def test_full_disk_is_one_sentence_and_no_half_file(tmp_path: Path) -> None:
    """A file-size limit makes the kernel refuse real writes, as a full disk does."""
    script = f"""
import resource, signal
from earthsignals.storage import EarthSignalsError, atomic_path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with atomic_path({str(tmp_path / "dataset.h5")!r}) as temporary:
        temporary.write_bytes(bytes(5000))
except EarthSignalsError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "dataset.h5 could not be written" in done.stdout and "no room" in done.stdout
    assert os.listdir(tmp_path) == []


def test_full_disk_under_hdf5_is_the_same_sentence(tmp_path: Path) -> None:
    script = f"""
import resource, signal
import h5py, numpy
from earthsignals.storage import EarthSignalsError, atomic_path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with atomic_path({str(tmp_path / "dataset.h5")!r}) as temporary:
        with h5py.File(temporary, "w") as file:
            file["x"] = numpy.zeros(1_000_000)
except EarthSignalsError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "dataset.h5 could not be written" in done.stdout, done.stderr
    assert os.listdir(tmp_path) == []


def test_killed_writer_leaves_no_final_file_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    target = tmp_path / "big.bin"
    script = f"""
import time
from earthsignals.storage import atomic_path
with atomic_path({str(target)!r}) as temporary:
    temporary.write_bytes(bytes(1000))
    print("half", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    assert not target.exists() and len(os.listdir(tmp_path)) == 1
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"whole")
    assert os.listdir(tmp_path) == ["big.bin"]


def test_directory_appears_whole_and_replaces(tmp_path: Path) -> None:
    target = tmp_path / "figures"
    for text in ("first", "second"):
        with atomic_directory(target) as temporary:
            (temporary / "sub").mkdir()
            (temporary / "sub" / f"{text}.txt").write_text(text)
    assert [path.name for path in target.rglob("*.txt")] == ["second.txt"]
    with pytest.raises(RuntimeError), atomic_directory(target):
        raise RuntimeError
    assert [path.name for path in target.rglob("*.txt")] == ["second.txt"]
    assert os.listdir(tmp_path) == ["figures"]


def test_json_is_canonical_and_takes_numpy(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"b": np.float32(0.5), "a": {"n": np.int64(3), "list": np.arange(2)}})
    expected = (
        '{\n  "a": {\n    "list": [\n      0,\n      1\n    ],\n    "n": 3\n  },\n  "b": 0.5\n}\n'
    )
    assert path.read_text() == expected
    assert read_json(path) == {"a": {"list": [0, 1], "n": 3}, "b": 0.5}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float64("nan")])
def test_json_refuses_what_is_not_finite_by_name(tmp_path: Path, value: float) -> None:
    with pytest.raises(EarthSignalsError, match=r"`rmse\.1e2-1e3\[1\]` is not finite"):
        write_json(tmp_path / "metrics.json", {"rmse": {"1e2-1e3": [1.0, value]}})
    assert os.listdir(tmp_path) == []


def test_json_that_is_missing_or_broken(tmp_path: Path) -> None:
    with pytest.raises(EarthSignalsError, match="does not exist"):
        read_json(tmp_path / "metrics.json")
    (tmp_path / "metrics.json").write_text('{"half": ')
    with pytest.raises(EarthSignalsError, match="not readable as JSON"):
        read_json(tmp_path / "metrics.json")


def test_hashes_of_known_bytes(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")  # RFC 1321 and FIPS 180-2 list these
    assert md5_file(tmp_path / "abc") == "900150983cd24fb0d6963f7d28e17f72"
    assert sha256_file(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_md5_path_is_what_dvc_says(tmp_path: Path) -> None:
    """Both kinds of output go through a real `dvc add`."""
    (tmp_path / "file.bin").write_bytes(b"a\r\nb" * 1000)
    folder = tmp_path / "folder"
    for name in ("b/2.txt", "a.txt", "b/é 1.txt", "B.txt", "b-c.txt", "empty.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("" if name == "empty.txt" else name)
    (folder / "no files in here").mkdir()
    root = Path(__file__).parents[2]
    (tmp_path / ".dvcignore").write_text((root / ".dvcignore").read_text())
    for writer in ("123", "0a1b2c3d-123"):
        (folder / f".a.txt.{writer}.partial.txt").write_text("half")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__/a.cpython-311.pyc").write_text("byte code")
    for command in (["init", "--no-scm", "-q"], ["add", "-q", "file.bin", "folder"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=tmp_path, check=True)
    for name in ("file.bin", "folder"):
        lines = (tmp_path / f"{name}.dvc").read_text().splitlines()
        assert f"md5: {md5_path(tmp_path / name)}" in " ".join(lines)
    with pytest.raises(EarthSignalsError, match="does not exist"):
        md5_path(tmp_path / "nothing")


def test_project_root_from_a_subfolder_and_outside(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "params.yaml").write_text("{}")
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find_project_root(tmp_path / "a" / "b") == tmp_path.resolve()
    with pytest.raises(EarthSignalsError, match="not inside an earthsignals project"):
        find_project_root(tmp_path.parent)


def test_json_bytes_do_not_depend_on_order(tmp_path: Path) -> None:
    write_json(tmp_path / "1", {"x": 1, "a": [1.5]})
    write_json(tmp_path / "2", json.loads('{"a": [1.5], "x": 1}'))
    assert md5_file(tmp_path / "1") == md5_file(tmp_path / "2")
