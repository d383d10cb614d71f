"""Files that are broken, empty, foreign or hostile: refused by name and reason, and none does harm."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import obspy
import pytest
from obspy import Stream, Trace, UTCDateTime

from earthsignals.seismic.params import ReadingParams, SeismicParams, WindowParams
from earthsignals.seismic.records.folder import find_files
from earthsignals.seismic.records.inspect import inspect
from earthsignals.seismic.records.read import read_record, read_stations
from earthsignals.seismic.records.record import REASONS, RefusedRecord
from earthsignals.seismic.records.refused import Refusal
from earthsignals.seismic.records.response import read_inventory
from earthsignals.storage import EarthSignalsError

READING, WINDOW = ReadingParams(), WindowParams()
SHORT = ReadingParams(minimum_s=0.5)  # obspy's own test files last seconds
START = UTCDateTime(2020, 3, 1)
OBSPY = Path(obspy.__file__).parent


def noise(seed: int, samples: int = 7000) -> np.ndarray:
    return np.round(np.random.Generator(np.random.Philox(seed)).normal(0, 200, samples)).astype(np.int32)


def three(kind: str = "HH", letters: str = "ENZ") -> list[Trace]:
    return [
        Trace(noise(n), {"network": "XX", "station": "ABC", "channel": kind + letter, "starttime": START,
                         "sampling_rate": 100.0})
        for n, letter in enumerate(letters)
    ]  # fmt: skip


def written(path: Path, traces: list[Trace], **options: object) -> Path:
    Stream(traces).write(str(path), format="MSEED", **{"reclen": 512} | options)
    return path


def reason(path: Path, reading: ReadingParams = READING) -> str:
    """The code by which packing refuses a file; the message names it."""
    with pytest.raises(RefusedRecord) as refusal:
        read_record(path, reading, WINDOW)
    assert refusal.value.reason in REASONS and str(refusal.value).startswith(f"{path}: ")
    return refusal.value.reason


def obspys(path: str) -> Path:
    if not (OBSPY / path).is_file():
        pytest.skip(f"this build of obspy comes without {path}")
    return OBSPY / path


def test_truncated_miniseed_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    whole = written(tmp_path / "a.mseed", three()).read_bytes()
    records = len(whole) // 512
    for length in (len(whole) - 1, len(whole) - 500, 512 * (records // 2) + 40, 512 * 3 + 100, 100, 7):
        (tmp_path / "cut.mseed").write_bytes(whole[:length])
        assert reason(tmp_path / "cut.mseed") in ("truncated", "unknown-format"), length
    (tmp_path / "cut.mseed").write_bytes(whole[: 512 * (records // 2)])  # between two records
    assert reason(tmp_path / "cut.mseed") == "missing-component"


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "a.mseed").touch()
    assert reason(tmp_path / "a.mseed") == "empty"


def test_a_flipped_byte_in_compressed_samples_is_noticed(tmp_path: Path) -> None:
    data = bytearray(written(tmp_path / "a.mseed", three(), encoding="STEIM2").read_bytes())
    data[300] ^= 0x10
    (tmp_path / "a.mseed").write_bytes(data)
    assert reason(tmp_path / "a.mseed") == "corrupt"


def test_foreign_bytes_between_records_are_noticed_and_blank_ones_skipped(tmp_path: Path) -> None:
    whole = written(tmp_path / "a.mseed", three()).read_bytes()
    for filling, expected in ((b"\xaa" * 512, "corrupt"), (b" " * 512, None), (b"\0" * 512, None)):
        (tmp_path / "b.mseed").write_bytes(whole[:1024] + filling + whole[1024:])
        if expected:
            assert reason(tmp_path / "b.mseed") == expected
        else:
            np.testing.assert_array_equal(
                read_record(tmp_path / "b.mseed", READING, WINDOW).waveform[0], noise(0)
            )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a text that is no waveform\n" * 40, "unknown-format"),
        (bytes(range(256)) * 20, "unknown-format"),
        (b"\0" * 4096, "no-data"),
        (b" " * 4096, "no-data"),
        (b"PK\x03\x04" + b"\0" * 600, "unknown-format"),
        (b"000001V " + b"0" * 600, "no-data"),
        (b"000001D " + b"\xff" * 600, "unknown-format"),
    ],
)
def test_what_is_no_waveform_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "a.mseed").write_bytes(content)
    assert reason(tmp_path / "a.mseed") == expected


class _Trap:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable, tuple]:
        return os.mkdir, (str(self.mark),)


def test_a_pickle_named_miniseed_is_never_unpickled(tmp_path: Path) -> None:
    # obspy.read() would try its pickle format on a file that nothing else fits.
    (tmp_path / "a.mseed").write_bytes(pickle.dumps(_Trap(tmp_path / "sprung")))
    (tmp_path / "b.mseed").write_bytes(pickle.dumps(Stream(three()), protocol=2))
    assert reason(tmp_path / "a.mseed") == reason(tmp_path / "b.mseed") == "unknown-format"
    assert not (tmp_path / "sprung").exists()


def test_declared_lengths_are_held_against_the_bytes_that_are_there(tmp_path: Path) -> None:
    data = bytearray(written(tmp_path / "a.mseed", three(), encoding="INT32").read_bytes())
    struct.pack_into(">H", data, 30, 65_535)  # samples in the first record of 512 bytes
    (tmp_path / "a.mseed").write_bytes(data)
    assert reason(tmp_path / "a.mseed") in ("corrupt", "overlap", "gap")

    three()[0].write(str(tmp_path / "b.sac"), format="SAC")
    data = bytearray((tmp_path / "b.sac").read_bytes())
    for points, expected in (
        (2**31 - 1, "truncated"),
        (7001, "truncated"),
        (6999, "corrupt"),
        (-5, "corrupt"),
    ):
        struct.pack_into("<i", data, 79 * 4, points)
        (tmp_path / "b.sac").write_bytes(data)
        assert reason(tmp_path / "b.sac") == expected, points


def test_a_corrupt_longitude_does_not_hold_the_reader_for_ever(tmp_path: Path) -> None:
    # obspy brings longitudes into range by steps of 360 degrees, which 1e30 never leaves.
    one = three()[0]
    one.stats.sac = {"stla": 1.0, "stlo": 1.0, "evla": 2.0, "evlo": 2.0, "lcalda": 1}
    one.write(str(tmp_path / "a.sac"), format="SAC")
    data = bytearray((tmp_path / "a.sac").read_bytes())
    struct.pack_into("<f", data, 36 * 4, 1e30)
    (tmp_path / "a.sac").write_bytes(data)
    assert reason(tmp_path / "a.sac") == "missing-component"


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_values_that_are_no_finite_float32_are_refused(tmp_path: Path, value: float) -> None:
    traces = three()
    for one in traces:
        one.data = one.data.astype(np.float64)
    traces[1].data[1234] = value
    with pytest.raises(RefusedRecord, match="HHN has 1 of 7,000 samples .* sample 1,234") as refusal:
        read_record(written(tmp_path / "a.mseed", traces), READING, WINDOW)
    assert refusal.value.reason == "nan"


def test_silence_is_refused_on_one_component_and_on_all(tmp_path: Path) -> None:
    traces = three()
    traces[2].data[:] = 0
    assert reason(written(tmp_path / "a.mseed", traces)) == "all-zero"
    for one in traces:
        one.data[:] = 0
    path = written(tmp_path / "b.mseed", traces)
    assert reason(path) == "all-zero"
    assert reason(path, ReadingParams(missing_component="zero")) == "all-zero"
    with pytest.raises(RefusedRecord):
        read_stations(path, READING, WINDOW)


def test_clipped_records_are_refused_beyond_the_share_that_is_allowed(tmp_path: Path) -> None:
    traces = three()
    traces[0].data = np.clip(traces[0].data, -300, 300)  # 6.7 % at either end
    path = written(tmp_path / "a.mseed", traces)
    assert reason(path) == "clipped"
    assert read_record(path, ReadingParams(clipped_share=0.1), WINDOW).kind == "HH"


def test_component_counts_other_than_three_are_refused(tmp_path: Path) -> None:
    assert reason(written(tmp_path / "a.mseed", three()[:2])) == "missing-component"
    four = three() + [Trace(noise(5), three(letters="2")[0].stats)]
    assert reason(written(tmp_path / "b.mseed", four)) == "extra-component"
    assert reason(written(tmp_path / "c.mseed", three(letters="RTZ"))) == "orientation"
    assert reason(written(tmp_path / "d.mseed", three() + three("HN"))) == "several-records"
    # … unless the file's name says which of its two sensors is meant
    record = read_record(written(tmp_path / "ev_ABC_HN.mseed", three() + three("HN")), READING, WINDOW)
    assert record.kind == "HN"
    with pytest.raises(RefusedRecord) as refusal:
        read_record(written(tmp_path / "e.mseed", three()), READING, WINDOW, channels=["HN"])
    assert refusal.value.reason == "other-kind"


def test_rates_that_differ_or_cannot_serve_are_refused(tmp_path: Path) -> None:
    traces = three()
    traces[1].stats.sampling_rate = 50.0
    assert reason(written(tmp_path / "a.mseed", traces)) == "mixed-rates"
    traces = three()
    for one in traces:
        one.stats.sampling_rate = 1.0
    assert reason(written(tmp_path / "b.mseed", traces)) == "rate"
    assert read_record(tmp_path / "b.mseed", READING, None).sampling_rate_hz == 1.0


def test_long_gaps_contradicting_overlaps_and_short_records_are_refused(tmp_path: Path) -> None:
    for name, shift, expected in (("a", 1.5, "gap"), ("b", -1.5, "overlap")):
        traces = three()
        tail = traces[0].copy()
        tail.data, tail.stats.starttime = tail.data[4000:][::-1].copy(), START + 40 + shift
        traces[0].data = traces[0].data[:4000]
        assert reason(written(tmp_path / f"{name}.mseed", [*traces, tail])) == expected
        allowing = ReadingParams(maximum_gap_s=2.0)
        assert read_record(tmp_path / f"{name}.mseed", allowing, WINDOW).samples == 7000 + min(shift, 0) * 100
    for one in (traces := three()):
        one.data = one.data[:1999]
    assert reason(written(tmp_path / "c.mseed", traces)) == "too-short"
    (traces := three())[0].stats.starttime += 80
    assert reason(written(tmp_path / "d.mseed", traces)) == "no-overlap"


def test_gaps_filled_with_a_constant_are_gaps(tmp_path: Path) -> None:
    traces = three()
    for one in traces:
        one.data[3000:3150] = 0
    assert reason(written(tmp_path / "a.mseed", traces)) == "gap"
    for one in traces:
        one.data[2500:] = 0
        one.data[:600] = 0
    assert reason(written(tmp_path / "b.mseed", traces)) == "too-short"


def test_paths_that_are_no_files_are_refused(tmp_path: Path) -> None:
    assert reason(tmp_path / "none.mseed") == "unreadable"
    (tmp_path / "link.mseed").symlink_to(tmp_path / "nowhere.mseed")
    assert reason(tmp_path / "link.mseed") == "unreadable"
    (tmp_path / "folder.mseed").mkdir()
    assert reason(tmp_path / "folder.mseed") == "unreadable"
    os.mkfifo(tmp_path / "pipe.mseed")
    assert reason(tmp_path / "pipe.mseed") == "unreadable"
    names = [entry.path.name for entry in find_files(tmp_path, None)]
    assert names == ["link.mseed", "pipe.mseed"]  # reported later, not dropped here


def test_folders_that_cannot_serve_are_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EarthSignalsError, match="is no folder"):
        find_files(tmp_path / "none", None)
    with pytest.raises(EarthSignalsError, match="holds no waveform file"):
        find_files(tmp_path, None)
    (tmp_path / "closed").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path)
    written(tmp_path / "a.mseed", three())
    assert len(find_files(tmp_path, None)) == 1  # a link to a folder above is not followed for ever
    scandir = os.scandir

    def refuse(path: str) -> object:  # root may read what others may not, so the system's answer is staged
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(EarthSignalsError, match=r"closed cannot be listed \(Permission denied\)"):
        find_files(tmp_path, None)


def test_one_bad_file_never_stops_the_rest(tmp_path: Path) -> None:
    written(tmp_path / "a_ABC_HH.mseed", three())
    (tmp_path / "b_ABC_HH.mseed").write_bytes(b"\0" * 9)
    (tmp_path / "c_ABC_HH.mseed").touch()
    inspection = inspect(tmp_path, SeismicParams(), workers=1)
    assert [seen.file for seen in inspection.seen] == ["a_ABC_HH.mseed"]
    assert inspection.reasons == {"empty": 1, "no-data": 1}


def test_a_broken_stationxml_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.xml").write_text("<other/>")
    assert read_inventory(tmp_path) is None
    (tmp_path / "stations.xml").write_text("<FDSNStationXML><broken")
    with pytest.raises(EarthSignalsError, match=r"stations\.xml is no readable StationXML"):
        read_inventory(tmp_path)


def test_random_bytes_and_random_damage_are_refused_quietly(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    random = np.random.Generator(np.random.Philox(11))
    whole = np.frombuffer(written(tmp_path / "a.mseed", three()).read_bytes(), np.uint8)
    three()[0].write(str(tmp_path / "a.sac"), format="SAC")
    sac = np.frombuffer((tmp_path / "a.sac").read_bytes(), np.uint8)
    for trial in range(120):
        data = (whole, sac)[trial % 2].copy()
        if trial % 3 == 0:
            data = random.integers(0, 256, int(random.integers(1, 5000)), dtype=np.uint8)
        else:
            places = random.integers(0, 64 if trial % 3 == 1 else len(data), int(random.integers(1, 12)))
            data[places] = random.integers(0, 256, len(places))
        (tmp_path / "b.mseed").write_bytes(data.tobytes())
        for read in (read_record, read_stations):
            try:
                read(tmp_path / "b.mseed", READING, WINDOW)
            except RefusedRecord as refusal:
                assert refusal.reason in REASONS
    assert capfd.readouterr() == ("", "")  # libmseed and obspy would fill the terminal


def test_obspys_file_with_gaps_and_six_sensors() -> None:
    path = obspys("core/tests/data/ffbx_unrotated_gaps.mseed")
    assert reason(path, SHORT) == "several-records"
    refused: list[Refusal] = []
    records = read_stations(path, SHORT, None, refused=refused)
    # Gaps of one sample are bridged; 47 missing samples of 40 Hz (1.2 s) break FFB2's BH in two.
    assert {record.identity for record in records} >= {
        "BW.FFB1..HH",
        "BW.FFB2..HH",
        "BW.FFB3..HH",
        "BW.FFB3..BH",
    }
    assert {record.sampling_rate_hz for record in records} == {40.0, 200.0}
    assert all(np.isfinite(record.waveform).all() for record in records)
    bridged = next(record for record in records if record.identity == "BW.FFB3..BH")
    assert bridged.channels == ("BH2", "BH1", "BHZ")
    patient = read_stations(path, ReadingParams(minimum_s=0.5, maximum_gap_s=1.2), None)
    assert {record.identity for record in patient} >= {record.identity for record in records}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("io/mseed/tests/data/brokenlastrecord.mseed", "corrupt"),
        ("io/mseed/tests/data/infinite-loop.mseed", "corrupt"),
        ("io/mseed/tests/data/not.mseed", "no-data"),
        ("io/mseed/tests/data/not2.mseed", "unknown-format"),
        ("io/mseed/tests/data/two_channels.mseed", "missing-component"),
        ("io/mseed/tests/data/various_noise_records.mseed", "several-records"),
        ("io/mseed/tests/data/bizarre/emptyfile.mseed", "empty"),
        ("io/mseed/tests/data/encoding/smallASCII_bigEndian.mseed", "no-data"),
        ("io/mseed/tests/data/gaps.mseed", "missing-component"),
        ("io/mseed/tests/data/SRO_encoding.mseed", "rate"),
        ("io/sac/tests/data/seism-shorter.sac", "truncated"),
        ("io/sac/tests/data/seism-longer.sac", "corrupt"),
        ("io/sac/tests/data/LMOW.BHE.SAC", "missing-component"),
        ("io/sac/tests/data/test.sac.swap", "orientation"),
        ("io/sac/tests/data/testxy.sac", "unknown-format"),
    ],
)
def test_obspys_own_test_files_are_refused_for_what_they_are(path: str, expected: str) -> None:
    assert reason(obspys(path), SHORT) == expected


@pytest.mark.parametrize(
    "path", ["io/mseed/tests/data/fullseed.mseed", "io/mseed/tests/data/dataquality-m.mseed"]
)
def test_obspys_three_component_files_are_read_as_obspy_reads_them(path: str) -> None:
    record = read_record(obspys(path), SHORT, None)
    stream = obspy.read(str(OBSPY / path), format="MSEED")
    latest = max(trace.stats.starttime for trace in stream)
    for row, code in enumerate(record.channels):
        (trace,) = stream.select(channel=code)
        skipped = round((latest - trace.stats.starttime) * record.sampling_rate_hz)
        data = trace.data[skipped : skipped + record.samples]
        np.testing.assert_array_equal(record.waveform[row] + record.offset[row], data)


def test_every_file_of_obspys_own_is_read_or_refused() -> None:
    for folder in ("io/mseed/tests/data", "io/sac/tests/data"):
        for path in sorted((OBSPY / folder).rglob("*")):
            if path.is_file():
                for read in (read_record, read_stations):
                    try:
                        read(path, SHORT, WINDOW)
                    except RefusedRecord as refusal:
                        assert refusal.reason in REASONS
