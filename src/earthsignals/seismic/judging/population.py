"""The records that are judged, with what is known of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earthsignals.seismic.store.packed import Store, evenly


@dataclass(frozen=True)
class Population:
    """Records (N,): row in the store, category, instrument kind, station ("NET.STA"), event, and numbers that
    are NaN where unknown (and for noise)."""

    rows: np.ndarray
    is_event: np.ndarray
    kind: np.ndarray
    station: np.ndarray
    event: np.ndarray
    snr_db: np.ndarray
    magnitude: np.ndarray
    distance_km: np.ndarray
    p_sample: np.ndarray
    s_sample: np.ndarray

    @classmethod
    def of(cls, store: Store, rows: np.ndarray) -> Population:
        """What the store's metadata tells of these rows."""
        table = store.metadata.iloc[rows]

        def text(column: str) -> np.ndarray:
            return table[column].astype(str).to_numpy(dtype=np.str_)

        def number(column: str) -> np.ndarray:
            return table[column].to_numpy(np.float64)

        station = np.char.add(np.char.add(text("station_network_code"), "."), text("station_code"))
        return cls(
            np.asarray(rows, np.int64), text("trace_category") == "earthquake", text("trace_channel"),
            station, text("source_id"), number("trace_snr_db"), number("source_magnitude"),
            number("path_ep_distance_km"), number("trace_p_arrival_sample"),
            number("trace_s_arrival_sample"),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.rows)

    def arrays(self) -> dict[str, np.ndarray]:
        """For `evaluation.h5`, text as bytes."""
        texts = {"kind": self.kind, "station": self.station, "event": self.event}
        return {f"records/{name}": np.char.encode(values, "utf-8") for name, values in texts.items()} | {
            "records/row": self.rows, "records/is_event": self.is_event, "records/snr_db": self.snr_db,
            "records/magnitude": self.magnitude, "records/distance_km": self.distance_km,
            "records/p_sample": self.p_sample, "records/s_sample": self.s_sample,
        }  # fmt: skip

    def spread(self, count: int) -> np.ndarray:
        """Positions (≤ count,) of earthquakes from the weakest to the strongest signal-to-noise ratio."""
        events = np.flatnonzero(self.is_event)
        order = events[np.argsort(np.nan_to_num(self.snr_db[events], nan=-np.inf), kind="stable")]
        return evenly(order, count)

    def title(self, position: int) -> str:
        """A line for a figure: station, instrument and what is known of the earthquake."""
        parts = [self.station[position], self.kind[position]]
        for value, form in (
            (self.magnitude[position], "M {:.1f}"), (self.distance_km[position], "{:.0f} km"),
            (self.snr_db[position], "{:.0f} dB"),
        ):  # fmt: skip
            if np.isfinite(value):
                parts.append(form.format(value))
        return "  ".join(parts)
