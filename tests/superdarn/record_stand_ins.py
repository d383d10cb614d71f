"""Small records of every kind, made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydarnio

from earthsignals.superdarn.cells import cell_centre, cells_above
from earthsignals.superdarn.records.vectors import Vectors

MIDNIGHT = 1_425_168_000.0
"""2015-03-01 00:00 UTC."""


def some_vectors(
    windows: int = 5, each: int = 12, stids: tuple[int, ...] = (5, 65), first_s: float = MIDNIGHT,
    south: bool = False,
) -> Vectors:  # fmt: skip
    """`each` vectors of every radar in consecutive windows of two minutes, sorted, no cell twice."""
    rng = np.random.default_rng(windows * 100 + each)
    parts = []
    for window in range(windows):
        for stid in stids:
            index = rng.choice(cells_above(60), each, replace=False)
            mlat, mlon = cell_centre(-index if south else index)
            parts.append(
                Vectors(
                    start_s=np.full(each, first_s + 120.0 * window),
                    end_s=np.full(each, first_s + 120.0 * (window + 1)), stid=np.full(each, stid),
                    channel=np.zeros(each), mlat=mlat, mlon=mlon, kvect=rng.uniform(-180, 180, each),
                    velocity=rng.gamma(2.0, 150.0, each), velocity_sd=rng.uniform(20, 100, each),
                    power=rng.uniform(3, 30, each), width=rng.uniform(10, 300, each),
                    index=-index if south else index,
                )
            )  # fmt: skip
    return Vectors.concatenate(parts).sorted()


def fitacf_record(
    stid: int, seconds: float, beam: int, velocity: np.ndarray, gates: np.ndarray, **fields: Any
) -> dict[str, Any]:
    """A fitacf record with an echo of 20 dB and 100 m/s width in each of `gates`."""
    size = len(gates)
    day, hour = divmod(int(seconds - MIDNIGHT), 86400)
    record: dict[str, Any] = {
        "radar.revision.major": np.int8(1), "radar.revision.minor": np.int8(0), "origin.code": np.int8(0),
        "origin.time": "", "origin.command": "made up", "cp": np.int16(153), "stid": np.int16(stid),
        "time.yr": np.int16(2015), "time.mo": np.int16(3), "time.dy": np.int16(1 + day),
        "time.hr": np.int16(hour // 3600), "time.mt": np.int16(hour // 60 % 60),
        "time.sc": np.int16(hour % 60), "time.us": np.int32(0), "txpow": np.int16(9000), "nave": np.int16(30),
        "atten": np.int16(0), "lagfr": np.int16(1200), "smsep": np.int16(300), "ercod": np.int16(0),
        "stat.agc": np.int16(0), "stat.lopwr": np.int16(0), "noise.search": np.float32(1),
        "noise.mean": np.float32(1), "channel": np.int16(0), "bmnum": np.int16(beam),
        "bmazm": np.float32(0), "scan": np.int16(1), "offset": np.int16(0), "rxrise": np.int16(100),
        "intt.sc": np.int16(3), "intt.us": np.int32(0), "txpl": np.int16(300), "mpinc": np.int16(1500),
        "mppul": np.int16(1), "mplgs": np.int16(1), "nrang": np.int16(75), "frang": np.int16(180),
        "rsep": np.int16(45), "xcf": np.int16(0), "tfreq": np.int16(10500), "mxpwr": np.int32(0),
        "lvmax": np.int32(0), "fitacf.revision.major": np.int32(3), "fitacf.revision.minor": np.int32(0),
        "combf": "", "noise.sky": np.float32(1), "noise.lag0": np.float32(0), "noise.vel": np.float32(0),
        "ptab": np.zeros(1, np.int16), "ltab": np.zeros((2, 2), np.int16), "pwr0": np.zeros(75, np.float32),
    }  # fmt: skip
    if size:
        record |= {
            "slist": np.asarray(gates, np.int16), "nlag": np.full(size, 18, np.int16),
            "qflg": np.ones(size, np.int8), "gflg": np.zeros(size, np.int8),
            "p_l": np.full(size, 20, np.float32), "v": np.asarray(velocity, np.float32),
            "v_e": np.full(size, 10, np.float32), "w_l": np.full(size, 100, np.float32),
        }  # fmt: skip
    return record | fields


def write_fitacf(path: Path, records: list[dict[str, Any]]) -> Path:
    """As DMAP, without the checks of the format's optional fields."""
    path.write_bytes(bytes(pydarnio.write_dmap(records)))
    return path
