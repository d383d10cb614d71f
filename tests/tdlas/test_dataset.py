"""The dataset file: the same bytes from any machine, whole or absent, and every parameter in it."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from earthsignals.storage import EarthSignalsError, sha256_file
from earthsignals.tdlas.dataset import (
    DARK,
    NOT_FINITE,
    SATURATED,
    ScansError,
    contiguous_split,
    generate,
    open_scans,
    scan_flags,
    simulator_of,
)
from earthsignals.tdlas.params import (
    DatasetParams,
    GasParams,
    InstrumentParams,
    LaserParams,
)

JOB = Path(__file__).with_name("generation_job.py")
spec = importlib.util.spec_from_file_location("generation_job", JOB)
job = importlib.util.module_from_spec(spec)
spec.loader.exec_module(job)


def run(folder: Path, *, name: str = "d.h5", environment: dict[str, str] | None = None,
        check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Generate in a process of its own; its last line of output is a JSON object."""
    done = subprocess.run(
        [sys.executable, str(JOB), str(folder / name), str(folder / "resume"), json.dumps(options)],
        env=os.environ | {"EARTHSIGNALS_PROGRESS": "false"} | (environment or {}),
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    if check:
        assert done.returncode == 0, done.stderr
    return done


def report(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return json.loads(done.stdout.splitlines()[-1])


def make(path: Path, **sections: Any) -> Path:
    """Generate in this process; 300 scans are two whole blocks and a part of one."""
    sections = {"dataset": {"scans": 300, "chunk_scans": 128} | sections.pop("dataset", {})} | sections
    params = job.parameters(**sections)
    lines = sections.pop("lines_list", None) or job.lines_for(params)
    generate(lines, params, path, resume_root=path.parent / "resume", workers=1)
    return path


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("scans") / "dataset.h5")


# ------------------------------------------------------------------------------ the same bytes
def test_workers_and_chunks_leave_no_trace(tmp_path: Path) -> None:
    """900 scans by 1, 2 and 3 processes in chunks of 128 to 1024: one hash."""
    plans = [(1, 128), (1, 1024), (2, 256), (3, 384)]
    hashes = {
        report(run(tmp_path, name=f"{n}.h5", scans=900, workers=w, chunk=c))["sha256"]
        for n, (w, c) in enumerate(plans)
    }
    assert len(hashes) == 1
    assert not list((tmp_path / "resume").iterdir())  # nothing is kept of a finished run


def test_an_executor_may_be_handed_in(tmp_path: Path, scans: Path) -> None:
    """Anything with `submit`, as a Dask client has."""
    params = job.parameters(dataset={"scans": 300, "chunk_scans": 128})
    with ThreadPoolExecutor(2) as pool:
        generate(
            job.lines_for(params), params, tmp_path / "d.h5", resume_root=tmp_path / "r", executor=pool
        )
    assert sha256_file(tmp_path / "d.h5") == sha256_file(scans)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names of x86 processors")
def test_other_processors_write_the_same_file(tmp_path: Path) -> None:
    """Other BLAS kernels, numpy without AVX512 and AVX2/FMA3, glibc without FMA: one hash.

    They stand for other machines. numpy 2.4 names its groups X86_V3 (AVX2, FMA3), X86_V4 and AVX512_*.
    """
    wide, avx2 = "AVX512_ICL AVX512_SPR X86_V4", "AVX512_ICL AVX512_SPR X86_V4 X86_V3"
    machines = [
        {},
        {"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": wide},
        {"OPENBLAS_CORETYPE": "Sandybridge", "OPENBLAS_NUM_THREADS": "1"},
        {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": avx2},
        {"NPY_DISABLE_CPU_FEATURES": avx2, "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F"},
    ]
    quiet = {"PYTHONWARNINGS": "ignore"}  # numpy warns of features that this processor lacks
    hashes = [
        report(run(tmp_path, name=f"{n}.h5", scans=1280, samples=1000, environment=machine | quiet))["sha256"]
        for n, machine in enumerate(machines)
    ]
    assert len(set(hashes)) == 1, dict(zip(map(str, machines), hashes, strict=True))


def test_same_name_or_another_and_a_second_time(tmp_path: Path, scans: Path) -> None:
    """No time stamp, no path, no history in the file."""
    assert sha256_file(make(tmp_path / "another name.h5")) == sha256_file(scans)


# ------------------------------------------------------------------------------ kills and full disks
def test_a_killed_generation_goes_on_where_it_was(tmp_path: Path) -> None:
    killed = run(tmp_path, scans=1024, kill_at=6, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "d.h5").exists()
    again = report(run(tmp_path, scans=1024))
    assert again["chunks"] == 3  # the other five of eight were there
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d.h5", "resume"]  # no partial file is left
    unbroken = report(run(tmp_path, name="unbroken.h5", scans=1024))
    assert unbroken["chunks"] == 8 and unbroken["sha256"] == again["sha256"]


def test_a_broken_chunk_is_made_again(tmp_path: Path) -> None:
    run(tmp_path, scans=512, kill_at=4, check=False)
    chunks = sorted((tmp_path / "resume").rglob("*.npz"))
    assert len(chunks) == 3
    chunks[0].write_bytes(chunks[0].read_bytes()[:5000])  # cut short
    damaged = bytearray(chunks[1].read_bytes())
    damaged[5000] ^= 1  # one bit
    chunks[1].write_bytes(damaged)
    again = report(run(tmp_path, scans=512))
    assert again["chunks"] == 3
    assert again["sha256"] == report(run(tmp_path, name="unbroken.h5", scans=512))["sha256"]


def test_full_disk_leaves_nothing_under_the_final_name(tmp_path: Path) -> None:
    """A file-size limit stands for the disk: 1024 scans need 1.5 MB, of which it gives 100 kB."""
    done = run(tmp_path, scans=1024, file_limit=100_000, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("EarthSignalsError: ")
    assert "d.h5 could not be written: there is no room left" in done.stderr
    assert "Traceback" not in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["resume"]
    assert not list((tmp_path / "resume").rglob("*.npz"))  # known before any work was done


def test_disk_that_fills_up_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks written before stay for the next run; the one that failed and the dataset are not there."""
    save, written = np.savez, []

    def savez(file: Any, **arrays: Any) -> None:
        if len(written) == 1:
            file.write(b"half a chunk")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(file.name)
        save(file, **arrays)

    monkeypatch.setattr(np, "savez", savez)
    with pytest.raises(EarthSignalsError, match=r"(\.npz|d\.h5) could not be written: there is no room"):
        make(tmp_path / "d.h5")
    names = [p.name for p in tmp_path.rglob("*") if p.is_file()]
    assert names == ["000000000000-000000000128.npz"]


def test_memory_does_not_grow_with_the_scans(tmp_path: Path) -> None:
    """60,000 scans are 120 MB of counts; parent and two workers together stay below 1 GB at any N."""
    small, large = (
        report(run(tmp_path, name=f"{n}.h5", scans=n, chunk=2048, samples=1000, workers=2))["peak_gb"]
        for n in (12_000, 60_000)
    )
    assert large < 1.0
    assert large - small < 0.05  # a hundred bytes a scan would be 0.005; the traces would be 0.1


# ------------------------------------------------------------------------------ reading
def test_file_holds_what_it_takes_to_make_it_again(scans: Path) -> None:
    with open_scans(scans) as file:
        assert len(file) == 300 and file.samples == 250 and file.simulated
        assert file.window == (4383.0, 4386.0) and file.path_cm == 100.0
        assert file.scale == 2.0 / 65_536 and file.full_scale_counts == 65_535
        params = job.parameters(dataset={"scans": 300, "chunk_scans": 128})
        assert file.attributes["lines_sha256"] == job.lines_for(params).sha256()
        stored = json.loads(file.attributes["params"])
        assert stored["gas"] == params.gas.model_dump(mode="json") and stored["dataset"]["seed"] == 20_220
        assert {n: file.handle[n].attrs["units"] for n in ("T", "P", "nu")} == {
            "T": "K", "P": "atm", "nu": "cm-1",
        }  # fmt: skip
        simulator = simulator_of(job.lines_for(params), params)
        counts, conditions = simulator.scans(128, 256)
        own = file.read(slice(128, 256))
        np.testing.assert_array_equal(own.signal, counts.astype(np.float32) * np.float32(file.scale))
        np.testing.assert_array_equal(own.conditions.mole_fraction, conditions.mole_fraction)
        scattered = np.array([3, 4, 5, 40, 299])
        np.testing.assert_array_equal(
            file.read(scattered).signal, file.read(slice(0, 300)).signal[scattered]
        )
        assert sum(len(batch) for _, batch in file.batches(128)) == 300
        assert not file.read(slice(0, 300)).flags.any()


def test_splits_are_contiguous_and_complete(scans: Path) -> None:
    with open_scans(scans) as file:
        rows = [file.rows(name) for name in ("train", "validation", "test")]
    assert np.concatenate(rows).tolist() == list(range(300))
    assert [len(r) for r in rows] == [252, 24, 24]
    assert contiguous_split(100, job.parameters(dataset={"test_fraction": 0.001})).tolist()[-1] == 2


def test_conditions_are_rounded_before_use(scans: Path) -> None:
    """So that a last bit of a logarithm cannot differ between machines: T 1 mK, x 6 digits."""
    with open_scans(scans) as file:
        c = file.read(slice(0, 300)).conditions
    np.testing.assert_array_equal(c.temperature_k, np.round(c.temperature_k, 3))
    np.testing.assert_array_equal(c.pressure_atm, np.round(c.pressure_atm, 5))
    assert [float(f"{x:.5e}") for x in c.mole_fraction] == c.mole_fraction.tolist()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda b: b[: len(b) // 2], "cannot be read as HDF5 .* truncated or not a dataset"),
        (lambda b: b[:100], "cannot be read as HDF5"),
        (lambda b: b"T,P,xi\n", "cannot be read as HDF5"),
        (lambda b: b"", "cannot be read as HDF5"),
    ],
    ids=["half", "head", "text", "empty"],
)
def test_truncated_file_is_named(tmp_path: Path, scans: Path, damage: Any, sentence: str) -> None:
    path = tmp_path / "broken.h5"
    path.write_bytes(damage(scans.read_bytes()))
    with pytest.raises(ScansError, match=f"broken.h5 {sentence}"), open_scans(path):
        pass


def test_foreign_and_incomplete_files_are_named(tmp_path: Path, scans: Path) -> None:
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["spectra"] = np.zeros(3)
    with pytest.raises(ScansError, match="foreign.h5 is no earthsignals.tdlas.scans file"), \
            open_scans(tmp_path / "foreign.h5"):  # fmt: skip
        pass
    lacking = tmp_path / "lacking.h5"
    lacking.write_bytes(scans.read_bytes())
    with h5py.File(lacking, "a") as file:
        del file["xi"]
    with pytest.raises(ScansError, match=r"lacking.h5 lacks \['xi'\]"), open_scans(lacking):
        pass
    with pytest.raises(ScansError, match="none.h5: no such dataset"), open_scans(tmp_path / "none.h5"):
        pass


def test_flags_mark_what_no_network_should_judge() -> None:
    good = np.full(5, 100, np.uint16)
    counts = np.array([good, [0] * 5, [100, 255, 100, 100, 100]], dtype=np.uint16)
    assert scan_flags(counts, 255).tolist() == [0, DARK, SATURATED]
    signal = np.array([good, [1, np.nan, 1, 1, 1], [1, np.inf, 1, 1, 1], -good.astype(float)])
    assert scan_flags(signal, None).tolist() == [0, NOT_FINITE, NOT_FINITE, DARK]


# ------------------------------------------------------------------------------ every parameter counts
def content(path: Path) -> dict[str, str]:
    """Hashes of the arrays. Attributes are left out: they name every parameter anyhow."""
    with h5py.File(path) as file:
        arrays = {n: (file[n][:], file[n].attrs.get("scale_factor", 0)) for n in file}
    return {n: hashlib.sha256(a.tobytes() + str(s).encode()).hexdigest() for n, (a, s) in arrays.items()}


WET = {"water_mole_fraction": 0.02}
# section, changed parameters, what must change, and the parameters of the file compared with
CHANGES = [
    ("gas", {"path_cm": 101.0}, "I_t", {}),
    ("gas", {"temperature_k": {"low": 260.0, "high": 323.0}}, "T I_t", {}),
    ("gas", {"pressure_atm": {"low": 0.8, "high": 1.0}}, "P I_t", {}),
    ("gas", {"mole_fraction_ppm": {"low": 1.0, "high": 10_000.0}}, "xi I_t", {}),
    ("gas", WET, "I_t", {}),
    ("gas", WET | {"water_broadening_ratio": 1.6}, "I_t", WET),
    ("laser", {"drive_frequency_hz": 20.0}, "I_t t", {}),
    ("laser", {"sampling_rate_hz": 500_000.0}, "I_t", {}),
    ("laser", {"samples_per_scan": 500}, "I_t nu t", {}),
    ("laser", {"power_slope": 0.3}, "I_t", {}),
    ("laser", {"power_curvature": 0.0}, "I_t", {}),
    ("instrument", {"white": 0.0}, "I_t", {}),
    ("instrument", {"shot": 0.0}, "I_t", {}),
    ("instrument", {"rin": 0.0}, "I_t", {}),
    ("instrument", {"flicker": 0.0}, "I_t", {}),
    ("instrument", {"jitter": 0.0}, "I_t", {}),
    ("instrument", {"etalons": ({"rms": 1e-3, "free_spectral_range": 0.47},)}, "I_t", {}),
    ("instrument", {"baseline": (0.03,)}, "I_t", {}),
    ("instrument", {"detector_bandwidth_hz": 0.0}, "I_t", {}),
    ("instrument", {"adc_bits": 12}, "I_t", {}),
    ("instrument", {"adc_full_scale": 3.0}, "I_t", {}),
    ("dataset", {"scans": 301}, "I_t T P xi split", {}),
    ("dataset", {"seed": 1}, "I_t T P xi", {}),
    ("dataset", {"validation_fraction": 0.2}, "split", {}),
    ("dataset", {"test_fraction": 0.2}, "split", {}),
    ("dataset", {"mole_fraction_sampling": "uniform"}, "xi I_t", {}),
    ("dataset", {"mole_fraction_sampling": "bound"}, "xi I_t", {}),
]


@pytest.mark.parametrize(("section", "change", "changed", "base"), CHANGES, ids=lambda v: str(v)[:40])
def test_every_parameter_changes_the_data(
    tmp_path: Path, scans: Path, section: str, change: dict[str, Any], changed: str, base: dict[str, Any]
) -> None:
    before = content(make(tmp_path / "base.h5", **{section: base}) if base else scans)
    after = content(make(tmp_path / "changed.h5", **{section: change}))
    assert {n for n in before if before[n] != after[n]} == set(changed.split())


def test_no_parameter_is_forgotten_above() -> None:
    named = {(section, key) for section, change, _, _ in CHANGES for key in change}
    models = {
        "gas": GasParams, "laser": LaserParams, "instrument": InstrumentParams, "dataset": DatasetParams,
    }  # fmt: skip
    declared = {(section, key) for section, model in models.items() for key in model.model_fields}
    elsewhere = {
        ("gas", "wing_policy"), ("gas", "wing_cutoff"),  # the next test
        ("dataset", "source"),  # takes measured scans instead
        ("dataset", "chunk_scans"),  # how the work is cut: changes nothing, tested at the top
        ("instrument", "etalon_drift_scans"),  # of repeated scans (Allan deviation), not of these
    }
    assert declared - named == elsewhere


def test_wing_policy_counts(tmp_path: Path) -> None:
    """Around the triplet, where the line at 4385.39 reaches in from 0.9 to 1.1 cm-1 away.

    A cut at 0.7 cm-1 drops that line and no other's wing, so that nothing jumps inside the window.
    """
    near = {"window_low": 4384.3, "window_high": 4384.5, "minimum_intensity": 1e-22}
    plans = {
        "full": {}, "cut": {"wing_policy": "cut", "wing_cutoff": 0.7},
        "wide": {"wing_policy": "cut", "wing_cutoff": 2.0},
        "pedestal": {"wing_policy": "cut-pedestal", "wing_cutoff": 0.7},
        "low pedestal": {"wing_policy": "cut-pedestal", "wing_cutoff": 2.0},
    }  # fmt: skip
    own = {n: content(make(tmp_path / f"{n}.h5", lines=near, gas=g))["I_t"] for n, g in plans.items()}
    assert own.pop("wide") == own["full"]
    assert len(set(own.values())) == 4


def test_lines_count_too(tmp_path: Path, scans: Path) -> None:
    weaker = make(tmp_path / "weaker.h5", lines={"minimum_intensity": 1e-23})
    moved = make(tmp_path / "moved.h5", lines={"window_low": 4383.1})
    before = content(scans)
    assert content(weaker)["I_t"] != before["I_t"] != content(moved)["I_t"]
    assert content(moved)["nu"] != before["nu"] == content(weaker)["nu"]
