"""Single spectra as CSV: names, exact headers, and that they come back as what they were."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from earthsignals.tdlas import dump as dumping
from earthsignals.tdlas.dataset import open_scans
from earthsignals.tdlas.dump import dump
from earthsignals.tdlas.ingest import ingest
from earthsignals.tdlas.lines import LineList, embedded_lines, keep_near
from earthsignals.tdlas.params import TdlasParams
from earthsignals.tdlas.simulate import Conditions

from .conftest import with_values


def near(params: TdlasParams) -> LineList:
    return keep_near(embedded_lines(), params.lines.window_low, params.lines.window_high, 5.0, 0.0)


def comments(path: Path) -> dict[str, str]:
    head = [line[2:] for line in path.read_text().splitlines() if line.startswith("# ")]
    return dict(line.split(": ", 1) for line in head)


def test_names_round_what_the_header_states_exactly(params: TdlasParams, tmp_path: Path) -> None:
    for path in dump(params, near(params), 12, tmp_path):
        name = re.fullmatch(r"(\d{3})-(\d)_(\d)-(\d{4})-(\d{5})", path.stem)
        assert name, path.name
        exact = comments(path)
        assert abs(int(name[1]) - float(exact["temperature_k"])) <= 0.5
        assert abs(float(f"{name[2]}.{name[3]}") - float(exact["pressure_atm"])) <= 0.05 + 1e-9
        assert int(name[4]) == float(exact["path_cm"]) == params.gas.path_cm
        assert abs(int(name[5]) - float(exact["mole_fraction_ppm"])) <= 0.5
        assert exact["lines_sha256"] == near(params).sha256()


def test_the_columns_obey_beer_and_lambert(params: TdlasParams, tmp_path: Path) -> None:
    """Without noise, fringes and detector, signal = power x exp(-absorbance) to the ADC's last bit."""
    quiet = dict.fromkeys(("white", "shot", "rin", "flicker", "jitter", "detector_bandwidth_hz"), 0.0)
    still = with_values(params, instrument=quiet | {"etalons": [], "baseline": []})
    path = dump(still, near(still), 1, tmp_path)[0]
    assert path.read_text().splitlines()[5] == "t_s,nu_cm-1,absorbance,I_t"
    time, nu, absorbance, signal = np.loadtxt(path, delimiter=",", skiprows=6).T
    drive = np.cos(2 * np.pi * still.laser.drive_frequency_hz * time)
    power = 1 + still.laser.power_slope * drive + still.laser.power_curvature * drive**2
    bit = still.instrument.adc_full_scale / 2**still.instrument.adc_bits
    # The mean of a block is not the value at its centre: 1e-4 where the sweep is fastest.
    assert np.abs(signal - power * np.exp(-absorbance)).max() < bit + 2e-4
    middle = 0.5 * (still.lines.window_low + still.lines.window_high)
    assert np.allclose(nu - middle, drive * (still.lines.window_high - middle), atol=1e-5)


def test_equal_names_get_a_number(params: TdlasParams, tmp_path: Path, monkeypatch) -> None:
    same = Conditions(np.full(3, 296.0), np.full(3, 1.0), np.full(3, 1e-4))
    monkeypatch.setattr(dumping.Simulator, "draw_conditions", lambda self, indices: same)
    names = [path.name for path in dump(params, near(params), 3, tmp_path)]
    assert names == ["296-1_0-0100-00100.csv", "296-1_0-0100-00100-2.csv", "296-1_0-0100-00100-3.csv"]


def test_a_folder_of_spectra_comes_back_as_the_same_scans(params: TdlasParams, tmp_path: Path) -> None:
    lines = near(params)
    paths = dump(params, lines, 20, tmp_path / "spectra")
    counts = ingest(tmp_path / "spectra", params, lines, tmp_path / "scans.h5")
    assert counts["scans read"] == 20
    with open_scans(tmp_path / "scans.h5") as file:
        scans = file.read(slice(0, 20))
        for row, path in enumerate(sorted(paths)):
            signal = np.loadtxt(path, delimiter=",", skiprows=6)[:, 3]
            ratio = scans.signal[row] / signal
            assert np.ptp(ratio) < 1e-5  # one common scale, and nine digits in the file
            assert scans.conditions.temperature_k[row] == float(comments(path)["temperature_k"])
