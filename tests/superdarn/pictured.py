"""Stand-ins for what figures are drawn from: a two-cell convection, radars that see patches of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from earthsignals.superdarn.figures.equipotentials import EARTH_M, HEIGHT_M, field_tesla
from earthsignals.superdarn.figures.inputs import Inputs, Weights
from earthsignals.superdarn.figures.reading import read_examples

ROWS, COLUMNS = 40, 180
LEADS = np.array([2, 10, 20, 30, 40, 50, 60])
AHEAD = np.arange(2, 61, 2)
NOON_S = 1425211200  # 2015-03-01 12:00


def centres(rows: int = ROWS, columns: int = COLUMNS) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes (R,) and magnetic longitudes (C,) in degrees, from 50° to the pole."""
    return 50 + 40 * (np.arange(rows) + 0.5) / rows, 360 * (np.arange(columns) + 0.5) / columns


def potential_kv(
    mlat: np.ndarray, mlt: np.ndarray, peak_kv: float = 30.0, centre: float = 74.0
) -> np.ndarray:
    """Positive at dawn, negative at dusk, falling off to both sides of `centre` degrees of latitude."""
    across = np.exp(-0.5 * ((np.abs(mlat) - centre) / 6.0) ** 2)
    return peak_kv * across * np.sin(np.deg2rad(15 * mlt))


def two_cells(mlat: np.ndarray, mlt: np.ndarray, **shape: float) -> np.ndarray:
    """The drift (2, …) in m/s, north and east, of that potential: E × B in the northern hemisphere."""
    radius, field, small = EARTH_M + HEIGHT_M, field_tesla(mlat), 1e-3
    volts = 1000 * potential_kv(np.stack([mlat + small, mlat - small]), mlt, **shape)
    hours = 1000 * potential_kv(mlat, np.stack([mlt + small, mlt - small]), **shape)
    east = (volts[0] - volts[1]) / np.deg2rad(2 * small) / radius / field
    turn = np.deg2rad(2 * small * 15)
    north = -(hours[0] - hours[1]) / turn / (radius * np.cos(np.deg2rad(mlat))) / field
    return np.stack([north, east])


def observed(
    rng: np.random.Generator, mlt_zero: float, patches: np.ndarray, count: int = 550, spread: float = 70.0,
    **shape: float,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Line-of-sight vectors in patches (9, 2), of the two-cell drift with an error of `spread` m/s."""
    which = rng.integers(9, size=count)
    mlat = np.round(np.clip(patches[which, 0] + 2.0 * rng.normal(size=count), 50.5, 88.5)) + 0.5
    mlon = np.mod(patches[which, 1] + 5.0 / np.cos(np.deg2rad(mlat)) * rng.normal(size=count) ** 2, 360)
    azimuth = np.mod(40.0 * which + 12 * rng.normal(size=count), 360) - 180
    north, east = two_cells(mlat, np.mod(mlon / 15 + mlt_zero, 24), **shape)
    along = north * np.cos(np.deg2rad(azimuth)) + east * np.sin(np.deg2rad(azimuth))
    along += spread * rng.normal(size=count)
    azimuth = np.where(along < 0, np.mod(azimuth + 360, 360) - 180, azimuth)
    return {"mlat": mlat, "mlon": mlon, "kvect": azimuth, "velocity": np.abs(along)}


def made_arrays(examples: int = 3, rows: int = ROWS, columns: int = COLUMNS, radars: int = 22) -> dict:
    """What an evaluation writes, in its shapes, with plausible values."""
    rng = np.random.default_rng(5)
    arrays: dict[str, np.ndarray] = {"leads": LEADS}
    growth = 1 - np.exp(-LEADS / 40)
    for name, floor, rise in (
        ("model", 88, 125), ("start", 90, 132), ("damped", 99, 160), ("damped_anomaly", 98, 155),
        ("persistence", 100, 200), ("climatology", 280, 5), ("zero", 312, 8),
    ):  # fmt: skip
        arrays[f"rmse/{name}"] = floor + rise * growth
        arrays[f"rmse_low/{name}"], arrays[f"rmse_high/{name}"] = (
            arrays[f"rmse/{name}"] * (1 + side * 0.04) for side in (-1, 1)
        )
    for name in ("skill_damped", "skill_persistence"):
        other = arrays[f"rmse/{name.removeprefix('skill_')}"]
        arrays[name] = 1 - (arrays["rmse/model"] / other) ** 2
        arrays[f"{name}_low"], arrays[f"{name}_high"] = arrays[name] - 0.04, arrays[name] + 0.03
    bands, sectors = np.arange(50, 91, 5.0), np.arange(25.0)
    for name, edges in (("mlat", bands), ("mlt", sectors)):
        shape = (len(LEADS), len(edges) - 1)
        arrays[f"by_{name}/edges"] = edges
        arrays[f"by_{name}/skill"] = arrays["skill_damped"][:, None] + 0.06 * rng.normal(size=shape)
        arrays[f"by_{name}/count"] = rng.integers(0, 4000, shape)
    arrays["map/skill"] = 0.25 + 0.15 * rng.normal(size=(8, 24))
    arrays["map/count"] = rng.integers(0, 300, (8, 24))
    for name, better in (("quiet", 0.03), ("storm", -0.05)):
        arrays[f"{name}/skill"] = arrays["skill_damped"] + better
        arrays[f"{name}/skill_low"], arrays[f"{name}/skill_high"] = (
            arrays[f"{name}/skill"] + side * 0.05 for side in (-1, 1)
        )
    mlat, mlon = centres(rows, columns)
    hill = np.exp(-0.5 * ((mlat[:, None] - 72) / 7) ** 2) * np.exp(2 * np.cos(np.deg2rad(mlon - 290)) - 2)
    share = np.where(hill > 0.02, 0.5 * hill * rng.uniform(0.4, 1, (rows, columns)), 0)
    arrays["coverage/share"] = share
    arrays["coverage/mlat"], arrays["coverage/mlon"] = np.meshgrid(mlat, mlon, indexing="ij")
    arrays["radars/first_s"] = np.array(NOON_S)
    arrays["radars/stid"] = np.arange(1, radars + 1)
    hours = np.arange(72)
    daily = 400 * (1 + np.cos(2 * np.pi * (hours[None] - rng.uniform(0, 24, (radars, 1))) / 24))
    arrays["radars/count"] = np.where(rng.uniform(size=(radars, 72)) < 0.04, 0, daily).astype(int)
    for number in range(examples):
        arrays |= _example(rng, number, mlat, mlon)
    return arrays


def _example(rng: np.random.Generator, number: int, mlat: np.ndarray, mlon: np.ndarray) -> dict:
    zero, group = 7.0 + 5 * number, f"example/{number}"
    minutes = np.concatenate([[0], AHEAD])
    peak = 30 + 8.0 * number
    patches = rng.uniform([62, 200], [82, 360], (9, 2))
    frames = [observed(rng, zero + m / 60, patches, peak_kv=peak) for m in minutes]
    hours = [np.mod(mlon[None] / 15 + zero + m / 60, 24) for m in AHEAD]
    arrays = {
        "time_s": NOON_S + 18_000 * number, "mlt_zero": zero,
        "leads_all": AHEAD, "mlat": mlat, "mlon": mlon,
        "forecast": np.stack([
            two_cells(mlat[:, None], h, peak_kv=peak * (0.95 - 0.003 * m), centre=74.5)
            for m, h in zip(AHEAD, hours, strict=True)
        ]).astype(np.float32),
        "truth": np.stack([two_cells(mlat[:, None], h, peak_kv=peak) for h in hours]),
        "observed/lead": np.concatenate([
            np.full(len(f["mlat"]), m) for m, f in zip(minutes, frames, strict=True)
        ]),
    }  # fmt: skip
    for name in frames[0]:
        arrays[f"observed/{name}"] = np.concatenate([frame[name] for frame in frames])
    return {f"{group}/{name}": np.asarray(values) for name, values in arrays.items()}


def made_weights() -> Weights:
    """Coefficients of four memories and widths at every lead, the last frame's dying away."""
    rng = np.random.default_rng(6)
    last = np.stack([np.zeros(len(AHEAD)), 0.95 * np.exp(-AHEAD / 60)], 1)
    spread = 0.15 * rng.normal(size=(len(AHEAD), 2, 4, 4))
    carry = np.stack([0.2 * np.exp(-AHEAD / 30), 0.4 * np.exp(-AHEAD / 90)], 1)
    across = 0.1 * rng.normal(size=spread.shape)
    across[:, :, 0], across[..., 0] = np.nan, np.nan
    memories, widths = (0.0, 10.0, 30.0, 90.0), (0.0, 1.0, 2.5, 6.0)
    return Weights(AHEAD, last, spread, across, carry, 0.3 * carry, memories, widths)


def made_history(epochs: int = 6) -> list[dict[str, float]]:
    """Losses that fall."""
    return [
        {"epoch": e, "train_loss": 0.5 + 0.4 * 0.6**e, "validation_loss": 0.55 + 0.4 * 0.62**e,
         "learning_rate": 1e-3 * 0.7**e}
        for e in range(epochs)
    ]  # fmt: skip


def made_inputs(**options: int) -> Inputs:
    """All of it."""
    arrays = made_arrays(**options)
    return Inputs(
        arrays, read_examples(arrays, Path("evaluation.h5")), {}, made_history(), made_weights(),
        {1: "gbr", 3: "kap", 5: "sas"},
    )  # fmt: skip


def made_metrics() -> dict:
    """What an evaluation writes for people, as far as the README tells it."""
    leads = ("2", "10", "30", "60")
    rmse = {"model": (88, 130, 160, 190), "start": (90, 133, 165, 195), "damped": (89, 150, 190, 220),
            "persistence": (90, 155, 210, 260), "zero": (310, 311, 312, 313)}  # fmt: skip
    skill = {"": (-0.02, 0.2, 0.28, 0.25), "_low": (-0.05, 0.15, 0.2, 0.2), "_high": (0.01, 0.25, 0.3, 0.3)}
    metrics: dict = {
        "vectors": dict.fromkeys(leads, 40_000), "issues": 700, "blocks": 36, "radars": 22, "coverage": 0.084,
        "rmse_m_s": {name: dict(zip(leads, values, strict=True)) for name, values in rmse.items()},
        "rmse_m_s_low": {"model": dict(zip(leads, (84, 120, 150, 180), strict=True))},
        "rmse_m_s_high": {"model": dict(zip(leads, (92, 140, 170, 200), strict=True))},
        "acc": {"model": dict.fromkeys(leads, 0.9)},
        "quiet": {"skill_vs_damped": {"30": 0.3}, "skill_vs_damped_low": {"30": 0.25},
                  "skill_vs_damped_high": {"30": 0.35}},
        "storm": {"skill_vs_damped": {"30": 0.1}},
    }  # fmt: skip
    for end, values in skill.items():
        metrics[f"skill_vs_damped{end}"] = dict(zip(leads, values, strict=True))
    return metrics
