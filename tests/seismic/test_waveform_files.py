"""Waveforms as files: layout, standard formats that other tools open, same bytes for any worker count."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import obspy
import pytest
from obspy.io.quakeml.core import _validate as validate_quakeml
from obspy.io.stationxml.core import validate_stationxml

from earthsignals.seismic.params import ReadingParams, SeismicParams
from earthsignals.seismic.prediction.inputs import Inputs
from earthsignals.seismic.simulation import write as writing
from earthsignals.seismic.simulation.catalogue import response_of
from earthsignals.seismic.simulation.record import simulate, specs
from earthsignals.seismic.simulation.spec import region_of
from earthsignals.seismic.simulation.write import file_name, write_waveforms

PARAMS = SeismicParams.model_validate(
    {"synthetic": {"networks": 3, "stations_per_network": 4, "records": 60, "noise_records": 9}}
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("waveforms") / "raw"
    counts = write_waveforms(PARAMS, out, workers=1)
    assert counts["records"] == 69 and sum(counts["kinds"].values()) == 60
    assert sum(counts["noise_kinds"].values()) == 9 and counts["events"] >= 10
    assert counts["bytes"] == sum(path.stat().st_size for path in out.rglob("*.mseed"))
    return out


@pytest.fixture(scope="module")
def table(folder) -> list[dict[str, str]]:
    with open(folder / "records.csv", newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def test_files_lie_by_kind_under_event_station_and_kind(folder, table):
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.mseed"))
    assert names == sorted(row["file"] for row in table) and len(names) == 69
    for row in table:
        event = row["event"] or Path(row["file"]).name.split("_")[0]
        assert row["file"] == f"{row['kind']}/{event}_{row['station']}_{row['kind']}.mseed"
        assert (row["category"] == "noise") == event.startswith("noise")


def test_a_file_holds_the_simulated_counts_in_steim2(folder):
    for spec in specs(PARAMS)[::12]:
        stream = obspy.read(folder / file_name(spec), format="MSEED")
        assert [trace.stats.channel for trace in stream] == [spec.kind + c for c in "ENZ"]
        assert {trace.stats.mseed.encoding for trace in stream} == {"STEIM2"}
        assert {trace.stats.sampling_rate for trace in stream} == {100.0}
        assert {trace.id[:-1] for trace in stream} == {f"{spec.network}.{spec.station}..{spec.kind}"}
        assert np.array_equal(np.stack([trace.data for trace in stream]), simulate(spec, PARAMS).counts)
        assert stream[0].stats.starttime.timestamp == pytest.approx(spec.time, abs=1e-4)


def test_any_number_of_workers_writes_the_same_bytes(folder, tmp_path):
    write_waveforms(PARAMS, tmp_path / "raw", workers=2)
    assert contents(tmp_path / "raw") == contents(folder)


def test_a_stopped_run_leaves_nothing_and_the_next_one_succeeds(folder, tmp_path, monkeypatch):
    done = 0

    def fails_later(*arguments):
        nonlocal done
        done += 1
        if done > 20:
            raise KeyboardInterrupt
        return original(*arguments)

    original = writing.write_record
    monkeypatch.setattr(writing, "write_record", fails_later)
    with pytest.raises(KeyboardInterrupt):
        write_waveforms(PARAMS, tmp_path / "raw", workers=1)
    assert not list(tmp_path.iterdir())


def test_stations_open_with_responses_for_every_file(folder, table):
    valid, errors = validate_stationxml(str(folder / "stations.xml"))
    assert valid, errors
    inventory = obspy.read_inventory(folder / "stations.xml")
    for row in table[::10]:
        for component in "ENZ":
            stream = obspy.read(folder / row["file"], headonly=True)
            trace = stream.select(component=component)[0]
            response = inventory.get_response(trace.id, trace.stats.starttime)
            assert response.instrument_sensitivity.output_units == "COUNTS"


def test_events_open_with_origins_magnitudes_and_picks_of_every_record(folder, table):
    assert validate_quakeml(str(folder / "events.xml"))
    catalogue = obspy.read_events(folder / "events.xml")
    by_name = {str(event.resource_id).rsplit("/", 1)[1]: event for event in catalogue}
    for row in table:
        if row["category"] == "noise":
            continue
        event = by_name[row["event"]]
        assert event.preferred_magnitude().mag == pytest.approx(float(row["magnitude"]))
        picks = {pick.phase_hint: pick for pick in event.picks
                 if pick.waveform_id.station_code == row["station"]}
        start = obspy.read(folder / row["file"], headonly=True)[0].stats.starttime
        assert picks["P"].time - start == pytest.approx(int(row["p_sample"]) / 100.0, abs=1e-4)
        assert picks["S"].time - start == pytest.approx(int(row["s_sample"]) / 100.0, abs=1e-4)
        assert event.preferred_origin().time < picks["P"].time < picks["S"].time


@pytest.mark.parametrize("kind", ["HH", "BH", "EH", "HN"])
def test_evaluating_the_stationxml_response_gives_the_instruments_own(kind):
    params = SeismicParams.model_validate({"synthetic": {"networks": 4, "shares": {kind: 1.0}}})
    frequency = np.array([0.3, 1.0, 3.0, 5.0, 6.0])
    for station in (station for number in range(4) for station in region_of(params, number).stations[:2]):
        instrument = station.instrument
        ours = instrument.response(frequency)
        if kind == "HN":
            ours = ours / (2j * np.pi * frequency)
        theirs = response_of(instrument, 100.0).get_evalresp_response_for_frequencies(
            frequency, output="ACC" if kind == "HN" else "VEL"
        )
        assert np.abs(theirs / ours - 1.0).max() < 1e-3


def test_removing_the_response_brings_back_ground_motion(folder, table):
    """The noise of a broadband station in m/s: microseisms of 0.1–100 µm/s, whatever its gain."""
    inventory = obspy.read_inventory(folder / "stations.xml")
    row = next(row for row in table if row["kind"] == "HH" and row["category"] == "noise")
    stream = obspy.read(folder / row["file"]).detrend("demean")
    stream.remove_response(inventory, output="VEL", pre_filt=(0.05, 0.1, 10.0, 15.0))
    assert 1e-7 < np.std(stream[2].data) < 1e-4


def test_the_table_gives_what_is_known_and_leaves_the_rest_empty(table):
    assert list(table[0]) == list(writing.COLUMNS)
    for row in table:
        known = (row["event"], row["magnitude"], row["p_sample"], row["snr_db"])
        assert all(known) if row["category"] == "earthquake" else not any(known)
        if row["category"] == "earthquake":
            assert int(row["p_sample"]) == 1000 < int(row["s_sample"]) < 7000


def test_predictions_find_the_stations_one_folder_above_and_read_motion(folder: Path) -> None:
    """Without the StationXML every record would be refused; with it counts become m/s, far smaller."""
    path = sorted(folder.glob("HH/*.mseed"))[0]
    (motion,) = Inputs.of(path, ReadingParams(response="remove"), 100.0).recordings("test")
    (counts,) = Inputs.of(path, ReadingParams(), 100.0).recordings("test")
    assert (motion.record.units, counts.record.units) == ("m/s", "counts")
    assert 0 < np.abs(motion.record.waveform).max() < 1e-5 * np.abs(counts.record.waveform).max()
