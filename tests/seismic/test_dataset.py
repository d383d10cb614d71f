"""Packing a folder: what becomes a record, what is refused, and that the result hangs on nothing else."""

from __future__ import annotations

import csv
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from obspy import Inventory, Stream, Trace, UTCDateTime
from obspy.core.inventory import Channel, Network, Station

from earthsignals.seismic import dataset
from earthsignals.seismic.dataset import open_store, pack
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.records.read import read_record
from earthsignals.seismic.records.record import Record
from earthsignals.seismic.store import pieces
from earthsignals.storage import EarthSignalsError

START = UTCDateTime("2020-01-01T00:00:00")
PARAMS = SeismicParams.model_validate(
    {
        "window": {"before_p_s": 5, "after_p_s": 20},
        "store": {"bucket_records": 16, "validation_fraction": 0.2, "test_fraction": 0.2},
    }
)
SAMPLES, P = 2500, 500


def counts(number: int, samples: int = SAMPLES) -> np.ndarray:
    """(3, samples) int32: noise, an onset at P, an offset and a drift."""
    random = np.random.default_rng(number)
    wave = random.standard_normal((3, samples)) * 50
    wave[:, P:] *= 12
    return np.rint(wave + 3000 + 0.02 * np.arange(samples)).astype(np.int32)


def write_file(
    path: Path, waveform: np.ndarray, station: str, kind: str = "HH", letters: str = "ENZ"
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"network": "XX", "station": station, "sampling_rate": 100.0, "starttime": START}
    traces = [
        Trace(np.ascontiguousarray(row), {**header, "channel": kind + letter})
        for row, letter in zip(waveform, letters, strict=False)
    ]
    Stream(traces).write(path, format="MSEED")


def fill(folder: Path, files: int = 40, per_network: int = 4) -> Path:
    """Networks of two stations and two events, `per_network` records each."""
    for number in range(files):
        network = number // per_network
        event, station = f"ev{network}{number % 2}", f"S{network}{number % per_network // 2}"
        kind = ("HH", "HN")[number // per_network % 2]
        write_file(folder / kind / f"{event}_{station}_{kind}.mseed", counts(number), station, kind)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("waveforms"))


def packed(folder: Path, out: Path, params: SeismicParams = PARAMS, **options) -> dict:
    options = {"workers": 1, "resume_root": out.parent / ".resume", **options}
    return pack(folder, params, out, out.parent / "refused.csv", **options)


def refusals(out: Path) -> dict[str, str]:
    with open(out.parent / "refused.csv", newline="") as file:
        return {row["file"]: row["reason"] for row in csv.DictReader(file)}


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_records_come_out_as_they_were_recorded(folder, tmp_path):
    told = packed(folder, tmp_path / "out")
    store = open_store(tmp_path / "out")
    assert told["files"] == told["records"] == len(store) == 40 and told["refused"] == {}
    assert told["kinds"] == {"HH": 20, "HN": 20} and told["categories"] == {"earthquake": 40}
    assert sum(told["splits"].values()) == 40 and "unused" not in told["splits"]
    row = store.metadata.index[store.metadata["trace_name_original"] == "HH/ev00_S00_HH.mseed"][0]
    wave = counts(0).astype(float)
    time = np.arange(SAMPLES)
    expected = np.stack([part - np.polyval(np.polyfit(time, part, 1), time) for part in wave])
    assert np.abs(store.read([row])[0] - expected).max() < 1e-3  # counts; the line is rounded to float32
    meta = store.metadata.loc[row]
    assert (meta["source_id"], meta["station_network_code"], meta["station_code"]) == ("ev00", "XX", "S00")
    assert meta["trace_start_time"] == "2020-01-01T00:00:00.000000Z"
    assert (meta["trace_p_arrival_sample"], meta["trace_p_status"]) == (P, "layout")
    assert meta["trace_snr_db"] == pytest.approx(20 * np.log10(12), abs=1.0)
    assert (meta["trace_valid_start"], meta["trace_valid_stop"]) == (0, SAMPLES)
    assert meta["trace_units"] == "counts" and np.isnan(meta["source_magnitude"])


def test_no_event_and_no_station_on_two_sides(folder, tmp_path):
    packed(folder, tmp_path / "out")
    metadata = open_store(tmp_path / "out").metadata
    for column in ("source_id", "station_code"):
        assert (metadata.groupby(column)["split"].nunique() == 1).all()
    assert set(metadata["split"]) == {"train", "dev", "test"}


def test_any_number_of_workers_and_pieces_gives_the_same_bytes(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_FILES", 7)
    packed(folder, tmp_path / "a" / "out", workers=2)
    monkeypatch.setattr(pieces, "PIECE_FILES", 100)
    packed(folder, tmp_path / "b" / "out")
    assert content(tmp_path / "a" / "out") == content(tmp_path / "b" / "out")
    assert not list((tmp_path / "a" / ".resume").iterdir())  # nothing is left behind


KILLED = """
import sys, time
from pathlib import Path
from earthsignals.seismic.dataset import pack
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.records.read import read_record
from earthsignals.seismic.store import pieces

def slowly(*arguments, **options):
    time.sleep(0.05)
    return read_record(*arguments, **options)

pieces.PIECE_FILES = 4
folder, out, params = Path(sys.argv[1]), Path(sys.argv[2]), SeismicParams.model_validate_json(sys.argv[3])
resume = out.parent / ".resume"
pack(folder, params, out, out.parent / "refused.csv", resume_root=resume, workers=1, read=slowly)
"""


def test_a_killed_run_goes_on_where_it_was(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_FILES", 4)
    out, resume = tmp_path / "out", tmp_path / ".resume"
    arguments = [sys.executable, "-c", KILLED, str(folder), str(out), PARAMS.model_dump_json()]
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while len(list(resume.glob("*/0*.npz"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    done = len(list(resume.glob("*/0*.npz")))
    assert 2 <= done < 10 and not out.exists()
    damaged = sorted(resume.glob("*/0*.npz"))[0]  # a piece that did not reach the disk whole
    os.truncate(damaged, damaged.stat().st_size // 2)

    read = []

    def counting(entry, *arguments, **options) -> Record:
        read.append(entry)
        return read_record(entry, *arguments, **options)

    packed(folder, out, read=counting)
    assert len(read) == 40 - 4 * (done - 1)  # the finished pieces were not read again
    packed(folder, tmp_path / "unbroken" / "out")
    assert content(out) == content(tmp_path / "unbroken" / "out")


def test_changed_files_are_read_anew(folder, tmp_path):
    """A resume folder belongs to the files as they were."""
    source = tmp_path / "source"
    shutil.copytree(folder, source)
    keys = []
    for _ in range(2):
        listed = dataset.list_sources(source, PARAMS)
        keys.append(dataset._key(listed, PARAMS, []))
        write_file(source / "HH" / "ev00_S00_HH.mseed", counts(99), "S00")
    assert keys[0] != keys[1]
    filtered = PARAMS.model_copy(update={"filter": None, "channels": ("HH",)})
    assert dataset._key(listed, PARAMS, []) != dataset._key(listed, filtered, [])


def test_one_bad_file_never_stops_the_run(tmp_path):
    source = fill(tmp_path / "source")
    whole = (source / "HH" / "ev00_S00_HH.mseed").read_bytes()
    (source / "HH" / "cut_S00_HH.mseed").write_bytes(whole[:-700])
    (source / "HH" / "empty_S00_HH.mseed").write_bytes(b"")
    (source / "HH" / "text_S00_HH.mseed").write_text("not a waveform at all\n" * 40)
    (source / "HH" / "pickle_S00_HH.mseed").write_bytes(pickle.dumps({"a": np.arange(100)}))
    os.symlink(tmp_path / "nowhere", source / "HH" / "gone_S00_HH.mseed")
    write_file(source / "HH" / "two_S00_HH.mseed", counts(200)[:2], "S00")
    write_file(source / "HH" / "zero_S00_HH.mseed", counts(201) * 0, "S00")
    write_file(source / "HH" / "short_S00_HH.mseed", counts(202, 900), "S00")
    nan = counts(203).astype(np.float32)
    nan[1, 77] = np.nan
    write_file(source / "HH" / "nan_S00_HH.mseed", nan, "S00")
    told = packed(source, tmp_path / "out")
    found = {name.split("/")[1].split("_")[0]: reason for name, reason in refusals(tmp_path / "out").items()}
    assert found["cut"] == "truncated" and found["empty"] == "empty"
    assert found["two"] == "missing-component" and found["zero"] == "all-zero"
    assert found["short"] == "too-short" and found["nan"] == "nan"
    assert set(found) == {"cut", "empty", "text", "pickle", "gone", "two", "zero", "short", "nan"}
    assert told["records"] == 40 and sum(told["refused"].values()) == 9
    assert told["files"] == told["records"] + sum(told["refused"].values())  # every file is accounted for


def test_what_no_rule_foresaw_is_refused_too(folder, tmp_path):
    def failing(entry, *arguments, **options) -> Record:
        if entry.event == "ev00":
            raise ZeroDivisionError("a bug met by one file")
        return read_record(entry, *arguments, **options)

    told = packed(folder, tmp_path / "out", read=failing)
    assert told["refused"] == {"unreadable": 2}
    assert "ZeroDivisionError: a bug met by one file" in (tmp_path / "refused.csv").read_text()


def test_duplicates_are_refused_and_the_first_stays(tmp_path):
    source = fill(tmp_path / "source")
    shutil.copy(source / "HH" / "ev00_S00_HH.mseed", source / "HH" / "zz_S00_HH.mseed")  # the same samples
    write_file(source / "HN" / "ev00_S00_HH.mseed", counts(300), "S00")  # the same event, station and kind
    told = packed(source, tmp_path / "out")
    assert told["refused"] == {"duplicate": 2}
    assert refusals(tmp_path / "out") == {
        "HH/zz_S00_HH.mseed": "duplicate", "HN/ev00_S00_HH.mseed": "duplicate"
    }  # fmt: skip
    text = (tmp_path / "refused.csv").read_text()
    assert "the same samples as HH/ev00_S00_HH.mseed" in text
    assert "the same event, station and instrument as HH/ev00_S00_HH.mseed" in text
    assert "HH/ev00_S00_HH.mseed" in set(open_store(tmp_path / "out").metadata["trace_name_original"])


def test_the_catalogue_beside_the_files_is_used(tmp_path):
    source = fill(tmp_path / "source")
    for number in range(4):
        name = f"noise{number}_S{number}0_HH.mseed"
        write_file(source / "HH" / name, counts(400 + number), f"S{number}0")
    (source / "records.csv").write_text(
        "file,category,event,p_sample,s_sample,magnitude,distance_km,azimuth_deg\n"
        "HH/ev00_S00_HH.mseed,earthquake,q7,700,900.5,2.5,33.25,120\n"
        "HH/ev01_S00_HH.mseed,noise,,,,,,\n"
    )
    told = packed(source, tmp_path / "out")
    store = open_store(tmp_path / "out")
    table = store.metadata.set_index("trace_name_original")
    row = table.loc["HH/ev00_S00_HH.mseed"]
    assert (row["source_id"], row["source_magnitude"], row["path_ep_distance_km"]) == ("q7", 2.5, 33.25)
    # P at sample 700 moves to 500: the window begins 2 s into the file and lacks its last 2 s.
    assert (row["trace_p_arrival_sample"], row["trace_s_arrival_sample"]) == (P, 700.5)
    assert (row["trace_p_status"], row["trace_start_time"]) == ("catalogue", "2020-01-01T00:00:02.000000Z")
    assert (row["trace_valid_start"], row["trace_valid_stop"]) == (0, SAMPLES - 200)
    number = table.index.get_loc("HH/ev00_S00_HH.mseed")
    assert not store.read([number])[0][:, SAMPLES - 200 :].any()
    noise = table[table["trace_category"] == "noise"]
    assert len(noise) == told["categories"]["noise"] == 5  # by the table, or by a name that begins with noise
    assert noise["trace_p_arrival_sample"].isna().all() and set(noise["source_id"]) == {""}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,category\na,noise\n", "no column `file`"),
        ("file,category\na,quake\n", "'quake', expected earthquake or noise"),
        ("file,p_sample\na,early\n", "p_sample holds 'early'"),
        ("file\na\na\n", "more than once"),
        ("", "not readable"),
    ],
)
def test_a_catalogue_that_cannot_be_used_is_told(tmp_path, text, said):
    source = fill(tmp_path / "source", files=4)
    (source / "records.csv").write_text(text)
    with pytest.raises(EarthSignalsError, match=said):
        packed(source, tmp_path / "out")


def test_every_parameter_of_packing_changes_something(folder, tmp_path):
    plain = packed(folder, tmp_path / "plain" / "out")
    base = content(tmp_path / "plain" / "out")
    changes = {
        "channels": {"channels": ("HN",)},
        "filter": {"filter": {"low_hz": 2, "high_hz": 20}},
        "before": {"window": {"before_p_s": 4, "after_p_s": 20}},
        "rate": {"window": {"sampling_rate_hz": 50, "before_p_s": 5, "after_p_s": 20}},
        "bucket": {"store": {"bucket_records": 8}},
        "seed": {"store": {"seed": 1}},
    }
    for name, change in changes.items():
        params = PARAMS.model_dump()
        for key, value in change.items():
            params[key] = {**params[key], **value} if isinstance(params[key], dict) else value
        told = packed(folder, tmp_path / name / "out", SeismicParams.model_validate(params))
        assert content(tmp_path / name / "out") != base, name
        assert told["records"] == (20 if name == "channels" else plain["records"])
    assert open_store(tmp_path / "rate" / "out").samples == 1250


def test_turned_components_follow_the_stationxml_beside_them(tmp_path):
    """Channels 1 and 2 at azimuths 30° and 120°: a motion due north shows cos 30° of itself on 1."""
    source = fill(tmp_path / "source")
    north = counts(500)[1].astype(float)
    angle = np.deg2rad(30.0)
    waveform = np.rint([np.cos(angle) * north, -np.sin(angle) * north, counts(501)[2]]).astype(np.int32)
    write_file(source / "HH" / "turned_T00_HH.mseed", waveform, "T00", letters="12Z")
    channels = [
        Channel(code, "", 0.0, 0.0, 0.0, 0.0, azimuth=azimuth, dip=dip, sample_rate=100.0)
        for code, azimuth, dip in (("HH1", 30.0, 0.0), ("HH2", 120.0, 0.0), ("HHZ", 0.0, -90.0))
    ]
    network = Network("XX", stations=[Station("T00", 0.0, 0.0, 0.0, channels=channels)])

    def horizontal(out: Path) -> np.ndarray:
        packed(source, out)
        store = open_store(out)
        names = store.metadata["trace_name_original"]
        return store.read(np.flatnonzero(names == "HH/turned_T00_HH.mseed"))[0, :2]

    nominal = horizontal(tmp_path / "nominal" / "out")  # without the file 1 is taken for N
    Inventory([network]).write(source / "stations.xml", format="STATIONXML")
    east, true_north = horizontal(tmp_path / "told" / "out")
    assert np.abs(east).max() < 2 and true_north.std() == pytest.approx(north.std(), rel=0.01)  # counts
    assert nominal[1].std() == pytest.approx(np.cos(angle) * north.std(), rel=0.02)


def test_a_response_cannot_be_removed_without_one(folder, tmp_path):
    params = PARAMS.model_copy(update={"reading": PARAMS.reading.model_copy(update={"response": "remove"})})
    with pytest.raises(EarthSignalsError, match=r"none of its 40 files .*response 40"):
        packed(folder, tmp_path / "out", params)


def test_files_of_one_component_each_make_one_record(tmp_path):
    source = fill(tmp_path / "source")
    for row, letter in enumerate("ENZ"):
        header = {"network": "XX", "station": "T01", "channel": f"BH{letter}", "sampling_rate": 100.0}
        trace = Trace(counts(600)[row].astype(np.float32), header)
        trace.write(str(source / f"XX.T01.BH{letter}.sac"), format="SAC")
    told = packed(source, tmp_path / "out")
    assert told["kinds"]["BH"] == 1 and told["records"] == 41


def test_folders_that_give_nothing_are_told(tmp_path):
    for source in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(EarthSignalsError, match=str(tmp_path)):
            packed(source, tmp_path / "out")
    source = fill(tmp_path / "source", files=4)
    with pytest.raises(EarthSignalsError, match="cannot be divided"):
        packed(fill(tmp_path / "single", files=2), tmp_path / "out")
    other = PARAMS.model_copy(update={"channels": ("BH",)})
    with pytest.raises(EarthSignalsError, match="no waveform files of the kinds BH"):
        packed(source, tmp_path / "out", other)
    for path in source.rglob("*.mseed"):
        path.write_bytes(b"")
    with pytest.raises(EarthSignalsError, match=r"none of its 4 files is a usable record \(empty 4\)"):
        packed(source, tmp_path / "out")
    assert set(refusals(tmp_path / "out").values()) == {"empty"} and not (tmp_path / "out").exists()


LARGE = """
import sys
from pathlib import Path
import numpy as np
from earthsignals.compute.memory import peak_memory_gb
from earthsignals.seismic import dataset
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.store.pieces import Piece

class Copies:
    "A piece of 128 records like those of one that was made, under names of their own."
    def __init__(self, columns, number):
        self.columns, self.number = columns, number
    def about(self):
        several = {name: (values * 128)[:128] for name, values in self.columns.items()}
        for name in ("trace_name_original", "source_id", "digest"):
            several[name] = [f"HH/a-name-of-usual-length-{self.number}-{i}" for i in range(128)]
        several["station_code"] = [f"S{self.number}"] * 128
        return several, []
    def waveforms(self):
        return np.zeros((128, 3, 8), np.float32)

class Short:
    samples, sampling_rate_hz, p_sample = 8, 100.0, 0

piece, out = Path(sys.argv[1]), Path(sys.argv[2])
columns = Piece(piece).about()[0]
before = peak_memory_gb()
params = SeismicParams().model_copy(update={"window": Short()})
pieces = [Copies(columns, number) for number in range(1033)]
told = dataset.assemble(pieces, params, out, out.parent / "refused.csv", source=out.parent)
print(told["records"], peak_memory_gb() - before)
"""


def test_memory_is_bounded_at_the_size_of_a_large_archive(folder, tmp_path):
    """132,169 records of 84 kB are 11 GB; what grows with their number is the table of their metadata.

    Waveforms are handled a piece (11 MB) at a time whatever their number; here they are 8 samples long.
    """
    sources = dataset.list_sources(folder, PARAMS)[:10]
    piece = pieces.PieceMaker(PARAMS, tmp_path, None, read_record)((0, sources))
    done = subprocess.run(
        [sys.executable, "-c", LARGE, str(piece), str(tmp_path / "out")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    records, grown_gb = done.stdout.split()
    assert int(records) == 1033 * 128 > 132_169
    assert float(grown_gb) < 0.8  # 6 kB a record; found: a quarter of it
