"""Ground motion of one earthquake at one station: spectra, envelopes and directions of P, S and coda."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from earthsignals.seismic.simulation import path, source
from earthsignals.seismic.simulation.regions import Region, Station
from earthsignals.seismic.simulation.waves import ENVELOPE_STEP, Grid, train, wander, white

if TYPE_CHECKING:
    from earthsignals.seismic.simulation.spec import RecordSpec

INCIDENCE_RATIO = (0.25, 0.6)
"""Speed at the surface over speed at depth: how much rays steepen on their last kilometres."""
SECOND_EVENT_SHARE = 0.04


def ground_motion(
    spec: RecordSpec, region: Region, station: Station, cells: Grid, start: int, rng: np.random.Generator,
    random: np.random.Generator,
) -> tuple[np.ndarray, dict[str, float]]:
    """Ground velocity in m/s, (3, length), ENZ, before the site's amplification; and what shaped it."""
    crust, frequency = region.crust, cells.frequency
    moment = float(source.moment_nm(spec.magnitude))
    corner = float(source.corner_hz(moment, spec.stress_drop_pa, crust.beta))
    hypocentral = math.hypot(spec.distance_km, spec.depth_km)
    times = path.arrivals(hypocentral, corner, crust)
    per_m = float(path.spreading_per_m(hypocentral))

    def spectrum(f: np.ndarray, speed: float, radiation: float, ratio: float, travel: float) -> np.ndarray:
        plain = source.velocity_spectrum(f, moment, corner * ratio, speed, radiation) * per_m
        return plain * path.attenuation(f, travel, crust.q(f), station.kappa_s)

    s_wave = (crust.beta, source.RADIATION_S, 1.0, times.s_travel)
    p_wave = (crust.alpha, source.RADIATION_P, source.CORNER_RATIO, times.p_travel)
    band = cells.band_hz[:, None]
    # At a band's centre below half the rate; P's own spectrum enters through this ratio.
    p_over_s = (spectrum(band, *p_wave) / spectrum(band, *s_wave)) * math.exp(rng.normal(0.45, 0.35))
    shape = spectrum(frequency, *s_wave) * wander(rng, cells, 3, 2.0)
    envelopes = _envelopes(times, crust, band, p_over_s, cells, start, rng)
    rays = train(white(random, cells, 3), math.sqrt(2.0) * shape, envelopes, start, cells)
    motion = _rotation(spec, rng) @ rays
    return motion, {"corner_hz": corner, "s_after_p_s": times.s_after_p}


def _envelopes(
    times: path.Arrivals, crust: path.Crust, band: np.ndarray, p_over_s: np.ndarray, cells: Grid, start: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Amplitude envelopes of L, Q, T per band, (3, B, K), relative to the spectrum of direct S."""
    points = (cells.length - start) // ENVELOPE_STEP + 1
    time = np.arange(points) * (ENVELOPE_STEP / cells.rate_hz)
    p_direct, p_coda = path.p_power(time, band, times, crust)
    s_direct, s_coda = path.s_power(time, band, times, crust)
    # Scattering near the receiver turns direct waves out of their plane, more so at high frequencies.
    stray = np.clip(rng.uniform(0.02, 0.08) + 0.012 * band, 0.0, 0.45)
    turn = rng.uniform(0.0, 0.5 * np.pi)
    vertical, horizontal = 0.1 + 0.8 * np.cos(turn) ** 2, 0.1 + 0.8 * np.sin(turn) ** 2
    p_power, s_power = p_over_s**2, math.exp(rng.normal(0.0, 0.5))
    power = np.stack([
        p_power * (p_direct * (1.0 - stray) + 0.4 * p_coda) + s_power * (s_direct * stray + 0.3 * s_coda),
        p_power * (p_direct * 0.5 * stray + 0.3 * p_coda) + s_power * (s_direct * vertical + 0.35 * s_coda),
        p_power * (p_direct * 0.5 * stray + 0.3 * p_coda) + s_power * (s_direct * horizontal + 0.35 * s_coda),
    ])
    amplitude = np.sqrt(power) * _wandering(rng, power.shape, time)
    if rng.random() < SECOND_EVENT_SHARE:
        delay = int(rng.uniform(6.0, 50.0) * cells.rate_hz / ENVELOPE_STEP)
        again = 10.0 ** (rng.uniform(-25.0, -2.0) / 20.0)
        if delay < points:
            later = again * amplitude[..., : points - delay]
            amplitude[..., delay:] = np.hypot(amplitude[..., delay:], later)
    fade = np.clip((cells.length - start) / ENVELOPE_STEP - np.arange(points), 0.0, 40.0) / 40.0
    return amplitude * fade


def _wandering(rng: np.random.Generator, shape: tuple[int, ...], time: np.ndarray) -> np.ndarray:
    """Log-normal factors (3, B, K) of 2 dB that change within some 2 s: single scatterers, reflections."""
    knots = int(time[-1] / 2.0) + 2
    place = time / 2.0
    left = place.astype(int)
    values = rng.normal(0.0, 2.0 * math.log(10.0) / 20.0, (*shape[:-1], knots))
    return np.exp(values[..., left] + (place - left) * np.diff(values)[..., left])


def _rotation(spec: RecordSpec, rng: np.random.Generator) -> np.ndarray:
    """(3, 3) from L, Q, T to E, N, Z. Rays leave the source straight and steepen below the station."""
    hypocentral = max(math.hypot(spec.distance_km, spec.depth_km), 1e-6)
    sine = spec.distance_km / hypocentral * rng.uniform(*INCIDENCE_RATIO)
    cosine = math.sqrt(1.0 - sine**2)
    azimuth = math.radians(spec.azimuth_deg)  # radial: away from the source
    east, north = math.sin(azimuth), math.cos(azimuth)
    return np.array([
        [sine * east, -cosine * east, north],
        [sine * north, -cosine * north, -east],
        [cosine, sine, 0.0],
    ])
