"""Places of numbers, and numbers that are computed: against arithmetic done by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from earthsignals.publication.measurements import Files, Measured, measure
from earthsignals.storage import EarthSignalsError

ROOT = Path(__file__).resolve().parents[2]
BENCHMARK = {
    "price_per_hour_usd": 2.0,
    "rows": [
        {"key": "epoch", "seconds_fixed": 100.0, "seconds_per_item": 0.5},
        {"key": "scans", "seconds_fixed": 0.0, "seconds_per_item": 0.0018, "disk_bytes_per_item": 2000.0},
        {"key": "scan_training", "seconds_fixed": 1800.0, "seconds_per_item": 0.0018},
    ],
}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    (tmp_path / "reports" / "benchmarks").mkdir(parents=True)
    (tmp_path / "reports" / "benchmarks" / "scale.json").write_text(json.dumps(BENCHMARK))
    (tmp_path / "params.yaml").write_text(
        "clouds: {triplets: {train: 10, validation: 5, study: 5}, grid: {tile_px: 100}}\n"
    )
    (tmp_path / "m.json").write_text(json.dumps({
        "f1": 0.9, "f1_low": 0.8, "f1_high": 0.95, "skill": {"30": 0.2}, "skill_low": {"30": 0.1},
        "skill_high": {"30": 0.3}, "half_low": 1.0, "half": 2.0, "no": None, "yes": True, "heads": [8, 16],
        "table": [
            {"model": "a", "batch": None, "seconds": 7200.0}, {"model": "a", "batch": 8, "seconds": 36.0},
            {"model": "b", "batch": 8, "seconds": 1.0}, {"model": "b", "batch": 8, "seconds": 2.0},
        ],
    }))  # fmt: skip
    return Files(tmp_path)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("m.json: f1", Measured(0.9, 0.8, 0.95)),
        ("m.json: f1 * 100", Measured(90.0, 80.0, 95.0)),
        ("m.json: skill.30", Measured(0.2, 0.1, 0.3)),  # the interval of a step further up
        ("m.json: half", Measured(2.0)),  # one end is no interval
        ("m.json: table[model=a, batch=none].seconds / 3600", Measured(2.0)),
        ("m.json: table[model=a, batch=8].seconds", Measured(36.0)),
        ("m.json: table[model=b, batch=8].seconds", Measured(None)),  # two rows: which?
        ("m.json: table[model=c].seconds", Measured(None)),
        ("m.json: heads", Measured((8, 16))),
        ("m.json: no", Measured(None)), ("m.json: yes", Measured(None)), ("m.json: absent", Measured(None)),
        ("gone.json: f1", Measured(None)),
        ("params: clouds.triplets.train", Measured(10)),
        ("scales: paper.a", Measured(None)),
        ("derived: total(1, 2, 3.5)", Measured(6.5)),
        ("derived: product(13, 192)", Measured(2496.0)),
        ("derived: quotient(4, 2)", Measured(2.0)),
        ("derived: epoch_hours(7000)", Measured(1.0)),  # 100 s + 7,000 · 0.5 s
        ("derived: training_hours(1000000)", Measured(1.0)),  # 1,800 s + 1,800 s
        ("derived: everything_hours(1000000)", Measured(1.5)),
        ("derived: training_usd(1000000)", Measured(2.0)),
        ("derived: everything_usd(1000000)", Measured(3.0)),
        ("derived: dataset_gb(1000000)", Measured(2.0)),
        ("derived: snapshot_usd(1000000)", Measured(0.12)),  # 2 GB at 0.06 USD
        ("derived: triplets_gb()", Measured(20 * 3 * 100**2 * 3 / 1e9)),
    ],
)  # fmt: skip
def test_numbers_are_found_where_they_stand(files: Files, text: str, found: Measured) -> None:
    measured = measure(text, files)
    assert measured.value == (found.value if found.value is None else pytest.approx(found.value))
    assert (measured.low, measured.high) == (found.low, found.high)


def test_without_its_benchmark_nothing_is_derived(tmp_path: Path) -> None:
    calls = ("epoch_hours(1)", "training_usd(1)", "everything_hours(1)", "snapshot_usd(1)", "triplets_gb()")
    for call in calls:
        assert measure(f"derived: {call}", Files(tmp_path)) == Measured(None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tile_f1", "`tile_f1` is not understood"),
        ("derived: unlink('x')", "expected one of autoencoder_latent"),
        ("derived: total(__import__('os'))", "expected one of"),
        ("derived: total(1).real", "expected one of"),
        ("derived: epoch_hours()", "cannot be called"),
        ("m.json: table[model].seconds", "chooses nothing"),
        ("m.json: a..b", "is no path"),
    ],
)
def test_a_place_that_is_none_is_refused(files: Files, text: str, told: str) -> None:
    with pytest.raises(EarthSignalsError, match=told):
        measure(text, files)


def test_sizes_of_networks_and_transforms() -> None:
    """Counted by hand, or in the documents themselves.

    Course, 3,000 points: 3·32·5 + 32, 32·64·5 + 64, 64·3000·128 + 128, 128 + 1.
    """
    files = Files(ROOT)
    assert measure("derived: course_parameters(3000)", files).value == 24_587_073
    assert measure("derived: autoencoder_parameters()", files).value == 777_987
    assert measure("derived: stft_shape(7000)", files).value == (3, 129, 111)
    assert measure("derived: autoencoder_latent(7000)", files).value == 256 * 9 * 7
    assert measure("derived: googlenet_parameters()", files).value == pytest.approx(9.93e6, rel=1e-3)
    assert measure("derived: drift_preset('network.window_size')", files).value == (2, 8, 16)
    # 16 · 16 pairs of a window's columns are 31 distances, which is all that is stored.
    assert measure("derived: drift_bias_saving()", files).value == pytest.approx(256 / 31)
