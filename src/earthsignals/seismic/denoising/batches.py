"""Training pairs: noisy and clean records, mixed anew in every epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from earthsignals.compute.seeds import philox
from earthsignals.seismic.denoising.augment import (
    colour_curves,
    coloured,
    rotated,
    shifted,
    surrogate_noise,
)
from earthsignals.seismic.denoising.mixing import energy
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.store.packed import Store
from earthsignals.storage import EarthSignalsError

QUIET_S = 0.5  # before the P arrival: what lies earlier is noise
LEAST_QUIET_S = 4.0  # of noise that a surrogate is made from
SURROGATES = 0.25  # share of mixtures with a surrogate of a record's own noise before P
SUMS = 0.25  # share of noise that is the sum of two records
EMPTY = 0.08  # share of training items without any earthquake
QUIETER, QUIETER_DB = 0.12, 20.0  # share of training items with less noise than asked for, and how much less
COLOURED = 0.5  # share of training items whose spectra are changed, signal and noise each
MOVED = 0.6  # share of training items whose P arrival is moved
LATEST_P = 0.6  # of the record, for moved arrivals
DEAD = 0.04  # share of training items with a component of zeros
SHORT, SHORTEST = 0.08, 0.3  # share of training items that are padded, and how much of them is left


@dataclass(frozen=True)
class Sources:
    """Rows of a store that one split mixes from.

    clean: earthquakes of high signal-to-noise ratio. noise: records of noise. quiet: earthquakes with enough
    noise before P for surrogates. arrivals: P sample of every row of the store (int64).
    """

    clean: np.ndarray
    noise: np.ndarray
    quiet: np.ndarray
    arrivals: np.ndarray

    @classmethod
    def of(cls, store: Store, split: str, params: SeismicParams) -> Sources:
        """Choose the rows of a split.

        Raises EarthSignalsError when nothing is clean enough, or nothing gives noise.
        """
        least = params.denoiser.minimum_signal_db
        table = store.metadata
        arrivals = table["trace_p_arrival_sample"].to_numpy(np.float64)
        arrivals = np.where(np.isfinite(arrivals), arrivals, params.window.p_sample)
        arrivals = arrivals.clip(0, store.samples - 1).astype(np.int64)
        earthquakes = store.rows(split, category="earthquake")
        ratio = table["trace_snr_db"].to_numpy(np.float64)[earthquakes]
        clean = earthquakes[ratio >= least]  # NaN, an unknown ratio, is not clean
        if not len(clean):
            raise EarthSignalsError(
                f"{store.folder}: none of the {len(earthquakes)} earthquakes of the split `{split}` has a "
                f"signal-to-noise ratio of {least:g} dB, so the denoiser has nothing clean to learn from: "
                "lower seismic.denoiser.minimum_signal_db or pack more records"
            )
        starts = store.valid(earthquakes)[:, 0]
        length = arrivals[earthquakes] - round(QUIET_S * store.sampling_rate_hz) - starts
        quiet = earthquakes[length >= LEAST_QUIET_S * store.sampling_rate_hz]
        noise = store.rows(split, category="noise")
        if not len(noise) and not len(quiet):
            raise EarthSignalsError(
                f"{store.folder}: the split `{split}` holds no records of noise, and none of its earthquakes "
                f"has {LEAST_QUIET_S:g} s before the P arrival to make noise from: pack records of noise, or "
                "enlarge seismic.window.before_p_s"
            )
        return cls(clean, noise, quiet, arrivals)


class MixedBatches:
    """(noisy, clean), each (B, 3, S) float32, of `Sources`: a BatchSource.

    Every item is a pure function of its index, the epoch and `seed`. Noisy records have a root mean square
    of one; noisy − clean is the noise. With `augment`, signal and noise are turned, coloured, moved in time
    and flipped; some items have no earthquake at all (clean is zero), lack a component, or are padded with
    zeros, as real records are. Without, every epoch is the same, and item i has the i-th of as many ratios,
    evenly spaced over the range, as there are clean records.
    """

    def __init__(
        self, store: Store, sources: Sources, mixing_db: tuple[float, float], *, augment: bool, seed: int
    ) -> None:
        self.store, self.sources = store, sources
        self.low, self.high = mixing_db
        self.augment, self.seed = augment, seed

    def __len__(self) -> int:
        return len(self.sources.clean)

    def batch(self, indices: np.ndarray, epoch: int) -> tuple[Tensor, Tensor]:
        """The mixtures of these items, (B, 3, S) each."""
        epoch = epoch if self.augment else 0
        stream = f"seismic-denoiser-{epoch}"
        generators = [philox(self.seed, stream, int(index)) for index in indices]
        rows = self.sources.clean[indices]
        clean = torch.from_numpy(self.store.read(rows))
        arrivals = self.sources.arrivals[rows]
        noise = self._noise(generators)
        if self.augment:
            clean, noise, arrivals = self._varied(clean, noise, arrivals, generators)
            kept = self._kept(arrivals, generators)
            clean, noise = clean * kept, noise * kept
            ratio = np.array([self._ratio(g) for g in generators])
            empty = np.array([g.random() < EMPTY for g in generators])
        else:
            ratio = self.low + (self.high - self.low) * (np.asarray(indices) + 0.5) / len(self)
            empty = np.zeros(len(indices), bool)
        return self._mixed(clean, noise, arrivals, ratio, empty)

    def _ratio(self, generator: np.random.Generator) -> float:
        """Mostly within the range; the rest above it, so that good records are learnt to be left alone."""
        if generator.random() < QUIETER:
            return generator.uniform(self.high, self.high + QUIETER_DB)
        return generator.uniform(self.low, self.high)

    def _noise(self, generators: list[np.random.Generator]) -> Tensor:
        """One noise record for each item, of any unit."""
        first = self._drawn_noise(generators)
        summed = [item for item, g in enumerate(generators) if g.random() < SUMS]
        if summed and self.augment:
            second = self._drawn_noise([generators[item] for item in summed])
            balance = np.array([generators[item].uniform(-10, 10) for item in summed])
            factor = 10 ** (balance / 20) * np.sqrt(energy(first[summed]) / _positive(energy(second)))
            first[summed] += (factor[:, None, None] * second).astype(np.float32)
        return torch.from_numpy(first)

    def _drawn_noise(self, generators: list[np.random.Generator]) -> np.ndarray:
        out = np.empty((len(generators), 3, self.store.samples), np.float32)
        sources = self.sources
        share = SURROGATES if len(sources.noise) and len(sources.quiet) else float(not len(sources.noise))
        made = np.array([g.random() < share for g in generators])
        whole = np.flatnonzero(~made)
        if len(whole):
            rows = [sources.noise[generators[item].integers(len(sources.noise))] for item in whole]
            out[whole] = self.store.read(np.array(rows))
        for item in np.flatnonzero(made):
            generator = generators[item]
            row = sources.quiet[generator.integers(len(sources.quiet))]
            start = int(self.store.valid([row])[0, 0])
            stop = int(sources.arrivals[row]) - round(QUIET_S * self.store.sampling_rate_hz)
            piece = self.store.read([row])[0, :, start:stop]
            out[item] = surrogate_noise(piece, self.store.samples, generator)
        return out

    def _varied(
        self, clean: Tensor, noise: Tensor, arrivals: np.ndarray, generators: list[np.random.Generator]
    ) -> tuple[Tensor, Tensor, np.ndarray]:
        samples = self.store.samples
        targets = [g.integers(0, int(LATEST_P * samples)) if g.random() < MOVED else p
                   for g, p in zip(generators, arrivals, strict=True)]  # fmt: skip
        clean = shifted(clean, np.array(targets) - arrivals)
        both = []
        for records in (clean, noise):
            azimuths = np.array([g.uniform(0, 2 * np.pi) for g in generators])
            signs = np.array([[g.choice((-1.0, 1.0))] for g in generators])
            records = rotated(records, torch.from_numpy(azimuths).float())
            records = records * torch.from_numpy(signs).float()[..., None]
            chosen = [item for item, g in enumerate(generators) if g.random() < COLOURED]
            if chosen:
                curves = torch.cat([colour_curves(generators[item], 1, samples) for item in chosen])
                records[chosen] = coloured(records[chosen], curves)
            both.append(records)
        return *both, np.array(targets)

    def _kept(self, arrivals: np.ndarray, generators: list[np.random.Generator]) -> Tensor:
        """1 where an item has samples, 0 in dead components and in padding: (B, 3, S) float32."""
        samples = self.store.samples
        kept = torch.ones(len(generators), 3, samples)
        for item, generator in enumerate(generators):
            if generator.random() < DEAD:
                kept[item, generator.integers(3)] = 0
            if generator.random() < SHORT:
                length = int(samples * generator.uniform(SHORTEST, 1))
                # The span holds at least a tenth of itself after P.
                start = generator.integers(0, samples - length + 1)
                start = min(start, int(arrivals[item]))
                stop = min(max(start + length, int(arrivals[item]) + length // 10), samples)
                kept[item, :, :start] = 0
                kept[item, :, stop:] = 0
        return kept

    def _mixed(
        self, clean: Tensor, noise: Tensor, arrivals: np.ndarray, ratio: np.ndarray, empty: np.ndarray
    ) -> tuple[Tensor, Tensor]:
        """As `mixing.mix`, but silent records give silence instead of an error, and power is normalised."""
        signal = energy(clean.numpy(), arrivals)
        disturbance = energy(noise.numpy(), arrivals)
        factor = np.sqrt(signal / _positive(disturbance) * 10 ** (-ratio / 10))
        clean = clean * torch.from_numpy(~empty).float()[:, None, None]
        noisy = clean + torch.from_numpy(factor).float()[:, None, None] * noise
        power = energy(noisy.numpy()) / (3 * noisy.shape[-1])
        gain = torch.from_numpy(1 / np.sqrt(_positive(power))).float()[:, None, None]
        return noisy * gain, clean * gain


def _positive(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, np.finfo(np.float32).tiny)
