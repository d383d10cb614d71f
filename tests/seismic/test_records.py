"""Records from files: what is read equals what was written, and each rule of repair does what it states."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from obspy import Stream, Trace, UTCDateTime
from obspy.core.inventory import Channel, Inventory, Network, Response, Site, Station

from earthsignals.seismic.params import ReadingParams, SeismicParams, WindowParams
from earthsignals.seismic.records.components import assign, missing, split_code
from earthsignals.seismic.records.faults import clipped_share, longest_standstill, padding
from earthsignals.seismic.records.folder import FileEntry, entry_of, find_files
from earthsignals.seismic.records.gaps import join
from earthsignals.seismic.records.inspect import inspect
from earthsignals.seismic.records.read import read_record, read_stations
from earthsignals.seismic.records.record import REASONS, RefusedRecord
from earthsignals.seismic.records.refused import Refusal, count_reasons, read_refused, write_refused
from earthsignals.seismic.records.resampling import resample
from earthsignals.seismic.records.response import read_inventory
from earthsignals.storage import EarthSignalsError

READING, WINDOW = ReadingParams(), WindowParams()
START = UTCDateTime(2020, 3, 1, 12, 0, 0)
RATE = 100.0


def noise(seed: int, samples: int = 7000) -> np.ndarray:
    """Integer noise of 200 counts."""
    return np.round(np.random.Generator(np.random.Philox(seed)).normal(0, 200, samples)).astype(np.int32)


def trace(
    code: str, data: np.ndarray, start: UTCDateTime = START, rate: float = RATE, **header: str
) -> Trace:
    header = {"network": "XX", "station": "ABC", "location": ""} | header
    return Trace(data, {"channel": code, "starttime": start, "sampling_rate": rate} | header)


def three(kind: str = "HH", letters: str = "ENZ", **options: object) -> list[Trace]:
    return [trace(kind + letter, noise(n), **options) for n, letter in enumerate(letters)]


def written(path: Path, traces: list[Trace], **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Stream(traces).write(str(path), format="MSEED", **options)
    return path


@pytest.mark.parametrize("encoding", ["STEIM2", "INT32", "FLOAT64"])
def test_a_record_equals_what_was_written_with_components_in_the_order_enz(
    tmp_path: Path, encoding: str
) -> None:
    traces = three()
    for one in traces:
        one.data = one.data.astype(np.float64) if encoding == "FLOAT64" else one.data
    path = written(tmp_path / "HH" / "ev7_ABC_HH.mseed", traces[::-1], encoding=encoding)
    record = read_record(path, READING, WINDOW)
    assert record.waveform.dtype == np.float32
    np.testing.assert_array_equal(record.waveform, np.stack([noise(0), noise(1), noise(2)]))
    assert (record.network, record.station, record.kind, record.event) == ("XX", "ABC", "HH", "ev7")
    assert (record.start, record.units, record.valid) == ("2020-03-01T12:00:00.000000Z", "counts", (0, 7000))
    assert record.channels == ("HHE", "HHN", "HHZ") and record.identity == "XX.ABC..HH"


def test_files_of_the_layout_tell_kind_event_and_station(tmp_path: Path) -> None:
    entry = entry_of("HN/2012_08_25_AL2_HN.mseed")
    assert (entry.kind, entry.event, entry.station) == ("HN", "2012_08_25", "AL2")
    assert entry_of("day.mseed") == FileEntry(Path("day.mseed"), paths=(Path("day.mseed"),))


def test_find_files_sorts_filters_kinds_and_joins_files_of_one_component(tmp_path: Path) -> None:
    for name in (
        "HH/a_ABC_HH.mseed", "EL/b_DEF_EL.mseed", "x.sac", "XX.ABC.BHE.SAC", "XX.ABC.BHN.SAC",
        "XX.ABC.BHZ.SAC", ".hidden.mseed", "notes.txt", ".c_ABC_HH.mseed.123.partial.mseed", "e.Z.ms",
        "e.N.ms", "HH/q_BHE_HH.mseed", "HH/q_BHN_HH.mseed",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    entries = find_files(tmp_path, ["HH", "BH"])
    assert [entry.path.relative_to(tmp_path).as_posix() for entry in entries] == [
        "HH/a_ABC_HH.mseed", "HH/q_BHE_HH.mseed", "HH/q_BHN_HH.mseed", "XX.ABC.BHE.SAC", "e.N.ms", "x.sac",
    ]  # fmt: skip
    assert [len(entry.files) for entry in entries] == [1, 1, 1, 3, 2, 1]
    assert "EL" in {entry.kind for entry in find_files(tmp_path, None)}


def test_three_sac_files_make_one_record_with_picks_and_event(tmp_path: Path) -> None:
    for one in three("BH"):
        one.data = one.data.astype(np.float32)
        one.stats.sac = {"a": 10.5, "t0": 14.0, "kt0": "S", "b": 0.0, "kevnm": "quake"}
        one.write(str(tmp_path / f"XX.ABC.{one.stats.channel}.SAC"), format="SAC")
    (entry,) = find_files(tmp_path, ["BH"])
    record = read_record(entry, READING, WINDOW)
    np.testing.assert_array_equal(record.waveform, np.stack([noise(0), noise(1), noise(2)]))
    assert record.picks == pytest.approx({"P": 10.5, "S": 14.0}) and record.event == "quake"
    assert record.start == "2020-03-01T12:00:00.000000Z"


def test_turned_channels_are_taken_for_n_and_e_without_a_stationxml(tmp_path: Path) -> None:
    record = read_record(written(tmp_path / "a.mseed", three(letters="12Z")), READING, WINDOW)
    np.testing.assert_array_equal(record.waveform[0], noise(1))
    np.testing.assert_array_equal(record.waveform[1], noise(0))
    assert record.channels == ("HH2", "HH1", "HHZ")


def inventory(azimuths: tuple[float, float, float], dips: tuple[float, float, float]) -> Inventory:
    channels = [
        Channel(f"HH{letter}", "", 35, -120, 0, 0, azimuth=azimuth, dip=dip, sample_rate=RATE,
                response=Response.from_paz([], [], 1e9))
        for letter, azimuth, dip in zip("12Z", azimuths, dips, strict=True)
    ]  # fmt: skip
    station = Station("ABC", 35, -120, 0, channels=channels, site=Site("test"))
    return Inventory([Network("XX", stations=[station])], source="test")


def test_turned_channels_are_rotated_by_the_stationxml(tmp_path: Path) -> None:
    # A `1` that points to azimuth a sees n cos a + e sin a, and the `2` at a + 90 sees e cos a - n sin a.
    east, north, up, angle = *(noise(n).astype(float) for n in range(3)), math.radians(30)
    traces = [
        trace("HH1", north * math.cos(angle) + east * math.sin(angle)),
        trace("HH2", east * math.cos(angle) - north * math.sin(angle)),
        trace("HHZ", up),
    ]
    path = written(tmp_path / "a.mseed", traces)
    inventory((30, 120, 0), (0, 0, -90)).write(str(tmp_path / "stations.xml"), format="STATIONXML")
    record = read_record(path, READING, WINDOW, inventory=read_inventory(tmp_path))
    np.testing.assert_allclose(record.waveform, [east, north, up], rtol=1e-5, atol=1e-3)
    with pytest.raises(RefusedRecord, match="do not span") as refusal:
        read_record(path, READING, WINDOW, inventory=inventory((30, 30, 0), (0, 0, -90)))
    assert refusal.value.reason == "orientation"


def test_the_response_is_removed_to_metres_per_second(tmp_path: Path) -> None:
    # A flat response of 1e9 counts per m/s: 1e9 divides out, away from the taper and the lowest frequencies.
    time = np.arange(7000) / RATE
    wave = 1e6 * np.sin(2 * np.pi * 5 * time)
    path = written(tmp_path / "a.mseed", [trace(f"HH{letter}", wave) for letter in "12Z"])
    reading = ReadingParams(response="remove")
    record = read_record(path, reading, WINDOW, inventory=inventory((0, 90, 0), (0, 0, -90)))
    assert record.units == "m/s"
    np.testing.assert_allclose(record.waveform[2, 1000:6000], 1e-9 * wave[1000:6000], atol=2e-6)
    with pytest.raises(RefusedRecord, match="no StationXML") as refusal:
        read_record(path, reading, WINDOW)
    assert refusal.value.reason == "response"


@pytest.mark.parametrize(("rate", "samples"), [(200.0, 14000), (40.0, 2800), (125.0, 8750), (99.999, 7000)])
def test_other_rates_are_resampled_without_a_shift_in_time(tmp_path: Path, rate: float, samples: int) -> None:
    # 3 Hz lies within every band, so a sine must come out as the same sine.
    wave = np.sin(2 * np.pi * 3 * np.arange(samples) / rate)
    traces = [trace(f"BH{letter}", 1e4 * wave, rate=rate) for letter in "ENZ"]
    record = read_record(written(tmp_path / "a.mseed", traces), READING, WINDOW)
    assert record.sampling_rate_hz == 100.0 and record.recorded_rate_hz == pytest.approx(rate, rel=1e-6)
    assert record.samples == 7000 and record.valid == (0, 7000)
    wanted = 1e4 * np.sin(2 * np.pi * 3 * np.arange(7000) / RATE)
    tolerance = 1e4 * (0.02 if rate == 99.999 else 0.003)  # the former's last sample is off by 0.07 of one
    np.testing.assert_allclose(record.waveform[0, 200:-200], wanted[200:-200], atol=tolerance)


def test_resampling_removes_what_would_alias_and_keeps_a_straight_line() -> None:
    time = np.arange(14000) / 200
    high = resample(np.sin(2 * np.pi * 80 * time)[None], 200.0, 100.0, Path("x"))[0, 200:-200]
    assert np.abs(high).max() < 0.02  # would be a sine of 20 Hz and amplitude 1
    line = resample((1e6 + 3.0 * time)[None], 200.0, 100.0, Path("x"))[0]
    np.testing.assert_allclose(line, 1e6 + 3.0 * np.arange(7000) / 100, atol=1.0)  # no ringing at the ends


def test_short_gaps_are_bridged_by_a_line_and_overlaps_that_agree_merged(tmp_path: Path) -> None:
    traces = three()
    data = traces[0].data
    first, second = trace("HHE", data[:3000]), trace("HHE", data[3050:], START + 30.5)
    record = read_record(written(tmp_path / "a.mseed", [first, second, *traces[1:]]), READING, WINDOW)
    np.testing.assert_array_equal(record.waveform[0, :3000], data[:3000])
    np.testing.assert_array_equal(record.waveform[0, 3050:], data[3050:])
    line = np.linspace(data[2999], data[3050], 52)[1:-1]
    np.testing.assert_allclose(record.waveform[0, 3000:3050], line, rtol=1e-5, atol=1e-3)

    again = [trace("HHE", data[:5000]), trace("HHE", data[1000:], START + 10), *traces[1:]]
    record = read_record(written(tmp_path / "b.mseed", again), READING, WINDOW)
    np.testing.assert_array_equal(record.waveform[0], data)


def test_thousands_of_pieces_become_one() -> None:
    data = noise(3, 200_000)
    starts = np.arange(0, 200_000, 100)
    pieces = [trace("HHE", data[n : n + 130], START + n / RATE) for n in starts]
    random = np.random.Generator(np.random.Philox(4))
    (joined,) = join([pieces[n] for n in random.permutation(len(pieces))], 0.0, Path("x"))
    np.testing.assert_array_equal(joined.data, data)
    late = [trace("HHE", data[n : n + 100], START + (n / 100 * 100.4) / RATE) for n in starts]
    (joined,) = join(late, 1.0, Path("x"))  # each 0.4 samples late: 800 in the end, which must not get lost
    assert len(joined.data) == 200_000 + round(1999 * 0.4)
    within = [trace("HHE", data), trace("HHE", data[500:900], START + 5), trace("HHE", data[:100])]
    (joined,) = join(within, 0.0, Path("x"))
    np.testing.assert_array_equal(joined.data, data)
    apart = [trace("HHE", data[:100]), trace("HHE", data[150:300], START + 1.5)]
    assert [len(piece.data) for piece in join(apart, 0.49, Path("x"))] == [100, 150]
    assert [len(piece.data) for piece in join(apart, 0.5, Path("x"))] == [300]


def test_components_are_cut_to_the_time_they_share(tmp_path: Path) -> None:
    traces = three()
    traces[0] = trace("HHE", noise(0), START + 2.0)
    record = read_record(written(tmp_path / "a.mseed", traces), READING, WINDOW)
    assert record.start == "2020-03-01T12:00:02.000000Z"
    np.testing.assert_array_equal(record.waveform[0], noise(0)[:6800])
    np.testing.assert_array_equal(record.waveform[2], noise(2)[200:])


def test_constant_values_that_pad_a_record_are_no_part_of_it(tmp_path: Path) -> None:
    traces = three()
    for one in traces:
        one.data[5000:] = -77
    record = read_record(written(tmp_path / "a.mseed", traces), READING, WINDOW)
    assert record.valid == (0, 5000)
    # the step to the constant is gone: it would ring into the record when it is resampled or filtered
    np.testing.assert_array_equal(
        record.waveform[:, 5000:], np.repeat(record.waveform[:, 4999:5000], 2000, 1)
    )
    wide = [trace(t.stats.channel, np.repeat(t.data, 2), rate=200.0) for t in traces]
    assert read_record(written(tmp_path / "b.mseed", wide), READING, WINDOW).valid == (0, 5000)


def test_a_missing_or_dead_component_is_filled_with_zeros_only_if_so_wanted(tmp_path: Path) -> None:
    zero = ReadingParams(missing_component="zero")
    traces = three()
    dead = [traces[0], trace("HHN", np.full(7000, 5, np.int32)), traces[2]]
    # A dead channel is one all the same: what is made of the record holds it, too.
    for name, one, north in (("a", [traces[0], traces[2]], ""), ("b", dead, "HHN")):
        path = written(tmp_path / f"{name}.mseed", one)
        with pytest.raises(RefusedRecord, match="missing_component: zero"):
            read_record(path, READING, WINDOW)
        record = read_record(path, zero, WINDOW)
        assert record.channels == ("HHE", north, "HHZ") and not record.waveform[1].any()
        np.testing.assert_array_equal(record.waveform[2], traces[2].data)


def test_large_offsets_do_not_cost_the_precision_of_float32(tmp_path: Path) -> None:
    traces = three()
    for one in traces:
        one.data = one.data.astype(np.float64) + 2.0**30
    record = read_record(written(tmp_path / "a.mseed", traces), READING, WINDOW)
    restored = record.waveform.astype(float) + np.array(record.offset)[:, None]
    np.testing.assert_array_equal(restored, [one.data for one in traces])


def test_stations_of_any_number_and_length_come_in_contiguous_pieces(tmp_path: Path) -> None:
    first = three()
    second = three("EH", station="DEF")
    lone = [trace("HHZ", noise(9), station="GHI")]
    after = [trace(t.stats.channel, t.data[:4000], START + 200, station="DEF") for t in second]
    path = written(tmp_path / "day.mseed", first + second + after + lone)
    refused: list[Refusal] = []
    records = read_stations(path, READING, WINDOW, refused=refused)
    assert [(r.station, r.samples, r.start[17:19]) for r in records] == [
        ("ABC", 7000, "00"), ("DEF", 7000, "00"), ("DEF", 4000, "20"),
    ]  # fmt: skip
    assert [r.reason for r in refused] == ["missing-component"]
    np.testing.assert_array_equal(records[2].waveform[1], noise(1)[:4000])
    assert [r.station for r in read_stations(path, READING, WINDOW, channels=["EH"])] == ["DEF", "DEF"]


def test_a_prediction_sees_clipped_records_that_training_refuses(tmp_path: Path) -> None:
    traces = three()
    traces[2].data = np.clip(traces[2].data, -150, 150)
    path = written(tmp_path / "a.mseed", traces)
    assert len(read_stations(path, READING, WINDOW)) == 1
    with pytest.raises(RefusedRecord) as refusal:
        read_record(path, READING, WINDOW)
    assert refusal.value.reason == "clipped"


def test_clipping_is_told_from_coarse_noise_and_from_sines() -> None:
    clipped = np.clip(noise(0), -300, 10_000)
    assert clipped_share(clipped) == pytest.approx(np.mean(noise(0) <= -300))
    coarse = np.round(noise(1, 100_000) / 200)  # a histogram of nine values, 2 % at ±2
    assert clipped_share(coarse) < 1e-3
    assert clipped_share(np.arange(10_000) % 2) == 0  # flickers between two counts
    assert clipped_share(np.where(np.arange(10_000) % 2, 2**23 - 1, -(2**23))) == 0.5  # rail to rail
    # A sine lies within 1e-6 of its range from its top for |phase| < 2e-3: 6e-4 of the time.
    assert clipped_share(np.sin(np.arange(7000.0))) < 2e-3
    assert clipped_share(np.zeros(100)) == 0


def test_padding_and_standstill_by_hand() -> None:
    rising = np.arange(10.0)
    held = np.array([4, 4, 4, 4, 5, 6, 6, 7, 7, 7.0])
    assert padding([held], 2) == (4, 7)
    assert padding([held], 3) == (4, 10)  # three samples are not more than three
    assert padding([held, rising], 2) == (0, 10)
    assert padding([np.ones(5)], 2) == (0, 0)
    assert longest_standstill([held]) == (5, 7)
    assert longest_standstill([held, rising])[1] - longest_standstill([held, rising])[0] == 1


def test_codes() -> None:
    assert split_code("HHZ") == ("HH", "Z") and split_code(" z ") == ("", "Z")
    assert assign("Z12", "x", Path("x")) == {"Z": "Z", "N": "1", "E": "2"}
    assert missing({"N": "1"}) == ["E", "Z"]


def test_the_report_of_refusals_comes_back(tmp_path: Path) -> None:
    error = RefusedRecord(tmp_path / "HH" / "a, b.mseed", "gap", 'it says "no"')
    refused = [Refusal.of(error, tmp_path), Refusal("c", "nan", "x"), Refusal("d", "nan", "y")]
    write_refused(tmp_path / "refused.csv", refused)
    assert read_refused(tmp_path / "refused.csv") == refused and refused[0].file == "HH/a, b.mseed"
    assert list(count_reasons(refused).items()) == [("nan", 2), ("gap", 1)]
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(EarthSignalsError, match="expected the columns"):
        read_refused(tmp_path / "other.csv")


def test_inspection_counts_kinds_shares_rates_lengths_and_refusals(tmp_path: Path) -> None:
    quiet = [trace(t.stats.channel, t.data) for t in three()]
    for one in quiet:
        one.data[1000:] *= 10  # 20 dB from P at 10 s
    written(tmp_path / "HH" / "ev1_ABC_HH.mseed", quiet)
    written(tmp_path / "HH" / "ev2_ABC_HH.mseed", quiet)
    written(tmp_path / "HH" / "noise000001_ABC_HH.mseed", three("HH", "21Z"))
    written(tmp_path / "DP" / "ev1_ABC_DP.mseed", three("DP", rate=200.0))
    (tmp_path / "DP" / "ev3_ABC_DP.mseed").write_bytes(b"")
    inspection = inspect(tmp_path, SeismicParams(), workers=1)
    figures = inspection.to_dict()
    assert figures["records"] == 3 and figures["refused"] == 2
    assert {k: (v["records"], v["packed"]) for k, v in figures["kinds"].items()} == {
        "HH": (2, True), "DP": (1, False),
    }  # fmt: skip
    assert figures["kinds"]["HH"]["share"] == pytest.approx(2 / 3)
    assert figures["snr_db"]["50"] == pytest.approx(20, abs=0.5)
    assert figures["sampling_rates_hz"] == {"100": 2, "200": 1}
    assert figures["lengths_s"] == {"70.0": 2, "35.0": 1}
    assert figures["categories"] == {"earthquake": 2, "noise": 1}
    assert figures["nominal_directions"] == 1
    assert {k: v["files"] for k, v in figures["reasons"].items()} == {"duplicate": 1, "empty": 1}
    assert figures["reasons"]["duplicate"]["examples"][0]["file"] == "HH/ev2_ABC_HH.mseed"
    json.dumps(figures, allow_nan=False)
    table = inspection.table()
    assert "not in seismic.channels" in table and "66.7%" in table and REASONS["empty"] in table


def test_real_records_are_read_whole_and_their_faults_found(real_data: Path) -> None:
    folder = real_data / "seismic" / "mseed_3c"
    refused = {}
    for entry in find_files(folder, None):
        try:
            record = read_record(entry, READING, WINDOW)
        except RefusedRecord as error:
            refused[entry.path.stem] = error.reason
            continue
        assert (record.kind, record.station, record.event) == (entry.kind, entry.station, entry.event)
        assert record.waveform.shape == (3, 7001) and np.isfinite(record.waveform).all()
    # One holds 1.87 s of one value on all components, the other ends in values far outside its noise.
    assert refused == {"2009091706111844_AL2_DP": "gap", "2014092606030921_MLAC_HN": "clipped"}
    (noise_record,) = read_stations(
        real_data / "seismic" / "noise_mseed" / "UT.STN11.A2_C50.miniseed", READING, WINDOW
    )
    assert noise_record.samples == 180_001 and noise_record.identity == "UT.STN11..BH"
