"""The packed store's format: what is written is read back, and damage is named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import signal

from earthsignals.seismic.params import FilterParams, StoreParams, WindowParams
from earthsignals.seismic.store import prepare
from earthsignals.seismic.store.integrity import StoreError, checksum
from earthsignals.seismic.store.packed import COLUMNS, METADATA, WAVEFORMS, open_store
from earthsignals.seismic.store.split import SplitError, assign_splits
from earthsignals.seismic.store.statistics import training_statistics
from earthsignals.seismic.store.writing import trace_names, write_metadata, write_waveforms

RECORDS, SAMPLES, BUCKET = 41, 300, 16


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    folder = tmp_path_factory.mktemp("packed")
    waveforms = np.random.default_rng(0).standard_normal((RECORDS, 3, SAMPLES)).astype(np.float32)
    write(folder, waveforms, BUCKET)
    return folder, waveforms


def write(folder: Path, waveforms: np.ndarray, bucket: int) -> None:
    records, samples = len(waveforms), waveforms.shape[2]
    blocks = (waveforms[i : i + 7] for i in range(0, records, 7))  # blocks need not be buckets
    write_waveforms(
        folder / WAVEFORMS, blocks, records=records, samples=samples, bucket_records=bucket,
        sampling_rate_hz=100.0, unit="counts",
    )  # fmt: skip
    table = pd.DataFrame([{name: "" if kind == "str" else 0 for name, kind in COLUMNS.items()}] * records)
    table["trace_name"] = trace_names(records, bucket, samples)
    table["trace_name_original"] = [f"HH/{row}.mseed" for row in range(records)]
    table["trace_crc32"] = [checksum(waveform) for waveform in waveforms]
    table["station_network_code"] = "NA"  # the Netherlands Antilles, not a missing value
    table["trace_sampling_rate_hz"], table["trace_npts"] = 100.0, samples
    table["trace_channel"] = np.where(np.arange(records) % 2, "HH", "HN")
    table["trace_category"] = np.where(np.arange(records) % 4, "earthquake", "noise")
    table["split"] = np.array(["train", "train", "dev", "test"])[np.arange(records) % 4]
    table["source_magnitude"] = np.where(np.arange(records) % 3, 2.5, np.nan)
    table["trace_valid_stop"] = samples
    about = {"samples": samples, "sampling_rate_hz": 100.0, "statistics": training_statistics(table)}
    write_metadata(folder, table, about)


def damaged(packed: tuple[Path, np.ndarray], tmp_path: Path, rows: list[int]) -> Path:
    """A copy of the store in which one bit of each of `rows` is turned."""
    folder = tmp_path / "damaged"
    shutil.copytree(packed[0], folder)
    offset = open_store(folder).waveforms.offset
    with open(folder / WAVEFORMS, "r+b") as file:
        for row in rows:
            file.seek(offset + row * 3 * SAMPLES * 4 + 1234)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))
    return folder


def test_what_is_written_is_read_back_across_buckets(packed):
    folder, waveforms = packed
    store = open_store(folder)
    rows = np.array([40, 0, 15, 16, 16, 31, 32])
    assert np.array_equal(store.read(rows), waveforms[rows])
    assert store.read(rows).dtype == np.float32
    assert np.array_equal(store.waveforms, waveforms) and len(store) == RECORDS
    assert (store.samples, store.sampling_rate_hz, store.component_order) == (SAMPLES, 100.0, "ENZ")
    assert np.array_equal(store.valid([3, 2]), [[0, SAMPLES]] * 2)
    assert store.read([]).shape == (0, 3, SAMPLES)


def test_reading_copies_and_fills_a_given_buffer(packed):
    folder, waveforms = packed
    store = open_store(folder)
    out = np.empty((2, 3, SAMPLES), np.float32)
    assert store.read([5, 1], out) is out
    out[:] = 0  # a copy: the store keeps its bytes
    assert np.array_equal(store.read([5, 1]), waveforms[[5, 1]])
    for outside in ([RECORDS], [-1]):
        with pytest.raises(IndexError, match=f"0..{RECORDS - 1}"):
            store.read(outside)


def test_rows_by_split_category_and_kind(packed):
    store = open_store(packed[0])
    numbers = np.arange(RECORDS)
    assert np.array_equal(store.rows(), numbers)
    assert np.array_equal(store.rows("dev"), numbers[numbers % 4 == 2])
    assert np.array_equal(store.rows("train", kind="HN", category="noise"), numbers[numbers % 4 == 0])
    assert store.rows("unused").size == 0


def test_texts_and_missing_numbers_survive(packed):
    metadata = open_store(packed[0]).metadata
    assert set(metadata["station_network_code"]) == {"NA"} and set(metadata["source_id"]) == {""}
    assert metadata["source_magnitude"].isna().to_numpy().tolist() == [row % 3 == 0 for row in range(RECORDS)]


def test_datasets_follow_each_other_for_any_number_of_buckets(tmp_path):
    """The layout that memory mapping rests on holds for very many datasets, too."""
    waveforms = np.arange(700 * 3 * 8, dtype=np.float32).reshape(700, 3, 8)
    write(tmp_path, waveforms, bucket=1)
    with h5py.File(tmp_path / WAVEFORMS) as file:
        offsets = [file[f"data/bucket{number}"].id.get_offset() for number in range(700)]
        assert np.array_equal(file["data/bucket699"][0], waveforms[699])
    assert set(np.diff(offsets)) == {3 * 8 * 4}
    assert np.array_equal(open_store(tmp_path).waveforms, waveforms)


def test_the_same_records_give_the_same_bytes(packed, tmp_path):
    write(tmp_path, packed[1], BUCKET)
    for name in os.listdir(packed[0]):
        assert (tmp_path / name).read_bytes() == (packed[0] / name).read_bytes(), name


@pytest.mark.filterwarnings("ignore")  # SeisBench's own affair
def test_seisbench_opens_it(packed):
    data = pytest.importorskip("seisbench.data")
    folder, waveforms = packed
    dataset = data.WaveformDataset(folder, component_order="ENZ", sampling_rate=100)
    assert len(dataset) == RECORDS and len(dataset.train()) == len(open_store(folder).rows("train"))
    for row in (0, 15, 16, 40):
        assert np.array_equal(dataset.get_sample(row)[0], waveforms[row])
    assert np.array_equal(
        data.WaveformDataset(folder, component_order="ZNE").get_sample(3)[0], waveforms[3, ::-1]
    )


def test_it_keeps_to_seisbenchs_format(packed):
    """What SeisBench relies on, where it is not installed: groups, addresses, names of columns."""
    folder, waveforms = packed
    with h5py.File(folder / WAVEFORMS) as file:
        told = {name: value[()] for name, value in file["data_format"].items()}
        assert (told["dimension_order"], told["component_order"]) == (b"CW", b"ENZ")
        assert told["sampling_rate"] == 100.0
        address = open_store(folder).metadata["trace_name"][37]
        block, place = address.split("$")
        row, components, samples = place.split(",")
        found = file["data"][block][int(row), : int(components[1:]), : int(samples[1:])]
    assert address == f"bucket2$5,:3,:{SAMPLES}" and np.array_equal(found, waveforms[37])
    needed = {
        "trace_name", "split", "trace_sampling_rate_hz", "trace_npts", "source_id", "station_code",
        "trace_p_arrival_sample", "source_magnitude", "path_ep_distance_km",
    }  # fmt: skip
    assert needed <= set(COLUMNS)


def test_a_corrupt_block_is_refused_by_name(packed, tmp_path):
    folder = damaged(packed, tmp_path, [17, 30])
    with pytest.raises(StoreError, match=r"2 of 41 .* bucket1 \(2 records\).*HH/17.mseed, HH/30.mseed"):
        open_store(folder)
    trusted = open_store(folder, verify=False)
    with pytest.raises(StoreError, match="bucket1"):
        trusted.verify()


def test_a_corrupt_block_is_skipped_if_asked(packed, tmp_path):
    store = open_store(damaged(packed, tmp_path, [17, 30]), corrupt="skip")
    assert store.skipped.tolist() == [17, 30]
    assert len(store.rows()) == RECORDS - 2 and not set(store.rows()) & {17, 30}
    open_store(packed[0]).verify()  # nothing to say of an intact one
    with pytest.raises(ValueError, match="skip"):
        open_store(packed[0], corrupt="ignore")


@pytest.mark.parametrize("size", [40, 5000, -4])
def test_a_truncated_file_is_named(packed, tmp_path, size):
    folder = tmp_path / "cut"
    shutil.copytree(packed[0], folder)
    whole = (folder / WAVEFORMS).stat().st_size
    os.truncate(folder / WAVEFORMS, size if size > 0 else whole + size)
    with pytest.raises(StoreError, match=r"waveforms.hdf5 .*truncated"):
        open_store(folder, verify=False)


def test_parts_that_do_not_fit_are_named(packed, tmp_path):
    with pytest.raises(StoreError, match="no packed store: it lacks store.json"):
        open_store(tmp_path)
    folder = tmp_path / "edited"
    shutil.copytree(packed[0], folder)
    (folder / METADATA).write_text((folder / METADATA).read_text().replace(",test", ",train"))
    with pytest.raises(StoreError, match="metadata.csv is not what was packed"):
        open_store(folder)
    (folder / "store.json").write_text('{"format": "something", "version": 1}')
    with pytest.raises(StoreError, match="something of version 1"):
        open_store(folder)
    (folder / "store.json").write_text("{")
    with pytest.raises(StoreError, match="not readable"):
        open_store(folder)


def test_records_must_all_arrive(tmp_path):
    block = np.zeros((3, 3, SAMPLES), np.float32)
    with pytest.raises(StoreError, match="expected"):
        write_waveforms(
            tmp_path / "x.hdf5", [block], records=4, samples=SAMPLES, bucket_records=2,
            sampling_rate_hz=100.0, unit="counts",
        )  # fmt: skip


def test_statistics_see_the_training_split_alone(packed):
    store = open_store(packed[0])
    changed = store.metadata.assign(trace_peak=1.0, trace_snr_db=20.0)
    held_out = changed["split"] != "train"
    before = training_statistics(changed)
    changed.loc[held_out, ["trace_peak", "trace_snr_db", "source_magnitude"]] = 1e9
    assert training_statistics(changed) == before
    assert before["snr_db"]["p50"] == 20.0 and before["records"] == len(store.rows("train"))


# ------------------------------------------------------------------------------------------- splits
PARAMS = StoreParams(validation_fraction=0.15, test_fraction=0.2)


def catalogue(networks: int, stations: int, events: int) -> tuple[list[str], list[str]]:
    """Every event of a network recorded by all its stations, and noise of each station."""
    pairs = [
        (f"n{n}e{e}" if e < events else "", f"{n}.S{s}")
        for n in range(networks) for s in range(stations) for e in range(events + 1)
    ]  # fmt: skip
    return [event for event, _ in pairs], [station for _, station in pairs]


def shares(splits: np.ndarray) -> dict[str, float]:
    names, counts = np.unique(splits, return_counts=True)
    return dict(zip(names.tolist(), (counts / len(splits)).tolist(), strict=True))


def assert_nothing_shared(events: list[str], stations: list[str], splits: np.ndarray) -> None:
    for names in (events, stations):
        sides: dict[str, set[str]] = {}
        for name, split in zip(names, splits, strict=True):
            if name and split != "unused":
                sides.setdefault(name, set()).add(split)
        assert all(len(found) == 1 for found in sides.values())


def test_separate_networks_stay_whole():
    events, stations = catalogue(networks=30, stations=5, events=8)
    splits = assign_splits(events, stations, PARAMS)
    assert_nothing_shared(events, stations, splits)
    found = shares(splits)
    assert "unused" not in found
    # Networks of one thirtieth each: a share is off by half of one at most.
    assert abs(found["dev"] - 0.15) <= 1 / 60 + 1e-9 and abs(found["test"] - 0.2) <= 1 / 60 + 1e-9
    for network in range(30):
        own = {s for s, name in zip(splits, stations, strict=True) if name.startswith(f"{network}.")}
        assert len(own) == 1


def test_one_dense_network_is_dealt_out_by_stations():
    random = np.random.default_rng(3)
    events, stations = [], []
    for event in range(400):  # three of 40 stations each: all hang together
        for station in random.choice(40, 3, replace=False):
            events.append(f"e{event}")
            stations.append(f"XX.S{station}")
    splits = assign_splits(events, stations, PARAMS)
    assert_nothing_shared(events, stations, splits)
    found = shares(splits)
    assert set(found) == {"train", "dev", "test", "unused"}
    # If an event's records lay with probability p on its side: 1/3 + 2/3·Σp² at least stay used, here ≥ 0.6.
    assert found["unused"] < 0.45 and min(found["dev"], found["test"]) > 0.03


def test_splits_do_not_hang_on_the_order_of_records():
    events, stations = catalogue(networks=9, stations=4, events=5)
    splits = assign_splits(events, stations, PARAMS)
    order = np.random.default_rng(1).permutation(len(events))
    shuffled = assign_splits([events[i] for i in order], [stations[i] for i in order], PARAMS)
    assert np.array_equal(shuffled, splits[order])
    other = assign_splits(events, stations, PARAMS.model_copy(update={"seed": 7}))
    assert not np.array_equal(other, splits)


def test_three_networks_fill_three_splits():
    events, stations = catalogue(networks=3, stations=2, events=4)
    splits = assign_splits(events, stations, PARAMS)
    assert_nothing_shared(events, stations, splits)
    assert set(splits) >= {"train", "dev", "test"}


def test_noise_follows_its_station():
    events, stations = catalogue(networks=8, stations=3, events=4)
    splits = assign_splits(events, stations, PARAMS)
    side = dict(zip(stations, splits, strict=True))
    assert all(side[s] == split for e, s, split in zip(events, stations, splits, strict=True) if not e)


def test_too_few_stations_for_three_splits_are_told():
    with pytest.raises(SplitError, match="4 records of 2 stations and 2 events"):
        assign_splits(["a", "a", "b", "b"], ["X.1", "X.2"] * 2, PARAMS)


# -------------------------------------------------------------------------------------- preparation
WINDOW = WindowParams(sampling_rate_hz=100, before_p_s=10, after_p_s=60)


def test_a_known_onset_is_put_where_the_window_wants_it():
    cut = prepare.place_window(12_000, 3000.4, "catalogue", WINDOW, noise=False)
    assert (cut.start, cut.p_status) == (2000, "catalogue") and cut.p_sample == pytest.approx(1000.4)
    early = prepare.place_window(7000, 500.0, "pick", WINDOW, noise=False)
    assert (early.start, early.p_sample) == (-500, 1000.0)


def test_an_unknown_onset_follows_the_layout_or_stays_unknown():
    layout = prepare.place_window(7001, np.nan, "", WINDOW, noise=False)
    assert (layout.start, layout.p_sample, layout.p_status) == (0, 1000.0, "layout")
    longer = prepare.place_window(180_000, np.nan, "", WINDOW, noise=False)
    assert longer.start == 0 and np.isnan(longer.p_sample) and longer.p_status == ""
    assert np.isnan(prepare.place_window(7000, 1000.0, "catalogue", WINDOW, noise=True).p_sample)


def test_windows_beyond_a_record_are_zero_and_not_valid():
    waveform = np.arange(1.0, 31.0).reshape(3, 10)
    window, valid = prepare.cut_window(waveform, (0, 10), -4, 8)
    assert valid == (4, 8) and not window[:, :4].any() and np.array_equal(window[:, 4:], waveform[:, :4])
    window, valid = prepare.cut_window(waveform, (2, 9), 1, 20)
    assert valid == (1, 8) and not window[:, 0].any() and np.array_equal(window[0, 1:8], waveform[0, 2:9])
    assert prepare.cut_window(waveform, (0, 10), 50, 8)[1] == (0, 0)


def test_detrending_leaves_what_is_orthogonal_to_lines():
    """A line plus even and odd parts without one: (3k² - 1)-like Legendre terms of degree ≥ 2 stay."""
    time = np.linspace(-1, 1, 1001)
    legendre = np.polynomial.legendre.Legendre
    kept = np.stack([legendre.basis(2)(time), legendre.basis(3)(time), np.cos(40 * np.pi * time)])
    kept -= np.stack([np.polyval(np.polyfit(time, row, 1), time) for row in kept])
    window = np.zeros((3, 1200))
    window[:, 100:1101] = 1000 * kept + 5e6 - 3e5 * time
    prepare.detrend(window, (100, 1101))
    assert np.abs(window[:, 100:1101] - 1000 * kept).max() < 0.02  # the line's own rounding to float32
    assert not window[:, :100].any() and not window[:, 1101:].any()


def test_detrending_does_not_hang_on_the_order_of_sums():
    """Sums in another order differ in their last bits; the stored samples must not."""
    random = np.random.default_rng(5)
    counts = np.rint(random.standard_normal((3, 7000)) * 500 + 12_345).astype(float)
    plain, turned = counts.copy(), counts[::-1, ::-1].copy()
    prepare.detrend(plain, (0, 7000))
    part = turned[::-1, ::-1]  # the same numbers in a memory order in which they are summed backwards
    prepare.detrend(part, (0, 7000))
    assert np.array_equal(plain.astype(np.float32), part.astype(np.float32))


def test_band_pass_keeps_the_band_and_moves_nothing():
    """|H|² of a Butterworth filter is 1/2 at its corners, hence 1/2 in amplitude forwards and backwards."""
    options = FilterParams(low_hz=2.0, high_hz=10.0, corners=4)
    time = np.arange(7000) / 100
    tones = np.array([0.3, 2.0, 5.0])
    window = np.sin(2 * np.pi * tones[:, None] * time)
    before = window.copy()
    prepare.band_pass(window, (0, 7000), options, 100.0)
    middle = slice(2000, 5000)
    gain = (window * before)[:, middle].mean(axis=1) / (before**2)[:, middle].mean(axis=1)  # in phase
    assert gain == pytest.approx([0.0, 0.5, 1.0], abs=0.01)


@pytest.mark.parametrize("span", [(0, 900), (300, 700), (0, 12), (5, 6)])
def test_band_pass_is_scipys(span):
    options = FilterParams(low_hz=1.0, high_hz=45.0, corners=4)
    window = np.random.default_rng(1).standard_normal((3, 900)) * 1e3
    expected = window.copy()
    sections = signal.butter(4, (1.0, 45.0), "bandpass", fs=100.0, output="sos")
    pad = min(3 * (2 * len(sections) + 1), span[1] - span[0] - 1)
    part = slice(*span)
    expected[:, part] = signal.sosfiltfilt(sections, expected[:, part], padlen=pad)
    prepare.band_pass(window, span, options, 100.0)
    assert np.abs(window - expected).max() < 1e-6


PREPARED = """
import hashlib
import numpy as np
from earthsignals.seismic.params import FilterParams
from earthsignals.seismic.store import prepare
digest = hashlib.sha256()
for number in range(20):
    random = np.random.default_rng(number)
    window = np.rint(random.standard_normal((3, 7000)).cumsum(axis=1) * 40 + 12_345)
    prepare.detrend(window, (0, 7000))
    digest.update(window.astype(np.float32).tobytes())
    prepare.band_pass(window, (0, 7000), FilterParams(), 100.0)
    digest.update(window.astype(np.float32).tobytes())
print(digest.hexdigest())
"""


def test_other_processors_prepare_the_same_bytes():
    """numpy without its wide vector instructions, and another processor's linear algebra."""
    features = "AVX512_ICL AVX512_SPR X86_V4 X86_V3"
    found = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PREPARED], env={**os.environ, **extra},
            capture_output=True, text=True, check=True,
        ).stdout
        for extra in ({}, {"NPY_DISABLE_CPU_FEATURES": features, "OPENBLAS_CORETYPE": "Prescott"})
    }  # fmt: skip
    assert len(found) == 1


def test_signal_to_noise_of_a_known_jump():
    random = np.random.default_rng(2)
    window = random.standard_normal((3, 7000))
    window[:, 1000:] *= np.array([[3.0], [10.0], [5.0]])
    found = prepare.signal_to_noise_db(window, (0, 7000), 1000.0, 100.0)
    assert found == pytest.approx(20.0, abs=0.5)  # the best component's factor of ten
    assert np.isnan(prepare.signal_to_noise_db(window, (0, 7000), np.nan, 100.0))
    assert np.isnan(prepare.signal_to_noise_db(window, (940, 7000), 1000.0, 100.0))  # 10 samples of noise
    window[0] = 0.0  # a component filled with zeros does not disturb the others
    assert prepare.signal_to_noise_db(window, (0, 7000), 1000.0, 100.0) == pytest.approx(20.0, abs=0.5)
